"""What figures of rankings share: lanes for models, panels for axes, colours for an axis's groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leakscope.figures.style import DOUBLE, PALE, Labels, label_of, model_order, unique

LANE, MARGINS = 0.2, 0.75  # inches


class Panels(NamedTuple):
    """A figure with a row of panels for each axis: ``grid`` has shape (axes, columns)."""

    fig: Figure
    grid: np.ndarray
    axes: list[str]


class ModelLane(NamedTuple):
    """A lane of a panel: what to call it, and whose scores in which language it shows."""

    name: str
    model: str
    language: str


def name_lanes(ax: Axes, names: Sequence[str]) -> None:
    """Name the lanes, first on top, and shade every other one."""
    for position in range(1, len(names), 2):
        ax.axhspan(position - 0.5, position + 0.5, color=PALE, linewidth=0, zorder=0)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")


def panels_of(
    lanes: Mapping[str, Sequence[object]], n_columns: int, lane: float = 1.0, width: float = DOUBLE
) -> Panels:
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
    fig = Figure(figsize=(width, sum(heights) * LANE + MARGINS * len(lanes)), layout="constrained")
    grid = fig.subplots(len(lanes), n_columns, squeeze=False, height_ratios=heights, sharex="col")
    return Panels(fig, grid, list(lanes))


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


def legend_beside(ax: Axes, handles: Sequence[Artist]) -> None:
    """Put the legend of a row of panels to the right of its last one: each axis has groups of its own."""
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), labelspacing=0.3)


def offset(number: int, total: int, lane: float = 0.8) -> float:
    """Return how far from the middle of a lane the point of one of several groups stands."""
    return ((number + 0.5) / total - 0.5) * lane


def rows_of(table: pd.DataFrame, **keys: object) -> pd.DataFrame:
    """Return the rows that have these values."""
    for column, value in keys.items():
        table = table[table[column] == value]
    return table
