"""Counts, scores and prevalence as tables of subjects × groups, over what they have in common."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import pandas as pd

logger = logging.getLogger(__name__)

UNMATCHED = ["axis", "kind", "name", "found_in", "missing_in"]
MOST_NAMED = 5


def counts_of(table: pd.DataFrame, window: int | None, unit: str) -> pd.DataFrame:
    """Return counts, subjects × groups, at a window and in a unit; of imported ones the only unit there is.

    Where no counts are there at the window, those of the largest known one (or without window) are taken.

    Args:
        table: counts of one axis: ``subject, group, window, unit, count``.
        window: in words; None: anywhere in a document.
        unit: ``documents`` or ``mentions``.
    """
    units = list(table["unit"].unique())
    rows = table[table["unit"] == (unit if unit in units else units[0])]
    has = rows["window"].isna() if window is None else rows["window"] == window
    if not has.any():
        largest = rows["window"].max()
        if not pd.isna(largest) or window is None:
            wanted = "without a window" if window is None else f"within {window} words"
            logger.warning("no counts %s; those within %s words rank", wanted, largest)
        has = rows["window"].isna() if pd.isna(largest) else rows["window"] == largest
    return rows[has].pivot(index="subject", columns="group", values="count").astype(float)


def scores_of(table: pd.DataFrame, score: str) -> pd.DataFrame:
    """Return a score's mean over templates, subjects × groups; a template of a subject counts where it is whole.

    Args:
        table: scores of one model, axis and language: ``template_id, subject, group`` and a column for each score.
        score: ``logprob``, ``logprob_mean``, ``logprob_span`` or ``pmi``.
    """
    by_template = table.pivot(index=["subject", "template_id"], columns="group", values=score)
    return by_template.dropna().groupby("subject").mean()


def prevalence_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return prevalence, subjects × groups, missing where unknown."""
    return table.pivot(index="subject", columns="group", values="prevalence").astype(float)


def align(*tables: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the tables cut to the subjects and groups that all have, in one order."""
    subjects, groups = tables[0].index, tables[0].columns
    for table in tables[1:]:
        subjects, groups = subjects.intersection(table.index), groups.intersection(table.columns)
    return [table.loc[subjects.sort_values(), groups.sort_values()] for table in tables]


def unmatched(axis: str, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return ``axis, kind, name, found_in, missing_in``: every subject and group that one table has and another lacks.

    Each is compared with the first, the counts, in both directions; what is found is logged, too.

    Args:
        axis: its name.
        tables: what it is → subjects × groups; the counts first.
    """
    (reference, counted), *others = tables.items()
    rows = []
    for name, table in others:
        for here, there, mine, theirs in ((reference, name, counted, table), (name, reference, table, counted)):
            for kind, found in (("subject", mine.index.difference(theirs.index)),
                                ("group", mine.columns.difference(theirs.columns))):  # fmt: skip
                rows += [(axis, kind, missing, here, there) for missing in found]
                if len(found):
                    _say(axis, kind, list(found), len(mine.index if kind == "subject" else mine.columns), here, there)
    return pd.DataFrame(rows, columns=UNMATCHED)


def _say(axis: str, kind: str, names: Sequence[str], total: int, here: str, there: str) -> None:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    listed = ", ".join(map(str, names[:MOST_NAMED])) + more
    logger.warning("%s: %d of %d %ss of %s are not in %s: %s", axis, len(names), total, kind, here, there, listed)
