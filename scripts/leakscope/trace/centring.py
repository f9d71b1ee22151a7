"""Double centring: the interaction of concept and associate, without the main effects of either."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CENTRED = "_centred"
SMALLEST = 2
"""Concepts and associates that a slot needs at least: with one, all centred values are 0."""
NOTHING = 1e-12
"""Tolerance below which a centred value is rounding error, relative to the largest value of its slot."""


def double_centred(matrix: Floats) -> Floats:
    """Return x − row mean − column mean + grand mean, over the last two axes.

    Values that are only rounding error become exactly 0, so that no slope is fitted to them.

    Source: additive two-way model, Scheffé 1959 (The Analysis of Variance, ch. 4).
    """
    rows, columns = matrix.mean(-1, keepdims=True), matrix.mean(-2, keepdims=True)
    centred: Floats = matrix - rows - columns + matrix.mean((-2, -1), keepdims=True)
    return np.where(np.abs(centred) <= NOTHING * np.abs(matrix).max((-2, -1), keepdims=True), 0.0, centred)


def centre_by_slot(pairs: pd.DataFrame, values: pd.Series) -> tuple[pd.Series, dict[str, str]]:
    """Return the double-centred values of each slot, and slot → reason if it has none.

    A slot with a missing or infinite cell is excluded as a whole. Imputing cells by the additive model would centre
    links over different cells, and cells are rarely missing at random (an association at probability 0, for example).

    Args:
        pairs: ``slot, concept_group, associate``, every group with every associate of its slot, in this order.
        values: of the pairs; NaN if missing.
    """
    centred = pd.Series(np.nan, index=pairs.index, dtype=float)
    empty: dict[str, str] = {}
    for slot, part in pairs.groupby("slot", sort=False):
        n_rows, n_columns = part["concept_group"].nunique(), part["associate"].nunique()
        cells = values.loc[part.index].to_numpy(dtype=float)
        if not np.isfinite(cells).all():
            empty[str(slot)] = f"{(~np.isfinite(cells)).sum()} of {len(cells)} pairs have no finite value"
        elif min(n_rows, n_columns) < SMALLEST:
            empty[str(slot)] = f"{n_rows} concept and {n_columns} associates; two of each are needed"
        else:
            centred.loc[part.index] = double_centred(cells.reshape(n_rows, n_columns)).ravel()
    return centred, empty
