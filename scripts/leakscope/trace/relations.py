"""Does one link go with the next? Slopes and correlations of double-centred values, for other concepts and associates.

Every pair has two clusters, its concept and its associate. Without a cluster the slots are centred anew: the means that
centring takes off are estimates from the same values, and a variance without that would be too small.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.statistics.intervals import FEW
from leakscope.statistics.jackknife import Deletions, leave_out, t_interval, z_interval
from leakscope.trace.centring import CENTRED, double_centred
from leakscope.trace.links import VARIANCE

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

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
"""x, y and, of a partial relation, what is held equal."""
NOTHING = 1e-12
"""What rounding leaves of a sum of squares, relative to the sample's."""


class Slot(NamedTuple):
    """Values of one slot, (links, concepts, associates), and where its pairs stand, (concepts, associates)."""

    values: Floats
    pair: Integers


def relate(links: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return ``RELATION_COLUMNS`` of one model and prompt set; no row where no slot has the links of a relation.

        slope        b of ỹ = b x̃ (+ c z̃), least squares over pairs; ỹ, x̃, z̃ double-centred within each slot
        correlation  of x̃ and ỹ, of a partial one of what z̃ leaves of both
        limits       by the jackknife over concepts and associates, two-way; t, of a correlation on Fisher's z
        exact        of an organism: count_exact and leak_exact in their place, with the variance that counts of its
                     size have added to Σ x̃²

    ``few`` is yes with fewer than ten concepts or associates: then the interval is a guess.

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
    columns = [f"{name}{CENTRED}" for name in names]
    slope, correlation = regressed(cross_products(_slots(pairs, columns), deletions))
    return (*t_interval(slope, deletions, level), *z_interval(correlation, deletions, level))


def _sizes(pairs: pd.DataFrame) -> tuple[int, int, int, str]:
    concepts, associates = pairs["concept_group"].nunique(), pairs["associate"].nunique()
    return len(pairs), concepts, associates, "yes" if min(concepts, associates) < FEW else "no"


def _exact_relation(pairs: pd.DataFrame, names: list[str]) -> tuple[float, float]:
    """Return slope and correlation of the exact values; NaN where one is not known in a slot."""
    columns = [f"{name}_exact{CENTRED}" for name in names]
    if not set(columns) <= set(pairs) or pairs[columns].isna().any(axis=None):
        return np.nan, np.nan
    products = np.zeros((1, 2, 2))
    for slot in _slots(pairs, [*columns, VARIANCE]):
        n_concepts, n_associates = slot.values.shape[1:]
        products[0] += _products(slot.values[:2])
        products[0, 0, 0] += slot.values[2].sum() * (1 - 1 / n_concepts) * (1 - 1 / n_associates)
    slope, correlation = regressed(products)
    return float(slope[0]), float(correlation[0])


def _slots(pairs: pd.DataFrame, columns: list[str]) -> list[Slot]:
    """Return each slot as a whole matrix; pairs come slot by slot, concept by concept, as ``pairs.list_pairs`` has."""
    slots = []
    for _, part in pairs.groupby("slot", sort=False):
        shape = (part["concept_group"].nunique(), part["associate"].nunique())
        values = part[columns].to_numpy(dtype=float).T.reshape(len(columns), *shape)
        slots.append(Slot(values, part.index.to_numpy().reshape(shape)))
    return slots


def cross_products(slots: list[Slot], deletions: Deletions) -> Floats:
    """Return Σ over pairs of the products of centred values, (samples, links, links), centred anew in each sample.

    Without one pair of a slot of R concepts and C associates, what additive means leave changes by −e eᵀ / (1 − h),
    h = 1 − (1 − 1/R)(1 − 1/C) the pair's leverage, e its centred values.

    Args:
        slots: of all pairs.
        deletions: of the pairs: one way, or two and what shares a cluster of both.
    """
    whole = np.sum([_products(slot.values) for slot in slots], axis=0)
    changes = [np.zeros((size, *whole.shape)) for size in deletions.sizes]
    for slot in slots:
        rows, columns = slot.pair[:, 0], slot.pair[0]
        ways = [(1, rows), (2, columns)][: min(2, len(changes))]
        for change, codes, (axis, pairs) in zip(changes, deletions.codes, ways, strict=False):
            for place, pair in enumerate(pairs):
                change[codes[pair]] += _products(np.delete(slot.values, place, axis)) - _products(slot.values)
        if len(changes) > 2:
            np.add.at(changes[2], deletions.codes[2][slot.pair], _without_one(slot.values))
    return np.concatenate([whole[None], *(whole + change for change in changes)])


def _products(values: Floats) -> Floats:
    """Return Σ ẽ ẽᵀ over a matrix, (links, links), of values, (links, concepts, associates)."""
    centred = double_centred(values).reshape(len(values), -1)
    return np.asarray(centred @ centred.T)


def _without_one(values: Floats) -> Floats:
    """Return by how much the products change without each pair, (concepts, associates, links, links)."""
    centred = double_centred(values)
    kept = (1 - 1 / values.shape[1]) * (1 - 1 / values.shape[2])
    return np.asarray(-np.einsum("kij,lij->ijkl", centred, centred) / kept)


def regressed(products: Floats) -> tuple[Floats, Floats]:
    """Return slope and correlation of x and y in each sample, (samples,); NaN where one does not vary.

    Args:
        products: of x, y and, of a partial relation, z, (samples, 2 or 3, 2 or 3).
    """
    s = products
    with np.errstate(divide="ignore", invalid="ignore"):
        if s.shape[1] > 2:
            s = s[:, :2, :2] - s[:, :2, 2:] * s[:, 2:, :2] / s[:, 2:, 2:]
        # Beside the sample's own sum of squares: what is less has been left over by rounding.
        least = NOTHING * products[:1, [0, 1], [0, 1]]
        xx, yy = (np.where(s[:, i, i] > least[:, i], s[:, i, i], np.nan) for i in (0, 1))
        return s[:, 0, 1] / xx, np.clip(s[:, 0, 1] / np.sqrt(xx * yy), -1, 1)
