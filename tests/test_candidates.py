from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import SETTINGS, complete, micro_candidates, micro_prompts
from leakscope.models.candidate_scores import score_prompts
from leakscope.models.candidates import CandidateScores, PromptCandidates, score_candidates
from leakscope.models.editing.edits import editing
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Prompting
from leakscope.models.sampling import Decoding, warp_logits
from leakscope.models.token_tree import reads_trees
from test_edits import EDITS
from test_generation import ARCHITECTURES, tiny
from test_log_odds import random_model

QUESTIONS = [
    PromptCandidates([5, 6, 7, 8], [[9, 10], [11], [9, 12, 13]]),
    PromptCandidates([7, 7], [[20, 21, 22, 23], [9]]),
    PromptCandidates([30, 31, 32], [[9, 10], [40, 41]]),
]


# Prompts that begin alike, one of them with what another one's candidate writes; one is there twice.
FAMILY = [
    PromptCandidates([5, 6, 7, 8, 9, 10, 11, 12, 13], [[14, 15, 16], [14, 15, 17], [14, 18], [14], [20, 21, 22, 23]]),
    PromptCandidates([5, 6, 7, 8, 9, 10, 11, 12, 13, 14], [[15, 16], [40], [15, 17, 15, 17]]),
    PromptCandidates([5, 6, 7, 30], [[14, 15, 16], [31]]),
    PromptCandidates([5, 6, 7, 30], [[14, 15, 50], [5, 5, 5]]),
    PromptCandidates([4] * 24, [[9, 9, 9], [9, 9, 8]]),
]
LAWS = [Decoding(0.5), Decoding(0.7, top_k=200, repetition_penalty=1.2), Decoding(1.3, top_p=0.95, min_p=1e-4)]


def scored(
    model: torch.nn.Module,
    decoding: Decoding,
    batch_size: int,
    questions: Sequence[PromptCandidates] = tuple(QUESTIONS),
) -> list[CandidateScores]:
    return [score for batch in score_candidates(model, questions, decoding, batch_size=batch_size) for score in batch]


def direct_logprob(model: torch.nn.Module, prompt: list[int], candidate: list[int], decoding: Decoding) -> float:
    """Return Σ log p(token) by one forward a token, without cache or batch."""
    total = 0.0
    for t, token in enumerate(candidate):
        ids = torch.tensor([prompt + candidate[:t]])
        logits = model(input_ids=ids, use_cache=False).logits[:, -1]
        total += float(warp_logits(logits, ids, decoding).log_softmax(-1)[0, token])
    return total


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("decoding", [Decoding(0.5), Decoding(0.7, top_k=200, repetition_penalty=1.2)])
@torch.inference_mode()
def test_scores_equal_a_direct_unbatched_computation(
    micro_model: LanguageModel, decoding: Decoding, batch_size: int
) -> None:
    scores = scored(micro_model.model, decoding, batch_size)
    for question, score in zip(QUESTIONS, scores, strict=True):
        plain = [direct_logprob(micro_model.model, question.prompt, c, Decoding(1.0)) for c in question.candidates]
        sampled = [direct_logprob(micro_model.model, question.prompt, c, decoding) for c in question.candidates]
        assert score.logprob == pytest.approx(plain, abs=1e-5)
        assert score.logprob_sampled == pytest.approx(sampled, abs=1e-5)


@torch.inference_mode()
def test_a_model_without_copyable_cache_is_scored_alike() -> None:
    from transformers import MambaConfig, MambaForCausalLM

    torch.manual_seed(0)
    model = MambaForCausalLM(MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=1)).eval()
    scores = scored(model, Decoding(0.5), 3)
    for question, score in zip(QUESTIONS, scores, strict=True):
        expected = [direct_logprob(model, question.prompt, c, Decoding(1.0)) for c in question.candidates]
        assert score.logprob == pytest.approx(expected, abs=1e-5)


def check_against_direct(model: torch.nn.Module, decoding: Decoding, scores: list[CandidateScores]) -> None:
    for question, score in zip(FAMILY, scores, strict=True):
        plain = [direct_logprob(model, question.prompt, c, Decoding(1.0)) for c in question.candidates]
        sampled = [direct_logprob(model, question.prompt, c, decoding) for c in question.candidates]
        assert score.logprob == pytest.approx(plain, abs=1e-4)
        assert score.logprob_sampled == pytest.approx(sampled, abs=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.inference_mode()
def test_prompts_and_candidates_that_begin_alike_are_scored_alike_in_every_architecture(
    architecture: str, micro_model: LanguageModel
) -> None:
    model = tiny(architecture, micro_model.tokenizer).model
    for decoding in LAWS:
        check_against_direct(model, decoding, scored(model, decoding, 4, FAMILY))


@torch.inference_mode()
def test_every_beginning_is_read_once_and_no_last_token(
    micro_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny("llama", micro_model.tokenizer).model
    read: list[list[int]] = []
    unembedded: list[int] = []
    model.model.register_forward_pre_hook(
        lambda _, given, named: read.append(named["input_ids"].tolist()), with_kwargs=True
    )
    model.lm_head.register_forward_pre_hook(lambda _, given: unembedded.append(given[0].shape[:-1].numel()))
    monkeypatch.setattr("leakscope.models.candidates.reads_trees", lambda _: True)
    scored(model, LAWS[0], 8, FAMILY)
    # Given: 9, then 14 once more, 30, and 24; written: 14 15, 20 21 22 | 15 17 15 | 14 15, 5 5 | 9 9.
    assert [len(ids[0]) for ids in read] == [9 + 1 + 1 + 24 + 5 + 3 + 4 + 2]
    # Each written place goes on, and so do four distinct prompts.
    assert unembedded == [4 + 5 + 3 + 4 + 2]


@pytest.mark.parametrize("law", LAWS)
@torch.inference_mode()
def test_a_model_that_reads_no_trees_reads_a_token_of_each_beginning_at_a_time(
    law: Decoding, micro_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leakscope.models.candidates.reads_trees", lambda _: False)
    model = tiny("llama", micro_model.tokenizer).model
    scores = scored(model, law, 8, FAMILY)
    check_against_direct(model, law, scores)
    rows: list[tuple[int, ...]] = []
    model.model.register_forward_pre_hook(
        lambda _, given, named: rows.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    assert scored(model, law, 8, FAMILY) == scores
    # 14, 20 | 15 | 14, 5 | 9, then 14 15, 20 21 | 15 17 | 14 15, 5 5 | 9 9, then 20 21 22 | 15 17 15.
    assert rows[-3:] == [(6, 1), (6, 1), (2, 1)]


@torch.inference_mode()
def test_places_and_logits_of_a_batch_have_a_limit(micro_model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama", micro_model.tokenizer).model
    expected = scored(model, LAWS[0], 8, FAMILY)
    for limit, value, sizes in (
        ("most_places", lambda _: 20, [2, 2, 1]),
        ("MOST_BYTES", 4 * model.config.vocab_size * 9, [1, 3, 1]),
        ("MOST_BYTES", 1, [1, 1, 1, 1, 1]),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(f"leakscope.models.candidates.{limit}", value)
            batches = list(score_candidates(model, FAMILY, LAWS[0], batch_size=8))
        assert [len(batch) for batch in batches] == sizes
        for score, of_all in zip([score for batch in batches for score in batch], expected, strict=True):
            assert score.logprob == pytest.approx(of_all.logprob, abs=1e-5)
            assert score.logprob_sampled == pytest.approx(of_all.logprob_sampled, abs=1e-5)


@torch.inference_mode()
def test_what_is_no_number_after_one_prompt_spoils_no_other(micro_model: LanguageModel) -> None:
    model = tiny("llama", micro_model.tokenizer).model
    expected = scored(model, LAWS[0], 8, FAMILY)
    assert reads_trees(model)
    scores = score_candidates(model, FAMILY, LAWS[0], batch_size=8)
    with torch.no_grad():
        model.get_input_embeddings().weight[30] = float("nan")
    found = [score for batch in scores for score in batch]
    for number, (score, of_good) in enumerate(zip(found, expected, strict=True)):
        if number in (2, 3):
            assert np.isnan(score.logprob).all()
        else:
            assert score.logprob == pytest.approx(of_good.logprob, abs=1e-5)


@pytest.mark.parametrize("positions", ["all", "prompt", "generated"])
@torch.inference_mode()
def test_an_edited_model_is_edited_alike_in_a_tree(positions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, edit = random_model("llama"), EDITS["project"]._replace(positions=positions)
    plain = scored(model, LAWS[0], 8, FAMILY)
    with editing(model, edit):
        at_once = scored(model, LAWS[0], 8, FAMILY)
        monkeypatch.setattr("leakscope.models.candidates.reads_trees", lambda _: False)
        one_by_one = [score for question in FAMILY for score in scored(model, LAWS[0], 1, [question])]
    for score, other, unedited in zip(at_once, one_by_one, plain, strict=True):
        assert score.logprob == pytest.approx(other.logprob, abs=1e-4)
        assert score.logprob != pytest.approx(unedited.logprob, abs=1e-3)


def test_sampled_texts_follow_the_scored_law(micro_model: LanguageModel) -> None:
    """The instrument's calibration in small: 2,000 samples of one prompt against the exact probabilities."""
    prompts, n = micro_prompts().iloc[[1]], 2000
    settings = {"samples": n, "temperature": 0.9}
    scores = score_prompts(micro_model, prompts, micro_candidates(), "m", Prompting({**SETTINGS, **settings})).table
    counts = Counter(complete(micro_model, prompts, **settings)["text"])
    for row in scores.itertuples():
        p = np.exp(row.logprob_sampled)
        assert abs(counts[f"{row.candidate}."] / n - p) < 4.5 * np.sqrt(p * (1 - p) / n) + 1e-3


def test_prompts_without_a_slot_are_not_scored(micro_model: LanguageModel) -> None:
    prompts = micro_prompts()
    prompts.loc[0, "slot"] = None
    scores = score_prompts(micro_model, prompts, micro_candidates(), "m", Prompting(SETTINGS)).table
    assert "bag/without" not in set(scores["prompt_id"])
    assert len(scores) == 7 * 3


def test_scores_are_those_of_whole_sentences(micro_model: LanguageModel, tmp_path: Path) -> None:
    scores = score_prompts(micro_model, micro_prompts(), micro_candidates(), "m", Prompting(SETTINGS)).table
    texts = [micro_model.tokenizer.decode(tokens).strip() for tokens in scores["tokens"]]
    assert texts == [f"{candidate}." for candidate in scores["candidate"]]


@pytest.mark.parametrize(("stop", "ended"), [("sentence", False), ("whole_sentence", False), ("none", True)])
def test_a_candidate_is_followed_by_an_end_of_text_where_no_sentence_ends_it(
    stop: str, ended: bool, micro_model: LanguageModel
) -> None:
    settings = Prompting({**SETTINGS, "stop": stop})
    scores = score_prompts(micro_model, micro_prompts().head(1), micro_candidates(), "m", settings).table
    end = micro_model.tokenizer.eos_token_id
    assert {tokens[-1] == end for tokens in scores["tokens"]} == {ended}
