"""What a sign-flip test of few clusters can see: the level that it reaches, and the least difference that it finds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from leakscope.statistics.permutations import TOLERANCE, smallest_p

Floats = NDArray[np.float64]

PATTERNS = 2**16  # the default of ``permutations.sign_flip_p``
NODES = 400  # of the integrals: the power is right to .0001
# Up to so many reachable p-values below the level a t-test promises too much: 62 % with one, 72 with four.
EXACT_STEPS, COUNTED_STEPS = 3, 8
DRAWS, DRAWS_OF_BOUNDED = 20_000, 2000  # of studies, always the same; their power is right to .003 and .009
GRID = 2.0  # points between sds of which is counted; between them what is detectable is nearly straight
FAR = 10.0  # standard deviations beyond the null where no cluster is found
FARTHEST = 100.0  # likewise of a difference that is looked for: what can be reached at all lies nearer
SEARCHED = 40  # means at which it is looked whether a test finds them
ROUNDS = 30  # in which the correction for bounds settles
MOST_CLUSTERS = 1_000_000


def attained_level(level: float, n_clusters: int, patterns: int = PATTERNS) -> float:
    """Return the largest p-value that ``sign_flip_p`` can give at or below ``level``; 0 where there is none.

    Its p-values are multiples of 2/2^G, and of 1/(1 + patterns) where patterns are drawn. So with 6 clusters a test at
    .05 is one at .03125.

    Args:
        level: aimed at, 0 to 1: the corrected one, α/m for the first of m tests by Holm.
        n_clusters: G.
        patterns: all 2^G sign patterns up to this number, else as many at random.
    """
    return _steps(level, n_clusters, patterns) * smallest_p(n_clusters, patterns) if n_clusters else 0.0


def detectable(
    sd: float,
    n_clusters: int,
    level: float,
    power: float = 0.8,
    patterns: int = PATTERNS,
    most: float = 50.0,
) -> float:
    """Return the least |mean − null| that a two-sided sign-flip test of clusters finds with this power.

        P(|T| > t) = power,   T noncentral t of G − 1 degrees, noncentrality √G · difference / sd

    with t the quantile of the level that the test attains (``attained_level``). Clusters of a mean that lies nearer to
    one bound scatter farther towards the other, the null, which costs power. So skewness γ and excess κ of a beta
    distribution between the bounds change the variance of mean − t s / √G, s being the estimated sd, and to the
    difference is added

        z sd / √G · (√(1 + t² (κ + 2) / 4G − t γ / √G) − √(1 + t² / 2G)),   z the normal quantile of the power

    Where the attained level is one, two or three steps of 2/2^G, the test rejects where all clusters lie on one side of
    the null, or all but the one that is nearest, or second nearest, to it, and nowhere else. The power is that
    probability, or up to eight steps its share in fixed draws of clusters. Normal and beta clusters need different
    means for it, and half-way between is returned.

    Where clusters fall into categories that differ, as those of ``all`` do, sd has what categories differ by, and the
    test finds more often than promised: its mean varies less than its clusters.

    Args:
        sd: between clusters, in points: √(V G) of the linearised variance V of the pooled mean.
        n_clusters: G.
        level: aimed at, 0 to 1, corrected.
        power: wished, .5 to 1.
        patterns: as in ``attained_level``.
        most: points from the null to either bound: 50 for a rate against 50, 100 for a difference of two rates.

    Returns:
        Points; NaN where the test can reach no p-value that is small enough, where only a mean would be found that
        cannot have such an sd between the bounds, and where sd is NaN.

    Source: noncentral t, Cohen 1988 (Statistical Power Analysis, ch. 2); moments of mean and sd, Cramér 1946
        (Mathematical Methods of Statistics, ch. 27); how far sign flips keep to it: ``benchmarks/power.py``.
    """
    steps = _steps(level, n_clusters, patterns)
    if not (steps and sd < most):
        return np.nan
    attained = attained_level(level, n_clusters, patterns)
    if sd == 0 or attained >= power:
        return 0.0
    is_exact = 2**n_clusters <= patterns
    if steps <= EXACT_STEPS and is_exact:
        bounded = _by_signs_of_bounded(sd, n_clusters, steps, power, most)
        found = (sd * _standard_by_signs(n_clusters, steps, power) + bounded) / 2
    elif steps <= COUNTED_STEPS and is_exact:
        # Counting takes part of a second, and a table has hundreds of sds: a few are counted, once.
        low = GRID * (sd // GRID)
        ends = [_counted_of_bounded(end, n_clusters, steps, power, most) for end in (low, low + GRID)]
        bounded = ends[0] + (sd - low) / GRID * (ends[1] - ends[0]) if np.isfinite(ends[1]) else np.inf
        found = (sd * _standard_counted(n_clusters, steps, power) + bounded) / 2
    else:
        found = _corrected(sd * _standard_by_t(n_clusters, attained, power), sd, n_clusters, attained, power, most)
    return found if found <= _largest_mean(sd, most) else np.nan


def clusters_needed(
    sd: float, difference: float, level: float, power: float = 0.8, patterns: int = PATTERNS, most: float = 50.0
) -> float:
    """Return the least number of clusters with which ``difference`` is ``detectable``.

    Args:
        sd: between clusters, in points.
        difference: from the null, in points.
        level: aimed at, 0 to 1, corrected.
        power: wished, .5 to 1.
        patterns: as in ``attained_level``.
        most: as in ``detectable``.

    Returns:
        A whole number; NaN for a difference of 0 or less, an sd of NaN, or where a million clusters are too few.
    """

    def enough(n_clusters: int) -> bool:
        return detectable(sd, n_clusters, level, power, patterns, most) <= difference

    if not (difference > 0 and sd < most):
        return np.nan
    low, high = 1, 2
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST_CLUSTERS:
            return np.nan
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return float(high)


def _steps(level: float, n_clusters: int, patterns: int) -> int:
    """Return how many of the p-values that can come out are at or below the level."""
    return int(level / smallest_p(n_clusters, patterns) + 1e-9) if n_clusters else 0


@cache
def _standard_by_t(n_clusters: int, level: float, power: float) -> float:
    """Return what a t-test of normal clusters finds, in standard deviations."""
    return _root(lambda shift: _power_of_t(shift, n_clusters, level) - power, FARTHEST)


@cache
def _standard_counted(n_clusters: int, steps: int, power: float) -> float:
    """Return the same of the sign-flip test itself, in fixed draws."""
    draws = np.random.default_rng(0).standard_normal((DRAWS, n_clusters))
    short = partial(_short_of_power, lambda shift: draws + shift, steps, power)
    return float(optimize.brentq(short, 0.0, FARTHEST, xtol=1e-4))


@cache
def _counted_of_bounded(sd: float, n_clusters: int, steps: int, power: float, most: float) -> float:
    """Return the same, in points from the null, of clusters with a beta distribution; inf where none is found."""
    if sd == 0:
        return 0.0
    shares = np.random.default_rng(0).random((DRAWS_OF_BOUNDED, n_clusters))

    def drawn(mean: float) -> Floats:
        return np.asarray(most * (2 * special.betaincinv(*_beta(mean, sd, most), shares) - 1))

    begin = sd * _standard_counted(n_clusters, steps, power)
    return _first_root(partial(_short_of_power, drawn, steps, power), begin, _largest_mean(sd, most), 0.01)


def _short_of_power(drawn: Callable[[float], Floats], steps: int, power: float, mean: float) -> float:
    """Return the share of drawn studies in which the test rejects, less ``power``.

    With N the sum of |x| of the clusters on the other side of the null, p is the share of all subsets of the |x| whose
    sum does not exceed N, doubled. So the test rejects where those are no more than ``steps``, and subsets of the
    ``steps`` smallest decide that: if the next one were among them, so would be each smaller one, and none.

    Args:
        drawn: mean → clusters, (studies, clusters).
        steps: that are reachable.
        power: wished.
        mean: of the clusters.
    """
    values = drawn(mean)
    size = np.abs(values)
    other = np.where(values < 0, size, 0.0).sum(1)
    other = np.minimum(other, size.sum(1) - other)
    taken = np.arange(2**steps)[:, None] >> np.arange(steps) & 1
    n_subsets = (np.sort(size, axis=1)[:, :steps] @ taken.T <= other[:, None] + TOLERANCE).sum(1)
    return float((n_subsets <= steps).mean()) - power


@cache
def _standard_by_signs(n_clusters: int, steps: int, power: float) -> float:
    """Return what the signs of normal clusters find, in standard deviations."""

    def short(mean: float) -> float:
        def density(x: Floats) -> Floats:
            return np.asarray(np.exp(-((x + mean) ** 2) / 2) / np.sqrt(2 * np.pi))

        return _power_of_signs(lambda x: special.ndtr(mean - x), density, FAR, n_clusters, steps) - power

    return _root(short, FARTHEST)


@cache
def _by_signs_of_bounded(sd: float, n_clusters: int, steps: int, power: float, most: float) -> float:
    """Return the mean, in points from the null, at which the signs of clusters with a beta distribution find it; inf
    where none does."""

    def short(mean: float) -> float:
        a, b = _beta(mean, sd, most)

        def upper(x: Floats) -> Floats:
            return np.asarray(special.betainc(b, a, (1 - x / most) / 2))

        def density(x: Floats) -> Floats:  # at −x
            low, high = (1 - x / most) / 2, (1 + x / most) / 2
            return np.asarray(
                np.exp(special.xlogy(a - 1, low) + special.xlogy(b - 1, high) - special.betaln(a, b)) / (2 * most)
            )

        return _power_of_signs(upper, density, min(most, FAR * sd), n_clusters, steps) - power

    return _first_root(short, sd * _standard_by_signs(n_clusters, steps, power), _largest_mean(sd, most), 1e-9)


def _first_root(function: Callable[[float], float], begin: float, end: float, tolerance: float) -> float:
    """Return where a function first rises above 0, looked for from ``begin`` on and before ``end``; inf where it does
    not.

    Nearer to the end it may fall again: clusters of that mean and sd are at one bound or the other, and a single one at
    the other is enough for a test of few clusters not to reject.
    """
    low = 0.0
    for high in np.linspace(begin, end, SEARCHED, endpoint=False) if begin < end else []:
        if function(high) > 0:
            return float(optimize.brentq(function, low, high, xtol=tolerance))
        low = high
    return np.inf


def _root(function: Callable[[float], float], end: float) -> float:
    return float(optimize.brentq(function, 0.0, end, xtol=1e-9))


def _power_of_t(shift: float, n_clusters: int, level: float) -> float:
    """Return P(|T| > t), the mean over the chi distribution of the estimated sd of the normal probability."""
    degrees = n_clusters - 1
    nodes, weights = _quadrature(1.0)
    estimated = _t(n_clusters, level) * np.sqrt(2 * special.gammaincinv(degrees / 2, nodes) / degrees)
    mean = shift * np.sqrt(n_clusters)
    return float(weights @ (special.ndtr(mean - estimated) + special.ndtr(-mean - estimated)))


def _t(n_clusters: int, level: float) -> float:
    return float(special.stdtrit(n_clusters - 1, 1 - level / 2))


def _power_of_signs(
    upper: Callable[[Floats], Floats], density: Callable[[Floats], Floats], far: float, n_clusters: int, steps: int
) -> float:
    """Return the probability that no cluster lies beyond the null, or that one does: with two steps the one nearest to
    it, with three the second nearest, too. That all lie there does not count: it does not happen.

    Args:
        upper: x → P(X > x).
        density: x → that of X at −x.
        far: beyond −far there is no cluster.
        n_clusters: G.
        steps: 1 to 3.
    """
    x, weights = _quadrature(far)
    beyond, this_side = upper(x), float(upper(np.zeros(1))[0])
    total = this_side**n_clusters
    for nearer in range(steps - 1):
        others = (this_side - beyond) ** nearer * beyond ** (n_clusters - 1 - nearer)
        total += n_clusters * comb(n_clusters - 1, nearer) * float(weights @ (density(x) * others))
    return total


def _corrected(found: float, sd: float, n_clusters: int, level: float, power: float, most: float) -> float:
    """Return what a t-test finds of clusters with a beta distribution, from what it finds of normal ones."""
    t, step = _t(n_clusters, level), special.ndtri(power) * sd / np.sqrt(n_clusters)
    mean = found
    for _ in range(ROUNDS):
        if not mean < _largest_mean(sd, most):
            return np.inf
        skewness, excess = _moments(*_beta(mean, sd, most))
        spread = 1 + t**2 * (excess + 2) / (4 * n_clusters) - t * skewness / np.sqrt(n_clusters)
        mean = found + step * (np.sqrt(spread) - np.sqrt(1 + t**2 / (2 * n_clusters)))
    return float(mean)


def _largest_mean(sd: float, most: float) -> float:
    """Return how far from the null a mean can lie between the bounds with this sd."""
    return float(np.sqrt(most**2 - sd**2))


def _beta(mean: float, sd: float, most: float) -> tuple[float, float]:
    """Return a and b of the beta distribution between −most and most with this mean and sd."""
    share, variance = (1 + mean / most) / 2, (sd / most / 2) ** 2
    size = share * (1 - share) / variance - 1
    return share * size, (1 - share) * size


def _moments(a: float, b: float) -> tuple[float, float]:
    """Return skewness and excess kurtosis of a beta distribution."""
    n = a + b
    skewness = 2 * (b - a) * np.sqrt(n + 1) / ((n + 2) * np.sqrt(a * b))
    excess = 6 * ((a - b) ** 2 * (n + 1) - a * b * (n + 2)) / (a * b * (n + 2) * (n + 3))
    return float(skewness), float(excess)


@cache
def _quadrature(end: float) -> tuple[Floats, Floats]:
    """Return nodes and weights, (NODES,), of an integral from 0 to ``end`` (Gauss and Legendre)."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return end * (nodes + 1) / 2, end * weights / 2
