"""Dictionaries go to SAELens and come from it, and say the same on both sides.

sae_lens is in no environment of leakscope's: LEAKSCOPE_SAE_LENS names an interpreter that has it. With the value
``install`` one is made for the test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from leakscope.models.editing.dictionary import Dictionary
from leakscope.models.editing.dictionary_files import load_dictionary, save_dictionary

VERSION = "6.54.12"
TOLERANCE = 1e-5
WIDTH, N_FEATURES = 16, 48
OURS = ("relu", "topk", "jumprelu", "centred", "layer_norm")
THEIRS = (
    *("standard", "whole_input", "layer_norm", "constant_norm", "topk", "topk_rescaled", "jumprelu", "gated"),
    *("trained_topk", "trained_batchtopk", "old_standard", "old_topk"),
)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that sae_lens was run in."""
    python = os.environ.get("LEAKSCOPE_SAE_LENS")
    if not python:
        pytest.skip("LEAKSCOPE_SAE_LENS is not set: give the path of a Python that has sae_lens, or `install`")
    folder = tmp_path_factory.mktemp("sae_lens")
    if python == "install":
        python = install(folder / "environment")
    for name in OURS:
        place = folder / "ours" / name
        save_dictionary(ours(name), place)
        save_file({"inputs": residuals() - mean_of(name)}, place / "inputs.safetensors")
    peer = Path(__file__).with_name("sae_lens_peer.py")
    done = subprocess.run([python, str(peer), str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def install(folder: Path) -> str:
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    torch_version = torch.__version__.partition("+")[0]
    python = str(folder / "bin/python")
    pip = [python, "-m", "pip", "install", "-q", f"sae-lens=={VERSION}", f"torch=={torch_version}"]
    subprocess.run(pip, check=True)
    return python


def residuals() -> torch.Tensor:
    return torch.randn(4, 50, WIDTH, generator=torch.Generator().manual_seed(1)) + 1


def ours(name: str) -> Dictionary:
    generator = torch.Generator().manual_seed(2)

    def draw(*shape: int) -> torch.Tensor:
        return 0.2 * torch.randn(*shape, generator=generator)

    return Dictionary(
        encoder=draw(WIDTH, N_FEATURES),
        encoder_bias=draw(N_FEATURES),
        decoder=draw(N_FEATURES, WIDTH),
        decoder_bias=draw(WIDTH),
        activation=name if name in ("topk", "jumprelu") else "relu",
        layer=2,
        k=4 if name == "topk" else None,
        threshold=draw(N_FEATURES) if name == "jumprelu" else None,
        centre=name == "centred",
        normalisation="layer_norm" if name == "layer_norm" else "none",
    )


@pytest.mark.parametrize("name", THEIRS)
def test_what_sae_lens_saves_encodes_the_same_here(told: Path, name: str) -> None:
    expected = load_file(told / "theirs" / name / "told.safetensors")
    dictionary = load_dictionary(told / "theirs" / name)
    assert dictionary.layer == 1
    encoded = dictionary.encode(expected["inputs"])
    assert (encoded > 0).any()
    if name == "topk_rescaled":
        # Scaling by decoder norms is folded into the weights, so that activations are what they were.
        torch.testing.assert_close(dictionary.decoder.norm(dim=-1), torch.ones(N_FEATURES))
    torch.testing.assert_close(encoded, expected["encoded"], atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(dictionary.reconstruct(expected["inputs"]), expected["rebuilt"], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", OURS)
def test_what_is_saved_here_encodes_the_same_in_sae_lens(told: Path, name: str) -> None:
    expected = load_file(told / "ours" / name / "told.safetensors")
    torch.testing.assert_close(expected["encoded"], ours(name).encode(residuals()), atol=TOLERANCE, rtol=0)
    rebuilt = ours(name).reconstruct(residuals()) - mean_of(name)
    torch.testing.assert_close(expected["rebuilt"], rebuilt, atol=TOLERANCE, rtol=0)


def mean_of(name: str) -> torch.Tensor:
    """Return what is taken off residuals before SAELens sees them: there, centring is the model's business."""
    return residuals().mean(dim=-1, keepdim=True) * (name == "centred")
