"""What figures of rankings share: a row of panels for each axis, lanes for models, groups of an axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from leakscope.figures.style import Labels, double, label_of, model_order, unique

LANE, MARGINS = 0.2, 0.75  # inches


class AxisRows(NamedTuple):
    """A figure with a row of panels for each axis: ``grid`` has shape (axes, columns)."""

    fig: Figure
    grid: np.ndarray
    axes: list[str]


class ModelLane(NamedTuple):
    """A lane of a panel: what to call it, and whose scores in which language it shows."""

    name: str
    model: str
    language: str


def axis_rows(
    lanes: Mapping[str, Sequence[object]], n_columns: int, lane: float = 1.0, width: float | None = None
) -> AxisRows:
    """Return a figure with a row of panels for each axis, as high as its lanes need.

    Args:
        lanes: axis → its lanes.
        n_columns: panels beside each other.
        lane: how many times higher than usual a lane is.
        width: of the figure, in inches.
    """
    heights = [lane * len(mine) + 0.6 for mine in lanes.values()]
    # No row is lower than its legend.
    heights = [max(height, 4.2) for height in heights]
    fig = Figure(figsize=(width or double(), sum(heights) * LANE + MARGINS * len(lanes)), layout="constrained")
    grid = fig.subplots(len(lanes), n_columns, squeeze=False, height_ratios=heights, sharex="col")
    return AxisRows(fig, grid, list(lanes))


def model_lanes(table: pd.DataFrame, labels: Labels) -> dict[str, list[ModelLane]]:
    """Return for each axis its lanes: a model and, where there are several, a language."""
    several = table["language"].nunique() > 1
    lanes = {}
    for axis in unique(table["axis"]):
        mine = table[table["axis"] == axis]
        lanes[axis] = [
            ModelLane(label_of(model, labels) + (f" ({language})" if several else ""), model, language)
            for model in model_order(mine, labels)
            for language in unique(mine.loc[mine["model"] == model, "language"])
        ]
    return lanes


def groups_of(table: pd.DataFrame, axis: str) -> list[str]:
    """Return the groups of an axis in the order of their names."""
    return sorted(unique(table.loc[table["axis"] == axis, "group"]))
