"""Permutation tests (sign flips of clusters, permuted names of groups) and corrections for multiple tests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import factorial, prod

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

Floats = NDArray[np.float64]

TOLERANCE = 1e-9  # of equal sums; sums of halves are exact without it
BLOCK = 4_000_000  # most cells of patterns × differences in memory


def name_permutation_p(designs: Sequence[Floats], permutations: int = 9999, seed: int = 0) -> float:
    """Return the two-sided p-value of the null hypothesis that group names are exchangeable between groups' texts.

        statistic  S(π) = Σ over tables Σ_g wins[π(g), g]
        p          (1 + share of random π with |S(π) − E S| ≥ |S(identity) − E S|, times n) / (1 + n)

    E S is the mean over all permutations. Names are permuted jointly over all units, so properties of a name (how
    similar it is to any text, how long its texts are) are kept under every permutation. A name must not be in two
    tables: with independent permutations in each, p is below .05 in 19 % of studies without leakage.

    Args:
        designs: for each set of exchangeable names, the wins of each name on the texts of each group, (names, groups),
            in the same order, summed over all units with their weights. A group without texts has zeros.
        permutations: number of random permutations, n.
        seed: of the permutations.

    Returns:
        NaN where no table has two names.

    Source: Phipson & Smyth 2010 (the observed order is counted); linear permutation statistics, Hoeffding 1951.
    """
    tables = [wins - wins.mean(0) - wins.mean(1, keepdims=True) + wins.mean() for wins in designs if len(wins) > 1]
    if not tables:
        return np.nan
    drawn = np.zeros(permutations)
    for place, table in enumerate(tables):
        for rows, names in _orders(len(table), permutations, seed + place):
            drawn[rows] += table[names, np.arange(len(table))].sum(1)
    observed = abs(sum(float(np.trace(table)) for table in tables)) - TOLERANCE
    return (1 + int((np.abs(drawn) >= observed).sum())) / (1 + permutations)


def smallest_name_p(designs: Sequence[Floats], permutations: int = 9999) -> float:
    """Return the smallest p-value that ``name_permutation_p`` can be expected to give; NaN where it gives NaN.

    One order of all is the observed one. Where every table has two names, its reverse is equally extreme.
    """
    sizes = [len(wins) for wins in designs if len(wins) > 1]
    if not sizes:
        return np.nan
    n_orders = prod(map(factorial, sizes))
    return max(1 / (1 + permutations), (2 if max(sizes) == 2 else 1) / n_orders)


@lru_cache(maxsize=8)
def _orders(n: int, permutations: int, seed: int) -> list[tuple[slice, NDArray[np.intp]]]:
    """Return random orders of n names in blocks: the slice of rows and the orders, (rows, n)."""
    rng = np.random.default_rng([seed, n])
    step = max(1, BLOCK // n)
    starts = range(0, permutations, step)
    sizes = [min(step, permutations - start) for start in starts]
    return [
        (slice(start, start + size), rng.permuted(np.broadcast_to(np.arange(n), (size, n)), axis=1))
        for start, size in zip(starts, sizes, strict=True)
    ]


def sign_flip_p(sums: Floats, permutations: int = 2**16, seed: int = 0) -> Floats:
    """Return two-sided p-values of the null hypothesis that cluster sums are symmetric around 0.

        p = share of sign patterns s with |Σ_g s_g D_g| ≥ |Σ_g D_g|

    Args:
        sums: D_g, (..., G): differences summed by cluster.
        permutations: all 2^G patterns are used up to this number. Beyond it, this number of random patterns is drawn
            and the observed one added: p = (1 + hits) / (1 + permutations).
        seed: of the random patterns.

    Returns:
        (...), 1 without clusters.

    Source: exact and random patterns, Phipson & Smyth 2010; sign flips by cluster, Winkler et al. 2015.
    """
    n_clusters = sums.shape[-1]
    flat = sums.reshape(-1, n_clusters)
    exact = 2**n_clusters <= permutations
    # A pattern and its opposite have the same absolute sum, so the last sign can be fixed.
    n_patterns = 2 ** max(n_clusters - 1, 0) if exact else permutations
    rng = np.random.default_rng(seed)
    observed = np.abs(flat.sum(1)) - TOLERANCE
    hits = np.zeros(len(flat))
    step = max(1, BLOCK // max(len(flat), n_clusters, 1))
    for start in range(0, n_patterns, step):
        numbers = np.arange(start, min(start + step, n_patterns))
        if exact:
            bits = numbers[:, None] >> np.arange(n_clusters) & 1
        else:
            bits = rng.integers(0, 2, size=(len(numbers), n_clusters))
        hits += (np.abs((1.0 - 2.0 * bits) @ flat.T) >= observed).sum(0)
    p = hits / n_patterns if exact else (1 + hits) / (1 + n_patterns)
    return np.asarray(p).reshape(sums.shape[:-1])


def smallest_p(n_clusters: int, permutations: int = 2**16) -> float:
    """Return the smallest p-value that ``sign_flip_p`` can give with ``n_clusters`` clusters; NaN without clusters."""
    if n_clusters == 0:
        return np.nan
    return 2.0 / 2**n_clusters if 2**n_clusters <= permutations else 1.0 / (1 + permutations)


def holm(p_values: Floats) -> Floats:
    """Return p-values, (n,), with Holm's correction, which controls the family-wise error rate.

    At rank i (from 0): the maximum of (n − j) p_(j) over j ≤ i, at most 1. NaN stays NaN and is not counted in n.

    Source: Holm 1979.
    """
    corrected = np.full(len(p_values), np.nan)
    order = np.argsort(p_values, kind="stable")[: int(np.isfinite(p_values).sum())]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def benjamini_yekutieli(p_values: Floats) -> Floats:
    """Return p-values, (n,), corrected to control the false discovery rate under any dependence between tests.

    At rank i (from 1): the minimum of p_(j) n (1 + 1/2 + ... + 1/n) / j over j ≥ i, at most 1. NaN stays NaN and is not
    counted in n.

    Source: Benjamini & Yekutieli 2001.
    """
    corrected = np.full(len(p_values), np.nan)
    known = np.isfinite(p_values)
    if known.any():
        corrected[known] = false_discovery_control(p_values[known], method="by")
    return corrected
