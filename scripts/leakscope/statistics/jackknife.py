"""Jackknife intervals and tests over clusters of one kind, or of two crossed kinds.

An item may belong to two clusters (hypernymy: one for its noun, one for its hypernym). A statement about new items must
hold for new clusters of both kinds, and one kind does not show how much the other varies. A statistic is computed for
the sample and all leave-one-out samples at once, by subtracting each cluster's sums from the total.

Source: jackknife, Efron & Stein 1981; two ways, Cameron, Gelbach & Miller 2011 (Robust inference with multiway
clustering).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from leakscope.statistics.intervals import NO_VARIANCE, limits_of_variance

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

Kernel = Callable[[Integers, Integers], Floats]
"""Item numbers (a,) and (b,) → value of each pair, (a, b); symmetric, and 0 for an item with itself."""

# Cells of the largest table in memory: 32 MB.
CELLS = 4_000_000
ON_A_LINE = 1e-12
"""Rounding error of 1 − |r| where |r| is 1."""
FEWEST = 4
"""Smallest number of clusters of a second kind for a jackknife over them; fewer are treated as fixed."""


class ValueInterval(NamedTuple):
    """A value with its confidence limits; NaN where there are none."""

    value: float
    low: float
    high: float


class Deletions(NamedTuple):
    """The full sample, then each sample without one cluster: 1 + Σ ``sizes`` samples.

    codes: for each way of clustering, the cluster of each item, (items,). One way, or three: the two kinds and their
        intersections.
    sizes: for each way, its number of clusters.
    """

    codes: tuple[Integers, ...]
    sizes: tuple[int, ...]

    @property
    def n_clusters(self) -> int:
        """Return the number of clusters, of two kinds the smaller number."""
        return min(self.sizes[:2])

    def totals(self, values: ArrayLike) -> Floats:
        """Return the sum of each column over each sample's items, (columns, samples), from values (items, columns)."""
        columns = np.asarray(values, dtype=float).T
        parts = [columns.sum(1, keepdims=True)]
        for codes, size in zip(self.codes, self.sizes, strict=True):
            clusters = np.stack([np.bincount(codes, column, size) for column in columns])
            parts.append(parts[0] - clusters)
        return np.concatenate(parts, axis=1)

    def weights(self) -> Iterator[Floats]:
        """Yield 1 for each item in a sample and 0 for others, (items, samples), in blocks of at most ``CELLS``."""
        n_items = len(self.codes[0])
        yield np.ones((n_items, 1))
        step = max(1, CELLS // max(1, n_items))
        for codes, size in zip(self.codes, self.sizes, strict=True):
            for start in range(0, size, step):
                yield (codes[:, None] != np.arange(start, min(size, start + step))).astype(float)

    def pair_sums(self, kernel: Kernel) -> Floats:
        """Return Σ_ij k(i, j) over the ordered pairs of each sample's items, (samples,).

        Without cluster g: the sum over all pairs − 2 Σ_{i in g} Σ_j k(i, j) + Σ_{i, j in g} k(i, j).
        """
        items = np.arange(len(self.codes[0]))
        rows = _row_sums(kernel, items)
        parts = [np.array([rows.sum()])]
        for codes, size in zip(self.codes, self.sizes, strict=True):
            parts.append(rows.sum() - 2 * np.bincount(codes, rows, size) + _sums_within(kernel, codes, size))
        return np.concatenate(parts)

    def variance(self, values: Floats) -> float:
        """Return the jackknife variance of θ; NaN where θ is missing in any sample.

            V_w = (G_w − 1)/G_w Σ_g (θ₋g − mean of θ₋g)² for each way w;  V = V_1, or max(V_1 + V_2 − V_12, V_1, V_2)

        Args:
            values: θ of each sample, (samples,).
        """
        if not np.isfinite(values).all():
            return np.nan
        parts = np.split(values[1:], np.cumsum(self.sizes)[:-1])
        variances = [(len(left) - 1) * float(np.var(left)) for left in parts]
        return variances[0] if len(parts) == 1 else max(variances[0] + variances[1] - variances[2], *variances[:2])


def leave_out(clusters: ArrayLike, crossed: ArrayLike | None = None) -> Deletions:
    """Return the leave-one-cluster-out samples, for one kind of clusters or two crossed kinds.

    The second kind is used only if it has ``FEWEST`` clusters or more and at least one of them spans several clusters
    of the first kind. Otherwise results generalise to new clusters of the first kind only.

    Args:
        clusters: (items,), labels.
        crossed: (items,), labels of the second kind, or None.
    """
    first, n_first = _numbered(clusters)
    if crossed is not None:
        second, n_second = _numbered(crossed)
        both, n_both = _numbered(first * n_second + second)
        if n_second >= FEWEST and n_both > n_second:
            return Deletions((first, second, both), (n_first, n_second, n_both))
    return Deletions((first,), (n_first,))


def means(values: ArrayLike, deletions: Deletions) -> Floats:
    """Return the mean over each sample's items, (samples,), from values (items,); NaN without items."""
    items = np.asarray(values, dtype=float)
    sums, sizes = deletions.totals(np.stack([items, np.ones(len(items))], axis=1))
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / sizes)


def t_interval(values: Floats, deletions: Deletions, level: float) -> ValueInterval:
    """Return θ ± t_d √V with d = ``n_clusters`` − 1; for statistics without bounds.

    The limits are NaN without variance, with a single cluster, or where θ is missing without some cluster.

    Args:
        values: θ of each sample, (samples,), on a scale without bounds.
        deletions: the samples.
        level: nominal coverage, 0 to 1.
    """
    variance = deletions.variance(values)
    if not variance > NO_VARIANCE:
        return ValueInterval(float(values[0]), np.nan, np.nan)
    half = float(special.stdtrit(deletions.n_clusters - 1, 0.5 + level / 2)) * np.sqrt(variance)
    return ValueInterval(float(values[0]), float(values[0] - half), float(values[0] + half))


def t_test(values: Floats, deletions: Deletions) -> float:
    """Return the two-sided p-value of θ = 0, from t = θ / √V with d as in ``t_interval``; NaN where it has no limits.

    Args:
        values: θ of each sample, (samples,), on a scale without bounds.
        deletions: the samples.
    """
    variance = deletions.variance(values)
    if not variance > NO_VARIANCE:
        return np.nan
    return float(2 * special.stdtr(deletions.n_clusters - 1, -abs(values[0]) / np.sqrt(variance)))


def share_interval(values: Floats, deletions: Deletions, level: float) -> ValueInterval:
    """Return a share θ with limits within 0 and 1, from ``intervals.limits_of_variance`` with d as in ``t_interval``.

    The limits are NaN with a single cluster, or where θ is missing without some cluster.

    Args:
        values: θ of each sample, (samples,), from 0 to 1.
        deletions: the samples.
        level: nominal coverage, 0 to 1.
    """
    value, n_clusters = float(values[0]), deletions.n_clusters
    variance = deletions.variance(values)
    if n_clusters < 2 or np.isnan(variance):
        return ValueInterval(value, np.nan, np.nan)
    low, high = limits_of_variance(value, variance, n_clusters - 1, n_clusters, level)
    return ValueInterval(value, float(low), float(high))


def z_interval(r: Floats, deletions: Deletions, level: float) -> ValueInterval:
    """Return the sample's correlation with an interval computed on the scale of Fisher's z.

        z = atanh(r), limits tanh(z ± t_d √V), V the jackknife variance of z

    The limits are NaN where |r| is 1 in any sample.

    Args:
        r: correlation of each sample, (samples,).
        deletions: the samples.
        level: nominal coverage, 0 to 1.

    Source: Fisher 1921 (On the probable error of a coefficient of correlation).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(np.abs(r) < 1 - ON_A_LINE, np.arctanh(r), np.nan)
    interval = t_interval(z, deletions, level)
    return ValueInterval(float(r[0]), float(np.tanh(interval.low)), float(np.tanh(interval.high)))


def running_totals(weights: Floats) -> Floats:
    """Return the cumulative sums over rows, from 0, (items + 1, samples), of weights (items, samples)."""
    totals = np.zeros((len(weights) + 1, weights.shape[1]))
    # Row by row is several times faster than numpy.cumsum along this axis.
    for i, row in enumerate(weights):
        np.add(totals[i], row, out=totals[i + 1])
    return totals


def _numbered(labels: ArrayLike) -> tuple[Integers, int]:
    names, codes = np.unique(np.asarray(labels), return_inverse=True)
    return codes, len(names)


def _row_sums(kernel: Kernel, items: Integers) -> Floats:
    """Return Σ_j k(i, j) for each item i, (items,), in blocks of rows."""
    step = max(1, CELLS // max(1, len(items)))
    blocks = (items[start : start + step] for start in range(0, len(items), step))
    return np.concatenate([np.zeros(0), *(kernel(block, items).sum(1) for block in blocks)])


def _sums_within(kernel: Kernel, codes: Integers, size: int) -> Floats:
    """Return Σ_{i, j in g} k(i, j) for each cluster g, (clusters,); 0 for a cluster with one item."""
    order, n_items = np.argsort(codes, kind="stable"), np.bincount(codes, minlength=size)
    ends = np.cumsum(n_items)
    within = np.zeros(size)
    for cluster in np.flatnonzero(n_items > 1):
        within[cluster] = _row_sums(kernel, order[ends[cluster] - n_items[cluster] : ends[cluster]]).sum()
    return within
