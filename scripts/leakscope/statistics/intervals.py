"""Confidence intervals for a pooled mean of values that come in clusters.

Pairs that share a control, or a template, are not independent, and clusters are few and unequal. Only clusters are
taken to be independent here; never give clusters smaller than what shares a control.

The plain interval, mean ± t(G − 1) linearised standard errors, covers too little as soon as a rate is high and
templates differ: with 10 clusters and a rate of 98, 84 to 87 % of the time instead of 95 (``benchmarks/coverage.py``).
Near a bound the better the clusters drawn, the smaller their standard error. So the same variance is used on scales
that know of the bounds: as the number of independent pairs that the clusters are worth, and on the logit scale. Values
without bounds have a long side at times, which Hall's transformation sees.

Clusters may stand in strata: categories that a study has by design, and would have again. What strata differ by is then
no part of the variance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Floats = NDArray[np.float64]

NO_VARIANCE = 1e-20  # of the mean, on the unit scale: below it there are only rounding errors
LARGEST_N = 1e12  # beyond it the incomplete beta function is no longer inverted exactly
NO_SKEWNESS = 1e-6  # below it Hall's transformation is the identity, but for rounding
FEW = 10  # clusters below which skewness is not known, and intervals are marked


class ClusterInterval(NamedTuple):
    """A pooled mean with its interval; ``method`` names how, ``none`` where nothing can be said."""

    mean: float
    low: float
    high: float
    n: int
    n_clusters: int
    method: str


class Intervals(NamedTuple):
    """Means and limits of many studies at once; ``varies`` is False where clusters do not differ at all."""

    mean: Floats
    low: Floats
    high: Floats
    varies: NDArray[np.bool_]


def cluster_interval(
    values: ArrayLike,
    clusters: ArrayLike,
    level: float = 0.95,
    bounds: tuple[float, float] = (0.0, 100.0),
    strata: ArrayLike | None = None,
) -> ClusterInterval:
    """Return the pooled mean of clustered values with its interval, as in ``intervals_of_totals``.

    Args:
        values: (n,), within the bounds, in their unit.
        clusters: (n,), labels; none may be missing.
        level: coverage aimed at, between 0 and 1.
        bounds: least and largest possible value: (0, 100) for a rate in percent, (−100, 100) for a difference of two,
            infinite for log-odds.
        strata: (n,), labels; those that share a cluster are one. None: all clusters are of one kind.

    Returns:
        Mean and limits in the unit of the values, NaN with ``n = 0`` for no values. ``method`` is ``korn-graubard``,
        ``t`` (infinite bounds; from ten clusters on ``hall``), ``clopper-pearson`` (clusters that do not differ) or
        ``none``.

    Raises:
        ValueError: a cluster label is missing.
    """
    y = np.asarray(values, dtype=float)
    codes, labels = pd.factorize(np.asarray(clusters, dtype=object))
    if len(y) == 0:
        return ClusterInterval(np.nan, np.nan, np.nan, 0, 0, "none")
    if (codes < 0).any():
        raise ValueError("a cluster label is missing")
    totals, counts = np.bincount(codes, weights=y), np.bincount(codes)
    of_clusters = None if strata is None else cluster_strata(codes, strata)
    mean, low, high, varies = (x.item() for x in intervals_of_totals(totals, counts, level, bounds, of_clusters))
    if np.isfinite(bounds).all():
        method = "korn-graubard" if varies else "clopper-pearson"
    else:
        method = ("hall" if len(labels) >= FEW else "t") if varies else "none"
    return ClusterInterval(mean, low, high, len(y), len(labels), method)


def cluster_strata(clusters: NDArray[np.intp], strata: ArrayLike) -> NDArray[np.intp]:
    """Return the stratum of each cluster, (G,): strata that share a cluster are one.

    Args:
        clusters: (n,), from 0.
        strata: (n,), labels in the same order.
    """
    labels, _ = pd.factorize(np.asarray(strata, dtype=object), use_na_sentinel=False)
    n_clusters = int(clusters.max(initial=-1)) + 1
    size = n_clusters + int(labels.max(initial=-1)) + 1
    links = coo_array((np.ones(len(clusters)), (clusters, n_clusters + labels)), shape=(size, size))
    stratum: NDArray[np.intp] = connected_components(links, directed=False)[1][:n_clusters].astype(np.intp)
    return stratum


def intervals_of_totals(
    totals: ArrayLike,
    counts: ArrayLike,
    level: float = 0.95,
    bounds: tuple[float, float] = (0.0, 100.0),
    strata: NDArray[np.intp] | None = None,
) -> Intervals:
    """Return pooled means and intervals from the clusters' sums, for any number of studies at once.

    With totals T_g and counts m_g of the G clusters, N = Σ m_g and shares w_g = m_g / N:

        mean      Ȳ = Σ T_g / N                                          (a ratio estimator: clusters are unequal)
        residual  r_g = (T_g − Ȳ m_g) / N
        variance  V = Σ r_g² / (1 − w_g)                                 (linearised; G/(G−1) where clusters are equal)
        degrees   d = max(1, min(1/Σ w_g² − 1, 2G/(κ − 1))),  κ = G Σ r_g⁴ / (Σ r_g²)²
        pairs     n = p (1 − p) / V · (z / t_d)²,  p and V on the scale on which the bounds are 0 and 1
        limits    Clopper–Pearson for p·n successes out of n, or logit p ± t_d √V / (p (1 − p)): whichever lies farther

    d is G − 1 for equal clusters whose residuals are not more spread than normal ones; it is less where few clusters
    carry the mean (their sizes) or the variance (kurtosis κ, Satterthwaite). The first pair of limits is right where V
    goes with p (1 − p), as between pairs, the second where it goes with its square, as between templates; away from the
    bounds both are Ȳ ± t_d √V. Where V is 0, one cluster included, n is the number of clusters. An interval contains
    its mean.

    Infinite bounds get Ȳ ± t_d √V and, from ten clusters on, the farther of that and of Hall's limits

        Ȳ − g⁻¹(± t_d) √V,   g⁻¹(y) = 3/a ((1 + a (y − a/6))^⅓ − 1),   a = Σ r_g³ / ((1 − w_g)(1 − 2 w_g)) / V^1.5

    With strata h of N_h values, W_h = N_h / N: V = Σ W_h² V_h, each V_h as above of the stratum's own clusters, mean
    and shares; the third moment likewise; d = V² / Σ (W_h² V_h)² / d_h (Satterthwaite). Strata of one cluster are put
    together, a single such with the smallest other one.

    Args:
        totals: (..., G), sums of the values by cluster.
        counts: (..., G), numbers of values; a cluster without any does not count.
        level: as in ``cluster_interval``.
        bounds: as in ``cluster_interval``.
        strata: (G,), from ``cluster_strata``; None: one.

    Returns:
        Arrays of shape (...); NaN where there is no value, and without variance between infinite bounds.

    Source: ratio estimator and linearised variance, Cochran 1977 (Sampling Techniques, ch. 6); few unequal clusters,
        Bell & McCaffrey 2002 (the 1 − w_g), Cameron & Miller 2015 (section VI); effective sample size, Korn & Graubard
        1998; exact limits, Clopper & Pearson 1934; skewness, Hall 1992 (On the removal of skewness by transformation);
        strata, and those of one cluster, Cochran 1977 (5A.12).
    """
    sums, m = np.broadcast_arrays(np.asarray(totals, dtype=float), np.asarray(counts, dtype=float))
    lowest, highest = bounds
    bounded = bool(np.isfinite(bounds).all())
    shift, scale = (lowest, highest - lowest) if bounded else (0.0, 1.0)
    sums, n_clusters = (sums - shift * m) / scale, (m > 0).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        n = m.sum(-1)
        mean = sums.sum(-1) / n
        if bounded:
            mean = np.clip(mean, 0.0, 1.0)  # a rounding error beyond the bound would lie outside its interval
        variance, third, degrees = _spread(sums, m, strata)
        varies = variance > NO_VARIANCE
        t = special.stdtrit(degrees, 0.5 + level / 2)
        if bounded:
            low, high = _bounded_limits(mean, variance, t, varies, n_clusters, level)
        else:
            se = np.where(varies, np.sqrt(variance), np.nan)
            low, high = _unbounded_limits(mean, se, np.where(n_clusters >= FEW, third, 0.0), t)
    mean, low, high = (np.asarray(shift + scale * x) for x in (mean, low, high))
    return Intervals(mean, low, high, np.asarray(varies))


def linearised_variance(totals: ArrayLike, counts: ArrayLike, strata: NDArray[np.intp] | None = None) -> Floats:
    """Return the variance V of the pooled mean as in ``intervals_of_totals``, (...), in the square of the totals' unit.

    Args:
        totals: (..., G).
        counts: (..., G).
        strata: (G,), from ``cluster_strata``; None: one.
    """
    sums, m = np.broadcast_arrays(np.asarray(totals, dtype=float), np.asarray(counts, dtype=float))
    with np.errstate(divide="ignore", invalid="ignore"):
        return _spread(sums, m, strata)[0]


def clopper_pearson(rate: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the limits, 0 to 1, of the exact binomial interval, extended to any positive number of trials.

    With x = rate · n: the (1 − level)/2 quantile of Beta(x, n − x + 1) and the (1 + level)/2 quantile of
    Beta(x + 1, n − x); 0 at rate 0 and 1 at rate 1.

    Args:
        rate: observed share of successes, 0 to 1.
        n: number of trials, above 0; need not be whole.
        level: coverage aimed at, between 0 and 1.

    Source: Clopper & Pearson 1934.
    """
    p, trials = np.clip(np.asarray(rate, dtype=float), 0, 1), np.asarray(n, dtype=float)
    x, rest = p * trials, (1 - p) * trials
    low = np.where(p == 0, 0.0, special.betaincinv(x, rest + 1, 0.5 - level / 2))
    high = np.where(p == 1, 1.0, special.betaincinv(x + 1, rest, 0.5 + level / 2))
    # A wide enough level contains the rate anyway; a narrow one need not when there is less than one trial.
    return np.minimum(low, p), np.maximum(high, p)


def garwood(count: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the limits of the exact interval of a Poisson mean, extended to any count: 0 at count 0.

    With count x: the (1 − level)/2 quantile of Gamma(x) and the (1 + level)/2 quantile of Gamma(x + 1).

    Args:
        count: observed, 0 or more; need not be whole.
        level: coverage aimed at, between 0 and 1.

    Source: Garwood 1936 (Fiducial limits for the Poisson distribution).
    """
    x = np.asarray(count, dtype=float)
    low = np.where(x == 0, 0.0, special.gammaincinv(np.where(x == 0, 1.0, x), 0.5 - level / 2))
    return np.minimum(low, x), np.maximum(special.gammaincinv(x + 1, 0.5 + level / 2), x)


def wilson(rate: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the limits, 0 to 1, of Wilson's score interval of a share; NaN without trials.

        (p + z²/2n ± z √(p (1 − p)/n + z²/4n²)) / (1 + z²/n)

    Unlike p ± z √(p (1 − p)/n) it has a width where none, or all, are successes.

    Args:
        rate: p, observed share of successes, 0 to 1.
        n: number of trials.
        level: coverage aimed at, between 0 and 1.

    Source: Wilson 1927 (Probable inference, the law of succession, and statistical inference).
    """
    p, trials, z = np.asarray(rate, dtype=float), np.asarray(n, dtype=float), special.ndtri(0.5 + level / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = z**2 / trials
        centre, half = p + share / 2, z * np.sqrt(p * (1 - p) / trials + (z / (2 * trials)) ** 2)
        low, high = (centre - half) / (1 + share), (centre + half) / (1 + share)
    # Where p is 0 or 1 so is one limit, but for rounding.
    return np.where(p == 0, p, low), np.where(p == 1, p, high)


def _spread(sums: Floats, m: Floats, strata: NDArray[np.intp] | None) -> tuple[Floats, Floats, Floats]:
    """Return variance, third moment and degrees of freedom of the pooled mean, each (...).

    Args:
        sums: (..., G), on the unit scale.
        m: (..., G), numbers of values.
        strata: (G,), or None for one.
    """
    if strata is None or len(strata) == 0:
        return _spread_of_one(sums, m)
    flat, sizes = sums.reshape(-1, sums.shape[-1]), m.reshape(-1, m.shape[-1])
    parts = np.empty((3, len(flat)))
    # Studies of which other clusters are missing may have other strata of one cluster.
    patterns, pattern = np.unique(sizes > 0, axis=0, return_inverse=True)
    for place, there in enumerate(patterns):
        rows = np.flatnonzero(pattern.reshape(-1) == place)
        joined = _joined(strata[there])
        n, variance, third, inverse = sizes[rows].sum(-1), *np.zeros((3, len(rows)))
        for stratum in np.unique(joined):
            own = np.flatnonzero(there)[joined == stratum]
            share = sizes[np.ix_(rows, own)].sum(-1) / n
            v, s, d = _spread_of_one(flat[np.ix_(rows, own)], sizes[np.ix_(rows, own)])
            variance, third, inverse = variance + share**2 * v, third + share**3 * s, inverse + (share**2 * v) ** 2 / d
        parts[:, rows] = variance, third, np.fmax(variance**2 / inverse, 1.0)
    variance, third, degrees = parts.reshape(3, *sums.shape[:-1])
    return variance, third, degrees


def _spread_of_one(sums: Floats, m: Floats) -> tuple[Floats, Floats, Floats]:
    """Return what ``_spread`` does, of a single stratum."""
    n = m.sum(-1, keepdims=True)
    w = m / n
    residuals = sums / n - (sums.sum(-1, keepdims=True) / n) * w
    variance = np.where(w < 1, residuals**2 / (1 - w), 0.0).sum(-1)
    # One cluster of half of all values and more says nothing of skewness.
    third = (residuals**3 / np.where(w < 1 / 2, (1 - w) * (1 - 2 * w), 1.0)).sum(-1)
    return variance, third, _degrees(w, residuals, (m > 0).sum(-1))


def _joined(strata: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return strata, (clusters,), of two clusters at least, if there are two: a cluster alone has no variance."""
    labels, codes, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    alone = np.flatnonzero(sizes == 1)
    if len(alone) == 1 and len(labels) > 1:
        others = np.flatnonzero(sizes > 1)
        alone = np.append(alone, others[sizes[others].argmin()])
    joined: NDArray[np.intp] = np.where(np.isin(codes, alone), -1, codes)
    return joined


def _unbounded_limits(mean: Floats, se: Floats, third: Floats, t: Floats) -> tuple[Floats, Floats]:
    """Return the farther of mean ± t se and of Hall's limits, which are the same without a third moment."""
    a = third / se**3
    back = [np.where(np.abs(a) > NO_SKEWNESS, 3 / a * (np.cbrt(1 + a * (y - a / 6)) - 1), y) for y in (t, -t)]
    return mean - se * np.fmax(back[0], t), mean - se * np.fmin(back[1], -t)


def _bounded_limits(
    p: Floats, variance: Floats, t: Floats, varies: NDArray[np.bool_], n_clusters: NDArray[np.int_], level: float
) -> tuple[Floats, Floats]:
    """Return, on the unit scale, the farther of the exact and the logit limits; the exact ones where V is 0."""
    worth = np.minimum(p * (1 - p) / variance * (special.ndtri(0.5 + level / 2) / t) ** 2, LARGEST_N)
    low, high = clopper_pearson(p, np.where(varies, worth, n_clusters), level)
    half = np.where(varies, t * np.sqrt(variance) / (p * (1 - p)), np.nan)
    return np.fmin(low, special.expit(special.logit(p) - half)), np.fmax(high, special.expit(special.logit(p) + half))


def _degrees(w: Floats, residuals: Floats, n_clusters: NDArray[np.int_]) -> Floats:
    """Degrees of freedom of the variance: by the shares of the clusters and by the kurtosis of their residuals."""
    by_size = 1 / (w**2).sum(-1) - 1
    kurtosis = n_clusters * (residuals**4).sum(-1) / (residuals**2).sum(-1) ** 2
    by_spread = 2 * n_clusters / np.maximum(kurtosis - 1, 1e-9)
    degrees: Floats = np.maximum(np.fmin(by_size, by_spread), 1.0)
    return degrees


def limits_of_variance(
    mean: ArrayLike, variance: ArrayLike, degrees: ArrayLike, n_clusters: ArrayLike, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Return the limits of ``intervals_of_totals`` between 0 and 1, of a variance that was found in another way.

    Args:
        mean: p, 0 to 1, any shape; likewise all others.
        variance: V of it.
        degrees: d of V, above 0.
        n_clusters: n where V is 0.
        level: coverage aimed at, between 0 and 1.
    """
    p, v = np.asarray(mean, dtype=float), np.asarray(variance, dtype=float)
    t = np.asarray(special.stdtrit(degrees, 0.5 + level / 2))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _bounded_limits(np.clip(p, 0.0, 1.0), v, t, v > NO_VARIANCE, np.asarray(n_clusters), level)
