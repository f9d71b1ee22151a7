from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import SETTINGS, complete, micro_candidates, micro_prompts
from leakscope.models.candidate_scores import score_prompts
from leakscope.models.candidates import CandidateScores, PromptCandidates, score_candidates
from leakscope.models.opening import LanguageModel
from leakscope.models.prompting import Prompting
from leakscope.models.sampling import Decoding, warp_logits

QUESTIONS = [
    PromptCandidates([5, 6, 7, 8], [[9, 10], [11], [9, 12, 13]]),
    PromptCandidates([7, 7], [[20, 21, 22, 23], [9]]),
    PromptCandidates([30, 31, 32], [[9, 10], [40, 41]]),
]


def scored(model: torch.nn.Module, decoding: Decoding, batch_size: int) -> list[CandidateScores]:
    return [score for batch in score_candidates(model, QUESTIONS, decoding, batch_size=batch_size) for score in batch]


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
