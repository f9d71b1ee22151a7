"""The noise ceiling of tau: the agreement of two corpora with the same distribution and size.

Redrawing counts from themselves overestimates it, because the noise of the observed corpus is treated as signal.
Validation on simulated distributions: ``benchmarks/ceiling.py``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from leakscope.ground.agreement.count_law import draw_means, fit_law
from leakscope.ground.agreement.kendall_tau import Floats, mean_tau


def ceiling_tau(counts: ArrayLike, redraws: int) -> float:
    """Return the expected mean tau-b of these counts with those of another corpus of the same distribution and size.

    With T(s) the mean tau-b of two independent corpora that are s times as large, c the counts, and λ drawn from its
    posterior under the distribution fitted to the counts (``count_law``):

        T(½) = E τ(h, c − h),   h ~ Binomial(c, ½)
        T(1) = T(½) + E τ(c, Poisson(λ)) − E τ(Poisson(λ/2), Poisson(λ/2)),   between 0 and 1

    T(½) is the split-half agreement: if documents are independent draws, a random half of a pair's documents is
    binomial, so it needs only counts and no model. Only the step from half to whole corpus uses the fitted
    distribution. T is at least 0, because two corpora of one distribution do not disagree on average.

    Args:
        counts: (subjects, groups), numbers of documents; groups with a missing count (NaN) are not compared.
        redraws: number of simulated corpora.

    Returns:
        The mean tau-b over subjects with a tau; NaN without any.

    Source: split halves, Spearman 1910 and Brown 1910 (their step from half to whole is replaced by the fitted
        distribution); empirical Bayes, see ``count_law``.
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
