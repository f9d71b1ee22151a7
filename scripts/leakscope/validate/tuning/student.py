"""Differentiable versions of the evaluation's scores (``validate.scoring.log_odds``).

Log-odds of several tokens are combined in float64; otherwise as in ``models.tuning.differentiable``.
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
    """log p of whole candidates (float32) and log p − log(1−p) (float64), (rows,)."""

    logprob: torch.Tensor
    log_odds: torch.Tensor


class Student(Differentiable):
    """A causal model that returns scores with gradients."""

    def __init__(self, model: PreTrainedModel, answers: Sequence[Sequence[int]] = ()) -> None:
        """Store the model, and the token ids of yes and of no, which are only needed for verdicts."""
        super().__init__(model)
        self.answers = [list(ids) for ids in answers]

    def candidates(self, rows: Sequence[Continuation]) -> ContinuationScores:
        """Return the scores of candidates after their generator prompts."""
        # The last token of a candidate is only predicted, so it is not part of the input.
        read = [[*prompt, *candidate[:-1]] for prompt, candidate in rows]
        places = [range(len(prompt) - 1, len(ids)) for (prompt, _), ids in zip(rows, read, strict=True)]
        logits = self.logits(read, places)
        width = logits.shape[1]
        tokens = padded([candidate for _, candidate in rows], width, logits.device)
        counted = length_mask([len(candidate) for _, candidate in rows], width, logits.device)
        own = logits.gather(-1, tokens[..., None])
        logprobs = (own - logits.logsumexp(-1, keepdim=True)).squeeze(-1)
        # 1−p is the sum over all other tokens, which is accurate even for p near 1.
        others = logits.scatter(-1, tokens[..., None], -math.inf).logsumexp(-1, keepdim=True)
        log_odds = (own - others).squeeze(-1).double()
        return ContinuationScores((logprobs * counted).sum(-1), joint_log_odds(log_odds, counted))

    def verdicts(self, prompts: Sequence[list[int]]) -> torch.Tensor:
        """Return log Σ p(yes) − log Σ p(no) after validator prompts, (prompts,), float32."""
        logits = self.logits(prompts, [range(len(ids) - 1, len(ids)) for ids in prompts])[:, 0]
        yes, no = (logits[:, ids].logsumexp(-1) for ids in self.answers)
        return yes - no


def joint_log_odds(token_odds: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Return log p − log(1−p) of token sequences, (rows,), from each token's conditional log-odds, (rows, tokens).

    As ``item_scores.joint_log_odds``: computed from log s with s = −log p = Σ log(1 + e^−odds), so that neither p nor
    1−p is rounded to 0 or 1. Tokens that are not ``counted`` have p = 1.
    """
    # Each branch of a where gets only arguments for which it is finite; otherwise gradients would be 0 times infinity.
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
