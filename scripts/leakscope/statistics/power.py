"""Power of a sign-flip test with few clusters: its attained level and its smallest detectable difference."""

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
NODES = 400  # of the quadrature: the power is accurate to .0001
# With at most this many attainable p-values below the level, a t-test overstates the power of 80 %: it is 62 % with
# one such p-value, 72 % with four.
EXACT_STEPS, COUNTED_STEPS = 3, 8
DRAWS, DRAWS_OF_BOUNDED = 20_000, 2000  # simulated studies, always the same; the power is accurate to .003 and .009
GRID = 2.0  # points between simulated sds; the detectable difference is nearly linear between them
FAR = 10.0  # standard deviations beyond the null, where no cluster lies
FARTHEST = 100.0  # largest difference searched, in standard deviations
SEARCHED = 40  # means at which the power is evaluated in a search
ROUNDS = 30  # until the correction for bounds converges
MOST_CLUSTERS = 1_000_000


def attained_level(level: float, n_clusters: int, patterns: int = PATTERNS) -> float:
    """Return the actual level of a sign-flip test: its largest attainable p-value at or below ``level``, or 0.

    p-values are multiples of 2/2^G, or of 1/(1 + patterns) with random patterns. With 6 clusters, a test at .05
    is in fact a test at .03125.

    Args:
        level: nominal level after correction, 0 to 1: α/m for the first of m tests by Holm.
        n_clusters: G.
        patterns: all 2^G sign patterns are used up to this number; beyond it, this number of random patterns.
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
    """Return the smallest |mean − null| that a two-sided sign-flip test of clusters detects with the given power.

        P(|T| > t) = power,   T noncentral t with G − 1 degrees of freedom, noncentrality √G · difference / sd

    where t is the quantile of ``attained_level``. Clusters whose mean is near one bound are skewed towards the null,
    which reduces power. Skewness γ and excess kurtosis κ of a beta distribution between the bounds therefore change the
    variance of mean − t s / √G, where s is the estimated sd, and this term is added to the difference:

        z sd / √G · (√(1 + t² (κ + 2) / 4G − t γ / √G) − √(1 + t² / 2G)),   z the normal quantile of the power

    Where the attained level is one, two or three steps of 2/2^G, the test rejects only if all clusters, or all but the
    one nearest or second nearest to the null, lie on one side of it. The power is the probability of that event; for
    four to eight steps it is estimated from fixed simulated clusters. In both cases the returned difference is halfway
    between those for normal and for beta-distributed clusters.

    Where clusters belong to different categories, as for ``all``, sd includes differences between categories. The power
    is then higher than stated, because the mean varies less than the clusters suggest.

    Args:
        sd: between clusters, in points: √(V G) from the linearised variance V of the pooled mean.
        n_clusters: G.
        level: nominal level after correction, 0 to 1.
        power: required, .5 to 1.
        patterns: as in ``attained_level``.
        most: points from the null to either bound: 50 for a rate against 50, 100 for a difference of two rates.

    Returns:
        Points. NaN where no attainable p-value is small enough, where the difference is too large for this sd between
        the bounds, and where sd is NaN.

    Source: noncentral t, Cohen 1988 (Statistical Power Analysis, ch. 2); moments of mean and sd, Cramér 1946
        (Mathematical Methods of Statistics, ch. 27); accuracy for sign flips: ``benchmarks/power.py``.
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
        # A simulation takes part of a second, and a table has hundreds of sds: simulate on a grid, interpolate.
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
    """Return the smallest number of clusters with which ``difference`` is ``detectable``, for planning a study.

    Args:
        sd: between clusters, in points.
        difference: from the null, in points.
        level: nominal level after correction, 0 to 1.
        power: required, .5 to 1.
        patterns: as in ``attained_level``.
        most: as in ``detectable``.

    Returns:
        A whole number. NaN for a difference of 0 or less, a NaN sd, or where a million clusters are too few.
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
    """Return the number of attainable p-values at or below the level."""
    return int(level / smallest_p(n_clusters, patterns) + 1e-9) if n_clusters else 0


@cache
def _standard_by_t(n_clusters: int, level: float, power: float) -> float:
    """Return the detectable difference of a t-test for normal clusters, in standard deviations."""
    return _root(lambda shift: _power_of_t(shift, n_clusters, level) - power, FARTHEST)


@cache
def _standard_counted(n_clusters: int, steps: int, power: float) -> float:
    """Return the detectable difference of the sign-flip test in simulated normal clusters, in standard deviations."""
    draws = np.random.default_rng(0).standard_normal((DRAWS, n_clusters))
    short = partial(_short_of_power, lambda shift: draws + shift, steps, power)
    return float(optimize.brentq(short, 0.0, FARTHEST, xtol=1e-4))


@cache
def _counted_of_bounded(sd: float, n_clusters: int, steps: int, power: float, most: float) -> float:
    """Return the detectable difference in simulated beta-distributed clusters, in points; inf where there is none."""
    if sd == 0:
        return 0.0
    shares = np.random.default_rng(0).random((DRAWS_OF_BOUNDED, n_clusters))

    def drawn(mean: float) -> Floats:
        return np.asarray(most * (2 * special.betaincinv(*_beta(mean, sd, most), shares) - 1))

    begin = sd * _standard_counted(n_clusters, steps, power)
    return _first_root(partial(_short_of_power, drawn, steps, power), begin, _largest_mean(sd, most), 0.01)


def _short_of_power(drawn: Callable[[float], Floats], steps: int, power: float, mean: float) -> float:
    """Return the share of simulated studies in which the test rejects, minus ``power``.

    With N the sum of |x| over clusters on the minority side of the null, p is twice the share of subsets of the |x|
    with a sum of at most N. So the test rejects where at most ``steps`` subsets qualify. Subsets of the ``steps``
    smallest |x| decide this: a larger |x| can qualify only if all smaller ones and the empty set do.

    Args:
        drawn: mean → clusters, (studies, clusters).
        steps: number of attainable p-values at or below the level.
        power: required.
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
    """Return the exact detectable difference for normal clusters and one to three steps, in standard deviations."""

    def short(mean: float) -> float:
        def density(x: Floats) -> Floats:
            return np.asarray(np.exp(-((x + mean) ** 2) / 2) / np.sqrt(2 * np.pi))

        return _power_of_signs(lambda x: special.ndtr(mean - x), density, FAR, n_clusters, steps) - power

    return _root(short, FARTHEST)


@cache
def _by_signs_of_bounded(sd: float, n_clusters: int, steps: int, power: float, most: float) -> float:
    """Return the exact detectable difference for beta-distributed clusters and one to three steps, in points; inf
    where there is none."""

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
    """Return where a function first rises above 0 between ``begin`` and ``end``; inf where it does not.

    Power may fall again near the end: there each cluster is at one of the bounds, and a single cluster at the opposite
    bound keeps a test of few clusters from rejecting.
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
    """Return P(|T| > t): the normal tail probability, averaged over the chi distribution of the estimated sd."""
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
    """Return the probability that a test with one to three steps rejects.

    It rejects if no cluster lies beyond the null; with two steps, also if only the nearest one does; with three, also
    if only the second nearest does. Rejection in the opposite direction is neglected.

    Args:
        upper: x → P(X > x).
        density: x → density of X at −x.
        far: no cluster lies below −far.
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
    """Return the detectable difference of a t-test for beta-distributed clusters, given that for normal clusters."""
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
    """Return the largest distance from the null that a mean between the bounds can have with this sd."""
    return float(np.sqrt(most**2 - sd**2))


def _beta(mean: float, sd: float, most: float) -> tuple[float, float]:
    """Return a and b of the beta distribution on (−most, most) with this mean and sd."""
    share, variance = (1 + mean / most) / 2, (sd / most / 2) ** 2
    size = share * (1 - share) / variance - 1
    return share * size, (1 - share) * size


def _moments(a: float, b: float) -> tuple[float, float]:
    """Return the skewness and excess kurtosis of a beta distribution."""
    n = a + b
    skewness = 2 * (b - a) * np.sqrt(n + 1) / ((n + 2) * np.sqrt(a * b))
    excess = 6 * ((a - b) ** 2 * (n + 1) - a * b * (n + 2)) / (a * b * (n + 2) * (n + 3))
    return float(skewness), float(excess)


@cache
def _quadrature(end: float) -> tuple[Floats, Floats]:
    """Return nodes and weights, (NODES,), of Gauss–Legendre quadrature from 0 to ``end``."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return end * (nodes + 1) / 2, end * weights / 2
