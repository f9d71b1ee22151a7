"""Slopes and correlations between links, from double-centred values, with intervals over concepts and associates.

Every pair has two clusters, its concept and its associate. Each jackknife sample is centred again: the subtracted means
are estimated from the same values, so a variance that ignores them would be too small.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.statistics.intervals import FEW
from leakscope.statistics.jackknife import Deletions, leave_out, t_interval, z_interval
from leakscope.trace.centring import CENTRED
from leakscope.trace.links import VARIANCE

Floats = NDArray[np.float64]

RELATION_COLUMNS = [
    "model", "prompt_set", "x", "y", "given", "slope", "slope_low", "slope_high", "correlation", "ci_low", "ci_high",
    "slope_exact", "correlation_exact", "n_pairs", "n_concepts", "n_associates", "few",
]  # fmt: skip
RELATIONS = (
    ("count", "leak", ""),
    ("knows", "leak", ""),
    ("count", "knows", ""),
    ("affirms", "leak", ""),
    ("count", "leak", "knows"),
    ("knows", "leak", "count"),
)
"""x, y and, for a partial relation, the link held constant."""
NOTHING = 1e-12
"""Tolerance below which a sum of squares is rounding error, relative to the sample's."""


def relate(links: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return ``RELATION_COLUMNS`` of one model and prompt set; no row if no slot has the links of a relation.

        slope        b of ỹ = b x̃ (+ c z̃), least squares over pairs; ỹ, x̃, z̃ double-centred within each slot
        correlation of x̃ and ỹ; for a partial relation, of their residuals on z̃
        limits       by the jackknife over concepts and associates, two-way; t, of a correlation on Fisher's z
        exact        of an organism: count_exact and leak_exact in their place, with the variance that counts of its
                     size have added to Σ x̃²

    ``few`` is yes with fewer than ten concepts or associates: then the interval is unreliable.

    Args:
        links: as ``links.link_pairs`` returns them, of one model and prompt set.
        level: of the intervals, 0 to 1.

    Source: Frisch & Waugh 1933 (partial regression); Efron & Stein 1981; Cameron, Gelbach & Miller 2011.
    """
    rows = []
    for x, y, given in RELATIONS:
        names = [name for name in (x, y, given) if name]
        known = links[[f"{name}{CENTRED}" for name in names]].notna().all(axis=1)
        pairs = links[known].reset_index(drop=True)
        if pairs.empty:
            continue
        keys = (*pairs[["model", "prompt_set"]].iloc[0], x, y, given)
        rows.append((*keys, *_related(pairs, names, level), *_exact_relation(pairs, names), *_sizes(pairs)))
    table = pd.DataFrame(rows, columns=RELATION_COLUMNS)
    numbers = table.columns[table.columns.get_loc("slope") : table.columns.get_loc("n_pairs")]
    return table.astype(dict.fromkeys(numbers, float))


def _related(pairs: pd.DataFrame, names: list[str], level: float) -> tuple[float, ...]:
    deletions = leave_out(pairs["concept_group"], pairs["associate"])
    centred = pairs[[f"{name}{CENTRED}" for name in names]].to_numpy(dtype=float)
    slope, correlation = regressed(cross_products(centred, _kept(pairs), deletions))
    return (*t_interval(slope, deletions, level), *z_interval(correlation, deletions, level))


def _sizes(pairs: pd.DataFrame) -> tuple[int, int, int, str]:
    concepts, associates = pairs["concept_group"].nunique(), pairs["associate"].nunique()
    return len(pairs), concepts, associates, "yes" if min(concepts, associates) < FEW else "no"


def _exact_relation(pairs: pd.DataFrame, names: list[str]) -> tuple[float, float]:
    """Return slope and correlation of the exact values; NaN if one is unknown in a slot."""
    columns = [f"{name}_exact{CENTRED}" for name in names]
    if not set(columns) <= set(pairs) or pairs[columns].isna().any(axis=None):
        return np.nan, np.nan
    centred = pairs[columns].to_numpy(dtype=float)
    products = (centred.T @ centred)[None]
    products[0, 0, 0] += pairs[VARIANCE].to_numpy() @ _kept(pairs).prod(1)
    slope, correlation = regressed(products)
    return float(slope[0]), float(correlation[0])


def _kept(pairs: pd.DataFrame) -> Floats:
    """Return 1 − 1/R and 1 − 1/C of each pair's slot of R concepts and C associates, (pairs, 2)."""
    slots = pairs.groupby("slot", sort=False)
    sizes = [slots[column].transform("nunique").to_numpy(dtype=float) for column in ("concept_group", "associate")]
    return np.asarray(1 - 1 / np.stack(sizes, axis=1))


def cross_products(centred: Floats, kept: Floats, deletions: Deletions) -> Floats:
    """Return Σ over pairs of the products of centred values, (samples, links, links), centred again in each sample.

    Without a concept the means of its slot's R − 1 others move by −e / (R − 1), e the concept's centred values, so that

        without a concept     Σ − R/(R − 1) · Σ over its pairs of e eᵀ
        without an associate  Σ − C/(C − 1) · Σ over its pairs of e eᵀ
        without a pair        Σ − R/(R − 1) · C/(C − 1) · e eᵀ

    Args:
        centred: (pairs, links), double-centred in slots without a missing pair.
        kept: 1 − 1/R and 1 − 1/C, (pairs, 2).
        deletions: of the pairs: one-way, or two-way with the pairs in both clusters.
    """
    products = centred[:, :, None] * centred[:, None, :]
    whole = products.sum(0, keepdims=True)
    samples = [whole]
    shares = (kept[:, 0], kept[:, 1], kept.prod(1))
    # One way has no more than its own.
    for codes, size, share in zip(deletions.codes, deletions.sizes, shares, strict=False):
        lost = np.zeros((size, *whole.shape[1:]))
        np.add.at(lost, codes, products / share[:, None, None])
        samples.append(whole - lost)
    return np.concatenate(samples)


def regressed(products: Floats) -> tuple[Floats, Floats]:
    """Return slope and correlation of x and y in each sample, (samples,); NaN if one does not vary.

    Args:
        products: of x, y and, of a partial relation, z, (samples, 2 or 3, 2 or 3).
    """
    s = products
    with np.errstate(divide="ignore", invalid="ignore"):
        if s.shape[1] > 2:
            s = s[:, :2, :2] - s[:, :2, 2:] * s[:, 2:, :2] / s[:, 2:, 2:]
        # Compared with the sample's own sum of squares; smaller values are rounding error.
        least = NOTHING * products[:1, [0, 1], [0, 1]]
        xx, yy = (np.where(s[:, i, i] > least[:, i], s[:, i, i], np.nan) for i in (0, 1))
        return s[:, 0, 1] / xx, np.clip(s[:, 0, 1] / np.sqrt(xx * yy), -1, 1)
