"""Loss terms of a training, one for each trained side (generator, validator).

Let s be the student's score of an item, s_ref the base's, and σ the logistic function. The losses:

* ``supervised``: for the generator −log p(candidate) over positives; for the validator −log σ(±l_V) over all items, +
  for positives.
* ``consistency``: as ``supervised``, but on the items on which the base's generator and validator agree, with the
  base's own labels instead of gold labels (see ``examples.own_labels``).
* ``dpo`` (Rafailov et al. 2023, arXiv 2305.18290): −log σ(β (m − m_ref)), where for the generator m is log p of a right
  candidate minus log p of a wrong one of the same question, and for the validator log p of the right verdict minus that
  of the wrong one.
* ``ranking`` (RankAlign, arXiv 2504.11381): −log σ(s_w − s_l − [s_w_ref − s_l_ref]) over pairs of items whose teacher
  scores differ by more than δ, where s are log-odds and w is the item with the higher teacher score. The generator's
  teacher is the base's validator and vice versa. The term in brackets is optional.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from leakscope.errors import InputError
from leakscope.jobs.batching import cut, shrinking
from leakscope.models.tuning.draws import with_replacement, without_replacement
from leakscope.models.tuning.terms import Term
from leakscope.validate.tuning.examples import (
    Example,
    Label,
    RankedPair,
    RankedPairs,
    answer_pairs,
    gold_labels,
    own_labels,
)
from leakscope.validate.tuning.methods import CONSISTENCY, DPO, GENERATOR, RANKING, VALIDATOR, Method
from leakscope.validate.tuning.student import Student, preference_loss

Score = Callable[[Sequence[Example]], torch.Tensor]


class Lesson:
    """The examples of a training, with the student and the method."""

    def __init__(self, student: Student, examples: Sequence[Example], method: Method, seed: int) -> None:
        """Store the arguments; ``student`` is still identical to the base."""
        self.student, self.examples, self.method, self.seed = student, examples, method, seed

    def terms(self) -> list[Term]:
        """Return the loss term of each trained side.

        Raises:
            InputError: a side has no training items or pairs.
        """
        return [self._side(side) for side in self.method.sides]

    def _side(self, side: str) -> Term:
        if self.method.loss == RANKING:
            return self._ranking(side)
        if self.method.loss == DPO:
            return self._dpo_generator() if side == GENERATOR else self._verdicts(gold_labels(self.examples), dpo=True)
        labels = own_labels(self.examples) if self.method.loss == CONSISTENCY else gold_labels(self.examples)
        return self._likelihood(labels) if side == GENERATOR else self._verdicts(labels, dpo=False)

    def _likelihood(self, labels: Sequence[Label]) -> Term:
        """Return the term −log p over candidates labelled as right."""
        right = [self.examples[label.example] for label in labels if label.right]

        def loss(step: int) -> torch.Tensor:
            rows = [right[number] for number in self._batch(len(right), step, GENERATOR)]
            return -self._logprob(rows).mean()

        return self._term(GENERATOR, "items", len(right), "item that counts as right", loss)

    def _verdicts(self, labels: Sequence[Label], *, dpo: bool) -> Term:
        """Return the term for the right verdict against the wrong one; with ``dpo``, using reference and β."""
        reference = self._base_scores(self._l_v) if dpo else None
        beta = self.method.beta if dpo else 1.0

        def loss(step: int) -> torch.Tensor:
            drawn = [labels[number] for number in self._batch(len(labels), step, VALIDATOR)]
            scores = self._l_v([self.examples[label.example] for label in drawn])
            if reference is not None:
                scores = scores - reference[[label.example for label in drawn]]
            signs = torch.tensor([1.0 if label.right else -1.0 for label in drawn], device=scores.device)
            return preference_loss(beta * signs * scores)

        return self._term(VALIDATOR, "items", len(labels), "item to learn from", loss)

    def _dpo_generator(self) -> Term:
        pairs = answer_pairs(self.examples)
        reference = self._base_scores(self._logprob)

        def loss(step: int) -> torch.Tensor:
            drawn = [pairs[number] for number in self._batch(len(pairs), step, GENERATOR)]
            return preference_loss(self.method.beta * self._margins(self._logprob, drawn, reference))

        return self._term(GENERATOR, "pairs", len(pairs), "right and wrong candidate of one question", loss)

    def _ranking(self, side: str) -> Term:
        teacher = [example.l_v if side == GENERATOR else example.l_g for example in self.examples]
        pairs = RankedPairs(teacher, self.method.delta)
        score = self._l_g if side == GENERATOR else self._l_v
        reference = self._base_scores(score) if self.method.reference else None

        def loss(step: int) -> torch.Tensor:
            drawn = pairs.take(with_replacement(len(pairs), self.method.batch_size, step, self.seed, side))
            return preference_loss(self._margins(score, drawn, reference))

        sought = f"pair of teacher scores more than `delta` {self.method.delta:g} apart (widest: {pairs.widest:.2f})"
        return self._term(side, "pairs", len(pairs), sought, loss)

    def _margins(self, score: Score, pairs: Sequence[RankedPair], reference: torch.Tensor | None) -> torch.Tensor:
        """Return winners' minus losers' scores, relative to the reference if given; each example is read once."""
        numbers = sorted({number for pair in pairs for number in pair})
        place = {number: i for i, number in enumerate(numbers)}
        scores = score([self.examples[number] for number in numbers])
        if reference is not None:
            scores = scores - reference[numbers]
        return scores[[place[pair.winner] for pair in pairs]] - scores[[place[pair.loser] for pair in pairs]]

    @torch.no_grad()
    def _base_scores(self, score: Score) -> torch.Tensor:
        return torch.cat(list(shrinking(cut(self.examples, self.method.batch_size), score)))

    def _logprob(self, rows: Sequence[Example]) -> torch.Tensor:
        return self.student.candidates([row.generator for row in rows]).logprob

    def _l_g(self, rows: Sequence[Example]) -> torch.Tensor:
        return self.student.candidates([row.generator for row in rows]).log_odds

    def _l_v(self, rows: Sequence[Example]) -> torch.Tensor:
        return self.student.verdicts([row.validator for row in rows])

    def _batch(self, n: int, step: int, what: str) -> list[int]:
        return without_replacement(n, self.method.batch_size, step, self.seed, what)

    def _term(self, name: str, unit: str, n: int, sought: str, loss: Callable[[int], torch.Tensor]) -> Term:
        if not n:
            raise InputError(
                f"tuning: loss {self.method.loss!r}, {name}: got no {sought}, of {len(self.examples)} training items; "
                "allowed: at least one."
            )
        return Term(name, unit, n, 1 / len(self.method.sides), loss)
