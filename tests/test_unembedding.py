from __future__ import annotations

from typing import Any

import pytest
import torch

from leakscope.errors import InputError
from leakscope.features.description.unembedding import effective_unembedding
from leakscope.models.editing.residuals import decoder_blocks
from test_log_odds import random_model

SCALED = {"num_attention_heads": 2, "intermediate_size": 64, "num_key_value_heads": 1}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", {}),
    "llama": ("llama", {}),
    "qwen2, tied": ("qwen2", {"tie_word_embeddings": True}),
    "gemma": ("gemma", {**SCALED, "head_dim": 16}),
    "gemma2, capped": ("gemma2", {"final_logit_softcapping": 2.0}),
    "gpt_neox": ("gpt_neox", {}),
    "bloom": ("bloom", {}),
    "mamba": ("mamba", {}),
    # With a bias of the unembedding, with logits that are scaled, with a norm that has no gain.
    "phi": ("phi", {"num_attention_heads": 2, "intermediate_size": 64}),
    "cohere": ("cohere", {**SCALED, "logit_scale": 0.25}),
    "granite": ("granite", {**SCALED, "logits_scaling": 3.0, "residual_multiplier": 0.5}),
    "olmo": ("olmo", SCALED),
}
IDS = torch.tensor([[5, 60, 7, 8, 91], [3, 4, 33, 2, 1]])


@pytest.fixture(autouse=True)
def on_one_thread() -> None:
    torch.set_num_threads(1)


def build(architecture: str, **changes: Any) -> Any:
    """Return a random model whose norms have gains and biases of their own, and its unembedding if it has a bias."""
    model = random_model(architecture, **changes)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(len(parameter)))
    return model


@torch.inference_mode()
def final_residual(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the last block makes of ``IDS``, and the model's logits."""
    seen: list[Any] = []
    handle = decoder_blocks(model)[-1].register_forward_hook(lambda _, given, output: seen.append(output))
    logits = model(input_ids=IDS, use_cache=False).logits
    handle.remove()
    return (seen[0][0] if isinstance(seen[0], tuple) else seen[0]), logits


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_the_models_own_log_probabilities_come_from_its_last_residual(name: str) -> None:
    architecture, changes = MODELS[name]
    model = build(architecture, **changes)
    residual, own = final_residual(model)
    found = effective_unembedding(model)
    logits = found.logits(residual, found.norm_scale(residual))
    torch.testing.assert_close(logits.log_softmax(-1), own.log_softmax(-1), rtol=0, atol=1e-4)
    # Were the gain left out, it would show.
    plain = residual @ model.get_output_embeddings().weight.T / found.norm_scale(residual)
    assert name == "olmo" or float((plain.log_softmax(-1) - own.log_softmax(-1)).abs().max()) > 0.1


@pytest.mark.parametrize("name", ["gpt2", "gemma"])
@torch.inference_mode()
def test_with_the_norm_held_a_step_changes_logits_by_its_columns(name: str) -> None:
    architecture, changes = MODELS[name]
    model = build(architecture, **changes)
    residual, _ = final_residual(model)
    found = effective_unembedding(model)
    norm_scale, step = found.norm_scale(residual), torch.randn(32)
    changed = found.logits(residual + step, norm_scale) - found.logits(residual, norm_scale)
    torch.testing.assert_close(changed * norm_scale, (step @ found.columns(slice(None))).expand_as(changed))
    torch.testing.assert_close(found.columns([7, 2]), found.columns(slice(None))[:, [7, 2]])


@torch.inference_mode()
def test_along_the_mean_a_layer_norm_sees_nothing() -> None:
    found = effective_unembedding(build("gpt2"))
    torch.testing.assert_close(torch.ones(32) @ found.columns(slice(None)), torch.zeros(96), rtol=0, atol=1e-4)
    found = effective_unembedding(build("llama"))
    assert float((torch.ones(32) @ found.columns(slice(None))).abs().max()) > 1


def test_half_precision_is_read_in_float32() -> None:
    found = effective_unembedding(build("llama").to(torch.bfloat16))
    assert found.weight.dtype == torch.bfloat16
    assert found.columns([3]).dtype == found.logits(torch.ones(32), torch.ones(1)).dtype == torch.float32


def test_the_model_is_left_as_it_was() -> None:
    model = build("gpt2")
    before = [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()]
    effective_unembedding(model)
    assert [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()] == before


def test_a_model_with_another_end_gets_one_line() -> None:
    with pytest.raises(InputError, match="got logits that its final norm and unembedding do not reproduce") as caught:
        effective_unembedding(build("opt", word_embed_proj_dim=16))
    assert "\n" not in str(caught.value)
