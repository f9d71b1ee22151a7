"""Run by an interpreter that has sae_lens: saves a dictionary of each architecture, and encodes by those it is given.

``python sae_lens_peer.py <folder>``: in ``ours/*`` of the folder are dictionaries to be read; ``theirs/*`` are written.
Each gets, beside its files, ``told.safetensors`` with ``inputs``, ``encoded`` and ``rebuilt``.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

warnings.filterwarnings("ignore")

from sae_lens import SAE, TrainingSAE  # noqa: E402

WIDTH, N_FEATURES = 16, 48
HOOK = {"hook_name": "blocks.1.hook_resid_pre", "model_name": "small"}
WAYS: dict[str, dict[str, object]] = {
    "standard": {"architecture": "standard"},
    "whole_input": {"architecture": "standard", "apply_b_dec_to_input": False},
    "layer_norm": {"architecture": "standard", "normalize_activations": "layer_norm"},
    "constant_norm": {"architecture": "jumprelu", "normalize_activations": "constant_norm_rescale"},
    "topk": {"architecture": "topk", "k": 5},
    "topk_rescaled": {"architecture": "topk", "k": 5, "rescale_acts_by_decoder_norm": True},
    "jumprelu": {"architecture": "jumprelu"},
    "gated": {"architecture": "gated"},
}
TRAINED: dict[str, dict[str, object]] = {
    "trained_topk": {"architecture": "topk", "k": 5},
    "trained_batchtopk": {"architecture": "batchtopk", "k": 5},
}
# Settings as releases before 6 wrote them, beside the weights of a dictionary above.
OLD: dict[str, tuple[str, dict[str, object]]] = {
    "old_standard": ("standard", {"normalize_activations": False, "hook_point_head_index": None}),
    "old_topk": ("topk", {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5}}),
}


def main(folder: Path) -> None:
    torch.manual_seed(0)
    (folder / "theirs").mkdir(parents=True)
    shared = {"d_in": WIDTH, "d_sae": N_FEATURES, "metadata": HOOK}
    for name, settings in WAYS.items():
        sae = SAE.from_dict({**shared, **settings})
        drawn(sae)
        sae.save_model(folder / "theirs" / name)
    for name, settings in TRAINED.items():
        sae = TrainingSAE.from_dict({**shared, **settings})
        drawn(sae)
        if hasattr(sae, "topk_threshold"):
            sae.topk_threshold.fill_(0.5)
        sae.save_inference_model(folder / "theirs" / name)
    for name, (weights, settings) in OLD.items():
        place = folder / "theirs" / name
        place.mkdir()
        shutil.copy(folder / "theirs" / weights / "sae_weights.safetensors", place)
        flat = {"d_in": WIDTH, "d_sae": N_FEATURES, "dtype": "torch.float32", "hook_point": HOOK["hook_name"]}
        (place / "cfg.json").write_text(json.dumps({**flat, "hook_point_layer": 1, **settings}), encoding="utf-8")
    for place in sorted([*folder.glob("theirs/*"), *folder.glob("ours/*")]):
        tell(place)


def drawn(sae: torch.nn.Module) -> None:
    """Give every weight a value: as they come, biases and thresholds are 0."""
    for parameter in sae.parameters():
        parameter.data.copy_(0.2 * torch.randn(parameter.shape))


@torch.no_grad()
def tell(place: Path) -> None:
    """Write what a dictionary makes of some residuals."""
    sae = SAE.load_from_disk(place)
    given = place / "inputs.safetensors"
    inputs = load_file(given)["inputs"] if given.exists() else torch.randn(4, 50, WIDTH) + torch.randn(WIDTH)
    encoded = sae.encode(inputs)
    save_file({"inputs": inputs, "encoded": encoded, "rebuilt": sae(inputs)}, place / "told.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
