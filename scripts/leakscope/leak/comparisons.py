"""Does one model leak more than another on the same prompts? Paired differences, permutation tests, Holm."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.leak.leak_rate import ROUNDING, by_category
from leakscope.statistics.intervals import intervals_of_totals

Floats = NDArray[np.float64]

COLUMNS = [
    "prompt_set",
    "scorer",
    "category",
    "model_a",
    "model_b",
    "n_clusters",
    "difference",
    "ci_low",
    "ci_high",
    "effect_size",
    "p_value",
    "p_holm",
    "p_smallest",
]
TOLERANCE = 1e-9  # outcomes are halves, so their sums are exact; this is for other values
BLOCK = 4_000_000  # cells of a block of patterns × differences


def compare_models(pairs: pd.DataFrame, level: float = 0.95, permutations: int = 2**16, seed: int = 0) -> pd.DataFrame:
    """Compare all pairs of models within each prompt set, scorer and category (and ``all``).

    Outcomes are matched by prompt and sample, against the control without the clause; a is the model that appears
    first. With d the matched differences in percentage points:

        difference   mean d, with the cluster-robust interval
        effect_size  Cohen's h = 2 asin √(rate a) − 2 asin √(rate b): .2 small, .5 medium, .8 large. Unlike mean d over
                     its standard deviation it depends neither on how many pairs share a cluster nor on their number, it
                     exists where every cluster differs by as much, and 90 against 98 counts for more than 50 against 58
        p_value      ``sign_flip_p`` of the clusters' sums of d, two-sided
        p_holm       corrected for all pairs of models of this prompt set, scorer and category
        p_smallest   what p_value cannot fall below with so many clusters: 2/2^G (4 clusters: .125)

    Args:
        pairs: as ``outcomes.compare_pairs`` returns them.
        level: of the intervals, 0 to 1.
        permutations: sign patterns: all of them up to this number, else as many at random.
        seed: of the random patterns.

    Returns:
        ``COLUMNS``, points and shares rounded to 6 digits (p-values are not); NaN for two models that share no prompt;
        no row for a single model.

    Source: effect size, Cohen 1988 (Statistical Power Analysis, ch. 6); correction, Holm 1979.
    """
    rows = pairs.loc[
        pairs["control_kind"] == "without", ["model", *COLUMNS[:3], "cluster", "prompt_id", "sample", "outcome"]
    ]
    models = list(rows["model"].unique())
    tables = [
        _compare_family(family, models, level, permutations, seed).assign(
            **dict(zip(COLUMNS[:3], map(str, keys), strict=True))
        )
        for keys, family in by_category(rows, COLUMNS[:3])
    ]
    tables = [table for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True)[COLUMNS] if tables else pd.DataFrame(columns=COLUMNS)


def sign_flip_p(sums: Floats, permutations: int = 2**16, seed: int = 0) -> Floats:
    """Return two-sided p-values of the hypothesis that each cluster's sum is as likely to have the other sign.

        p = share of sign patterns s with |Σ_g s_g D_g| ≥ |Σ_g D_g|

    Args:
        sums: (..., G), D_g: differences summed by cluster.
        permutations: all 2^G patterns up to this number; else as many at random, the observed one counted with them:
            p = (1 + hits) / (1 + permutations).
        seed: of the random patterns.

    Returns:
        (...), 1 without clusters.

    Source: exact and random patterns, Phipson & Smyth 2010; sign flips by cluster, Winkler et al. 2015.
    """
    n_clusters = sums.shape[-1]
    flat = sums.reshape(-1, n_clusters)
    exact = 2**n_clusters <= permutations
    # A pattern and its opposite have the same absolute sum: half of them, the last sign fixed, are enough.
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
    """Return the smallest p-value that ``sign_flip_p`` can give with so many clusters; NaN without any."""
    if n_clusters == 0:
        return np.nan
    return 2.0 / 2**n_clusters if 2**n_clusters <= permutations else 1.0 / (1 + permutations)


def holm(p_values: Floats) -> Floats:
    """Return Holm-corrected p-values, (n,): the largest, up to each rank i (from 0), of (n − i) p_(i), at most 1.

    NaN stays NaN and is not counted.

    Source: Holm 1979.
    """
    corrected = np.full(len(p_values), np.nan)
    order = np.argsort(p_values, kind="stable")[: int(np.isfinite(p_values).sum())]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def _compare_family(rows: pd.DataFrame, models: list[str], level: float, permutations: int, seed: int) -> pd.DataFrame:
    """Compare the models of one prompt set, scorer and category."""
    outcomes = rows.pivot(index=["cluster", "prompt_id", "sample"], columns="model", values="outcome")
    present = [model for model in models if model in outcomes]
    a, b = np.array(list(combinations(range(len(present)), 2)), dtype=int).reshape(-1, 2).T
    cluster, names = pd.factorize(outcomes.index.get_level_values("cluster"))
    values = outcomes[present].to_numpy(dtype=float)
    member = (np.arange(len(names))[:, None] == cluster).astype(float)
    known = np.isfinite(values).astype(float)
    both = known[:, a] * known[:, b]
    won = [member @ (np.nan_to_num(values)[:, side] * both) for side in (a, b)]
    counts = member @ both
    sums = (won[0] - won[1]).T
    interval = intervals_of_totals(100 * sums, counts.T, level, bounds=(-100.0, 100.0))
    n_clusters = (counts > 0).sum(0)
    p_value = np.where(n_clusters > 0, sign_flip_p(sums, permutations, seed), np.nan)
    with np.errstate(invalid="ignore"):
        h = [2 * np.arcsin(np.sqrt(np.clip(wins.sum(0) / counts.sum(0), 0, 1))) for wins in won]
    return pd.DataFrame(
        {
            "model_a": [present[i] for i in a],
            "model_b": [present[i] for i in b],
            "n_clusters": n_clusters,
            "difference": interval.mean.round(ROUNDING),
            "ci_low": interval.low.round(ROUNDING),
            "ci_high": interval.high.round(ROUNDING),
            "effect_size": (h[0] - h[1]).round(ROUNDING),
            "p_value": p_value,
            "p_holm": holm(p_value),
            "p_smallest": [smallest_p(int(n), permutations) for n in n_clusters],
        }
    )
