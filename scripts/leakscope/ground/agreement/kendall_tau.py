"""Agreement of rankings: Kendall's tau-b over each subject's groups, beyond a prior, and with intervals.

Rows are subjects and columns are groups, in the same order on both sides. A group with a missing value (NaN) is
excluded from its subject's comparison.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leakscope.statistics.intervals import ClusterInterval, cluster_interval

Floats = NDArray[np.float64]

# Digits of centred values, so that equal values stay equal.
DIGITS = 9
CENTRING_STEPS, CENTRED = 1000, 1e-10


def tau_b(x: ArrayLike, y: ArrayLike) -> Floats:
    """Return Kendall's tau-b of each row of ``x`` with the same row of ``y``; NaN where all values of a side are tied.

    A column holds the same group on both sides; rankings given as lists of labels must not be compared.

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
    """Return a table minus its subjects' and groups' levels (double centring).

    With missing values: the residuals of the additive least-squares fit, which is equivalent for a complete table.

    Args:
        values: (subjects, groups), on a scale on which levels are additive: log counts, log-probabilities.
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
    """Return log(count + ½), a scale on which levels are additive and zeros are allowed."""
    logs: Floats = np.log(np.asarray(counts, dtype=float) + 0.5)
    return logs


def log_prevalence(prevalence: ArrayLike) -> Floats:
    """Return log(prevalence), with half of the smallest positive value in place of 0.

    Not log(value + ½) as for counts: prevalence has no natural unit, and differences of rare subjects would vanish.
    """
    values = np.asarray(prevalence, dtype=float)
    smallest = np.nanmin(values[values > 0], initial=np.inf)
    logs: Floats = np.log(np.where(values == 0, smallest / 2 if np.isfinite(smallest) else 1.0, values))
    return logs


def share_tied(x: ArrayLike) -> float:
    """Return the share of tied pairs of groups over all subjects; a coarse number format causes ties.

    Args:
        x: (subjects, groups).
    """
    x = np.asarray(x, dtype=float)
    first, second = np.triu_indices(x.shape[-1], k=1)
    differences = x[:, first] - x[:, second]
    known = ~np.isnan(differences)
    return float((differences == 0).sum() / known.sum()) if known.any() else float("nan")


def others_mean(counts: ArrayLike) -> Floats:
    """Return for every subject the groups' mean counts over all *other* subjects: a prior independent of the subject.

    The mean is over subjects with a known count; NaN without any.

    Args:
        counts: (subjects, groups).
    """
    counts = np.asarray(counts, dtype=float)
    known = ~np.isnan(counts)
    with np.errstate(invalid="ignore"):
        means: Floats = (np.nansum(counts, axis=0) - np.nan_to_num(counts)) / (known.sum(0) - known)
    return means


def mean_over_subjects(values: ArrayLike, level: float, bounds: tuple[float, float] = (-1.0, 1.0)) -> ClusterInterval:
    """Return the mean of one value per subject, with an interval that generalises to new subjects; NaN is ignored.

    Each subject is a cluster. ``n`` is the number of subjects with a value; without any, mean and limits are NaN.

    Args:
        values: (subjects,).
        level: nominal coverage, 0 to 1.
        bounds: smallest and largest possible value: those of tau, or infinite for nats. With infinite bounds there is
            no interval if all values are equal.
    """
    known: Floats = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    return cluster_interval(known, np.arange(len(known)), level, bounds)


def mean_tau(x: ArrayLike, y: ArrayLike) -> float:
    """Return the mean tau-b over subjects with a tau; NaN without any. Arguments as in ``tau_b``."""
    tau = tau_b(x, y)
    tau = tau[~np.isnan(tau)]
    return float(tau.mean()) if len(tau) else float("nan")


def redrawn_tau(counts: ArrayLike, redraws: int) -> float:
    """Return the mean tau-b of counts with Poisson redraws of themselves.

    This overestimates the agreement with another corpus, because the counts' own noise is treated as signal; use
    ``ceiling.ceiling_tau`` for a noise ceiling.

    Args:
        counts: (subjects, groups), whole numbers; groups with a missing count (NaN) are not compared.
        redraws: number of redraws.

    Returns:
        The mean tau-b over redraws and subjects with a tau.
    """
    table = np.asarray(counts, dtype=float)
    known, rng = ~np.isnan(table), np.random.default_rng(0)
    redrawn = [mean_tau(table, np.where(known, rng.poisson(np.nan_to_num(table)), np.nan)) for _ in range(redraws)]
    taus = np.array(redrawn)
    return float(taus[~np.isnan(taus)].mean()) if (~np.isnan(taus)).any() else float("nan")
