"""A corpus beside the world: each group's share of a subject's mentions against its share of the cases."""

from __future__ import annotations

import pandas as pd

from leakscope.ground.agreement.joined import align
from leakscope.statistics.intervals import wilson

COLUMNS = [
    "axis", "subject", "group", "count", "count_per_10000", "count_rank", "prevalence", "prevalence_rank",
    "share_of_counts", "share_of_prevalence", "difference", "margin_of_error", "ci_low", "ci_high", "among_top",
]  # fmt: skip


def prevalence_gaps(axis: str, counts: pd.DataFrame, prevalence: pd.DataFrame, top: int, level: float) -> pd.DataFrame:
    """Return every pair of which both are known: counts and prevalence, their ranks, and the difference of shares.

    ``count_per_10000`` is the group's count in 10,000 of all the subject's; ``difference`` its share of the counts less
    its share of the prevalence, each among the groups compared, with the limits of Wilson's interval, from the binomial
    error of the counts alone; ``margin_of_error`` is half its width. Ranks are within the subject, 1 the highest. Only
    groups of which both numbers are known take part, and subjects with two of them at least.

    Args:
        axis: its name.
        counts: subjects × groups.
        prevalence: subjects × groups, cases per 10,000 persons; missing where unknown.
        top: so many subjects with the highest total counts are ``among_top``.
        level: of the interval, 0 to 1.
    """
    everything = counts.sum(axis=1)
    most = set(everything.nlargest(top).index)
    counted, known = align(counts, prevalence)
    # A single group has all of both shares.
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
