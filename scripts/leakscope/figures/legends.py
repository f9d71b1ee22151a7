"""Legends: their entries and places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from leakscope.figures.lanes import HOLLOW
from leakscope.figures.style import GREY, character, series, text_width

LINE = 0.16  # inches, of a font of 7 points


def series_handle(position: int, label: str, **look: Any) -> Line2D:
    """Return the legend's entry of the series at ``position``."""
    return Line2D([], [], **{**series(position).curve, "label": label, **look})


def plain_handle(label: str, **look: Any) -> Line2D:
    """Return a grey entry of the legend, which explains a marker or line of any color."""
    return Line2D([], [], **{"color": GREY, "linewidth": 1.0, "label": label, **look})


def no_variation_handle(between: str = "templates") -> Line2D:
    """Return the entry that explains hollow markers: values without variation."""
    return plain_handle(f"no variation between {between}", marker="o", linestyle="none", **HOLLOW)


def add_legend(fig: Figure, handles: Sequence[Artist]) -> Figure:
    """Put a legend, if it has entries, above the panels and enlarge the figure for it."""
    if handles:
        width, height = fig.get_size_inches()
        columns = _columns([str(handle.get_label()) for handle in handles], width - character())
        fig.legend(handles=handles, loc="outside upper center", ncols=columns)
        fig.set_size_inches(width, height + LINE * -(-len(handles) // columns))
    return fig


def legend_beside(ax: Axes, handles: Sequence[Artist]) -> None:
    """Put the legend of a row of panels to the right of its last one."""
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), labelspacing=0.3)


def _columns(labels: Sequence[str], width: float) -> int:
    """Return the number of columns in which a legend of these labels fits the width in inches."""
    return max(1, min(len(labels), int(width / (text_width(labels) + 0.5))))
