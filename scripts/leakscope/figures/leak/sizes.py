"""Leak-Rate against the size of the model."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from leakscope.figures.curves import curve_axes, finish_panel, plain_handle, series_handle
from leakscope.figures.style import (
    NO_LEAKAGE,
    NO_LEAKAGE_LINE,
    Grid,
    category_order,
    mark_horizontal,
    no_data,
    rate_limits,
    series,
    styled,
    unique,
)
from leakscope.files.names import POOLED

MOST_LINES = 6  # in one panel, pooled line included
SPREAD = 0.12  # of a model's size, over which its points are set apart


@styled
def by_size(leak_rates: pd.DataFrame, sizes: pd.DataFrame) -> Figure:
    """Draw Leak-Rates in percent against the number of parameters (logarithmic).

    Organisms have panels of their own with one line per planted strength, all categories pooled; other models have one
    line per category, in several panels where there are more than six.

    Args:
        leak_rates: ``leak_rates.csv``; columns model, prompt_set, scorer, category, leak_rate, ci_low, ci_high.
        sizes: one row per model: model, n_parameters (NaN: unknown, left out), optionally strength (0 to 1; NaN or
            absent: not an organism). ``organisms.csv`` is such a table.
    """
    known = sizes[sizes["n_parameters"].notna()].drop_duplicates("model")
    known = known if "strength" in known else known.assign(strength=np.nan)
    data = leak_rates.merge(known[["model", "n_parameters", "strength"]], on="model")
    data = data[data["leak_rate"].notna()]
    if data.empty:
        return no_data("no model with a known number of parameters has a Leak-Rate")
    planted = data["strength"].notna()
    data = pd.concat([_lines_by_strength(data[planted]), _lines_by_category(data[~planted])], ignore_index=True)
    grid = _row_grid(data)
    fig, axes, width = curve_axes(grid, sharex=False)
    for index, (prompt_set, row, scorer) in enumerate(grid.panels):
        mine = data[(data["prompt_set"] == prompt_set) & (data["row"] == row)]
        ax = axes[index]
        ax.set_xscale("log")
        mark_horizontal(ax, NO_LEAKAGE, None)
        lines = unique(mine["line"])
        for position, line in enumerate(lines):
            shift = 1 + SPREAD * ((position + 0.5) / len(lines) - 0.5)
            _curve(ax, mine[(mine["line"] == line) & (mine["scorer"] == scorer)], shift, position)
        size_axis(ax, mine["n_parameters"])
        ax.set_ylim(*rate_limits(data["leak_rate"], data["ci_low"]))
        finish_panel(ax, grid, index, width, "parameters", "Leak-Rate (%)")
        if index % grid.columns == grid.columns - 1:
            handles = [series_handle(position, line) for position, line in enumerate(lines)]
            handles.append(plain_handle("no leakage", linestyle=NO_LEAKAGE_LINE))
            ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), labelspacing=0.3)
    return fig


def _lines_by_strength(data: pd.DataFrame) -> pd.DataFrame:
    """Name each organism's line by its strength, weakest first; keep the pooled category where there is one."""
    pooled = set(data.loc[data["category"] == POOLED, "prompt_set"])
    kept = data[(data["category"] == POOLED) | ~data["prompt_set"].isin(pooled)].sort_values("strength", kind="stable")
    return kept.assign(row="organisms", line=[f"λ = {100 * strength:g} %" for strength in kept["strength"]])


def _lines_by_category(data: pd.DataFrame) -> pd.DataFrame:
    """Name each line by its category; the pooled one stands in every panel of its prompt set, the others in one."""
    parts = [data.iloc[:0].assign(row="", line="")]
    for _, mine in data.groupby("prompt_set", sort=False):
        order = category_order(mine)
        pooled = [category for category in order if category == POOLED]
        others = order[len(pooled) :]
        panels = max(1, -(-len(others) // (MOST_LINES - len(pooled))))
        step = max(1, -(-len(others) // panels))
        chunks = [others[start : start + step] for start in range(0, len(others), step)] or [[]]
        for number, chunk in enumerate(chunks, start=1):
            lines = pooled + chunk
            kept = pd.concat([mine[mine["category"] == line] for line in lines])
            row = "categories" + (f" {number}/{len(chunks)}" if len(chunks) > 1 else "")
            parts.append(kept.assign(row=row, line=kept["category"]))
    return pd.concat(parts, ignore_index=True)


def _row_grid(data: pd.DataFrame) -> Grid:
    """Return panels by prompt set and row (down) and scorer (across)."""
    scorers = unique(data["scorer"])
    rows = data[["prompt_set", "row"]].drop_duplicates().itertuples(index=False)
    return Grid([(str(name), str(row), scorer) for name, row in rows for scorer in scorers], len(scorers))


def _curve(ax: Axes, rows: pd.DataFrame, shift: float, position: int) -> None:
    """Draw one line with its intervals, ``shift`` times to the right."""
    rows = rows.sort_values("n_parameters")
    x = rows["n_parameters"].to_numpy(float) * shift
    look = series(position)
    ax.vlines(x, rows["ci_low"], rows["ci_high"], color=look.color, linewidth=0.9)
    ax.plot(
        x, rows["leak_rate"], color=look.color, marker=look.marker, linestyle=look.line,
        gid="line:" + "".join(unique(rows["line"])),
    )  # fmt: skip


def size_axis(ax: Axes, parameters: pd.Series) -> None:
    """Put a tick at each model's size, written as 160k, 1.5B; sizes within a third of each other share one."""
    ticks: list[float] = []
    for size in sorted(set(parameters.astype(float))):
        if not ticks or size > 4 / 3 * ticks[-1]:
            ticks.append(size)
    ax.set_xticks(ticks)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: _size_text(size)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(min(ticks) / 1.35, float(parameters.max()) * 1.35)


def _size_text(size: float) -> str:
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:.2g}{letter}" if size < 100 * unit else f"{size / unit:.0f}{letter}"
    return f"{size:.0f}"
