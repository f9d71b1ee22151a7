"""How far validator follows generator: correlations of their log-odds, with the bootstrap over clusters.

The gap is 1 − Pearson(l_G, l_V). All correlations are of every draw at once: (items,) and draws → (draws,), the first
of the sample itself; NaN where a side does not vary.

Source: Rodriguez et al. 2025 (arXiv 2504.11381), which reports Pearson over all items, positives and negatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from leakscope.statistics.resampling import CELLS, Draws, Estimate, Floats, draw_clusters, estimate, running_totals
from leakscope.validate.paired import TunedOn, forms_and_subsets, parts_of

COLUMNS = ["model", "task", "split", "form", "subset", "statistic", "value", "ci_low", "ci_high", "n"]
FEWEST = 3
"""Items that a correlation needs: two always lie on a line."""
DOUBTFUL = 1e-9
"""Share of the squares' sum that their spread must exceed to be taken for one without a look at the values."""


def correlations(
    pairs: pd.DataFrame, parts: pd.DataFrame, tuned_on: TunedOn, level: float, resamples: int, seed: int
) -> pd.DataFrame:
    """Return ``COLUMNS``: every model's correlations of l_G and l_V by task, split, form and subset.

    Args:
        pairs: as ``paired.read_pairs`` returns them.
        parts: as ``paired.read_parts`` returns them.
        tuned_on: tuned model → the task and the split that it was trained on (see ``paired.parts_of``).
        level: of the intervals, 0 to 1.
        resamples: of the bootstrap over clusters.
        seed: of the bootstrap.
    """
    rows = []
    for (model, task), of_task in pairs.groupby(["model", "task"], sort=False):
        for split, of_split in parts_of(of_task, parts, tuned_on):
            for (form, subset), items in forms_and_subsets(of_split):
                intervals = correlate(items["l_g"], items["l_v"], items["cluster"], level, resamples, seed)
                keys = (model, task, split, form, subset)
                rows += [(*keys, statistic, *interval, len(items)) for statistic, interval in intervals.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def correlate(
    x: ArrayLike, y: ArrayLike, clusters: ArrayLike, level: float, resamples: int, seed: int
) -> dict[str, Estimate]:
    """Return statistic → correlation with its interval, for each of ``STATISTICS``; NaN of fewer than ``FEWEST`` items.

    Args:
        x: (items,).
        y: (items,).
        clusters: (items,).
        level: of the intervals, 0 to 1.
        resamples: of the bootstrap over clusters.
        seed: of the bootstrap.
    """
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(first) < FEWEST:
        return dict.fromkeys(STATISTICS, Estimate(np.nan, np.nan, np.nan))
    draws = draw_clusters(clusters, resamples, seed)
    return {name: estimate(statistic(first, second, draws), draws, level) for name, statistic in STATISTICS.items()}


def pearson(x: Floats, y: Floats, draws: Draws) -> Floats:
    """Return Pearson's correlation of each draw."""
    if len(x) < FEWEST:
        return np.full(draws.counts.shape[1], np.nan)
    # Sums of squares about the sample's mean and in its deviations: about zero they would lose digits to cancellation.
    a, b = _standardised(x), _standardised(y)
    n, sum_a, sum_b, sum_aa, sum_bb, sum_ab = draws.totals(np.stack([np.ones(len(a)), a, b, a * a, b * b, a * b], 1))
    squares = n * sum_aa - sum_a**2, n * sum_bb - sum_b**2
    r = _ratio(n * sum_ab - sum_a * sum_b, *squares)
    # Equal values leave a remainder of rounding here, which is not told from a small spread.
    doubtful = (squares[0] <= DOUBTFUL * n * sum_aa) | (squares[1] <= DOUBTFUL * n * sum_bb)
    few = Draws(draws.codes, draws.counts[:, doubtful])
    r[doubtful] = np.where(_varies(x, few) & _varies(y, few), r[doubtful], np.nan)
    return r


def spearman(x: Floats, y: Floats, draws: Draws) -> Floats:
    """Return Spearman's correlation of each draw: Pearson's of its ranks, ties at their mean rank."""
    parts = []
    for block in draws.blocks():
        weights = block.weights()
        a, b = (_centred_ranks(values, weights) for values in (x, y))
        sums = (np.einsum("id,id,id->d", weights, one, other) for one, other in ((a, b), (a, a), (b, b)))
        parts.append(_ratio(*sums))
    return np.concatenate(parts)


def kendall(x: Floats, y: Floats, draws: Draws) -> Floats:
    """Return Kendall's tau-b of each draw.

        tau_b = Σ_ij s_ij t_ij / sqrt(Σ_ij s_ij² · Σ_ij t_ij²),  s_ij = sign(x_i − x_j), t_ij = sign(y_i − y_j)

    An item that stands twice in a draw is tied with itself.

    Source: Kendall 1945 (The treatment of ties in ranking problems).
    """
    return _ratio(_concordance(x, y, draws), _n_untied_pairs(x, draws), _n_untied_pairs(y, draws))


STATISTICS: Mapping[str, Callable[[Floats, Floats, Draws], Floats]] = {
    "pearson": pearson,
    "spearman": spearman,
    "kendall": kendall,
}


def _ratio(product: Floats, square_x: Floats, square_y: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio: Floats = np.clip(product / (np.sqrt(square_x) * np.sqrt(square_y)), -1, 1)
    return ratio


def _standardised(values: Floats) -> Floats:
    centred: Floats = values - values.mean()
    largest = np.abs(centred).max()
    return centred / largest if largest > 0 else centred


def _varies(values: Floats, draws: Draws) -> NDArray[np.bool_]:
    """Say of each draw whether its items differ: by their ranks, as sums leave a remainder where they are equal."""
    ranks = np.unique(values, return_inverse=True)[1].astype(float)
    lowest, highest = np.full(draws.n_clusters, np.inf), np.full(draws.n_clusters, -np.inf)
    np.minimum.at(lowest, draws.codes, ranks)
    np.maximum.at(highest, draws.codes, ranks)
    there = draws.counts > 0
    low = np.where(there, lowest[:, None], np.inf).min(0)
    high = np.where(there, highest[:, None], -np.inf).max(0)
    varies: NDArray[np.bool_] = low < high
    return varies


def _centred_ranks(values: Floats, weights: Floats) -> Floats:
    """Return twice each item's mean rank in each draw, less twice the draw's mean rank; whole numbers.

    With W items in a draw: (items below) + (items below or equal) − W.

    Args:
        values: (items,).
        weights: (items, draws).
    """
    order = np.argsort(values, kind="stable")
    below = running_totals(weights[order])
    first, last = (np.searchsorted(values[order], values, side) for side in ("left", "right"))
    ranks: Floats = below[first]
    ranks += below[last]
    ranks -= below[-1]
    return ranks


def _n_untied_pairs(values: Floats, draws: Draws) -> Floats:
    """Return the number of ordered pairs of different values in each draw: all pairs less those of equal ones."""
    order = np.argsort(values, kind="stable")
    starts, sizes = np.unique(values[order], return_index=True, return_counts=True)[1:]
    codes = draws.codes[order]
    alone = np.bincount(codes[starts[sizes == 1]], minlength=draws.n_clusters)
    equal: Floats = alone @ draws.counts**2
    for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
        equal += draws.counts[codes[start : start + size]].sum(0) ** 2
    items: Floats = np.bincount(codes, minlength=draws.n_clusters) @ draws.counts
    return items**2 - equal


def _concordance(x: Floats, y: Floats, draws: Draws) -> Floats:
    """Return Σ_ij w_i w_j s_ij t_ij of each draw (see ``kendall``), some clusters at a time.

    Items of one cluster have one weight, so that signs are summed by clusters before they meet the draws.
    """
    order = np.argsort(draws.codes, kind="stable")
    x, y, bounds = x[order], y[order], np.searchsorted(draws.codes[order], np.arange(draws.n_clusters + 1))
    total = np.zeros(draws.counts.shape[1])
    for begin, end in _runs(bounds, len(x)):
        rows = slice(bounds[begin], bounds[end])
        # (items of some clusters, all items), then summed to (some clusters, all clusters).
        signs = np.sign(x[rows, None] - x) * np.sign(y[rows, None] - y)
        by_cluster = np.add.reduceat(np.add.reduceat(signs, bounds[:-1], axis=1), bounds[begin:end] - bounds[begin])
        total += np.einsum("cd,cd->d", by_cluster @ draws.counts, draws.counts[begin:end])
    return total


def _runs(bounds: NDArray[np.intp], n_items: int) -> Iterator[tuple[int, int]]:
    """Yield runs of clusters, first and one beyond the last, whose pairs with all items are about ``CELLS`` at most."""
    begin = 0
    for end in range(1, len(bounds)):
        is_last = end == len(bounds) - 1
        if is_last or (bounds[end + 1] - bounds[begin]) * n_items > CELLS:
            yield begin, end
            begin = end
