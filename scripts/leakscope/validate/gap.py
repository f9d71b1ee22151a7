"""The generator–validator gap: correlations of their log-odds, with intervals that generalise to new items.

The gap is 1 − Pearson(l_G, l_V). Correlations are computed for the sample and all its ``Deletions`` at once: (items,) →
(samples,), the full sample first; NaN where a side does not vary.

Source: Rodriguez et al. 2025 (arXiv 2504.11381), which reports Pearson over all items, positives and negatives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from leakscope.statistics.jackknife import Deletions, Floats, Integers, ValueInterval, running_totals, z_interval
from leakscope.validate.paired import TunedOn, forms_and_subsets, new_items, parts_of

COLUMNS = ["model", "task", "split", "form", "subset", "statistic", "value", "ci_low", "ci_high", "n"]
FEWEST = 3
"""Smallest number of items for a correlation: two always lie on a line."""


def correlations(pairs: pd.DataFrame, parts: pd.DataFrame, tuned_on: TunedOn, level: float) -> pd.DataFrame:
    """Return ``COLUMNS``: every model's correlations of l_G and l_V by task, split, form and subset.

    Args:
        pairs: from ``paired.read_pairs``.
        parts: from ``paired.read_parts``.
        tuned_on: tuned model → the task and the split that it was trained on (see ``paired.parts_of``).
        level: nominal coverage of the intervals, 0 to 1.
    """
    rows = []
    for (model, task), of_task in pairs.groupby(["model", "task"], sort=False):
        for split, of_split in parts_of(of_task, parts, tuned_on):
            for (form, subset), items in forms_and_subsets(of_split):
                keys = (model, task, split, form, subset)
                for statistic, interval in correlate(items["l_g"], items["l_v"], new_items(items), level).items():
                    rows.append((*keys, statistic, *interval, len(items)))
    return pd.DataFrame(rows, columns=COLUMNS)


def correlate(x: ArrayLike, y: ArrayLike, deletions: Deletions, level: float) -> dict[str, ValueInterval]:
    """Return statistic → correlation with its interval, for all ``STATISTICS``; NaN with fewer than ``FEWEST`` items.

    Args:
        x: (items,).
        y: (items,).
        deletions: jackknife samples of the items.
        level: nominal coverage of the intervals, 0 to 1.
    """
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(first) < FEWEST:
        return dict.fromkeys(STATISTICS, ValueInterval(np.nan, np.nan, np.nan))
    return {
        name: z_interval(statistic(first, second, deletions), deletions, level)
        for name, statistic in STATISTICS.items()
    }


def pearson(x: Floats, y: Floats, deletions: Deletions) -> Floats:
    """Return Pearson's correlation of each sample."""
    if len(x) < FEWEST:
        return np.full(1 + sum(deletions.sizes), np.nan)
    # Standardised first: sums of squares around zero would lose digits to cancellation.
    a, b = _standardised(x), _standardised(y)
    n, sum_a, sum_b, sum_aa, sum_bb, sum_ab = deletions.totals(
        np.stack([np.ones(len(a)), a, b, a * a, b * b, a * b], 1)
    )
    r = _ratio(n * sum_ab - sum_a * sum_b, n * sum_aa - sum_a**2, n * sum_bb - sum_b**2)
    # Rounding errors of equal values cannot be distinguished from a small spread, so ties are counted exactly.
    varies = (_n_untied_pairs(x, deletions) > 0) & (_n_untied_pairs(y, deletions) > 0)
    return np.where(varies, r, np.nan)


def spearman(x: Floats, y: Floats, deletions: Deletions) -> Floats:
    """Return Spearman's correlation of each sample: Pearson's correlation of ranks, with mean ranks for ties."""
    parts = []
    for weights in deletions.weights():
        a, b = (_centred_ranks(values, weights) for values in (x, y))
        sums = (np.einsum("id,id,id->d", weights, one, other) for one, other in ((a, b), (a, a), (b, b)))
        parts.append(_ratio(*sums))
    return np.concatenate(parts)


def kendall(x: Floats, y: Floats, deletions: Deletions) -> Floats:
    """Return Kendall's tau-b of each sample.

        tau_b = Σ_ij s_ij t_ij / sqrt(Σ_ij s_ij² · Σ_ij t_ij²),  s_ij = sign(x_i − x_j), t_ij = sign(y_i − y_j)

    Source: Kendall 1945 (The treatment of ties in ranking problems).
    """
    untied = (_n_untied_pairs(values, deletions) for values in (x, y))
    return _ratio(concordance(x, y, deletions), *untied)


def concordance(x: Floats, y: Floats, deletions: Deletions) -> Floats:
    """Return Σ_ij s_ij t_ij over the ordered pairs of each sample's items (see ``kendall``)."""

    def kernel(rows: Integers, others: Integers) -> Floats:
        return np.asarray(np.sign(x[rows, None] - x[others]) * np.sign(y[rows, None] - y[others]))

    return deletions.pair_sums(kernel)


STATISTICS: Mapping[str, Callable[[Floats, Floats, Deletions], Floats]] = {
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


def _centred_ranks(values: Floats, weights: Floats) -> Floats:
    """Return twice each item's rank minus twice the mean rank, in each sample; whole numbers.

    With W items in a sample: (items below) + (items below or equal) − W.

    Args:
        values: (items,).
        weights: (items, samples).
    """
    order = np.argsort(values, kind="stable")
    below = running_totals(weights[order])
    first, last = (np.searchsorted(values[order], values, side) for side in ("left", "right"))
    ranks: Floats = below[first]
    ranks += below[last]
    ranks -= below[-1]
    return ranks


def _n_untied_pairs(values: Floats, deletions: Deletions) -> Floats:
    """Return the number of ordered pairs with different values in each sample."""
    levels = np.unique(values, return_inverse=True)[1]
    n_equal = np.bincount(levels).astype(float)
    parts = [np.array([len(values) ** 2 - (n_equal**2).sum()])]
    for codes, size in zip(deletions.codes, deletions.sizes, strict=True):
        # Deleting a cluster changes only the counts of values that occur in it.
        cells, n = np.unique(codes * len(n_equal) + levels, return_counts=True)
        cluster, level = np.divmod(cells, max(1, len(n_equal)))
        change = np.bincount(cluster, n**2 - 2 * n * n_equal[level], size)
        left = len(values) - np.bincount(codes, minlength=size)
        parts.append(left**2 - ((n_equal**2).sum() + change))
    return np.concatenate(parts)
