"""Double centring: what is left of a pair when its concept and its associate are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CENTRED = "_centred"
SMALLEST = 2
"""Concepts, and associates, that a slot needs: of a single one nothing is left."""
NOTHING = 1e-12
"""What rounding leaves of a centred value, relative to the largest value of its slot."""


def double_centred(matrix: Floats) -> Floats:
    """Return x − mean of its row − mean of its column + mean of all, of the last two axes.

    What rounding alone leaves of additive values is exactly 0: no slope is fitted to it.

    Source: additive two-way model, Scheffé 1959 (The Analysis of Variance, ch. 4).
    """
    rows, columns = matrix.mean(-1, keepdims=True), matrix.mean(-2, keepdims=True)
    centred: Floats = matrix - rows - columns + matrix.mean((-2, -1), keepdims=True)
    return np.where(np.abs(centred) <= NOTHING * np.abs(matrix).max((-2, -1), keepdims=True), 0.0, centred)


def centre_by_slot(pairs: pd.DataFrame, values: pd.Series) -> tuple[pd.Series, dict[str, str]]:
    """Return the double-centred values of each slot, and slot → why it has none.

    A slot with a missing or infinite cell is left out whole. Filling the cell by the additive model would centre each
    link over other cells than the next, and what one lacks (an association at probability 0) is seldom a chance matter.

    Args:
        pairs: ``slot, concept_group, associate``, every group with every associate of its slot, in this order.
        values: of the pairs; NaN where a pair has none.
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
