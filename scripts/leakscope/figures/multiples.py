"""What figures of the step ``validate`` share: small multiples of a task and a model, main prompt forms, colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from leakscope.figures.style import COLORS, DOUBLE, SINGLE, Labels, label_of, model_order, unique, wrapped

POSITIVE, NEGATIVE, BOTH = COLORS[0], COLORS[1], COLORS[5]
TITLE_LINE, ROOM = 0.13, 0.42  # inches: a line of a title; between rows of panels, for ticks
EQUAL_CONTRAST = 0.18  # relative luminance from which black stands out as much as white
GENERATOR, VALIDATOR = "generator log-odds l_G (nats)", "validator log-odds l_V (nats)"


class Panel(NamedTuple):
    """One of the small multiples: whose rows it shows, and what stands above it."""

    task: str
    model: str
    title: str


class Multiples(NamedTuple):
    """A figure of panels, row by row: ``axes`` has shape (panels, axes of a panel from top to bottom)."""

    fig: Figure
    axes: np.ndarray
    columns: int

    def is_left(self, index: int) -> bool:
        return index % self.columns == 0

    def is_lowest(self, index: int) -> bool:
        return index + self.columns >= len(self.axes)


def main_forms(table: pd.DataFrame, column: str = "form") -> pd.DataFrame:
    """Keep for each task and model the rows of its main prompt form or style: the first that the table has."""
    return table[table[column] == table.groupby(["task", "model"], sort=False)[column].transform("first")]


def model_panels(table: pd.DataFrame, labels: Labels) -> list[Panel]:
    """Return a panel for each task and model, models in the order of the study; with one task, its name is left out."""
    tasks = unique(table["task"])
    return [
        Panel(task, model, label_of(model, labels) + (f" · {task}" if len(tasks) > 1 else ""))
        for task in tasks
        for model in model_order(table[table["task"] == task], labels)
    ]


def multiples(
    titles: Sequence[str],
    heights: Sequence[float],
    columns: int | None = None,
    *,
    width: float | None = None,
    title_width: float | None = None,
    shared: bool = False,
) -> Multiples:
    """Return a figure with a panel for each title, and the titles drawn.

    Args:
        titles: of the panels.
        heights: of the axes of a panel from top to bottom, in inches; they share their x-axis.
        columns: panels beside each other; by their number if None.
        width: of the figure, in inches; by the number of columns if None.
        title_width: inches after which a title is broken; those of a panel if None.
        shared: whether all panels have the same limits.
    """
    across = columns or _columns(len(titles))
    down = -(-len(titles) // across)
    width = width or {1: SINGLE, 2: 5.4}.get(across, DOUBLE)
    texts = [wrapped(title, title_width or (width - 0.5) / across - 0.25) for title in titles]
    lines = 1 + max(text.count("\n") for text in texts)
    row = sum(heights) + lines * TITLE_LINE + ROOM
    fig = Figure(figsize=(width, down * row + 0.2), layout="constrained")
    grid = fig.subplots(
        down * len(heights), across, squeeze=False, sharex=shared, sharey=shared, height_ratios=[*heights] * down
    )
    axes = grid.reshape(down, len(heights), across).transpose(0, 2, 1).reshape(-1, len(heights))
    for unused in axes[len(titles) :].ravel():
        unused.remove()
    for panel, text in zip(axes, texts, strict=False):
        panel[0].set_title(text, loc="left", pad=4)
        for upper in panel[:-1]:
            upper.sharex(panel[-1])
            upper.tick_params(labelbottom=False)
    return Multiples(fig, axes[: len(titles)], across)


def color_bar(fig: Figure, mesh: ScalarMappable, axes: Iterable[Axes], label: str, ticks: Sequence[float]) -> None:
    """Put a colour bar below the panels."""
    shrink = min(1.0, 3.0 / fig.get_figwidth())
    bar = fig.colorbar(
        mesh, ax=list(axes), location="bottom", shrink=shrink, aspect=30, pad=0.01, label=label, ticks=ticks
    )
    bar.outline.set_visible(False)


def write_readably(ax: Axes) -> None:
    """Give the texts of a heat map that seaborn drew the one of black and white that stands out more from its cell."""
    mesh = ax.collections[0]
    colors = mesh.to_rgba(np.ma.asarray(mesh.get_array()))
    for text in ax.texts:
        column, row = (int(place) for place in text.get_position())
        text.set_color("black" if sns.utils.relative_luminance(colors[row, column]) > EQUAL_CONTRAST else "white")


def _columns(n_panels: int) -> int:
    """Return how many panels stand beside each other: no row but the last has room for another."""
    return n_panels if n_panels <= 3 else 2 if n_panels == 4 else 3 if n_panels <= 9 else 4
