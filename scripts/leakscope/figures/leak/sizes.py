"""Match rate against the size of the model."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leakscope.figures.curves import draw_curve, size_axis
from leakscope.figures.lanes import has_no_variation
from leakscope.figures.legends import legend_beside, no_variation_handle, plain_handle, series_handle
from leakscope.figures.ordering import MANY
from leakscope.figures.panels import curve_panels, grid_of
from leakscope.figures.style import (
    NO_LEAKAGE,
    NO_LEAKAGE_LINE,
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
def by_size(match_rates: pd.DataFrame, sizes: pd.DataFrame) -> Figure:
    """Draw match rates in percent against the number of parameters (logarithmic).

    Organisms have their own panels with one line per planted strength, all categories pooled; other models have one
    line per category, in several panels for more than six categories. More than twelve other models are points of the
    pooled category, because a line would join unrelated models.

    Args:
        match_rates: ``match_rates.csv``; columns model, prompt_set, scorer, category, match_rate, ci_low, ci_high.
        sizes: one row per model: model, n_parameters (NaN: unknown, left out), optionally strength (0 to 1; NaN or
            absent: not an organism). ``organisms.csv`` is such a table.
    """
    known = sizes[sizes["n_parameters"].notna()].drop_duplicates("model")
    known = known if "strength" in known else known.assign(strength=np.nan)
    data = match_rates.merge(known[["model", "n_parameters", "strength"]], on="model")
    data = data[data["match_rate"].notna()]
    if data.empty:
        return no_data("no model with a known number of parameters has a match rate")
    planted = data["strength"].notna()
    data = pd.concat([_lines_by_strength(data[planted]), _lines_by_category(data[~planted])], ignore_index=True)
    grid = grid_of([*data[["prompt_set", "row", "scorer"]].itertuples(index=False, name=None)])
    drawn = curve_panels(grid, "parameters (log)", "match rate (%)", sharex=False)
    for index, (prompt_set, row, scorer) in enumerate(grid.panels):
        mine = data[(data["prompt_set"] == prompt_set) & (data["row"] == row)]
        ax = drawn.axes[index]
        mark_horizontal(ax, NO_LEAKAGE, None)
        lines = unique(mine["line"])
        for position, line in enumerate(lines):
            shift = 1 + SPREAD * ((position + 0.5) / len(lines) - 0.5)
            _curve(ax, mine[(mine["line"] == line) & (mine["scorer"] == scorer)], shift, position)
        size_axis(ax, mine["n_parameters"])
        ax.set_ylim(*rate_limits(data["match_rate"], data["ci_low"]))
        if drawn.is_left(index + 1):
            handles = [series_handle(position, line) for position, line in enumerate(lines)]
            handles.append(plain_handle("chance", linestyle=NO_LEAKAGE_LINE))
            if has_no_variation(mine, "match_rate").any():
                handles.append(no_variation_handle())
            legend_beside(ax, handles)
    return drawn.fig


def _lines_by_strength(data: pd.DataFrame) -> pd.DataFrame:
    """Name each organism's line by its strength, weakest first; keep only the pooled category where there is one."""
    pooled = set(data.loc[data["category"] == POOLED, "prompt_set"])
    kept = data[(data["category"] == POOLED) | ~data["prompt_set"].isin(pooled)].sort_values("strength", kind="stable")
    return kept.assign(row="organisms", line=[f"λ = {100 * strength:g} %" for strength in kept["strength"]])


def _lines_by_category(data: pd.DataFrame) -> pd.DataFrame:
    """Name each line by its category; the pooled line is in every panel of its prompt set, the others in one."""
    parts = [data.iloc[:0].assign(row="", line="")]
    for _, mine in data.groupby("prompt_set", sort=False):
        order = category_order(mine)
        order = order[:1] if mine["model"].nunique() > MANY else order
        pooled = [category for category in order if category == POOLED]
        others = order[len(pooled) :]
        panels = max(1, -(-len(others) // (MOST_LINES - len(pooled))))
        step = max(1, -(-len(others) // panels))
        chunks = [others[start : start + step] for start in range(0, len(others), step)] or [[]]
        for number, chunk in enumerate(chunks, start=1):
            lines = pooled + chunk
            kept = pd.concat([mine[mine["category"] == line] for line in lines])
            row = ("categories" if len(order) > 1 else "") + (f" {number}/{len(chunks)}" if len(chunks) > 1 else "")
            parts.append(kept.assign(row=row, line=kept["category"]))
    return pd.concat(parts, ignore_index=True)


def _curve(ax: Axes, rows: pd.DataFrame, shift: float, position: int) -> None:
    """Draw one line with its intervals, ``shift`` times to the right."""
    rows = rows.sort_values("n_parameters")
    x = rows["n_parameters"] * shift
    name = "".join(unique(rows["line"]))
    is_joined = rows["strength"].notna().any() or rows["model"].nunique() <= MANY
    look = series(position).curve if is_joined else series(position).dots
    draw_curve(ax, x, rows, "match_rate", **look, gid=f"line:{name}")
