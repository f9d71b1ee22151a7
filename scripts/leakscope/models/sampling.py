"""Sampling whose random numbers belong to the prompt, not to the batch.

One uniform number per (rendered prompt, seed, sample, step), from the counter-based generator Philox-4x64 (Salmon et
al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), turned into a token by the inverse of the cumulative
distribution in float64 and vocabulary order. So a text depends neither on the batch it was computed in, nor on its
order, nor on which other prompts there are, and a model before and after an edit sees the same numbers.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation.logits_process import MinPLogitsWarper

# On a CPU small enough that the allocator hands the same pages out again: fresh ones cost more than the arithmetic.
BYTES_AT_ONCE = {"cpu": 2**24, "cuda": 2**28}


class Decoding(NamedTuple):
    """The law a token is drawn from. Neutral values: top_p 1, top_k 0, min_p 0, repetition_penalty 1."""

    temperature: float
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0


def uniforms(rendered: str, seed: int, sample: int, n_steps: int) -> np.ndarray:
    """Return the uniform numbers in [0, 1) of one sample of one prompt, shape (n_steps,), float64.

    Longer requests begin with the numbers of shorter ones.
    """
    key = np.frombuffer(hashlib.sha256(f"{seed}\n{rendered}".encode()).digest()[:16], dtype="<u8")
    philox = np.random.Philox(key=key, counter=np.array([0, sample, 0, 0], dtype=np.uint64))
    # The top 53 bits of each raw word: the usual way to a double, spelt out since only raw words are promised stable.
    return (philox.random_raw(n_steps) >> np.uint64(11)) * 2.0**-53


def warp_logits(logits: torch.Tensor, context: torch.Tensor, decoding: Decoding) -> torch.Tensor:
    """Return log-weights (rows, vocabulary) of the next token in float32, −inf where it cannot be drawn.

    The order is that of ``transformers``: repetition penalty, temperature, top-k, top-p, min-p. At temperature 0 all
    weight is on the largest logit.

    Args:
        logits: the model's output, (rows, vocabulary).
        context: the ids that the repetition penalty acts on, (rows, length); each row repeats one of its own ids where
            it is shorter than the longest.
        decoding: the settings.
    """
    scores = logits.float()
    processors = LogitsProcessorList()
    if decoding.repetition_penalty != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(decoding.repetition_penalty))
    scores = processors(context, scores)
    if decoding.temperature == 0:
        best = scores.argmax(-1, keepdim=True)
        return torch.full_like(scores, -torch.inf).scatter_(-1, best, 0.0)
    scores = scores / decoding.temperature
    warpers = LogitsProcessorList()
    if decoding.top_k:
        warpers.append(TopKLogitsWarper(min(decoding.top_k, scores.shape[-1])))
    if decoding.top_p < 1:
        warpers.append(TopPLogitsWarper(decoding.top_p))
    if decoding.min_p > 0:
        warpers.append(MinPLogitsWarper(decoding.min_p))
    warped: torch.Tensor = warpers(context, scores)
    return warped


def draw_tokens(logits: torch.Tensor, context: torch.Tensor, decoding: Decoding, uniform: torch.Tensor) -> torch.Tensor:
    """Return, for each row, the tokens at which its cumulative distribution passes the ``uniform`` numbers.

    A row may be drawn from several times: its distribution is then computed once. Computed in float64 a few rows at a
    time: a vocabulary of 150,000 for hundreds of rows would not fit otherwise.

    Args:
        logits: (rows, vocabulary).
        context: as for ``warp_logits``.
        decoding: the settings.
        uniform: (rows, draws), float64, in [0, 1).

    Returns:
        (rows, draws).
    """
    at_once = max(1, BYTES_AT_ONCE["cuda" if logits.is_cuda else "cpu"] // (8 * logits.shape[-1]))
    chunks = zip(*(torch.split(tensor, at_once) for tensor in (logits, context, uniform)), strict=True)
    return torch.cat([_inverse_cdf(warp_logits(rows, ids, decoding), u) for rows, ids, u in chunks])


def _inverse_cdf(log_weights: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    shifted = log_weights.double().sub_(log_weights.amax(-1, keepdim=True))
    cumulative = shifted.exp_().cumsum_(-1)
    # u < 1, so u·total < total and a token of positive weight is always found.
    target = uniform.to(cumulative) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, target, right=True).clamp_(max=log_weights.shape[-1] - 1)
