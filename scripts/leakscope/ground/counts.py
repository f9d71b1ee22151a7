"""Tables of one axis's counts in a corpus: pairs (``axis, subject, group, window, unit, count``) and single terms."""

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
    """Warn about terms of an axis's lexicons that often have another meaning; they are counted anyway."""
    for path in sorted(lexicons.values()):
        if terms := ambiguous_terms(Path(path)):
            logger.warning(
                "%s: these terms often have another meaning but are counted: %s",
                path,
                ", ".join(sorted(terms, key=str.lower)),
            )


def axis_counts(counts: Counts, axis: str, terms: Terms, naming: Naming, windows: Sequence[int]) -> pd.DataFrame:
    """Return the counts of an axis by window and for the whole document, in documents and in pairs of mentions.

    Args:
        counts: of the whole corpus.
        axis: name of the axis.
        terms: the terms that were counted.
        naming: naming rules of the axis.
        windows: in words.
    """
    table = by_window(counts.pairs[counts.pairs["axis"] == axis], [*windows, None], {axis: terms.sides()[axis]})
    long = table.melt(
        ["axis", "subject", "group", "window"], [DOCUMENTS, MENTIONS], var_name="unit", value_name="count"
    )
    return naming.apply(long, ["subject", "group", "window", "unit"], f"counts of {axis}")[COUNT_COLUMNS]


def axis_terms(counts: Counts, lexicons: Mapping[str, str]) -> pd.DataFrame:
    """Return ``side, concept, documents, mentions``: the total counts of each concept of an axis."""
    sides = [counts.terms[counts.terms["lexicon"] == path].assign(side=side) for side, path in sorted(lexicons.items())]
    return pd.concat(sides, ignore_index=True)[["side", "concept", DOCUMENTS, MENTIONS]]
