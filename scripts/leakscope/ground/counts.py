"""Counts of one axis as one table, whatever they were counted with: ``axis, subject, group, window, unit, count``."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from leakscope.counting.cooccurrence import Counts, by_window
from leakscope.counting.lexicons import ambiguous_terms
from leakscope.counting.mentions import Terms
from leakscope.counting.units import DOCUMENTS, MENTIONS
from leakscope.ground.imported import COUNT_COLUMNS
from leakscope.ground.naming import Naming

logger = logging.getLogger(__name__)


def warn_of_ambiguous(lexicons: Mapping[str, str]) -> None:
    """Name the terms of an axis's lexicons that often mean something else; they are counted all the same."""
    for path in sorted(lexicons.values()):
        if terms := ambiguous_terms(Path(path)):
            logger.warning(
                "%s: these terms often mean something else, and are counted all the same: %s",
                path,
                ", ".join(sorted(terms, key=str.lower)),
            )


def axis_counts(counts: Counts, axis: str, terms: Terms, naming: Naming, windows: Sequence[int]) -> pd.DataFrame:
    """Return the counts of an axis by window, and without one, in documents and in pairs of mentions.

    Args:
        counts: of the whole corpus.
        axis: its name.
        terms: that were counted.
        naming: of the axis.
        windows: in words.
    """
    table = by_window(counts.pairs[counts.pairs["axis"] == axis], [*windows, None], {axis: terms.sides()[axis]})
    long = table.melt(
        ["axis", "subject", "group", "window"], [DOCUMENTS, MENTIONS], var_name="unit", value_name="count"
    )
    return naming.apply(long, ["subject", "group", "window", "unit"], f"counts of {axis}")[COUNT_COLUMNS]


def axis_terms(counts: Counts, lexicons: Mapping[str, str]) -> pd.DataFrame:
    """Return ``side, concept, documents, mentions``: how often each concept of an axis is mentioned at all."""
    sides = [counts.terms[counts.terms["lexicon"] == path].assign(side=side) for side, path in sorted(lexicons.items())]
    return pd.concat(sides, ignore_index=True)[["side", "concept", DOCUMENTS, MENTIONS]]
