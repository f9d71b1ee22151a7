"""Restored share by layer and site: where a model holds a concept, by activation patching."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from leakscope.figures.lanes import rows_of
from leakscope.figures.legends import add_legend, series_handle
from leakscope.figures.panels import multiples
from leakscope.figures.style import (
    GREY,
    NO_LEAKAGE_LINE,
    Labels,
    label_of,
    model_order,
    no_data,
    series,
    styled,
    unique,
)

SITES = ("concept", "between", "last", "all")
NAMES = {"concept": "concept's tokens", "between": "between them", "last": "last token", "all": "all of these"}
HEIGHT = 1.15  # inches, of a panel


@styled
def patching(patching: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw the restored share by layer, a panel for each model and prompt set, a curve with intervals for each site.

    Args:
        patching: ``patching.csv``; 1: the concept's whole effect, 0: none of it.
        labels: model → label, in the order drawn.
    """
    known = patching[patching["restored"].notna()]
    if known.empty:
        return no_data("no residual stream was patched")
    several = known["prompt_set"].nunique() > 1
    panels = [
        (model, prompt_set)
        for model in model_order(known, labels)
        for prompt_set in unique(rows_of(known, model=model)["prompt_set"])
    ]
    titles = [f"{label_of(m, labels)} · {s}" if several else label_of(m, labels) for m, s in panels]
    drawn = multiples(titles, [HEIGHT])
    for index, (model, prompt_set) in enumerate(panels):
        draw_sites(drawn.axes[index, 0], rows_of(known, model=model, prompt_set=prompt_set))
        drawn.name_axes(index, "after layer", "restored share")
    return add_legend(drawn.fig, site_handles(known))


def draw_sites(ax: Axes, rows: pd.DataFrame) -> None:
    """Draw the curves of one model and prompt set."""
    for value in (0.0, 1.0):
        ax.axhline(value, color=GREY, linewidth=0.7, linestyle=NO_LEAKAGE_LINE, zorder=1)
    for number, site in enumerate(SITES):
        mine, look = rows_of(rows, site=site).sort_values("layer"), series(number)
        ax.fill_between(mine["layer"], mine["ci_low"], mine["ci_high"], color=look.color, alpha=0.2, linewidth=0)
        ax.plot(mine["layer"], mine["restored"], **look.curve, markersize=2.2, gid=f"site:{site}")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    values = rows[["restored", "ci_low", "ci_high"]].to_numpy(dtype=float)
    ax.set_ylim(min(-0.1, np.nanmin(values) - 0.05), max(1.1, np.nanmax(values) + 0.05))
    ax.grid(axis="y")


def site_handles(rows: pd.DataFrame) -> list[Line2D]:
    """Return the legend's entries for the sites in the table."""
    found = set(rows["site"])
    return [series_handle(number, NAMES[site], markersize=2.2) for number, site in enumerate(SITES) if site in found]
