"""The bootstrap over clusters: how often each stands in each draw, and intervals of what is computed from that.

A draw weights items by how often their cluster was drawn, so that a statistic of all draws at once is sums with integer
weights. The first draw is always the sample itself: value and resamples come from the same code.

Source: Efron & Tibshirani 1993 (An Introduction to the Bootstrap), percentile interval; clusters drawn whole, Davison &
Hinkley 1997 (Bootstrap Methods and their Application, 3.8).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# Cells of the largest table that is kept at once: 32 MB.
CELLS = 4_000_000


class Draws(NamedTuple):
    """How often each cluster stands in each draw.

    codes: (items,), the number of each item's cluster.
    counts: (clusters, 1 + resamples), whole numbers; the first column, of the sample itself, is 1.
    """

    codes: NDArray[np.intp]
    counts: Floats

    @property
    def n_clusters(self) -> int:
        return len(self.counts)

    def weights(self) -> Floats:
        """Return how often each item stands in each draw, (items, draws)."""
        return self.counts[self.codes]

    def totals(self, values: ArrayLike) -> Floats:
        """Return the sum over each draw's items of each column of values, (columns, draws), of (items, columns)."""
        items = np.asarray(values, dtype=float)
        sums = np.zeros((self.n_clusters, items.shape[1]))
        np.add.at(sums, self.codes, items)
        totals: Floats = sums.T @ self.counts
        return totals

    def blocks(self) -> Iterator[Draws]:
        """Yield the same draws, so many at a time that their weights have no more than ``CELLS`` cells."""
        n_draws = self.counts.shape[1]
        step = max(1, CELLS // max(1, len(self.codes)))
        for start in range(0, n_draws, step):
            yield Draws(self.codes, self.counts[:, start : start + step])


class Estimate(NamedTuple):
    """A value with its percentile interval; NaN where there is none."""

    value: float
    low: float
    high: float


def draw_clusters(clusters: ArrayLike, resamples: int, seed: int = 0) -> Draws:
    """Return draws of as many clusters as there are, with replacement.

    The same clusters have the same draws from the same seed, whatever the order and the number of their items.

    Args:
        clusters: (items,), the cluster of each item.
        resamples: draws beside the sample itself.
        seed: of the draws.
    """
    names, codes = np.unique(np.asarray(clusters), return_inverse=True)
    return Draws(codes, _counts(len(names), resamples, seed))


def estimate(values: Floats, draws: Draws, level: float) -> Estimate:
    """Return the sample's value and the interval of the resamples' finite ones.

    No interval without a value, and none from a single cluster, which says nothing of others.

    Args:
        values: (draws,), the sample's first.
        draws: that they are of.
        level: of the interval, 0 to 1.
    """
    value = float(values[0])
    finite = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(value) or not len(finite) or draws.n_clusters < 2:
        return Estimate(value if np.isfinite(value) else np.nan, np.nan, np.nan)
    low, high = np.quantile(finite, [0.5 - level / 2, 0.5 + level / 2])
    return Estimate(value, float(low), float(high))


def weighted_means(values: ArrayLike, draws: Draws) -> Floats:
    """Return the mean over each draw's items, (draws,), of values, (items,); NaN without items."""
    items = np.asarray(values, dtype=float)
    sums, sizes = draws.totals(np.stack([items, np.ones(len(items))], axis=1))
    with np.errstate(invalid="ignore"):
        means: Floats = sums / sizes
    return means


def running_totals(weights: Floats) -> Floats:
    """Return the sum of the first i rows at row i, (items + 1, draws), of weights, (items, draws)."""
    totals = np.zeros((len(weights) + 1, weights.shape[1]))
    # Row by row: several times as fast as numpy.cumsum along this axis.
    for i, row in enumerate(weights):
        np.add(totals[i], row, out=totals[i + 1])
    return totals


@lru_cache(maxsize=8)
def _counts(n_clusters: int, resamples: int, seed: int) -> Floats:
    """Return (clusters, 1 + resamples); shared by all who ask, so nobody may write to it."""
    counts = np.ones((n_clusters, 1 + resamples))
    if n_clusters:
        shares = np.full(n_clusters, 1 / n_clusters)
        counts[:, 1:] = np.random.default_rng(seed).multinomial(n_clusters, shares, size=resamples).T
    counts.flags.writeable = False
    return counts
