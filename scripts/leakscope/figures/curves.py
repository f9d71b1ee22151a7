"""What figures of Leak-Rate against something share: axes in a grid, their limits and titles, legends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from leakscope.figures.style import DOUBLE, GREY, SINGLE, Grid, legend_columns, series

PANEL_HEIGHT = 1.1  # inches
MARGINS = 0.6  # inches, titles above and axis below
LEGEND_LINE = 0.16  # inches


def curve_axes(grid: Grid, *, sharex: bool) -> tuple[Figure, np.ndarray, float]:
    """Return a figure with the grid's axes (those without a panel removed) and the width in inches of a panel."""
    width = max(SINGLE, min(DOUBLE, 0.6 + 2.4 * grid.columns))
    fig = Figure(figsize=(width, PANEL_HEIGHT * grid.rows + MARGINS), layout="constrained")
    axes = fig.subplots(grid.rows, grid.columns, squeeze=False, sharex=sharex, sharey=True).ravel()
    for ax in axes[len(grid.panels) :]:
        ax.remove()
    return fig, axes[: len(grid.panels)], (width - 0.5) / grid.columns


def finish_panel(ax: Axes, grid: Grid, index: int, width: float, xlabel: str, ylabel: str) -> None:
    """Give a panel its title and grid and, at the edges of the figure, the labels of its axes."""
    below = index + grid.columns >= len(grid.panels)
    ax.grid(axis="y")
    ax.set_title(grid.title(index, width), loc="left", pad=4)
    ax.set_xlabel(xlabel if below else "")
    ax.set_ylabel(ylabel if index % grid.columns == 0 else "")
    if below:
        ax.tick_params(labelbottom=True)


def series_handle(position: int, label: str, **look: Any) -> Line2D:
    """Return the legend's entry of the series at ``position``."""
    color, marker, line = series(position)
    return Line2D([], [], **{"color": color, "marker": marker, "linestyle": line, "label": label, **look})


def plain_handle(label: str, **look: Any) -> Line2D:
    """Return a grey entry of the legend, which explains a marker or line whatever its colour."""
    return Line2D([], [], **{"color": GREY, "linewidth": 1.0, "label": label, **look})


def add_legend(fig: Figure, handles: Sequence[Artist]) -> Figure:
    """Put a legend above the panels and make the figure as much taller as it needs."""
    width, height = fig.get_size_inches()
    columns = legend_columns([str(handle.get_label()) for handle in handles], width)
    fig.legend(handles=handles, loc="outside upper center", ncols=columns)
    fig.set_size_inches(width, height + LEGEND_LINE * -(-len(handles) // columns))
    return fig
