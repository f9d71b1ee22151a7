"""What a sign-flip test of few clusters can see: the level that it reaches, and the least difference that it finds."""

from __future__ import annotations

from functools import cache
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from leakscope.statistics.permutations import smallest_p

Floats = NDArray[np.float64]

PATTERNS = 2**16  # the default of ``permutations.sign_flip_p``
NODES = 400  # of the integrals: the power is right to .0001
EXACT_STEPS = 3  # up to so many reachable p-values below the level the t-test promises too much: 62 % instead of 80
FAR = 10.0  # standard deviations beyond which a normal variable is not found
FARTHEST = 100.0  # likewise of a difference that is looked for: what can be reached at all lies nearer
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

    with t the quantile of the level that the test attains (``attained_level``). Where that is one, two or three steps
    of 2/2^G, the test rejects where all clusters lie on one side of the null, or all but the one that is nearest or
    second nearest to it, and nowhere else: then the power is that probability, for normal clusters.

    Args:
        sd: between clusters, in points: √(V G) of the linearised variance V of the pooled mean.
        n_clusters: G.
        level: aimed at, 0 to 1, corrected.
        power: wished, .5 to 1.
        patterns: as in ``attained_level``.
        most: points from the null to the bound: 50 for a rate against 50, 100 for a difference of two rates.

    Returns:
        Points; NaN where the test can reach no p-value that is small enough, where only a difference beyond ``most``
        would be found, and where sd is NaN.

    Source: noncentral t, Cohen 1988 (Statistical Power Analysis, ch. 2); how far sign flips keep to it:
        ``benchmarks/power.py``.
    """
    steps = _steps(level, n_clusters, patterns)
    if not steps or not np.isfinite(sd):
        return np.nan
    exact = steps <= EXACT_STEPS and 2**n_clusters <= patterns
    found = sd * _standard(n_clusters, steps if exact else 0, attained_level(level, n_clusters, patterns), power)
    return found if found <= most else np.nan


def clusters_needed(sd: float, difference: float, level: float, power: float = 0.8, patterns: int = PATTERNS) -> float:
    """Return the least number of clusters with which ``difference`` is ``detectable``.

    Args:
        sd: between clusters, in points.
        difference: from the null, in points.
        level: aimed at, 0 to 1, corrected.
        power: wished, .5 to 1.
        patterns: as in ``attained_level``.

    Returns:
        A whole number; NaN for a difference of 0 or less, an sd of NaN, or where a million clusters are too few.
    """
    if not (difference > 0 and np.isfinite(sd)):
        return np.nan

    def enough(n_clusters: int) -> bool:
        return detectable(sd, n_clusters, level, power, patterns, difference) <= difference

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
def _standard(n_clusters: int, steps: int, level: float, power: float) -> float:
    """Return what is detectable in standard deviations between clusters: by signs, or, with 0 steps, by t."""

    def short(shift: float) -> float:
        reached = _power_of_signs(shift, n_clusters, steps) if steps else _power_of_t(shift, n_clusters, level)
        return reached - power

    return float(optimize.brentq(short, 0.0, FARTHEST, xtol=1e-9))


def _power_of_t(shift: float, n_clusters: int, level: float) -> float:
    """Return P(|T| > t), the mean over the chi distribution of the estimated sd of the normal probability."""
    degrees = n_clusters - 1
    nodes, weights = _quadrature(1.0)
    estimated = special.stdtrit(degrees, 1 - level / 2) * np.sqrt(2 * special.gammaincinv(degrees / 2, nodes) / degrees)
    mean = shift * np.sqrt(n_clusters)
    return float(weights @ (special.ndtr(mean - estimated) + special.ndtr(-mean - estimated)))


def _power_of_signs(shift: float, n_clusters: int, steps: int) -> float:
    """Return the probability that no cluster lies on the other side, or that one does: with two steps the one nearest
    to the null, with three the second nearest, too."""
    x, weights = _quadrature(FAR)
    total = 0.0
    for mean in (shift, -shift):
        beyond, this_side = special.ndtr(mean - x), special.ndtr(mean)
        total += this_side**n_clusters
        for nearer in range(steps - 1):
            others = (this_side - beyond) ** nearer * beyond ** (n_clusters - 1 - nearer)
            density = np.exp(-((x + mean) ** 2) / 2) / np.sqrt(2 * np.pi)
            total += n_clusters * comb(n_clusters - 1, nearer) * float(weights @ (density * others))
    return float(total)


@cache
def _quadrature(end: float) -> tuple[Floats, Floats]:
    """Return nodes and weights, (NODES,), of an integral from 0 to ``end`` (Gauss and Legendre)."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return end * (nodes + 1) / 2, end * weights / 2
