from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from leakscope.errors import InputError
from leakscope.validate.scoring.lens import LogitLens, answer_logprobs_by_layer, candidate_log_odds_by_layer
from leakscope.validate.scoring.log_odds import answer_logprobs, candidate_log_odds
from test_generation import ARCHITECTURES
from test_log_odds import ANSWERS, PROMPTS, ROWS, assert_close, by_row, direct_odds, next_logits, random_model

SCALED = {"num_attention_heads": 2, "intermediate_size": 64, "num_key_value_heads": 1}
# Beside those that write texts: models that scale their logits, soft-cap them so that it shows, or project before them.
MORE: dict[str, tuple[str, dict[str, Any]]] = {
    "cohere": ("cohere", {**SCALED, "logit_scale": 0.25}),
    "granite": ("granite", {**SCALED, "logits_scaling": 3.0, "residual_multiplier": 0.5}),
    "gemma2, capped": ("gemma2", {"final_logit_softcapping": 2.0}),
    "opt, projected": ("opt", {"word_embed_proj_dim": 16}),
    "opt, no final norm": ("opt", {"word_embed_proj_dim": 16, "do_layer_norm_before": False}),
}
MODELS = {**{name: (name, {}) for name in ARCHITECTURES}, **MORE}


@pytest.fixture(autouse=True)
def on_one_thread() -> None:
    torch.set_num_threads(1)


def build(name: str) -> Any:
    architecture, changes = MODELS[name]
    return random_model(architecture, **changes)


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_the_last_layer_is_the_models_own_output(name: str) -> None:
    model = build(name)
    own = torch.stack([next_logits(model, prompt) for prompt in PROMPTS])
    layers = list(LogitLens(model).read(PROMPTS))
    assert len(layers) == 3
    torch.testing.assert_close(layers[-1].double(), own, rtol=1e-5, atol=1e-5)
    assert all(float((layer - layers[-1]).abs().max()) > 1e-3 for layer in layers[:-1])


def normed(norm: str, *, scale: float = 1.0) -> Callable[[Any, torch.Tensor], torch.Tensor]:
    def unembed(model: Any, hidden: torch.Tensor) -> torch.Tensor:
        return scale * model.lm_head(model.get_submodule(norm)(hidden))

    return unembed


def capped(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    cap = model.config.final_logit_softcapping
    return cap * torch.tanh(model.lm_head(model.model.norm(hidden)) / cap)


def projected(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    decoder = model.model.decoder
    return model.lm_head(decoder.project_out(decoder.final_layer_norm(hidden)))


# What stands after the last block, written out by hand for each.
HEADS: dict[str, Callable[[Any, torch.Tensor], torch.Tensor]] = {
    "gpt2": normed("transformer.ln_f"),
    "llama": normed("model.norm"),
    "qwen2": normed("model.norm"),
    "gpt_neox": normed("gpt_neox.final_layer_norm"),
    "bloom": normed("transformer.ln_f"),
    "mamba": normed("backbone.norm_f"),
    "cohere": normed("model.norm", scale=0.25),
    "granite": normed("model.norm", scale=1 / 3),
    "gemma2, capped": capped,
    "opt, projected": projected,
}


@pytest.mark.parametrize("name", HEADS)
@torch.inference_mode()
def test_each_layer_is_final_norm_unembedding_and_scaling_of_its_residual(name: str) -> None:
    model = build(name)
    expected = []
    for prompt in PROMPTS:
        ids = torch.tensor([prompt])
        states = model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
        if name == "mamba":  # leaves out the embeddings, and has the last layer twice
            states = (model.get_input_embeddings()(ids), *states)
        # The last has been through the final norm already; the test above is of that one.
        expected.append([HEADS[name](model, state[0, -1]) for state in states[:2]])
    first, second, _ = LogitLens(model).read(PROMPTS)
    torch.testing.assert_close(first, torch.stack([of_layer[0] for of_layer in expected]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(second, torch.stack([of_layer[1] for of_layer in expected]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "mamba", "lfm2", "cohere"])
def test_log_odds_by_layer_end_in_those_of_the_model(name: str) -> None:
    model = build(name)
    odds = by_row(candidate_log_odds(model, ROWS, batch_size=64))
    answers = by_row(answer_logprobs(model, PROMPTS, ANSWERS, batch_size=64))
    for batch_size in (2, 64):
        layered = by_row(candidate_log_odds_by_layer(model, ROWS, batch_size=batch_size))
        assert {len(values) for values in layered.values()} == {3}
        first = {row: values[:1] for row, values in odds.items()}
        assert_close({row: values[-1:] for row, values in layered.items()}, first)
        sums = by_row(answer_logprobs_by_layer(model, PROMPTS, ANSWERS, batch_size=batch_size))
        assert_close({number: layers[-1] for number, layers in sums.items()}, answers)


@torch.inference_mode()
def test_log_odds_of_a_layer_are_those_of_its_logits() -> None:
    model = build("gpt2")
    layered = by_row(candidate_log_odds_by_layer(model, ROWS, batch_size=5))
    sums = by_row(answer_logprobs_by_layer(model, PROMPTS, ANSWERS, batch_size=5))
    lens = LogitLens(model)
    for row, (prompt, candidate) in enumerate(ROWS):
        expected = [direct_odds(logits[0].double(), candidate[0]) for logits in lens.read([prompt])]
        assert layered[row] == pytest.approx(expected, rel=1e-6, abs=1e-5)
    for number, prompt in enumerate(PROMPTS):
        logprobs = [logits[0].double().log_softmax(-1) for logits in lens.read([prompt])]
        expected = [[float(of_layer[ids].logsumexp(-1)) for ids in ANSWERS] for of_layer in logprobs]
        assert [pytest.approx(of_layer, abs=1e-5) for of_layer in expected] == sums[number]


@pytest.mark.parametrize("name", ["llama", "mamba"])
def test_one_place_of_one_layer_at_a_time_goes_through_the_vocabulary(name: str) -> None:
    model = build(name)
    lens, shapes = LogitLens(model), []
    head = model.get_output_embeddings()
    head.register_forward_hook(lambda _, given, output: shapes.append(tuple(output.shape[:2])))
    for logits in lens.read(PROMPTS):
        assert logits.shape[0] == len(PROMPTS)
    assert shapes[-3:] == [(len(PROMPTS), 1)] * 3
    assert {width for _, width in shapes} == {1}


def state_of(model: Any) -> list[tuple[str, int, int, bool]]:
    return [
        (name, len(module._forward_hooks), len(module._forward_pre_hooks), "forward" in vars(module))
        for name, module in model.named_modules()
    ]


@pytest.mark.parametrize("failing", ["block", "head"])
def test_nothing_stays_on_a_model_after_an_exception(failing: str) -> None:
    model = build("llama")
    before, lens = state_of(model), LogitLens(model)
    assert state_of(model) == before
    broken = model.model.layers[1].mlp if failing == "block" else model.lm_head
    calls = []

    def fail(module: Any, given: Any) -> None:
        calls.append(len(given[0]))
        if failing == "block" or len(calls) > 2:  # one for reading and one for the embeddings go well
            raise RuntimeError("broken on purpose")

    handle = broken.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="broken on purpose"):
        list(lens.read(PROMPTS[3:]))
    handle.remove()
    assert calls
    assert state_of(model) == before


def test_a_forward_of_its_own_is_put_back() -> None:
    """Models that are spread over devices have one on every module."""
    model = build("llama")
    block = model.model.layers[0]
    own = block.forward
    block.forward = lambda *given, **named: own(*given, **named)
    wrapped = block.forward
    *_, last = LogitLens(model).read(PROMPTS)
    assert block.forward is wrapped
    torch.testing.assert_close(last[3].double(), next_logits(model, PROMPTS[3]), rtol=1e-5, atol=1e-5)


def test_a_batch_that_does_not_fit_into_memory_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("llama")
    expected = by_row(answer_logprobs_by_layer(model, PROMPTS, ANSWERS, batch_size=64))
    forward, refused = model.forward, []

    def small_memory(*args: Any, **kwargs: Any) -> Any:
        if len(kwargs["input_ids"]) > 3:
            refused.append(1)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(*args, **kwargs)

    small_memory.__signature__ = __import__("inspect").signature(forward)  # type: ignore[attr-defined]
    monkeypatch.setattr(model, "forward", small_memory)
    found = by_row(answer_logprobs_by_layer(model, PROMPTS, ANSWERS, batch_size=64))
    assert refused
    flat = [{key: sum(layers, []) for key, layers in values.items()} for values in (found, expected)]
    assert_close(*flat)


def test_a_model_whose_output_is_not_what_its_blocks_end_in_is_refused() -> None:
    model = build("llama")
    # What stands after the last block depends on the token here, as it does on more than one state in some models.
    own = model.lm_head.forward
    model.model.embed_tokens.register_forward_hook(lambda _, given, out: vars(model).update(seen=out[:, -1:]))
    model.lm_head.forward = lambda hidden: own(hidden + 9 * model.seen)
    with pytest.raises(InputError, match="does not find the model's own output"):
        LogitLens(model)


def test_a_model_without_blocks_is_refused() -> None:
    model = build("gpt2")
    model.config.num_hidden_layers = 7
    with pytest.raises(InputError, match="allowed: models of blocks"):
        LogitLens(model)
