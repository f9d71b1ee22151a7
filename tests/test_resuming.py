from __future__ import annotations

from typing import Any

import pytest
import torch

from leakscope.errors import InputError
from leakscope.models.editing.edits import Edit, install
from leakscope.models.editing.resuming import Resumer
from test_log_odds import random_model

# All of these hand on one hidden state; the last three have no cache of attention alone.
NAMES = ["gpt2", "llama", "qwen2", "gemma2", "gpt_neox", "mistral", "bloom", "opt", "mamba", "lfm2", "falcon_h1"]
WITHOUT_CACHE = {"mamba", "lfm2", "falcon_h1"}
IDS = torch.tensor([[5, 6, 7, 8, 9, 10, 11], [5, 6, 7, 30, 31, 10, 12], [40, 41, 42, 43, 44, 45, 46]])
NORMS = {
    "gpt2": "transformer.ln_f",
    "llama": "model.norm",
    "qwen2": "model.norm",
    "gpt_neox": "gpt_neox.final_layer_norm",
    "mistral": "model.norm",
}


@pytest.fixture(autouse=True)
def on_one_thread() -> None:
    torch.set_num_threads(1)


def build(name: str) -> Any:
    changes = {"layer_types": ["conv", "full_attention", "conv"]} if name == "lfm2" else {}
    return random_model(name, num_hidden_layers=3, **changes)


@torch.inference_mode()
def states(model: Any) -> tuple[torch.Tensor, ...]:
    found: tuple[torch.Tensor, ...] = model(input_ids=IDS, output_hidden_states=True, use_cache=False).hidden_states
    return found


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_from_every_layer_and_token_a_model_goes_on_to_its_own_output(name: str) -> None:
    model = build(name)
    own = model(input_ids=IDS, use_cache=False).logits[:, -1]
    resumer = Resumer(model)
    read = resumer.read(IDS)
    assert len(read.residuals) == resumer.n_layers == 4
    torch.testing.assert_close(read.logits, own, rtol=1e-5, atol=1e-5)
    rows = torch.tensor([2, 0, 0, 1])
    first = resumer.first_needed(7, 3)
    assert first == (0 if name in WITHOUT_CACHE else 3)
    for layer, residuals in enumerate(read.residuals):
        resumed = resumer.resume(IDS[rows], layer, residuals[rows, first:], read, rows)
        torch.testing.assert_close(resumed, own[rows], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen2", "gemma2", "gpt_neox", "mistral"])
def test_residuals_are_the_hidden_states_of_their_layers(name: str) -> None:
    model = build(name)
    # The last one that transformers tells of has been through the final norm.
    for found, expected in zip(Resumer(model).read(IDS).residuals[:-1], states(model)[:-1], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NORMS)
@torch.inference_mode()
def test_the_lens_is_final_norm_and_head_of_a_residual(name: str) -> None:
    model, hidden = build(name), states(build(name))
    for layer in range(3):
        expected = model.get_output_embeddings()(model.get_submodule(NORMS[name])(hidden[layer][:, -1]))
        torch.testing.assert_close(Resumer(model).unembed(hidden[layer][:, -1]), expected, rtol=1e-5, atol=1e-5)


def test_earlier_blocks_and_tokens_are_not_computed_again() -> None:
    model = build("llama")
    resumer = Resumer(model)
    read = resumer.read(IDS)
    seen: list[tuple[int, int]] = []
    for number, block in enumerate(model.model.layers):
        block.mlp.register_forward_hook(lambda _, given, __, number=number: seen.append((number, given[0].shape[1])))
    resumer.resume(IDS, 1, read.residuals[1][:, 5:], read, torch.arange(3))
    assert seen == [(1, 2), (2, 2)]


def test_beyond_a_window_all_tokens_are_needed() -> None:
    resumer = Resumer(random_model("mistral", sliding_window=16))
    assert resumer.first_needed(15, 4) == 4
    assert resumer.first_needed(16, 4) == 0


@pytest.mark.parametrize("layer", [0, 1])
@torch.inference_mode()
def test_an_edited_model_goes_on_as_edited_and_is_edited_once(layer: int) -> None:
    model = build("llama")
    plain = Resumer(model).read(IDS).logits
    install(model, Edit("add", layer, 3.0, targets=(1.5,), direction=tuple([1.0] + [0.0] * 31)))
    own = model(input_ids=IDS, use_cache=False).logits[:, -1]
    assert float((own - plain).abs().max()) > 0.1
    resumer = Resumer(model)
    read = resumer.read(IDS)
    for number, residuals in enumerate(read.residuals):
        for first in (0, 3):
            resumed = resumer.resume(IDS, number, residuals[:, first:], read, torch.arange(3))
            torch.testing.assert_close(resumed, own, rtol=1e-5, atol=1e-5)


def test_nothing_stays_on_a_model_whose_block_fails() -> None:
    model = build("llama")
    resumer = Resumer(model)
    read = resumer.read(IDS)

    def state() -> list[tuple[str, int, int, bool]]:
        return [
            (name, len(one._forward_hooks), len(one._forward_pre_hooks), "forward" in vars(one))
            for name, one in model.named_modules()
        ]

    before = state()
    handle = model.model.layers[2].mlp.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        resumer.resume(IDS, 1, read.residuals[1])
    handle.remove()
    assert state() == before


def test_blocks_that_hand_on_more_than_a_hidden_state_are_refused_in_one_line() -> None:
    model = build("llama")
    seen: dict[str, torch.Tensor] = {}

    def keep(_: Any, __: Any, output: torch.Tensor) -> None:
        seen["first"] = output

    # The last block adds what a module of the first one made.
    model.model.layers[0].mlp.register_forward_hook(keep)
    model.model.layers[2].mlp.register_forward_hook(lambda _, __, output: output + seen.pop("first"))
    with pytest.raises(InputError, match=r"the residuals of a block; allowed: models whose blocks") as raised:
        Resumer(model)
    assert "\n" not in str(raised.value)
