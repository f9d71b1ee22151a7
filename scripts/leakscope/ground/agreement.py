"""Agreement of rankings: Kendall's tau-b of each subject's groups, what is left of it beyond a prior, and intervals.

Everywhere rows are subjects and columns are groups, in one order for both sides. A missing value (NaN) takes its group
out of its subject's comparison.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]

# Digits that are kept of centred values: equal ones must stay equal.
DIGITS = 9
CENTRING_STEPS, CENTRED = 1000, 1e-10


class MeanTau(NamedTuple):
    """The mean over subjects with its bootstrap interval, and how many subjects it is of."""

    tau: float
    low: float
    high: float
    n: int


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


def others_total(counts: ArrayLike) -> Floats:
    """Return for every subject the groups' totals over all *other* subjects: the prior that knows nothing of it.

    Args:
        counts: (subjects, groups).
    """
    counts = np.asarray(counts, dtype=float)
    totals: Floats = np.nansum(counts, axis=0) - np.nan_to_num(counts)
    return totals


def mean_tau(taus: ArrayLike, level: float, resamples: int) -> MeanTau:
    """Return the mean of the subjects' taus and its BCa bootstrap interval over subjects; NaN ones are left out.

    With fewer than two subjects, or none that differ, there is no interval but the mean itself.

    Args:
        taus: (subjects,).
        level: of the interval, 0 to 1.
        resamples: of the subjects.

    Source: Efron 1987 (Better bootstrap confidence intervals).
    """
    known: Floats = np.asarray(taus, dtype=float)
    known = known[~np.isnan(known)]
    if len(known) == 0:
        return MeanTau(np.nan, np.nan, np.nan, 0)
    mean = float(known.mean())
    if np.ptp(known) == 0:
        return MeanTau(mean, *((mean, mean) if len(known) > 1 else (np.nan, np.nan)), len(known))
    interval = stats.bootstrap(
        (known,), np.mean, n_resamples=resamples, confidence_level=level, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    return MeanTau(mean, float(interval.low), float(interval.high), len(known))


def redrawn_tau(counts: ArrayLike, redraws: int) -> float:
    """Return how well counts agree with counts of another corpus of the same law and size: the ceiling of a model.

    Each count is redrawn from a Poisson law with itself as mean, as if documents were drawn with replacement.

    Args:
        counts: (subjects, groups), whole numbers.
        redraws: how many corpora.

    Returns:
        The mean tau-b over subjects and redraws.
    """
    drawn: Floats = np.nan_to_num(np.asarray(counts, dtype=float))
    rng = np.random.default_rng(0)
    return float(np.mean([np.nanmean(tau_b(drawn, rng.poisson(drawn))) for _ in range(redraws)]))
