"""Points with intervals: one value per model, category and scorer, along a horizontal axis.

With up to eight models, a panel is a prompt set under one scorer, lanes are categories, and models differ in color and
marker. With more models, a panel is a category and lanes are models, named in full.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from leakscope.figures.lanes import HOLLOW, has_no_variation, name_lanes
from leakscope.figures.legends import add_legend, no_variation_handle, plain_handle, series_handle
from leakscope.figures.panels import LEAST_PANEL, grid_of, panel_grid, panels_of
from leakscope.figures.style import (
    COLORS,
    GREY,
    MARKERS,
    NO_LEAKAGE,
    Series,
    category_order,
    label_of,
    mark_vertical,
    model_order,
    no_data,
    page_width,
    rate_limits,
    series,
    styled,
    text_width,
    unique,
    wrapped,
)
from leakscope.files.names import POOLED

FEW = 10  # templates below which an interval is dotted
LABEL_WIDTH = 1.3  # inches, after which the label of a lane is broken
MARGINS = 0.75  # inches, titles and axis below and above the panels
BAR: dict[str, Any] = {"marker": "|", "markersize": 8, "markeredgewidth": 1.2}


class Reference(NamedTuple):
    """The marked value and its meaning."""

    value: float
    name: str


@styled
def match_rates(table: pd.DataFrame, *, labels: Mapping[str, str] | None = None) -> Figure:
    """Draw match rates in percent with their intervals, dotted for fewer than ten templates; 50, chance, is marked.

    Args:
        table: ``match_rates.csv``; columns model, prompt_set, scorer, category, match_rate, ci_low, ci_high, few.
        labels: model → label, in the order drawn.
    """
    few = table["few"].astype(str).str.contains("templates")
    data = table.assign(column=table["scorer"], value=table["match_rate"], few=few)
    xlabels = dict.fromkeys(unique(data["column"]), "match rate (%)")
    return _forest(
        data, Reference(NO_LEAKAGE, "chance: no leakage"), xlabels, labels, rate_limits(data["value"], data["ci_low"])
    )


@styled
def repetition(table: pd.DataFrame, *, labels: Mapping[str, str] | None = None) -> Figure:
    """Join each match rate (open) to the rates without repetition (filled) and without echo (bar), in percent.

    Args:
        table: ``match_rates.csv``; columns model, prompt_set, scorer, category, match_rate,
            match_rate_without_repetition, match_rate_without_echo.
        labels: model → label, in the order drawn.
    """
    data = table.assign(
        column=table["scorer"],
        value=table["match_rate_without_repetition"],
        start=table["match_rate"],
        other=table["match_rate_without_echo"],
    ).drop(columns=["ci_low", "ci_high", "few"], errors="ignore")
    xlabels = dict.fromkeys(unique(data["column"]), "match rate (%)")
    limits = rate_limits(data["value"], data["start"], data["other"])
    return _forest(data, Reference(NO_LEAKAGE, "chance: no leakage"), xlabels, labels, limits)


@styled
def logit_leak(table: pd.DataFrame, *, labels: Mapping[str, str] | None = None) -> Figure:
    """Draw the exact shift, test − control, in the associates' probability (left) and log-odds (right); 0 is marked.

    Intervals are dotted for fewer than ten templates.

    Args:
        table: ``logit_leak.csv``; columns model, prompt_set, category, n_clusters, probability_shift (−1 to 1),
            ci_low, ci_high, log_odds_shift (nats), log_odds_ci_low, log_odds_ci_high.
        labels: model → label, in the order drawn.
    """
    keys = table[["model", "prompt_set", "category"]].assign(few=table["n_clusters"] < FEW)
    probability = keys.assign(
        column="probability", value=table["probability_shift"], ci_low=table["ci_low"], ci_high=table["ci_high"]
    )
    log_odds = keys.assign(
        column="log-odds",
        value=table["log_odds_shift"],
        ci_low=table["log_odds_ci_low"],
        ci_high=table["log_odds_ci_high"],
    )
    xlabels = {"probability": "shift in probability", "log-odds": "shift in log-odds (nats)"}
    data = pd.concat([probability, log_odds], ignore_index=True)
    return _forest(data, Reference(0.0, "no leakage"), xlabels, labels)


def _forest(
    data: pd.DataFrame,
    reference: Reference,
    xlabels: Mapping[str, str],
    labels: Mapping[str, str] | None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Lay out and draw the panels; ``data`` has model, prompt_set, column, category, value, and optionally an interval
    (ci_low, ci_high) or two points to join (start, other)."""
    if data.empty:
        return no_data("the table has no rows")
    models = model_order(data, labels)
    by_category = len(models) <= len(COLORS)
    if data[["value", *({"start"} & {*data.columns})]].isna().all(axis=None):
        return no_data("every value in the table is missing")
    by_set = data[["prompt_set", "column"]].itertuples(index=False, name=None)
    grid = grid_of([(name, "", column) for name, column in by_set]) if by_category else panel_grid(data, "column")
    grid = grid if grid.is_full else grid._replace(columns=1)  # lanes of neighbours would differ
    lanes = [_lanes_of(data[data["prompt_set"] == panel[0]], by_category, models) for panel in grid.panels]
    heights = [_panel_height(len(lanes[row * grid.columns]), len(models), by_category) for row in range(grid.rows)]
    names = [[_lane_name(lane, labels, by_category) for lane in panel] for panel in lanes]
    left = text_width(name for panel in names for name in panel) + 0.2
    # If panels side by side exceed two columns of a page, there are more pages.
    width = max(page_width(left + 2.6 * grid.columns), left + LEAST_PANEL * grid.columns)
    size = (width, sum(heights) + 0.22 * (grid.rows - 1) + MARGINS)
    drawn = panels_of(len(grid.panels), grid.columns, size, sharex="col", sharey="row", height_ratios=heights)
    for index, (prompt_set, category, column) in enumerate(grid.panels):
        rows = data[(data["prompt_set"] == prompt_set) & (data["column"] == column)]
        rows = rows if by_category else rows[rows["category"] == category]
        ax = drawn.axes[index]
        _lanes(ax, lanes[index], names[index])
        _points(ax, rows, lanes[index], models, by_category)
        top = index < grid.columns
        mark_vertical(ax, reference.value, reference.name if top else None)
        ax.set_title(grid.title(index, (width - left) / grid.columns), pad=12 if top else None)
        drawn.name_axes(index, xlabels[column])
        if limits:
            ax.set_xlim(*limits)
    handles = _handles(models if by_category else [], labels, "start" in data)
    if "few" in data and data["few"].any():
        handles.append(plain_handle("interval of fewer than ten templates", linestyle=":", linewidth=0.9))
    if has_no_variation(data, "value").any():
        handles.append(no_variation_handle())
    return add_legend(drawn.fig, handles)


def _lanes_of(rows: pd.DataFrame, by_category: bool, models: Sequence[str]) -> list[str]:
    """Return the lanes of a panel: categories, or those models that have any of its rows."""
    if by_category:
        return category_order(rows)
    found = set(rows["model"])
    return [model for model in models if model in found]


def _panel_height(lanes: int, models: int, by_category: bool) -> float:
    """Return a panel's height in inches, with room for every marker and for two lines of label per lane."""
    return lanes * (max(0.24, 0.075 * models + 0.1) if by_category else 0.145) + 0.1


def _lane_name(lane: str, labels: Mapping[str, str] | None, by_category: bool) -> str:
    return wrapped(lane, LABEL_WIDTH) if by_category else label_of(lane, labels)


def _lanes(ax: Axes, lanes: Sequence[str], names: Sequence[str]) -> None:
    """Name the lanes, the pooled one in bold."""
    name_lanes(ax, names)
    for lane, tick in zip(lanes, ax.yaxis.get_major_ticks(len(lanes)), strict=True):
        tick.label1.set_fontweight("bold" if lane == POOLED else "normal")


def _points(ax: Axes, rows: pd.DataFrame, lanes: Sequence[str], models: Sequence[str], by_category: bool) -> None:
    """Draw every model's points in its lanes; a lane without any value says so."""
    lane_of = rows["category" if by_category else "model"].map({lane: i for i, lane in enumerate(lanes)})
    for index, model in enumerate(models):
        mine = rows["model"] == model
        offset = ((index + 0.5) / len(models) - 0.5) * 0.84 if by_category else 0.0
        look = series(index) if by_category else Series(COLORS[0], MARKERS[0], "-")
        _draw(ax, rows[mine], lane_of[mine].to_numpy(float) + offset, look, gid=f"model:{model}")
    shown = set(lane_of[rows["value"].notna() | (rows["start"].notna() if "start" in rows else False)])
    for position in set(range(len(lanes))) - shown:
        ax.annotate("n/a", (0.02, position), xycoords=("axes fraction", "data"), va="center", color=GREY)


def _draw(ax: Axes, rows: pd.DataFrame, y: np.ndarray, look: Series, gid: str) -> None:
    """Draw one model's points: with intervals, or joined to their start (open)."""
    x = rows["value"].to_numpy(float)
    point: dict[str, Any] = {**look.dots, "markeredgewidth": 0.7}
    if "start" in rows:
        start = rows["start"].to_numpy(float)
        ax.hlines(y, start, x, color=look.color, linewidth=0.9, zorder=2)
        ax.plot(start, y, markerfacecolor="white", zorder=3, gid=f"{gid}:start", **point)
        other = rows["other"].to_numpy(float)
        ax.hlines(y, start, other, color=look.color, linewidth=0.9, zorder=2)
        ax.plot(other, y, zorder=3, gid=f"{gid}:other", **point | BAR)
    elif {"ci_low", "ci_high"} <= set(rows.columns):
        low, high = rows["ci_low"].to_numpy(float), rows["ci_high"].to_numpy(float)
        bars = ax.hlines(y, low, high, color=look.color, linewidth=0.9, zorder=2, gid=f"{gid}:interval")
        if "few" in rows and len(rows):
            bars.set_linestyle([":" if few else "-" for few in rows["few"]])
    still = has_no_variation(rows, "value").to_numpy()
    ax.plot(np.where(still, np.nan, x), y, zorder=4, gid=gid, **point)
    if still.any():
        ax.plot(x[still], y[still], zorder=4, gid=f"{gid}:still", **point | HOLLOW)


def _handles(models: Sequence[str], labels: Mapping[str, str] | None, joined: bool) -> list[Line2D]:
    """Return the legend: the look of each model, and the meaning of open and filled markers."""
    handles = [
        series_handle(index, label_of(model, labels), linestyle="-", linewidth=0.9)
        for index, model in enumerate(models)
    ]
    if joined:
        dot: dict[str, Any] = {"marker": "o", "linestyle": "none"}
        handles += [
            plain_handle("all pairs", markerfacecolor="white", **dot),
            plain_handle("without repetition", **dot),
            plain_handle("without echoes of the prompt", **BAR, linestyle="none"),
        ]
    return handles
