"""Panels in rows: their places, titles, and labels at the edges of the figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leakscope.figures.sheets import sheet
from leakscope.figures.style import category_order, double, page_width, single, unique, wrapped
from leakscope.files.names import POOLED

LEAST_PANEL = 1.4  # inches, the least width of a panel
MOST_NAMED = 4  # panels without values, by name
CURVES_HEIGHT, CURVES_MARGINS = 1.1, 0.6  # inches, of a row of panels of curves; titles above and axis below
TITLE_LINE, ROOM = 0.13, 0.42  # inches: a line of a title; between rows of panels, for ticks


class Panels(NamedTuple):
    """A figure of panels, row by row.

    Args:
        fig: the figure.
        axes: of shape (panels,) or (panels, axes of a panel from top to bottom).
        columns: number of panels side by side.
        sharex: whether panels of a column share the x-axis.
        sharey: whether panels of a row share the y-axis.
    """

    fig: Figure
    axes: np.ndarray
    columns: int
    sharex: bool = False
    sharey: bool = False

    def is_left(self, index: int) -> bool:
        return index % self.columns == 0

    def is_lowest(self, index: int) -> bool:
        return index + self.columns >= len(self.axes)

    def name_axes(self, index: int, xlabel: str, ylabel: str = "") -> None:
        """Label a panel's axes only at the edges of the figure; shared axes have their tick labels only there, too."""
        ax: Axes = self.axes.ravel()[index]
        lowest, left = self.is_lowest(index), self.is_left(index)
        if self.sharex:
            ax.tick_params(labelbottom=lowest)
        if self.sharey:
            ax.tick_params(labelleft=left)
        ax.set_xlabel(xlabel if lowest else "")
        ax.set_ylabel(ylabel if left else "")


class Grid(NamedTuple):
    """Prompt set, category (or none) and scorer of each panel: row by row, ``columns`` in each.

    Args:
        panels: row by row.
        columns: number of panels side by side.
        is_full: whether each row has all scorers, so that a column is a scorer; otherwise each panel has a full title.
    """

    panels: list[tuple[str, str, str]]
    columns: int
    is_full: bool = True

    @property
    def rows(self) -> int:
        return -(-len(self.panels) // self.columns)

    def title(self, index: int, width: float) -> str:
        """Return the panel's title: a column's scorer on its first panel, then prompt set and category."""
        *row, scorer = self.panels[index]
        if not self.is_full:
            return wrapped(" · ".join(filter(None, [*row, scorer])), width)
        wraps = len({panel[2] for panel in self.panels}) == 1  # every panel is a row's first
        here = wrapped(" · ".join(filter(None, row)), width) if wraps or index % self.columns == 0 else ""
        return f"{scorer}\n{here}" if index < (1 if wraps else self.columns) else here


def grid_of(panels: Sequence[tuple[str, str, str]]) -> Grid:
    """Return a row of panels for each prompt set and category (or other key), a column for each scorer.

    If a row lacks a scorer, panels follow one another, each with a full title.
    """
    panels = list(dict.fromkeys(panels))
    rows, scorers = (unique(names) for names in zip(*((" · ".join(p[:2]), p[2]) for p in panels), strict=True))
    if len(panels) < len(rows) * len(scorers):
        return Grid(panels, min(len(panels), 2), is_full=False)
    rank = {scorer: number for number, scorer in enumerate(scorers)}
    place = {row: number for number, row in enumerate(rows)}
    return Grid(sorted(panels, key=lambda panel: (place[" · ".join(panel[:2])], rank[panel[2]])), len(scorers))


def panel_grid(table: pd.DataFrame, column: str = "scorer") -> Grid:
    """Return the panels by prompt set and category (rows) and scorer (columns); with one scorer, two or three a row."""
    panels = [
        (str(prompt_set), category, scorer)
        for prompt_set, mine in table.groupby("prompt_set", sort=False)
        for category in category_order(mine)
        for scorer in unique(mine.loc[mine["category"] == category, column])
    ]
    grid = grid_of(panels)
    return grid if grid.columns > 1 else grid._replace(columns=min(len(panels), 2 if len(panels) == 4 else 3))


def with_values(table: pd.DataFrame, panel: Sequence[str], *values: str) -> tuple[pd.DataFrame, str]:
    """Return the rows of panels with any value, and a note about the other panels.

    Args:
        table: of the figure.
        panel: the columns that name a panel; last the column of the figure's columns.
        values: the columns that a panel shows; a panel is not drawn if all of them are missing.

    Returns:
        The rows, and ``No values, so no panel: ...``, or nothing where all panels have some. A table without any value
        stays as it is.
    """
    keys = [table[column].astype(str) for column in panel]
    known = table[list(values)].notna().any(axis=1)
    has = known.groupby(keys).transform("any")
    if has.all() or not has.any():
        return table, ""
    # Where a whole row of panels is lost, it is named once.
    whole = keys[:-1] if len(keys) > 1 else keys
    lost_row = ~known.groupby(whole).transform("any")
    named = table.loc[~has, list(panel)].astype(str)
    if len(keys) > 1:
        named.loc[lost_row[~has], panel[-1]] = ""
    names = unique(" · ".join(filter(None, row)) for row in named.itertuples(index=False))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return table[has], f"No values, so no panel: {', '.join(names[:MOST_NAMED])}{more}."


def without_repeated_category(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out the only category of a prompt set that also has the pooled category, which is equal."""
    pooled = set(table.loc[table["category"] == POOLED, "prompt_set"])
    n_others = table[table["category"] != POOLED].groupby("prompt_set")["category"].nunique()
    repeats = pooled & set(n_others.index[n_others == 1])
    return table[(table["category"] == POOLED) | ~table["prompt_set"].isin(repeats)]


def panels_of(n: int, columns: int, size: tuple[float, float], **grid: Any) -> Panels:
    """Return a figure with ``n`` panels.

    Args:
        n: number of panels.
        columns: number of panels side by side.
        size: width and height of the figure, inches.
        grid: arguments of ``Figure.subplots``, such as ``sharex``.
    """
    fig = sheet(*size)
    axes = fig.subplots(-(-n // columns), columns, squeeze=False, **grid).ravel()
    for unused in axes[n:]:
        unused.remove()
    return Panels(fig, axes[:n], columns, bool(grid.get("sharex")), bool(grid.get("sharey")))


def curve_panels(grid: Grid, xlabel: str, ylabel: str, *, sharex: bool) -> Panels:
    """Return a figure with the grid's panels, of curves: with titles, labels and lines at the ticks of the y-axis."""
    width = max(page_width(0.6 + 2.4 * grid.columns), 0.6 + LEAST_PANEL * grid.columns)
    xlabel = wrapped(xlabel, (width - 0.6) / grid.columns - 0.3)
    size = (width, CURVES_HEIGHT * grid.rows + CURVES_MARGINS + TITLE_LINE * xlabel.count("\n"))
    drawn = panels_of(len(grid.panels), grid.columns, size, sharex=sharex, sharey=True)
    for index, ax in enumerate(drawn.axes):
        ax.grid(axis="y")
        ax.set_title(grid.title(index, (width - 0.5) / grid.columns))
        drawn.name_axes(index, xlabel, ylabel)
    return drawn


def multiples(
    titles: Sequence[str],
    heights: Sequence[float],
    columns: int | None = None,
    *,
    width: float | None = None,
    title_width: float | None = None,
    shared: bool = False,
) -> Panels:
    """Return a figure with a panel for each title, and the titles drawn.

    Args:
        titles: of the panels.
        heights: of the axes of a panel from top to bottom, in inches; they share their x-axis.
        columns: number of panels side by side; None: chosen by the number of panels.
        width: of the figure, in inches; by the number of columns if None.
        title_width: inches after which a title is broken; those of a panel if None.
        shared: whether all panels have the same limits.
    """
    across = columns or _columns(len(titles))
    down = -(-len(titles) // across)
    width = width or {1: single(), 2: min(5.4, double())}.get(across, double())
    texts = [wrapped(title, title_width or (width - 0.5) / across - 0.25) for title in titles]
    lines = 1 + max(text.count("\n") for text in texts)
    row = sum(heights) + lines * TITLE_LINE + ROOM
    fig = sheet(width, down * row + 0.2)
    grid = fig.subplots(
        down * len(heights), across, squeeze=False, sharex=shared, sharey=shared, height_ratios=[*heights] * down
    )
    axes = grid.reshape(down, len(heights), across).transpose(0, 2, 1).reshape(-1, len(heights))
    for unused in axes[len(titles) :].ravel():
        unused.remove()
    for panel, text in zip(axes, texts, strict=False):
        panel[0].set_title(text)
        for upper in panel[:-1]:
            upper.sharex(panel[-1])
            upper.tick_params(labelbottom=False)
    return Panels(fig, axes[: len(titles)], across, shared, shared)


def _columns(n_panels: int) -> int:
    """Return the number of panels side by side: only the last row may have empty places."""
    return n_panels if n_panels <= 3 else 2 if n_panels == 4 else 3 if n_panels <= 9 else 4
