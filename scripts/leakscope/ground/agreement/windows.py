"""Sensitivity of rankings by counts to the width of the window."""

from __future__ import annotations

import pandas as pd

from leakscope.ground.agreement.joined import counts_of
from leakscope.ground.agreement.kendall_tau import mean_over_subjects, tau_b


def rank_counts(counts: pd.DataFrame) -> pd.DataFrame:
    """Return counts with ``rank`` of the group within subject and window, 1 the most frequent; ties share a rank.

    Args:
        counts: ``axis, subject, group, window, unit, count``.
    """
    by = ["axis", "unit", "window", "subject"]
    ranks = counts.groupby(by, dropna=False, sort=False)["count"].rank(ascending=False, method="average")
    return counts.assign(rank=ranks)


def window_agreement(counts: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return the agreement of each window's ranking with that of the largest window, one row per axis, unit and window.

    ``share_identical`` is the share of subjects with the same ranking, ties included; ``tau`` the mean over subjects,
    with an interval that generalises to new subjects.

    Args:
        counts: as in ``rank_counts``.
        level: nominal coverage of the interval.
    """
    rows = []
    for (axis, unit), part in counts.groupby(["axis", "unit"], sort=False):
        unit = str(unit)
        known = sorted(int(window) for window in part["window"].dropna().unique())
        reference = known[-1] if known else None
        windows: list[int | None] = [*known[:-1], *([None] if known and part["window"].isna().any() else [])]
        wanted = counts_of(part, reference, unit)
        for window in windows:
            here = counts_of(part, window, unit).loc[wanted.index, wanted.columns]
            same = (here.rank(axis=1).to_numpy() == wanted.rank(axis=1).to_numpy()).all(1)
            tau = mean_over_subjects(tau_b(here, wanted), level)
            rows.append((axis, unit, window, reference, len(wanted), same.mean(), *tau[:3]))
    columns = [
        "axis",
        "unit",
        "window",
        "reference_window",
        "n_subjects",
        "share_identical",
        "tau",
        "ci_low",
        "ci_high",
    ]
    return pd.DataFrame(rows, columns=columns).astype({"window": "Int64", "reference_window": "Int64"})
