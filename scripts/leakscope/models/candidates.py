"""Exact log-probabilities of a fixed set of continuations (a slot's candidates) after each prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from leakscope.jobs.batching import cut, shrinking
from leakscope.models.decoding import Reader, pad_with_own
from leakscope.models.sampling import Decoding, warp_logits


class PromptCandidates(NamedTuple):
    """A rendered prompt's ids and the ids that each candidate adds to it, end included."""

    prompt: list[int]
    candidates: list[list[int]]


class CandidateScores(NamedTuple):
    """Log-probabilities in nats, (candidates,): under the model, and under the law that texts are sampled from."""

    logprob: list[float]
    logprob_sampled: list[float]


@torch.inference_mode()
def score_candidates(
    model: PreTrainedModel, questions: Sequence[PromptCandidates], decoding: Decoding, *, batch_size: int
) -> Iterator[list[CandidateScores]]:
    """Yield, a batch of questions at a time and in order, Σ_t log p(token t | prompt, tokens before t) of candidates.

    The second value has each conditional tempered and cut as in sampling (``warp_logits``), so it is the log of the
    probability that a sample *is* this candidate, along the trie of the tokenised lexicon. Each prompt is read once;
    all its candidates then share one forward. Log-softmax is in float32. A batch that does not fit into memory is
    divided.
    """
    reader = Reader(model)
    yield from shrinking(cut(questions, batch_size), lambda batch: _score_batch(reader, batch, decoding))


def _score_batch(reader: Reader, questions: Sequence[PromptCandidates], decoding: Decoding) -> list[CandidateScores]:
    owner = [i for i, question in enumerate(questions) for _ in question.candidates]
    candidates = [candidate for question in questions for candidate in question.candidates]
    width = max(map(len, candidates))
    state, first = reader.read([question.prompt for question in questions], room=width)
    state.select(torch.tensor(owner, device=first.device))
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in candidates], device=first.device)
    lengths = torch.tensor([len(row) for row in candidates], device=first.device)
    logits = first[owner][:, None]
    if width > 1:
        logits = torch.cat([logits, state.extend(tokens[:, :-1], (lengths - 1).clamp(min=0), written=True)], 1)
    prompts = [questions[i].prompt for i in owner]
    plain, sampled = _sum_logprobs(logits, tokens, lengths, prompts, decoding)
    ends = torch.tensor([len(question.candidates) for question in questions]).cumsum(0).tolist()
    return [
        CandidateScores(plain[end - len(question.candidates) : end], sampled[end - len(question.candidates) : end])
        for question, end in zip(questions, ends, strict=True)
    ]


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
