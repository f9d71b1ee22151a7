"""Curves: values with their intervals along an x-axis, and the axis of models' sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from leakscope.figures.lanes import HOLLOW, INTERVAL, has_no_variation
from leakscope.figures.style import text_width


def draw_curve(
    ax: Axes, x: pd.Series | np.ndarray, rows: pd.DataFrame, column: str, *, color: str, **look: Any
) -> None:
    """Draw a column against x, with intervals ``ci_low`` to ``ci_high``; values without variation are hollow."""
    ax.vlines(x, rows["ci_low"], rows["ci_high"], color=color, linewidth=INTERVAL)
    ax.plot(x, rows[column], color=color, **look)
    still = has_no_variation(rows, column).to_numpy()
    if still.any():
        ax.plot(np.asarray(x)[still], rows.loc[still, column], color=color, **look | HOLLOW | {"linestyle": "none"})


def size_axis(ax: Axes, parameters: pd.Series, width: float = 1.4) -> None:
    """Put a tick at each model's size, written as 160k, 1.5B; sizes too close for two labels share one.

    Args:
        ax: the panel.
        parameters: sizes of the models.
        width: of the panel, inches.
    """
    sizes, ticks = sorted(set(parameters.astype(float))), list[float]()
    apart = max(4 / 3, (sizes[-1] / sizes[0] * 1.8) ** min(1.0, text_width(["160M."]) / width))
    for size in sizes:
        if not ticks or size > apart * ticks[-1]:
            ticks.append(size)
    ax.set_xscale("log")
    ax.set_xticks(ticks)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: _size_text(size)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(sizes[0] / 1.35, float(parameters.max()) * 1.35)


def _size_text(size: float) -> str:
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:.2g}{letter}" if size < 100 * unit else f"{size / unit:.0f}{letter}"
    return f"{size:.0f}"
