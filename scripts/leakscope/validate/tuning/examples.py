"""Training items as token ids, and their targets: labels and ranked pairs."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
import pandas as pd

from leakscope.errors import InputError
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.rendering import answer_lead, encode_continuations, encode_rendered
from leakscope.validate.scoring.log_odds import Continuation
from leakscope.validate.tasks.asking import Asking, as_read, main_prompts
from leakscope.validate.tasks.splits import TRAIN
from leakscope.validate.tuning.methods import GENERATOR, VALIDATOR


class Example(NamedTuple):
    """A training item.

    item_id, question, positive: as in the table of items.
    generator: token ids of the generator prompt, and of the candidate after it.
    validator: token ids of the validator prompt.
    l_g, l_v: the base's log-odds as generator and as validator, in nats.
    """

    item_id: str
    question: str
    positive: bool
    generator: Continuation
    validator: list[int]
    l_g: float
    l_v: float


class Label(NamedTuple):
    """The number of an example, and whether it is treated as right."""

    example: int
    right: bool


class RankedPair(NamedTuple):
    """The numbers of two examples: the winner's score should exceed the loser's."""

    winner: int
    loser: int


class RankedPairs:
    """All pairs of examples whose teacher scores differ by more than ``delta``; the higher score wins.

    Pairs are enumerated on demand, because their number may be quadratic in the number of examples.
    """

    def __init__(self, teacher: Sequence[float], delta: float) -> None:
        """Number the pairs; teacher scores and ``delta`` are in nats."""
        scores = np.asarray(teacher, dtype=float)
        self._order = np.argsort(scores, kind="stable")
        ascending = scores[self._order]
        # Number of losers for the winner at each place, by the same subtraction as in a direct comparison.
        self._losers = np.array([np.count_nonzero(score - ascending > delta) for score in ascending], dtype=np.int64)
        self._ends = self._losers.cumsum()
        self.widest = float(ascending[-1] - ascending[0])

    def __len__(self) -> int:
        """Return the number of pairs."""
        return int(self._ends[-1])

    def take(self, numbers: Sequence[int]) -> list[RankedPair]:
        """Return the pairs with these numbers."""
        pairs = []
        for number in numbers:
            place = int(np.searchsorted(self._ends, number, side="right"))
            # Numbers run winner by winner; the losers of a winner are the first examples in ascending order.
            loser = number - int(self._ends[place] - self._losers[place])
            pairs.append(RankedPair(int(self._order[place]), int(self._order[loser])))
        return pairs


def training_examples(
    model: LanguageModel, items: pd.DataFrame, splits: pd.Series, scores: pd.DataFrame, asking: Asking
) -> list[Example]:
    """Return the training items of a split in the main form, in the order of items.

    No other item is read, not even as a shot in a prompt. The exception are the teacher's log-odds in ``scores``: if
    the main form has shots, they were computed with shots from any split.

    Args:
        model: the base.
        items: from ``items.item_table``.
        splits: split of each item, with the index of ``items``.
        scores: of the base, from ``scored.score_items``.
        asking: forms and styles in which the base is asked.

    Raises:
        InputError: there are no training items, or the scores lack one of them.
    """
    train = items[(splits == TRAIN).to_numpy()]
    if train.empty:
        raise InputError(f"tuning: got no training item among {len(items)}; allowed: a split with training items.")
    generator, validator = (
        as_read(model, main_prompts(train, kind, asking, train), asking.main_prompting)
        for kind in (GENERATOR, VALIDATOR)
    )
    prompts = {text: _encode(model, text, asking) for text in dict.fromkeys([*generator, *validator])}
    lead = _lead(model, asking)
    columns = {
        "item_id": train["item_id"],
        "question": train["question"],
        "positive": train["positive"].map(bool),
        "generator": [
            _continue(model, text, prompts[text], candidate, lead, asking)
            for text, candidate in zip(generator, train["candidate"], strict=True)
        ],
        "validator": [prompts[text] for text in validator],
        "l_g": _base_log_odds(scores, GENERATOR, asking, train),
        "l_v": _base_log_odds(scores, VALIDATOR, asking, train),
    }
    return [Example(*row) for row in zip(*columns.values(), strict=True)]


def gold_labels(examples: Sequence[Example]) -> list[Label]:
    """Return every example with its gold label."""
    return [Label(number, example.positive) for number, example in enumerate(examples)]


def own_labels(examples: Sequence[Example]) -> list[Label]:
    """Return the examples on which the base's generator and validator agree, with the base's own label.

    The validator's label is right where l_V > 0, the generator's where l_G exceeds the median over all examples. Gold
    labels are not used (after Li et al. 2023, arXiv 2310.01846, who train a model on its own consistent pairs).
    """
    middle = median(example.l_g for example in examples)
    return [
        Label(number, example.l_v > 0)
        for number, example in enumerate(examples)
        if (example.l_v > 0) == (example.l_g > middle)
    ]


def answer_pairs(examples: Sequence[Example]) -> list[RankedPair]:
    """Return all pairs of a right and a wrong candidate of the same question; the right one wins."""
    by_question: dict[str, list[int]] = {}
    for number, example in enumerate(examples):
        by_question.setdefault(example.question.casefold(), []).append(number)
    return [
        RankedPair(winner, loser)
        for numbers in by_question.values()
        for winner in numbers
        if examples[winner].positive
        for loser in numbers
        if not examples[loser].positive
    ]


def _encode(model: LanguageModel, prompt: str, asking: Asking) -> list[int]:
    return encode_rendered(model.tokenizer, prompt, chat=asking.main_prompting.chat)


def _lead(model: LanguageModel, asking: Asking) -> str:
    prompting = asking.main_prompting
    return answer_lead(model.tokenizer, chat=prompting.chat, chat_template_kwargs=prompting.chat_template_kwargs)


def _continue(
    model: LanguageModel, prompt: str, ids: list[int], candidate: str, lead: str, asking: Asking
) -> Continuation:
    chat = asking.main_prompting.chat
    (added,) = encode_continuations(model.tokenizer, prompt, ids, [candidate], lead=lead, chat=chat)
    return Continuation(ids, added)


def _base_log_odds(scores: pd.DataFrame, kind: str, asking: Asking, items: pd.DataFrame) -> list[float]:
    """Return the log-odds of items in the main form."""
    main = asking.main
    form_id = main.generator_id if kind == GENERATOR else main.validator_id
    rows = scores[scores["kind"].eq(kind) & scores["form_id"].eq(form_id) & scores["style"].eq(main.style)]
    known = dict(zip(rows["item_id"], rows["log_odds"], strict=True))
    lacking = [name for name in items["item_id"] if name not in known]
    if lacking:
        raise InputError(
            f"tuning: scores of the base: got no {kind} score of item {lacking[0]!r} ({len(lacking)} such) in the form "
            f"{main.name}; allowed: a score for each training item."
        )
    return [float(known[name]) for name in items["item_id"]]
