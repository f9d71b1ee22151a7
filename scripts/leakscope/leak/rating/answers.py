"""Answers of all raters (people, judges, similarities) to the items of the match test, in one format.

A rater sees two texts and two concepts, each in some order, and says which text belongs to the concept shown first: the
``first``, the ``second``, or ``cannot_tell``. ``order`` and ``concept_order`` are ``12`` if text 1, or concept 1, was
shown first, else ``21``. Text i was written after concept i. So ``first`` is right if both orders are equal, else
``second``.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.errors import InputError
from leakscope.leak.measures.matching import DIGITS
from leakscope.leak.measures.outcomes import win
from leakscope.leak.rating.vocabulary import CANNOT_TELL, FIRST, SECOND
from leakscope.similarity.concepts import is_empty

Floats = NDArray[np.float64]

ANSWERS = (FIRST, SECOND, CANNOT_TELL)
ANSWER_COLUMNS = ["item_id", "kind", "rater", "order", "concept_order", "answer", "outcome"]
# Kinds of raters, in the order of tables. The majority of people is a rater of its own.
PEOPLE, PERSON, JUDGE, SCORER = "people", "person", "judge", "scorer"
MAJORITY = "majority"


def outcomes(answers: pd.DataFrame) -> Floats:
    """Return 1 for each right answer, 0 for a wrong one and ½ for ``cannot_tell``, (answers,).

    Args:
        answers: ``order, concept_order, answer``.
    """
    right = np.where(answers["order"] == answers["concept_order"], FIRST, SECOND)
    decided = answers["answer"].isin([FIRST, SECOND])
    found: Floats = np.where(decided, (answers["answer"] == right).astype(float), 0.5)
    return found


def of_rater(answers: pd.DataFrame, kind: str, rater: str) -> pd.DataFrame:
    """Return one rater's answers as ``ANSWER_COLUMNS``.

    Args:
        answers: ``item_id, order, concept_order, answer``, optionally ``outcome``, else computed from these.
        kind: of rater.
        rater: its name.
    """
    if "outcome" not in answers:
        answers = answers.assign(outcome=outcomes(answers))
    return answers.assign(kind=kind, rater=rater)[ANSWER_COLUMNS]


def by_similarity(items: pd.DataFrame, similarity: pd.DataFrame, scorer: str, decimals: int) -> pd.DataFrame:
    """Return a scorer's answers as ``ANSWER_COLUMNS``, decided as in a match rate; they have no order.

    Args:
        items: ``items.ITEM_COLUMNS``.
        similarity: ``concept, text, similarity``, unrounded.
        scorer: its name.
        decimals: similarities are rounded to this many.

    Raises:
        InputError: a pair is missing.
    """
    known = similarity.set_index(["concept", "text"])["similarity"]
    table = {(c, t): _similarities(items, known, scorer, c, t).round(decimals) for c in "12" for t in "12"}
    difference = (table["1", "1"] - table["2", "1"]) + (table["2", "2"] - table["1", "2"])
    outcome = win(np.round(difference, DIGITS), np.zeros(len(items)))
    answer = np.where(outcome == 0.5, CANNOT_TELL, np.where(outcome > 0.5, FIRST, SECOND))
    answers = pd.DataFrame({"item_id": items["item_id"], "answer": answer, "outcome": outcome})
    return of_rater(answers.assign(order=None, concept_order=None), SCORER, scorer)


def _similarities(items: pd.DataFrame, known: pd.Series, scorer: str, concept: str, text: str) -> Floats:
    """Return the similarity of one text to one concept of each item, (items,); NaN for an empty text."""
    pairs = pd.MultiIndex.from_arrays([items[f"concept_{concept}"], items[f"text_{text}"]])
    found = known.reindex(pairs).to_numpy(dtype=float)
    empty = np.array([is_empty(written) for written in items[f"text_{text}"]], dtype=bool)
    if (lost := np.isnan(found) & ~empty).any():
        about, written = pairs[int(np.argmax(lost))]
        where = f"similarity by {scorer}"
        raise InputError(f"{where}: got none for concept {about!r} and text {written!r}; allowed: a number.")
    return np.where(empty, np.nan, found)


def majority(answers: pd.DataFrame) -> pd.DataFrame:
    """Return the majority answer of people to each item, as ``ANSWER_COLUMNS``; ``cannot_tell`` in a tie.

    Args:
        answers: ``ANSWER_COLUMNS``, of people only. ``cannot_tell`` counts for neither side.
    """
    lead = np.sign(answers["outcome"] - 0.5).groupby(answers["item_id"], sort=False).sum()
    outcome = np.sign(lead.to_numpy()) / 2 + 0.5
    answer = np.where(outcome == 0.5, CANNOT_TELL, np.where(outcome > 0.5, FIRST, SECOND))
    table = pd.DataFrame({"item_id": lead.index.astype("str"), "answer": answer, "outcome": outcome})
    return of_rater(table.assign(order=None, concept_order=None), PEOPLE, MAJORITY)
