"""Agreement of rankings: Kendall's tau-b of each subject's groups, what is left of it beyond a prior, and intervals.

Everywhere rows are subjects and columns are groups, in one order for both sides. A missing value (NaN) takes its group
out of its subject's comparison.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leakscope.statistics.intervals import ClusterInterval, cluster_interval

Floats = NDArray[np.float64]

# Digits that are kept of centred values: equal ones must stay equal.
DIGITS = 9
CENTRING_STEPS, CENTRED = 1000, 1e-10


def tau_b(x: ArrayLike, y: ArrayLike) -> Floats:
    """Return Kendall's tau-b of each row of ``x`` with the same row of ``y``; NaN where one of them is all ties.

    Both values of a group stand in one column: ranks of *labels* would be coded alphabetically.

    Args:
        x: (subjects, groups).
        y: (subjects, groups).

    Returns:
        (subjects,), −1 to 1.

    Source: Kendall 1945 (The treatment of ties in ranking problems).
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    first, second = np.triu_indices(x.shape[-1], k=1)
    signs_x, signs_y = np.sign(x[:, first] - x[:, second]), np.sign(y[:, first] - y[:, second])
    known = ~(np.isnan(signs_x) | np.isnan(signs_y))
    signs_x, signs_y = np.where(known, signs_x, 0), np.where(known, signs_y, 0)
    with np.errstate(invalid="ignore"):
        tau: Floats = (signs_x * signs_y).sum(1) / np.sqrt((signs_x**2).sum(1) * (signs_y**2).sum(1))
    return tau


def centred(values: ArrayLike) -> Floats:
    """Return what is left of a table when each subject's and each group's own level is taken off (double centring).

    With missing values: the residuals of the additive fit by least squares, which for a whole table is the same.

    Args:
        values: (subjects, groups), on a scale on which levels add up: log counts, log-probabilities.
    """
    left = np.array(values, dtype=float)
    known = ~np.isnan(left)
    for _ in range(CENTRING_STEPS):
        for axis in (1, 0):
            sums, counts = np.where(known, left, 0).sum(axis, keepdims=True), known.sum(axis, keepdims=True)
            left = left - sums / np.maximum(counts, 1)
        rows = np.where(known, left, 0).sum(1) / np.maximum(known.sum(1), 1)
        if np.abs(rows).max(initial=0) < CENTRED:
            break
    return np.round(left, DIGITS)


def log_counts(counts: ArrayLike) -> Floats:
    """Return log(count + ½): counts on a scale on which levels add up, zeros included."""
    logs: Floats = np.log(np.asarray(counts, dtype=float) + 0.5)
    return logs


def log_prevalence(prevalence: ArrayLike) -> Floats:
    """Return log(prevalence); 0 stands for half of the smallest value above it, in whatever unit.

    Not log(value + ½) as for counts: prevalence has no unit of its own, and rare subjects would lose their differences.
    """
    values = np.asarray(prevalence, dtype=float)
    smallest = np.nanmin(values[values > 0], initial=np.inf)
    logs: Floats = np.log(np.where(values == 0, smallest / 2 if np.isfinite(smallest) else 1.0, values))
    return logs


def share_tied(x: ArrayLike) -> float:
    """Return the share of pairs of groups that are equal, over all subjects: what a coarse number format leaves.

    Args:
        x: (subjects, groups).
    """
    x = np.asarray(x, dtype=float)
    first, second = np.triu_indices(x.shape[-1], k=1)
    differences = x[:, first] - x[:, second]
    known = ~np.isnan(differences)
    return float((differences == 0).sum() / known.sum()) if known.any() else float("nan")


def others_mean(counts: ArrayLike) -> Floats:
    """Return for every subject the groups' mean counts over all *other* subjects: the prior that knows nothing of it.

    The mean is over the subjects that know the group's count, and NaN where there is none.

    Args:
        counts: (subjects, groups).
    """
    counts = np.asarray(counts, dtype=float)
    known = ~np.isnan(counts)
    with np.errstate(invalid="ignore"):
        means: Floats = (np.nansum(counts, axis=0) - np.nan_to_num(counts)) / (known.sum(0) - known)
    return means


def mean_over_subjects(values: ArrayLike, level: float, bounds: tuple[float, float] = (-1.0, 1.0)) -> ClusterInterval:
    """Return the mean of one value a subject with its interval for other subjects; NaN ones are left out.

    Subjects are the clusters, each of one value. ``n`` is how many have one; without any, all else is NaN.

    Args:
        values: (subjects,).
        level: of the interval, 0 to 1.
        bounds: least and largest possible value: those of tau, or infinite ones for nats, which then have no interval
            where fewer than two subjects differ.
    """
    known: Floats = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    return cluster_interval(known, np.arange(len(known)), level, bounds)


def mean_tau(x: ArrayLike, y: ArrayLike) -> float:
    """Return the mean tau-b of the subjects that have one; NaN without any. Arguments as of ``tau_b``."""
    tau = tau_b(x, y)
    tau = tau[~np.isnan(tau)]
    return float(tau.mean()) if len(tau) else float("nan")


def redrawn_tau(counts: ArrayLike, redraws: int) -> float:
    """Return how well counts agree with themselves redrawn, each from a Poisson law with itself as mean.

    No ceiling of what another corpus of the same law shares with them: their own noise passes for law here, and only
    the second one is noise. ``ceiling.ceiling_tau`` is.

    Args:
        counts: (subjects, groups), whole numbers; a missing one (NaN) takes its group out.
        redraws: how many corpora.

    Returns:
        The mean tau-b over redraws and the subjects that have one.
    """
    table = np.asarray(counts, dtype=float)
    known, rng = ~np.isnan(table), np.random.default_rng(0)
    redrawn = [mean_tau(table, np.where(known, rng.poisson(np.nan_to_num(table)), np.nan)) for _ in range(redraws)]
    taus = np.array(redrawn)
    return float(taus[~np.isnan(taus)].mean()) if (~np.isnan(taus)).any() else float("nan")
