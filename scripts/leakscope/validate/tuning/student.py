"""A model's scores as the evaluation takes them (``validate.scoring.log_odds``), such that they can be differentiated.

Log-odds of several tokens are joined in float64; all else is as in ``models.tuning.differentiable``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn.functional import logsigmoid, softplus
from transformers import PreTrainedModel

from leakscope.models.tuning.differentiable import Differentiable, length_mask, padded
from leakscope.validate.scoring.item_scores import NEGLIGIBLE
from leakscope.validate.scoring.log_odds import Continuation


class ContinuationScores(NamedTuple):
    """log p of whole candidates (float32) and log p − log(1−p) (float64), one a row."""

    logprob: torch.Tensor
    log_odds: torch.Tensor


class Student(Differentiable):
    """A causal model that is asked for scores with gradients."""

    def __init__(self, model: PreTrainedModel, answers: Sequence[Sequence[int]] = ()) -> None:
        """Hold the model, and the ids that count as yes and those that count as no; only verdicts need them."""
        super().__init__(model)
        self.answers = [list(ids) for ids in answers]

    def candidates(self, rows: Sequence[Continuation]) -> ContinuationScores:
        """Return the scores of candidates after their generator prompts."""
        # The last token of a candidate is predicted and predicts nothing: it is not read.
        read = [[*prompt, *candidate[:-1]] for prompt, candidate in rows]
        places = [range(len(prompt) - 1, len(ids)) for (prompt, _), ids in zip(rows, read, strict=True)]
        logits = self.logits(read, places)
        width = logits.shape[1]
        tokens = padded([candidate for _, candidate in rows], width, logits.device)
        counted = length_mask([len(candidate) for _, candidate in rows], width, logits.device)
        own = logits.gather(-1, tokens[..., None])
        logprobs = (own - logits.logsumexp(-1, keepdim=True)).squeeze(-1)
        # 1−p is the sum over all other tokens: so it is right however near p is to 1.
        others = logits.scatter(-1, tokens[..., None], -math.inf).logsumexp(-1, keepdim=True)
        log_odds = (own - others).squeeze(-1).double()
        return ContinuationScores((logprobs * counted).sum(-1), joint_log_odds(log_odds, counted))

    def verdicts(self, prompts: Sequence[list[int]]) -> torch.Tensor:
        """Return log Σ p(yes) − log Σ p(no) after validator prompts, one a row, float32."""
        logits = self.logits(prompts, [range(len(ids) - 1, len(ids)) for ids in prompts])[:, 0]
        yes, no = (logits[:, ids].logsumexp(-1) for ids in self.answers)
        return yes - no


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
