"""A typical pair of texts that the match test gets right: the median by clarity."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.leak.measures.similarities import similarity_matrix
from leakscope.leak.pairs import tests_by_unit

MOST_TEXTS = 500
"""Of a unit: if it has more, the first ones are compared."""


class TextSide(NamedTuple):
    """A prompt, its concept, and the text written after it."""

    concept: str
    prompt: str
    text: str


class Told(NamedTuple):
    """Pairs of texts that the match test gets right: the rows of both, and D."""

    one: NDArray[np.intp]
    other: NDArray[np.intp]
    clarity: NDArray[np.float64]


def middling_pair(
    prompts: pd.DataFrame, generations: pd.DataFrame, similarity: pd.DataFrame, scorer: str, decimals: int
) -> tuple[TextSide, TextSide] | None:
    """Return the pair of a model's texts with the median D (``matching``) among pairs with D > 0; None without any.

    Args:
        prompts: the prompts table of one set.
        generations: ``prompt_id, sample, text`` of one model on that set.
        similarity: ``concept, text, similarity`` of a scorer.
        scorer: its name, for errors.
        decimals: digits to which similarities are rounded.
    """
    tests = tests_by_unit(prompts)
    written = generations[["prompt_id", "sample", "text"]].merge(tests, on="prompt_id")
    found: list[Told] = []
    for _, of_category in written.groupby("category", sort=False, dropna=False):
        texts = pd.Index(of_category["text"].unique())
        concepts = list(of_category["concept"].unique())
        matrix = np.round(similarity_matrix(similarity, concepts, texts, scorer), decimals)
        for _, rows in of_category.groupby("unit", sort=False):
            rows = rows.head(MOST_TEXTS)
            found.append(_right(rows, matrix[:, texts.get_indexer(rows["text"])], pd.Index(concepts)))
    clarity = np.concatenate([told.clarity for told in found]) if found else np.empty(0)
    if not len(clarity):
        return None
    at = np.argsort(clarity, kind="stable")[len(clarity) // 2]
    one, other = (
        np.concatenate(labels)[at] for labels in zip(*((told.one, told.other) for told in found), strict=True)
    )
    return _side(written, one), _side(written, other)


def _side(written: pd.DataFrame, label: int) -> TextSide:
    return TextSide(*(str(written.at[label, name]) for name in TextSide._fields))


def _right(rows: pd.DataFrame, similarity: NDArray[np.float64], concepts: pd.Index) -> Told:
    """Return each pair of a unit's texts with D > 0 once.

    Args:
        rows: texts, with ``concept`` and ``concept_group``.
        similarity: shape (concepts, texts).
        concepts: in the order of ``similarity``.
    """
    owner = concepts.get_indexer(pd.Index(rows["concept"]))
    own = similarity[owner, np.arange(len(rows))]
    gain = own[:, None] - similarity[owner].T  # (texts x, texts x'): s(c, x) - s(c', x)
    apart = rows["concept_group"].to_numpy()[:, None] != rows["concept_group"].to_numpy()[None, :]
    difference = np.round(gain + gain.T, 6)
    with np.errstate(invalid="ignore"):
        one, other = np.nonzero(np.triu(apart & (difference > 0), 1))
    labels = rows.index.to_numpy()
    return Told(labels[one], labels[other], difference[one, other])
