"""Corpus against prevalence: each group's share of a subject's counts and its share of the cases."""

from __future__ import annotations

import pandas as pd

from leakscope.ground.agreement.joined import align
from leakscope.statistics.intervals import wilson

COLUMNS = [
    "axis", "subject", "group", "count", "count_per_10000", "count_rank", "prevalence", "prevalence_rank",
    "share_of_counts", "share_of_prevalence", "difference", "margin_of_error", "ci_low", "ci_high", "among_top",
]  # fmt: skip


def prevalence_gaps(axis: str, counts: pd.DataFrame, prevalence: pd.DataFrame, top: int, level: float) -> pd.DataFrame:
    """Return counts, prevalence, ranks and differences of shares, for all pairs with a known count and prevalence.

    ``count_per_10000`` is the group's count per 10,000 of the subject's total. ``difference`` is the group's share of
    the counts minus its share of the prevalence, both among the compared groups, with Wilson limits that include only
    the binomial error of the counts; ``margin_of_error`` is half their width. Ranks are within the subject, 1 the
    highest. Subjects with fewer than two compared groups are excluded.

    Args:
        axis: name of the axis.
        counts: subjects × groups.
        prevalence: subjects × groups, cases per 10,000 persons; NaN where unknown.
        top: number of subjects with the highest total counts to mark as ``among_top``.
        level: nominal coverage of the interval, 0 to 1.
    """
    everything = counts.sum(axis=1)
    most = set(everything.nlargest(top).index)
    counted, known = align(counts, prevalence)
    # With a single group, both shares are 1.
    several = known.notna().sum(axis=1) > 1
    counted, known = counted[several].where(known[several].notna()), known[several]
    totals, cases = counted.sum(axis=1), known.sum(axis=1)
    shares, wanted = counted.div(totals.where(totals > 0), axis=0), known.div(cases.where(cases > 0), axis=0)
    limits = wilson(shares, totals.to_numpy()[:, None], level)
    low, high = (pd.DataFrame(limit, index=shares.index, columns=shares.columns) for limit in limits)
    parts = {
        "count": counted,
        "count_per_10000": (10_000 * counted).div(everything[counted.index], axis=0),
        "count_rank": counted.rank(axis=1, ascending=False),
        "prevalence": known,
        "prevalence_rank": known.rank(axis=1, ascending=False),
        "share_of_counts": shares,
        "share_of_prevalence": wanted,
        "difference": shares - wanted,
        "margin_of_error": (high - low) / 2,
        "ci_low": low - wanted,
        "ci_high": high - wanted,
    }
    long = {name: part.stack(future_stack=True) for name, part in parts.items()}
    table = pd.DataFrame(long).rename_axis(["subject", "group"]).reset_index()
    table = table[table["prevalence"].notna()]
    return table.assign(axis=axis, among_top=table["subject"].isin(most))[COLUMNS].reset_index(drop=True)
