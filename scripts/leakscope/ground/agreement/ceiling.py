"""What noise leaves of tau: how well two corpora of one law and size agree.

Counts redrawn from themselves agree too well: their own noise passes for law, and only that of the second corpus is
noise. Against the truth of simulated laws: ``benchmarks/ceiling.py``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from leakscope.ground.agreement.count_law import draw_means, fit_law
from leakscope.ground.agreement.kendall_tau import Floats, mean_tau


def ceiling_tau(counts: ArrayLike, redraws: int) -> float:
    """Return how well these counts agree with those of another corpus of the same law and size.

    With T(s) the mean tau-b of two independent corpora that are s times as large, c the counts, and λ drawn from the
    law that is fitted to them, given them (``count_law``):

        T(½) = E τ(h, c − h),   h ~ Binomial(c, ½)
        T(1) = T(½) + E τ(c, Poisson(λ)) − E τ(Poisson(λ/2), Poisson(λ/2)),   between 0 and 1

    T(½) is of split halves: where documents are drawn one by one, those of a pair are divided as by coins, so that
    counts suffice and no law is assumed. Only what a whole corpus has more than its half is the fitted law's. T is not
    below 0: of two corpora of one law neither order of two groups is against the other's on average.

    Args:
        counts: (subjects, groups), numbers of documents; a missing one (NaN) takes its group out.
        redraws: how many corpora.

    Returns:
        The mean tau-b over subjects that have one; NaN without any.

    Source: split halves, Spearman 1910 and Brown 1910 (whose step from half to whole is the fitted law's here);
        empirical Bayes, see ``count_law``.
    """
    table: Floats = np.round(np.asarray(counts, dtype=float))
    table = table[np.nansum(table, axis=1) > 0]
    if not len(table):
        return float("nan")
    rng, law = np.random.default_rng(0), fit_law(table)
    known, whole = ~np.isnan(table), np.nan_to_num(table).astype(np.int64)
    drawn = []
    for _ in range(redraws):
        half, means = rng.binomial(whole, 0.5), np.nan_to_num(draw_means(law, table, rng))
        pairs = [(half, whole - half), (whole, rng.poisson(means)), (rng.poisson(means / 2), rng.poisson(means / 2))]
        drawn.append([mean_tau(*(np.where(known, side, np.nan) for side in pair)) for pair in pairs])
    taus = np.array(drawn)
    taus = taus[~np.isnan(taus).any(1)]
    if not len(taus):
        return float("nan")
    halves, wholes, halves_of_law = taus.mean(0)
    return float(np.clip(halves + wholes - halves_of_law, 0, 1))
