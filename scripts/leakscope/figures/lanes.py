"""Lanes of a panel: their names, points and notes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from leakscope.figures.style import GREY, PALE

INTERVAL = 0.9  # points, width of the line of an interval
NO_WIDTH = 1e-9  # of an interval of values that do not vary
HOLLOW: dict[str, Any] = {"markerfacecolor": "white", "markeredgewidth": 0.7}
HALF: dict[str, Any] = {"fillstyle": "left", "markerfacecoloralt": "white"}  # where hollow means something else


def name_lanes(ax: Axes, names: Sequence[str]) -> None:
    """Name the lanes, first on top, and shade every other one."""
    for position in range(1, len(names), 2):
        ax.axhspan(position - 0.5, position + 0.5, color=PALE, linewidth=0, zorder=0)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")


def offset(number: int, total: int, lane: float = 0.8) -> float:
    """Return the distance of a group's point from the middle of its lane."""
    return ((number + 0.5) / total - 0.5) * lane


def places_of(names: Iterable[str], order: Sequence[str]) -> np.ndarray:
    """Return the place of each name in an order."""
    place = {name: number for number, name in enumerate(order)}
    return np.array([place[name] for name in names], float)


def draw_points(
    ax: Axes,
    places: Sequence[float] | np.ndarray | pd.Series,
    rows: pd.DataFrame,
    column: str,
    *,
    color: str,
    low: str = "ci_low",
    high: str = "ci_high",
    flat: Mapping[str, Any] = HOLLOW,
    **look: Any,
) -> None:
    """Draw a column with its intervals, each row at its place on the y-axis; ``flat`` marks values without variation.

    Call once for many rows: one call per row takes a hundred times as long.
    """
    places, values = np.asarray(places, float), rows[column].to_numpy(float)
    ax.hlines(places, rows[low], rows[high], color=color, linewidth=INTERVAL)
    is_flat = has_no_variation(rows, column, low, high).to_numpy()
    for mine, mark in ((~is_flat, {}), (is_flat, flat)):
        if mine.any():
            ax.plot(values[mine], places[mine], **{"color": color, "linestyle": "none", **look, **mark})


def has_no_variation(rows: pd.DataFrame, value: str, low: str = "ci_low", high: str = "ci_high") -> pd.Series:
    """Return for each row whether its interval has no width, because the underlying values do not vary.

    Such an interval says nothing about precision. Draw the value :data:`HOLLOW`, with an entry in the legend
    (``legends.no_variation_handle``).
    """
    if not {low, high} <= set(rows.columns):
        return pd.Series(False, index=rows.index)
    numbers = rows[[value, low, high]].astype(float)
    return numbers.notna().all(axis=1) & ((numbers[high] - numbers[low]).abs() < NO_WIDTH)


def draw_zero(ax: Axes) -> None:
    """Draw a line through all lanes at 0."""
    ax.axvline(0, color=GREY, linewidth=0.8, zorder=1, gid="reference")


def say_not_known(ax: Axes, place: float) -> None:
    """Mark a lane without a value as n/a."""
    ax.annotate("n/a", (0.98, place), xycoords=("axes fraction", "data"), ha="right", va="center", color=GREY)


def write_beside(ax: Axes, place: float, text: str, *, gap: float = 4, **look: Any) -> None:
    """Write at the right of a lane, ``gap`` points from the panel."""
    ax.annotate(
        text, (1, place), xycoords=("axes fraction", "data"), xytext=(gap, 0), textcoords="offset points", ha="left",
        va="center", annotation_clip=False, **look,
    )  # fmt: skip


def rows_of(table: pd.DataFrame, **keys: object) -> pd.DataFrame:
    """Return the rows that have these values."""
    for column, value in keys.items():
        table = table[table[column] == value]
    return table
