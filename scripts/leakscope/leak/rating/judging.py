"""Turns items of the match test into a judge's questions, and the judge's answers into outcomes.

An item has two concepts and two texts; the first text was written after the first concept. A judge sees them in some
order, without the name of the model. It names the text that belongs to the concept shown first. For the question
``match`` the other text then belongs to the other concept; the question ``leak`` shows one concept.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from leakscope.leak.rating.answers import outcomes
from leakscope.leak.rating.judge_prompts import JudgePrompts
from leakscope.leak.rating.vocabulary import ORDERS
from leakscope.statistics.seeding import seeded_hash

JUDGED_COLUMNS = ["item_id", "order", "concept_order", "answer", "outcome"]
SEED = 0  # of orders: another one would ask other questions


def ask_about(items: pd.DataFrame, prompts: JudgePrompts, *, both_orders: bool = True) -> pd.DataFrame:
    """Return a judge's questions, one row per item and order of its texts: ``item_id, order, concept_order, prompt``.

    Orders depend only on the item, so that other items have no effect. The order of concepts is the same for both
    orders of an item's texts: a consistent judge names the same text in both.

    Args:
        items: ``item_id, concept_1, concept_2, text_1, text_2`` at least.
        prompts: the judge's prompts.
        both_orders: ask each item in both orders of its texts, else in one random order.
    """
    rows = [
        (item.item_id, order, concepts, _question(prompts, item, order, concepts))
        for item in items.itertuples()
        for concepts in [_drawn("concepts", str(item.item_id))]
        for order in (ORDERS if both_orders else [_drawn("texts", str(item.item_id))])
    ]
    return pd.DataFrame(rows, columns=["item_id", "order", "concept_order", "prompt"], dtype="str")


def with_outcomes(asked: pd.DataFrame, answers: Sequence[str]) -> pd.DataFrame:
    """Return ``JUDGED_COLUMNS``: ``outcome`` is 1 where a judge is right, 0 where it is wrong, ½ where it names none.

    Args:
        asked: as ``ask_about`` returns it.
        answers: to each row, of ``judge_prompts``.
    """
    given = asked.assign(answer=pd.Series(list(answers), index=asked.index, dtype="str"))
    return given.assign(outcome=outcomes(given))[JUDGED_COLUMNS]


def count_answers(judged: pd.DataFrame) -> dict[str, int]:
    """Return answer → its count in a table of ``JUDGED_COLUMNS``."""
    return {str(answer): int(n) for answer, n in judged["answer"].value_counts().sort_index().items()}


def _question(prompts: JudgePrompts, item: object, order: str, concept_order: str) -> str:
    first_text, second_text = (getattr(item, f"text_{number}") for number in order)
    first_concept, second_concept = (getattr(item, f"concept_{number}") for number in concept_order)
    return prompts.template.format(
        concept=first_concept,
        first_concept=first_concept,
        second_concept=second_concept,
        first_text=first_text,
        second_text=second_text,
    )


def _drawn(what: str, item: str) -> str:
    return ORDERS[seeded_hash(SEED, what, item) % 2]
