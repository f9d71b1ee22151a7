"""Counts, scores and prevalence as tables of subjects × groups, restricted to common subjects and groups."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import pandas as pd

from leakscope.counting.units import AS_IMPORTED
from leakscope.errors import InputError, Mistakes
from leakscope.ground.agreement.whole import whole_templates

logger = logging.getLogger(__name__)

UNMATCHED = ["axis", "kind", "name", "found_in", "missing_in"]
MOST_NAMED = 5
# Names of each side that an error shows.
SHOWN = 2


class Used(NamedTuple):
    """The counts to rank by: ``window`` in words (None: anywhere in a document, or not known) and ``unit``."""

    window: int | None
    unit: str


def counts_used(table: pd.DataFrame, window: int | None, unit: str) -> Used:
    """Return the window and unit of the counts to rank by: the requested ones, else the largest window and first unit.

    Args:
        table: counts of one axis: ``subject, group, window, unit, count``.
        window: in words; None: anywhere in a document.
        unit: ``documents`` or ``mentions``.
    """
    units = list(table["unit"].unique())
    chosen = unit if unit in units else units[0]
    windows = table.loc[table["unit"] == chosen, "window"]
    if windows.isna().any() if window is None else (windows == window).any():
        return Used(window, chosen)
    return Used(None if windows.isna().all() else int(windows.max()), chosen)


def counts_of(table: pd.DataFrame, window: int | None, unit: str) -> pd.DataFrame:
    """Return counts, subjects × groups, at the window and in the unit of ``counts_used``; warn if not as requested."""
    used = counts_used(table, window, unit)
    if used.unit != unit and used.unit != AS_IMPORTED:
        logger.warning("no counts of %s; ranks by counts of %s", unit, used.unit)
    if used.window != window and not (used.window is None and used.unit == AS_IMPORTED):
        wanted = "anywhere in a document" if window is None else f"within {window} words"
        logger.warning("no counts %s; ranks by counts within %s", wanted, used.window)
    rows = table[table["unit"] == used.unit]
    rows = rows[rows["window"].isna() if used.window is None else rows["window"] == used.window]
    return rows.pivot(index="subject", columns="group", values="count").astype(float)


def scores_of(table: pd.DataFrame, score: str) -> pd.DataFrame:
    """Return a score's mean over whole templates, subjects × groups, NaN where a subject has no score for a group.

    A template with a missing score is excluded for that subject and all its groups (``whole_templates``). A subject
    without any whole template has a row of NaN.

    Args:
        table: scores of one model, axis and language: ``template_id, subject, group`` and a column for each score.
        score: ``logprob``, ``logprob_mean``, ``logprob_span`` or ``pmi``.
    """
    named = pd.Index(sorted(table["subject"].unique()), name="subject")
    return whole_templates(table, score).groupby("subject").mean().reindex(named)


def prevalence_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return prevalence, subjects × groups, NaN where unknown."""
    return table.pivot(index="subject", columns="group", values="prevalence").astype(float)


def align(*tables: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the tables restricted to common groups, and subjects with a known value in every table; sorted."""
    cut = in_common(*tables)
    there = pd.concat([table.notna().any(axis=1) for table in cut], axis=1).all(axis=1)
    return [table[there] for table in cut]


def in_common(*tables: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the tables restricted to common subjects and groups, with known values or not; sorted."""
    subjects, groups = tables[0].index, tables[0].columns
    for table in tables[1:]:
        subjects, groups = subjects.intersection(table.index), groups.intersection(table.columns)
    return [table.loc[subjects.sort_values(), groups.sort_values()] for table in tables]


def unmatched(axis: str, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return ``axis, kind, name, found_in, missing_in``: subjects, groups and pairs that are missing in a table.

    Each table is compared with the first one, the counts, in both directions. Differences are also logged.

    Args:
        axis: name of the axis.
        tables: description → subjects × groups; the counts first.

    Raises:
        InputError: a table has no subject or no group in common with the counts.
    """
    (reference, counted), *others = tables.items()
    found = Mistakes()
    for name, table in others:
        found.run(partial(_check_shared, axis, kind, (reference, name), names) for kind, names in (
            ("subject", (counted.index, table.index)), ("group", (counted.columns, table.columns))
        ))  # fmt: skip
    found.end()
    rows = []
    for name, table in others:
        for here, there, mine, theirs in ((reference, name, counted, table), (name, reference, table, counted)):
            shared = mine.columns.intersection(theirs.columns)
            # A subject known only for other groups counts as missing.
            subjects = [side.index[side[shared].notna().any(axis=1)] for side in (mine, theirs)]
            both = subjects[0].intersection(subjects[1])
            holes = mine.loc[both, shared].notna() & theirs.loc[both, shared].isna()
            pairs = pd.Index(
                [f"{row} × {column}" for row, column in zip(*_true_cells(holes), strict=True)], dtype=object
            )
            for kind, lacking in (("subject", subjects[0].difference(subjects[1])),
                                ("group", mine.columns.difference(theirs.columns)), ("pair", pairs)):  # fmt: skip
                rows += [(axis, kind, missing, here, there) for missing in lacking]
                if len(lacking):
                    total = {"subject": len(mine.index), "group": len(mine.columns), "pair": holes.size}[kind]
                    _warn_of_missing(axis, kind, list(lacking), total, here, there)
    return pd.DataFrame(rows, columns=UNMATCHED)


def _check_shared(axis: str, kind: str, tables: tuple[str, str], names: tuple[pd.Index, pd.Index]) -> None:
    """Refuse tables without common names: names in another language, codes instead of names, unrelated tables."""
    if names[0].intersection(names[1]).empty:
        (reference, name), (known, given) = tables, (", ".join(map(str, side[:SHOWN])) for side in names)
        raise InputError(
            f"{axis}: got no {kind} that {reference} ({known}, ...) and {name} ({given}, ...) have in common; use the "
            "same names, or map them by `names`, `rename` or `groups` of the axis."
        )


def _true_cells(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the subjects and the groups of the cells that are true."""
    rows, columns = (places.tolist() for places in table.to_numpy().nonzero())
    return [str(table.index[row]) for row in rows], [str(table.columns[column]) for column in columns]


def _warn_of_missing(axis: str, kind: str, names: Sequence[str], total: int, here: str, there: str) -> None:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    listed = ", ".join(map(str, names[:MOST_NAMED])) + more
    are = "is" if len(names) == 1 else "are"
    logger.warning("%s: %d of %d %ss of %s %s not in %s: %s", axis, len(names), total, kind, here, are, there, listed)
