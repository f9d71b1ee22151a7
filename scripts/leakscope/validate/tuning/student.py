"""A model's scores as the evaluation takes them (``validate.scoring.log_odds``), such that they can be differentiated.

Log-softmax is in float32, in nats; log-odds of several tokens are joined in float64. Rows are padded on the right: what
comes after a token of a causal model changes nothing before it. Logits are computed where they are asked for alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.functional import logsigmoid, softplus
from transformers import PreTrainedModel

from leakscope.validate.scoring.item_scores import NEGLIGIBLE
from leakscope.validate.scoring.log_odds import Continuation


class ContinuationScores(NamedTuple):
    """log p of whole candidates (float32) and log p − log(1−p) (float64), one a row."""

    logprob: torch.Tensor
    log_odds: torch.Tensor


class Student:
    """A causal model that is asked with gradients."""

    def __init__(self, model: PreTrainedModel, answers: Sequence[Sequence[int]] = ()) -> None:
        """Hold the model, and the ids that count as yes and those that count as no; only verdicts need them."""
        self.model, self.answers = model, [list(ids) for ids in answers]

    def candidates(self, rows: Sequence[Continuation]) -> ContinuationScores:
        """Return the scores of candidates after their generator prompts."""
        # The last token of a candidate is predicted and predicts nothing: it is not read.
        read = [[*prompt, *candidate[:-1]] for prompt, candidate in rows]
        places = [range(len(prompt) - 1, len(ids)) for (prompt, _), ids in zip(rows, read, strict=True)]
        logits = self._logits(read, places)
        width = logits.shape[1]
        tokens = _padded([candidate for _, candidate in rows], width, logits.device)
        counted = _length_mask([len(candidate) for _, candidate in rows], width, logits.device)
        own = logits.gather(-1, tokens[..., None])
        logprobs = (own - logits.logsumexp(-1, keepdim=True)).squeeze(-1)
        # 1−p is the sum over all other tokens: so it is right however near p is to 1.
        others = logits.scatter(-1, tokens[..., None], -math.inf).logsumexp(-1, keepdim=True)
        log_odds = (own - others).squeeze(-1).double()
        return ContinuationScores((logprobs * counted).sum(-1), joint_log_odds(log_odds, counted))

    def verdicts(self, prompts: Sequence[list[int]]) -> torch.Tensor:
        """Return log Σ p(yes) − log Σ p(no) after validator prompts, one a row, float32."""
        logits = self._logits(prompts, [range(len(ids) - 1, len(ids)) for ids in prompts])[:, 0]
        yes, no = (logits[:, ids].logsumexp(-1) for ids in self.answers)
        return yes - no

    def next_tokens(self, texts: Sequence[list[int]]) -> torch.Tensor:
        """Return the log-probabilities of all next tokens inside texts, (tokens, vocabulary), text after text."""
        logits = self._logits(texts, [range(len(ids) - 1) for ids in texts])
        counted = _length_mask([len(ids) - 1 for ids in texts], logits.shape[1], logits.device)
        return logits[counted].log_softmax(-1)

    def _logits(self, rows: Sequence[Sequence[int]], places: Sequence[range]) -> torch.Tensor:
        """Return the logits at some places of each row, (rows, most places, vocabulary); arbitrary beyond a row's."""
        device, longest = self.model.device, max(map(len, rows))
        ids = _padded(rows, longest, device)
        mask = _length_mask([len(row) for row in rows], longest, device).long()
        wanted = _padded(places, max(map(len, places)), device)
        unembedding = self.model.get_output_embeddings()
        chosen: list[bool] = []

        def choose(_: torch.nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
            chosen.append(True)
            return (_gather(given[0], wanted), *given[1:])

        hook = unembedding.register_forward_pre_hook(choose) if unembedding is not None else None
        try:
            logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        finally:
            if hook is not None:
                hook.remove()
        # A model that is built otherwise than most has computed them at every place.
        return (logits if chosen else _gather(logits, wanted)).float()


def joint_log_odds(token_odds: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Return log p − log(1−p) of rows of tokens, given the log-odds of each after those before it, (rows, tokens).

    As ``item_scores.joint_log_odds``: by log s, s = −log p = Σ log(1 + e^−odds), so that neither p nor 1−p is rounded
    to 0 or 1. Tokens that are not ``counted`` have p = 1.
    """
    # Each side of a choice sees only what it is finite for: a gradient of the other would be 0 times infinity.
    sure = token_odds > NEGLIGIBLE
    terms = torch.where(sure, -token_odds, softplus(-token_odds.where(~sure, 0)).log())
    log_s = terms.where(counted, -math.inf).logsumexp(-1)
    tiny = log_s < -NEGLIGIBLE
    s = log_s.where(~tiny, 0).exp()
    # log(1 − e^−s)
    rest = torch.where(s < 1, (-torch.expm1(-s.clamp(max=1))).log(), torch.log1p(-(-s.clamp(min=1)).exp()))
    return torch.where(tiny, -log_s, -s - rest)


def preference_loss(margins: torch.Tensor) -> torch.Tensor:
    """Return the mean of −log σ(margin), in nats."""
    return -logsigmoid(margins).mean()


def divergence(base: torch.Tensor, tuned: torch.Tensor) -> torch.Tensor:
    """Return the mean KL(base || tuned) of rows of log-probabilities, (tokens, vocabulary), in nats per token."""
    return (base.exp() * (base - tuned)).sum(-1).mean()


def _padded(rows: Sequence[Sequence[int]], width: int, device: torch.device) -> torch.Tensor:
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)


def _length_mask(lengths: Sequence[int], width: int, device: torch.device) -> torch.Tensor:
    return torch.arange(width, device=device) < torch.tensor(lengths, device=device)[:, None]


def _gather(values: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return ``values[row, places[row]]``, (rows, places, all else)."""
    places = places.to(values.device)
    return values[torch.arange(len(values), device=values.device)[:, None], places]
