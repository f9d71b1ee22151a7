"""Layout of figures of rankings: a row of panels for each axis, lanes for models, groups of an axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leakscope.figures.sheets import sheet
from leakscope.figures.style import Labels, double, label_of, model_order, unique

LANE, MARGINS = 0.2, 0.75  # inches
NARROW = 5.4  # inches
LEGEND_LINE = 0.14  # inches


class AxisRows(NamedTuple):
    """A figure with a row of panels for each axis: ``grid`` has shape (axes, columns)."""

    fig: Figure
    grid: np.ndarray
    axes: list[str]


class ModelLane(NamedTuple):
    """A lane of a panel: its name, model and language."""

    name: str
    model: str
    language: str


def axis_rows(
    lanes: Mapping[str, Sequence[object]],
    groups: Mapping[str, Sequence[str]],
    n_columns: int,
    lane: float = 1.0,
    width: float | None = None,
) -> AxisRows:
    """Return a figure with a row of panels for each axis, as high as its lanes and its legend need.

    Args:
        lanes: axis → its lanes.
        groups: axis → its groups, which its legend names.
        n_columns: number of panels side by side.
        lane: height of a lane, as a multiple of the usual height.
        width: of the figure, in inches.
    """
    heights = [
        max(lane * len(mine) + 0.6, (LEGEND_LINE * len(groups[axis]) + 0.1) / LANE) for axis, mine in lanes.items()
    ]
    fig = sheet(width or double(), sum(heights) * LANE + MARGINS * len(lanes))
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


def groups_of(table: pd.DataFrame) -> dict[str, list[str]]:
    """Return the groups of each axis in the order of their names."""
    return {axis: sorted(unique(table.loc[table["axis"] == axis, "group"])) for axis in unique(table["axis"])}


def label_lowest(panels: Sequence[Axes], label: str) -> None:
    """Label the x-axis and its ticks only below the lowest remaining panel of a column."""
    drawn = [ax for ax in panels if ax.figure is not None]
    for ax in drawn:
        ax.tick_params(labelbottom=ax is drawn[-1])
    if drawn:
        drawn[-1].set_xlabel(label)
