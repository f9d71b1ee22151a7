"""Terms of a loss, and the term of every training: the KL divergence from the base on neutral text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from leakscope.errors import InputError
from leakscope.models.tuning.differentiable import Differentiable, divergence
from leakscope.models.tuning.draws import without_replacement
from leakscope.models.tuning.learners import Learner
from leakscope.models.tuning.settings import Schedule

KEEP = "keep"
NEUTRAL_TOKENS = 128  # of a neutral text that are read


class Term(NamedTuple):
    """A summand of the loss.

    name: what it trains, or ``keep``.
    unit, n: what it draws: items, pairs or texts; and how many there are.
    weight: in the sum.
    loss: step → its value, in nats.
    """

    name: str
    unit: str
    n: int
    weight: float
    loss: Callable[[int], torch.Tensor]


def keep_term(learner: Learner, texts: Sequence[list[int]], method: Schedule, seed: int) -> Term:
    """Return the term KL(base || tuned) on neutral texts, which keeps next-token distributions close to the base.

    Args:
        learner: what is trained.
        texts: token ids, at least two each.
        method: its ``keep`` and ``batch_size``.
        seed: of the draw.

    Raises:
        InputError: there is no text.
    """
    if not texts:
        raise InputError("tuning: key 'keep': got no neutral text; allowed: at least one, or `keep: 0`.")

    def loss(step: int) -> torch.Tensor:
        rows = [texts[number] for number in without_replacement(len(texts), method.batch_size, step, seed, KEEP)]
        with torch.no_grad(), learner.as_base() as base:
            expected = Differentiable(base).next_tokens(rows)
        return divergence(expected, Differentiable(learner.model).next_tokens(rows))

    return Term(KEEP, "texts", len(texts), method.keep, loss)
