"""Exact log-probabilities of a fixed set of continuations (a slot's candidates) after each prompt."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from leakscope.decoding import pad_with_own, read_prompts
from leakscope.sampling import Decoding, warp_logits

logger = logging.getLogger(__name__)


class Question(NamedTuple):
    """A rendered prompt's ids and the ids that each candidate adds to it, end included."""

    prompt: list[int]
    candidates: list[list[int]]


class CandidateScores(NamedTuple):
    """Log-probabilities in nats, (candidates,): under the model, and under the law that texts are sampled from."""

    logprob: list[float]
    logprob_sampled: list[float]


@torch.inference_mode()
def score_candidates(
    model: PreTrainedModel, questions: Sequence[Question], decoding: Decoding, *, batch_size: int
) -> Iterator[CandidateScores]:
    """Yield, for each question in order, Σ_t log p(token t | prompt, tokens before t) of every candidate.

    The second value has each conditional tempered and cut as in sampling (``warp_logits``), so it is the log of the
    probability that a sample *is* this candidate, along the trie of the tokenised lexicon. Each prompt is read once;
    all its candidates then share one forward. Log-softmax is in float32.
    """
    start = 0
    while start < len(questions):
        batch = questions[start : start + batch_size]
        try:
            scores = list(_score_batch(model, batch, decoding))
        except torch.cuda.OutOfMemoryError:
            if len(batch) == 1:
                raise
            torch.cuda.empty_cache()
            batch_size = (len(batch) + 1) // 2
            logger.warning("out of GPU memory with %d prompts at once; going on with %d", len(batch), batch_size)
            continue
        yield from scores
        start += len(batch)


def _score_batch(
    model: PreTrainedModel, questions: Sequence[Question], decoding: Decoding
) -> Iterator[CandidateScores]:
    owner = [i for i, question in enumerate(questions) for _ in question.candidates]
    candidates = [candidate for question in questions for candidate in question.candidates]
    state, first = read_prompts(model, [question.prompt for question in questions])
    state.select(torch.tensor(owner, device=model.device))
    width = max(map(len, candidates))
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in candidates], device=model.device)
    lengths = torch.tensor([len(row) for row in candidates], device=model.device)
    logits = first[owner][:, None]
    if width > 1:
        logits = torch.cat([logits, state.extend(tokens[:, :-1], (lengths - 1).clamp(min=0))], 1)
    plain, sampled = _sum_logprobs(logits, tokens, lengths, [questions[i].prompt for i in owner], decoding)
    at = 0
    for question in questions:
        end = at + len(question.candidates)
        yield CandidateScores(plain[at:end], sampled[at:end])
        at = end


def _sum_logprobs(
    logits: torch.Tensor,
    tokens: torch.Tensor,
    lengths: torch.Tensor,
    prompts: Sequence[list[int]],
    decoding: Decoding,
) -> tuple[list[float], list[float]]:
    """Sum the log-probabilities of the first ``lengths`` tokens of each row, as the model has them and as sampled."""
    width = tokens.shape[1]
    counts = torch.arange(width, device=tokens.device) < lengths[:, None]
    flat, wanted = logits[counts].float(), tokens[counts][:, None]
    rows = tokens.tolist()
    contexts = [prompts[row] + rows[row][:t] for row, length in enumerate(lengths.tolist()) for t in range(length)]
    warped = warp_logits(flat, pad_with_own(contexts).to(flat.device), decoding)
    sums = []
    for scores in (flat, warped):
        picked = torch.zeros(tokens.shape, dtype=torch.float64, device=tokens.device)
        picked[counts] = scores.log_softmax(-1).gather(-1, wanted).squeeze(-1).double()
        sums.append(picked.sum(-1).tolist())
    return sums[0], sums[1]
