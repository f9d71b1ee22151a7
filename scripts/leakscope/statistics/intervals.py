"""Confidence intervals for the pooled mean of clustered values, and for single shares and counts.

Pairs that share a control or a template are not independent, and clusters are few and unequal. Only clusters are
assumed to be independent: all pairs that share a control must be in one cluster.

The plain interval, mean ± t(G − 1) linearised standard errors, undercovers where a rate is high and templates differ:
with 10 clusters and a rate of 98, coverage is 84 to 87 % instead of 95 (``benchmarks/coverage.py``). Near a bound, the
standard error shrinks as the sampled mean approaches the bound. The same variance is therefore used on two scales that
respect bounds: as an effective number of independent pairs, and on the logit scale. Values without bounds may be
skewed; Hall's transformation corrects for it.

Clusters may be stratified by categories that are fixed by the study's design. Differences between strata are then not
part of the variance.
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
LARGEST_N = 1e12  # above it the incomplete beta function is no longer inverted exactly
NO_SKEWNESS = 1e-6  # below it Hall's transformation is the identity, up to rounding
FEW = 10  # with fewer clusters skewness cannot be estimated, and intervals are marked


class ClusterInterval(NamedTuple):
    """A pooled mean with its interval and the ``method`` of the interval; ``none`` where there is no interval."""

    mean: float
    low: float
    high: float
    n: int
    n_clusters: int
    method: str


class Intervals(NamedTuple):
    """Means and limits of many studies at once; ``varies`` is False where all clusters are equal."""

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
    """Return the pooled mean of clustered values with its confidence interval, computed by ``intervals_of_totals``.

    Args:
        values: (n,), within the bounds and in their unit.
        clusters: (n,), labels; none may be missing.
        level: nominal coverage, between 0 and 1.
        bounds: smallest and largest possible value: (0, 100) for a rate in percent, (−100, 100) for a difference of
            rates, infinite for log-odds.
        strata: (n,), labels; strata that share a cluster are merged. None: no stratification.

    Returns:
        Mean and limits in the unit of the values; without values NaN, and ``n`` is 0. ``method`` is ``korn-graubard``,
        ``t`` (infinite bounds; ``hall`` with ten clusters or more), ``clopper-pearson`` (all clusters are equal) or
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
    """Return the stratum of each cluster, (G,); strata that share a cluster are merged.

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
    """Return pooled means and confidence intervals from sums by cluster, for any number of studies at once.

    With totals T_g and counts m_g of the G clusters, N = Σ m_g and shares w_g = m_g / N:

        mean      Ȳ = Σ T_g / N                                          (a ratio estimator: clusters are unequal)
        residual  r_g = (T_g − Ȳ m_g) / N
        variance  V = Σ r_g² / (1 − w_g)                                 (linearised; G/(G−1) where clusters are equal)
        degrees   d = max(1, min(1/Σ w_g² − 1, 2G/(κ − 1))),  κ = G Σ r_g⁴ / (Σ r_g²)²
        pairs     n = p (1 − p) / V · (z / t_d)²,  p and V on the scale on which the bounds are 0 and 1
        limits    Clopper–Pearson for p·n successes out of n, or logit p ± t_d √V / (p (1 − p)), whichever is wider

    d is G − 1 for equal clusters whose residuals have no heavier tails than a normal distribution. It is smaller where
    few clusters carry the mean (unequal sizes) or the variance (kurtosis κ, Satterthwaite). The first limits are right
    where V is proportional to p (1 − p), as between pairs; the second where V is proportional to its square, as between
    templates. Away from the bounds both equal Ȳ ± t_d √V. Where V is 0, as with one cluster, n is the number of
    clusters. An interval always contains its mean.

    With infinite bounds the limits are Ȳ ± t_d √V; with ten clusters or more, they are the wider of these and Hall's:

        Ȳ − g⁻¹(± t_d) √V,   g⁻¹(y) = 3/a ((1 + a (y − a/6))^⅓ − 1),   a = Σ r_g³ / ((1 − w_g)(1 − 2 w_g)) / V^1.5

    With strata h of N_h values and W_h = N_h / N: V = Σ W_h² V_h, where V_h is computed as above from the stratum's own
    clusters, mean and shares; the third moment is stratified in the same way; d = V² / Σ (W_h² V_h)² / d_h
    (Satterthwaite). Strata with one cluster are merged; a single such stratum is merged with the smallest other one.

    Args:
        totals: (..., G), sums of the values by cluster.
        counts: (..., G), numbers of values; clusters without values are ignored.
        level: as in ``cluster_interval``.
        bounds: as in ``cluster_interval``.
        strata: (G,), from ``cluster_strata``; None: no stratification.

    Returns:
        Arrays of shape (...); NaN without values, and where bounds are infinite and there is no variance.

    Source: ratio estimator and linearised variance, Cochran 1977 (Sampling Techniques, ch. 6); few unequal clusters,
        Bell & McCaffrey 2002 (the 1 − w_g), Cameron & Miller 2015 (section VI); effective sample size, Korn & Graubard
        1998; exact limits, Clopper & Pearson 1934; skewness, Hall 1992 (On the removal of skewness by transformation);
        strata, including strata with one cluster, Cochran 1977 (5A.12).
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
    """Return the variance V of the pooled mean, (...), as in ``intervals_of_totals``, in squared units of the totals.

    Args:
        totals: (..., G).
        counts: (..., G).
        strata: (G,), from ``cluster_strata``; None: no stratification.
    """
    sums, m = np.broadcast_arrays(np.asarray(totals, dtype=float), np.asarray(counts, dtype=float))
    with np.errstate(divide="ignore", invalid="ignore"):
        return _spread(sums, m, strata)[0]


def clopper_pearson(rate: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the exact binomial confidence limits, 0 to 1, extended to fractional numbers of trials.

    With x = rate · n: the (1 − level)/2 quantile of Beta(x, n − x + 1) and the (1 + level)/2 quantile of
    Beta(x + 1, n − x); 0 at rate 0 and 1 at rate 1.

    Args:
        rate: observed share of successes, 0 to 1.
        n: number of trials, above 0; need not be whole.
        level: nominal coverage, between 0 and 1.

    Source: Clopper & Pearson 1934.
    """
    p, trials = np.clip(np.asarray(rate, dtype=float), 0, 1), np.asarray(n, dtype=float)
    x, rest = p * trials, (1 - p) * trials
    low = np.where(p == 0, 0.0, special.betaincinv(x, rest + 1, 0.5 - level / 2))
    high = np.where(p == 1, 1.0, special.betaincinv(x + 1, rest, 0.5 + level / 2))
    # With less than one trial, an interval of a low level may not contain the rate.
    return np.minimum(low, p), np.maximum(high, p)


def garwood(count: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the exact confidence limits of a Poisson mean, extended to fractional counts.

    With count x: the (1 − level)/2 quantile of Gamma(x), 0 for x = 0, and the (1 + level)/2 quantile of Gamma(x + 1).

    Args:
        count: observed, 0 or more; need not be whole.
        level: nominal coverage, between 0 and 1.

    Source: Garwood 1936 (Fiducial limits for the Poisson distribution).
    """
    x = np.asarray(count, dtype=float)
    low = np.where(x == 0, 0.0, special.gammaincinv(np.where(x == 0, 1.0, x), 0.5 - level / 2))
    return np.minimum(low, x), np.maximum(special.gammaincinv(x + 1, 0.5 + level / 2), x)


def wilson(rate: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the limits, 0 to 1, of Wilson's score interval for a share; NaN without trials.

        (p + z²/2n ± z √(p (1 − p)/n + z²/4n²)) / (1 + z²/n)

    Unlike p ± z √(p (1 − p)/n) it has a width above 0 where p is 0 or 1.

    Args:
        rate: p, observed share of successes, 0 to 1.
        n: number of trials.
        level: nominal coverage, between 0 and 1.

    Source: Wilson 1927 (Probable inference, the law of succession, and statistical inference).
    """
    p, trials, z = np.asarray(rate, dtype=float), np.asarray(n, dtype=float), special.ndtri(0.5 + level / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = z**2 / trials
        centre, half = p + share / 2, z * np.sqrt(p * (1 - p) / trials + (z / (2 * trials)) ** 2)
        low, high = (centre - half) / (1 + share), (centre + half) / (1 + share)
    # Where p is 0 or 1, one limit equals p up to rounding.
    return np.where(p == 0, p, low), np.where(p == 1, p, high)


def _spread(sums: Floats, m: Floats, strata: NDArray[np.intp] | None) -> tuple[Floats, Floats, Floats]:
    """Return variance, third moment and degrees of freedom of the pooled mean, each (...).

    Args:
        sums: (..., G), on the unit scale.
        m: (..., G), numbers of values.
        strata: (G,), or None for no stratification.
    """
    if strata is None or len(strata) == 0:
        return _spread_of_one(sums, m)
    flat, sizes = sums.reshape(-1, sums.shape[-1]), m.reshape(-1, m.shape[-1])
    parts = np.empty((3, len(flat)))
    # Studies that lack different clusters may have different strata with one cluster.
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
    """Return variance, third moment and degrees of freedom, as ``_spread``, for a single stratum."""
    n = m.sum(-1, keepdims=True)
    w = m / n
    residuals = sums / n - (sums.sum(-1, keepdims=True) / n) * w
    variance = np.where(w < 1, residuals**2 / (1 - w), 0.0).sum(-1)
    # The skewness weight is not defined for a cluster with half of all values or more.
    third = (residuals**3 / np.where(w < 1 / 2, (1 - w) * (1 - 2 * w), 1.0)).sum(-1)
    return variance, third, _degrees(w, residuals, (m > 0).sum(-1))


def _joined(strata: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return strata, (clusters,), merged so that each has two clusters or more: one cluster has no variance."""
    labels, codes, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    alone = np.flatnonzero(sizes == 1)
    if len(alone) == 1 and len(labels) > 1:
        others = np.flatnonzero(sizes > 1)
        alone = np.append(alone, others[sizes[others].argmin()])
    joined: NDArray[np.intp] = np.where(np.isin(codes, alone), -1, codes)
    return joined


def _unbounded_limits(mean: Floats, se: Floats, third: Floats, t: Floats) -> tuple[Floats, Floats]:
    """Return the wider of mean ± t se and Hall's limits; without a third moment they are equal."""
    a = third / se**3
    back = [np.where(np.abs(a) > NO_SKEWNESS, 3 / a * (np.cbrt(1 + a * (y - a / 6)) - 1), y) for y in (t, -t)]
    return mean - se * np.fmax(back[0], t), mean - se * np.fmin(back[1], -t)


def _bounded_limits(
    p: Floats, variance: Floats, t: Floats, varies: NDArray[np.bool_], n_clusters: NDArray[np.int_], level: float
) -> tuple[Floats, Floats]:
    """Return, on the unit scale, the wider of the exact and the logit limits; where V is 0, the exact limits."""
    worth = np.minimum(p * (1 - p) / variance * (special.ndtri(0.5 + level / 2) / t) ** 2, LARGEST_N)
    low, high = clopper_pearson(p, np.where(varies, worth, n_clusters), level)
    half = np.where(varies, t * np.sqrt(variance) / (p * (1 - p)), np.nan)
    return np.fmin(low, special.expit(special.logit(p) - half)), np.fmax(high, special.expit(special.logit(p) + half))


def _degrees(w: Floats, residuals: Floats, n_clusters: NDArray[np.int_]) -> Floats:
    """Return the degrees of freedom of the variance, from cluster shares and the kurtosis of cluster residuals."""
    by_size = 1 / (w**2).sum(-1) - 1
    kurtosis = n_clusters * (residuals**4).sum(-1) / (residuals**2).sum(-1) ** 2
    by_spread = 2 * n_clusters / np.maximum(kurtosis - 1, 1e-9)
    degrees: Floats = np.maximum(np.fmin(by_size, by_spread), 1.0)
    return degrees


def limits_of_variance(
    mean: ArrayLike, variance: ArrayLike, degrees: ArrayLike, n_clusters: ArrayLike, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Return the limits of ``intervals_of_totals`` with bounds 0 and 1 for a variance that was computed elsewhere.

    Args:
        mean: p, 0 to 1, any shape; the other arrays have the same shape.
        variance: V of the mean.
        degrees: d of V, above 0.
        n_clusters: n where V is 0.
        level: nominal coverage, between 0 and 1.
    """
    p, v = np.asarray(mean, dtype=float), np.asarray(variance, dtype=float)
    t = np.asarray(special.stdtrit(degrees, 0.5 + level / 2))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _bounded_limits(np.clip(p, 0.0, 1.0), v, t, v > NO_VARIANCE, np.asarray(n_clusters), level)
