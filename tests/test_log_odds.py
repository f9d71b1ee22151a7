from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from leakscope.models.decoding import SHORTEST_SHARED, Reader
from leakscope.validate.scoring.log_odds import (
    Continuation,
    answer_logprobs,
    candidate_log_odds,
    plan_prompts,
    sum_answers,
    token_log_odds,
)
from test_generation import ARCHITECTURES

VOCAB_SIZE = 96
# A beginning long enough to be read once for all, and prompts of many lengths; some candidates share a prompt.
SHARED = list(range(20, 20 + SHORTEST_SHARED + 4))
PROMPTS = [[*SHARED, 7, 8, 9], [*SHARED, 11], [*SHARED, 5, 6], [30, 31, 32], [2, 3], [60 + i for i in range(21)]]
CANDIDATES = [[9, 10], [40], [9, 12, 13], [41, 42, 43, 44]]
ROWS = [Continuation(prompt, candidate) for prompt in PROMPTS for candidate in CANDIDATES][:-2]
ANSWERS = [[50, 51, 52], [53]]
# Beyond its window Doge sees later tokens, too: what it gives a candidate's token depends on how it is read.
CAUSAL_ONLY = {"doge": {"keep_window_size": 64}}


def random_model(architecture: str, **changes: Any) -> Any:
    """Return a random model whose logits depend on what it reads, and are sure of some tokens."""
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": VOCAB_SIZE, "pad_token_id": 0, "eos_token_id": 1}
    config = AutoConfig.for_model(
        architecture, **{**shape, "bos_token_id": 1, **ARCHITECTURES.get(architecture, {}), **changes}
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    return model


def next_logits(model: Any, ids: list[int]) -> torch.Tensor:
    return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].double()


def direct_odds(logits: torch.Tensor, token: int) -> float:
    """Return log p − log(1−p) of a token from all logits, (vocabulary,), in float64."""
    others = torch.cat([logits[:token], logits[token + 1 :]])
    return float(logits[token] - others.logsumexp(-1))


def by_row(batches: Any) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for batch in batches:
        assert not found.keys() & batch.keys()
        found.update(batch)
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.inference_mode()
def test_log_odds_equal_a_direct_unbatched_computation(architecture: str) -> None:
    torch.set_num_threads(1)
    model = random_model(architecture, **CAUSAL_ONLY.get(architecture, {}))
    direct = [
        [direct_odds(next_logits(model, prompt + row[:t]), token) for t, token in enumerate(row)]
        for prompt, row in ROWS
    ]
    after = [next_logits(model, prompt).log_softmax(-1) for prompt in PROMPTS]
    sums = [[float(logprobs[ids].logsumexp(-1)) for ids in ANSWERS] for logprobs in after]
    for batch_size in (1, 5, 64):
        odds = by_row(candidate_log_odds(model, ROWS, batch_size=batch_size))
        assert [len(odds[row]) for row in range(len(ROWS))] == [len(row.candidate) for row in ROWS]
        for row, expected in enumerate(direct):
            assert odds[row] == pytest.approx(expected, rel=1e-6, abs=1e-5)
        answers = by_row(answer_logprobs(model, PROMPTS, ANSWERS, batch_size=batch_size))
        for number, expected in enumerate(sums):
            assert answers[number] == pytest.approx(expected, rel=1e-6, abs=1e-5)


def test_the_trial_models_tell_prompts_apart() -> None:
    """Otherwise the tests above could not fail on a wrong position or on padding that is seen."""
    for architecture in ARCHITECTURES:
        model = random_model(architecture)
        with torch.inference_mode():
            logits = [next_logits(model, prompt) for prompt in (PROMPTS[0], [1, *PROMPTS[0][1:]], PROMPTS[0][1:])]
        assert float((logits[0] - logits[1]).abs().max()) > 1e-3, architecture
        assert float((logits[0] - logits[2]).abs().max()) > 1e-3, architecture


@torch.inference_mode()
def test_half_precision_is_scored_in_float32() -> None:
    model = random_model("qwen2").to(torch.bfloat16)
    rows = [Continuation([5, 6, 7], [40])]
    (odds,) = by_row(candidate_log_odds(model, rows, batch_size=4))[0]
    assert odds == pytest.approx(direct_odds(next_logits(model, [5, 6, 7]), 40), abs=1e-5)


LOGITS = st.lists(st.floats(-60, 60, width=32), min_size=2, max_size=12)


@settings(max_examples=60, deadline=None)
@given(LOGITS)
def test_log_odds_are_right_however_sure_the_model_is(logits: list[float]) -> None:
    row = torch.tensor([logits])
    found = token_log_odds(row.log_softmax(-1), [0] * len(logits), range(len(logits)))
    expected = [direct_odds(row[0].double(), token) for token in range(len(logits))]
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-5)
    assert all(map(math.isfinite, found))


@pytest.mark.parametrize("gap", [10.0, 17.5, 40.0, 300.0])
def test_a_probability_that_float32_rounds_to_one_has_finite_log_odds(gap: float) -> None:
    logprobs = torch.tensor([[gap, 0.0, 0.0, 0.0, 0.0]]).log_softmax(-1)
    assert gap < 17 or logprobs[0, 0] == 0
    expected = [gap - math.log(4), -math.log(math.exp(gap) + 3)]
    assert token_log_odds(logprobs, [0, 0], [0, 1]) == pytest.approx(expected, rel=1e-6)


def test_what_the_model_rules_out_is_infinite_and_not_some_constant() -> None:
    logprobs = torch.tensor([[0.0, -math.inf], [1.0, 2.0]]).log_softmax(-1)
    assert token_log_odds(logprobs, [0, 0, 1], [0, 1, 1]) == [math.inf, -math.inf, pytest.approx(1.0, abs=1e-6)]


def test_an_answer_is_the_sum_over_its_tokens() -> None:
    logprobs = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log()
    assert sum_answers(logprobs, [[0, 2], [3]]) == [pytest.approx([math.log(0.4), math.log(0.4)])]


def watched(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Return a list that gets, of each forward from now on, how many rows and places it reads, and logits a row."""
    shapes: list[tuple[int, ...]] = []

    def note(module: Any, given: Any, named: dict[str, Any], output: Any) -> None:
        shapes.append((*named["input_ids"].shape, output.logits.shape[1]))

    model.register_forward_hook(note, with_kwargs=True)
    monkeypatch.setattr(Reader, "__init__", trusting)
    return shapes


def trusting(self: Reader, model: Any) -> None:
    """Make a reader without its trial, whose forwards would be counted, too."""
    self.model, self.window, self.caches, self.shares = model, None, True, True


def test_only_a_prompts_last_place_goes_through_the_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("llama")
    shapes = watched(model, monkeypatch)
    by_row(answer_logprobs(model, PROMPTS, ANSWERS, batch_size=4))
    assert {places for *_, places in shapes} == {1}
    assert [rows for rows, *_ in shapes] == [4, 2]


def test_candidates_share_one_reading_of_their_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("llama")
    shapes = watched(model, monkeypatch)
    rows = [Continuation(PROMPTS[0], [token]) for token in range(40)] + [Continuation(PROMPTS[0], [3, 4])]
    assert len(by_row(candidate_log_odds(model, rows, batch_size=8))) == 41
    assert shapes == [(1, len(PROMPTS[0]), 1), (1, 1, 1)]


def test_a_beginning_that_prompts_share_is_read_once_for_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("llama")
    shapes = watched(model, monkeypatch)
    # Two forms of few-shot prompts, in turn and of the same lengths: each batch has one of them alone.
    forms = [list(range(2, 22)), list(range(50, 70))]
    prompts = [[*forms[number % 2], *[30 + number] * (1 + number % 3)] for number in range(16)]
    by_row(answer_logprobs(model, prompts, ANSWERS, batch_size=8))
    assert shapes == [(1, 20, 1), (8, 3, 1)] * 2


@torch.inference_mode()
def test_questions_about_one_thing_share_what_comes_before_they_part(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("llama")
    # Examples of a form, then two subjects, of each four questions of two or three tokens more: the third afterwards.
    prompts = [
        [*range(2, 22), *subject, candidate, *[70] * (1 + candidate % 2)]
        for candidate in (40, 41, 42, 43)
        for subject in ([50, 51, 52], [53, 54])
    ]
    after = [next_logits(model, prompt).log_softmax(-1) for prompt in prompts]
    shapes = watched(model, monkeypatch)
    found = by_row(answer_logprobs(model, prompts, ANSWERS, batch_size=8))
    assert shapes == [(1, 20, 1), (2, 3, 1), (8, 2, 1), (4, 1, 1)]
    for number, logprobs in enumerate(after):
        expected = [float(logprobs[ids].logsumexp(-1)) for ids in ANSWERS]
        assert found[number] == pytest.approx(expected, rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("architecture", ["gpt2", "gemma2", "mistral", "bloom", "opt"])
@torch.inference_mode()
def test_a_batch_of_questions_about_several_things_is_scored_alike(architecture: str) -> None:
    model = random_model(architecture)
    prompts = [
        [*range(60, 66), subject, 20 + subject, candidate, 70] for subject in (2, 3, 4) for candidate in range(40, 44)
    ]
    prompts[5] += [71, 72]
    prompts[7] = prompts[7][:4]
    found = by_row(answer_logprobs(model, prompts, ANSWERS, batch_size=64))
    for number, prompt in enumerate(prompts):
        after = next_logits(model, prompt).log_softmax(-1)
        assert found[number] == pytest.approx([float(after[ids].logsumexp(-1)) for ids in ANSWERS], rel=1e-6, abs=1e-5)


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), max_size=20))
@settings(max_examples=50, deadline=None)
def test_a_plan_has_every_prompt_once(prompts: list[list[int]]) -> None:
    assert sorted(plan_prompts(prompts)) == list(range(len(prompts)))


def test_prompts_without_a_common_beginning_come_longest_first() -> None:
    prompts = [[i, *range(40, 40 + length)] for i, length in enumerate([3, 9, 1, 7, 5])]
    assert [len(prompts[number]) for number in plan_prompts(prompts)] == [10, 8, 6, 4, 2]


@pytest.mark.parametrize("allowed", [1, 3])
def test_a_batch_that_does_not_fit_into_memory_is_divided(monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    model = random_model("llama")
    expected = by_row(candidate_log_odds(model, ROWS, batch_size=64))
    forward, refused = model.forward, Counter[int]()

    def small_memory(*args: Any, **kwargs: Any) -> Any:
        if len(kwargs["input_ids"]) > allowed:
            refused[len(kwargs["input_ids"])] += 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(*args, **kwargs)

    small_memory.__signature__ = __import__("inspect").signature(forward)  # type: ignore[attr-defined]
    monkeypatch.setattr(Reader, "__init__", trusting)
    monkeypatch.setattr(model, "forward", small_memory)
    found = by_row(candidate_log_odds(model, ROWS, batch_size=64))
    assert refused
    assert_close(found, expected)


def assert_close(found: dict[int, Sequence[float]], expected: dict[int, Sequence[float]]) -> None:
    assert found.keys() == expected.keys()
    for row, values in expected.items():
        assert found[row] == pytest.approx(values, rel=1e-6, abs=1e-5)
