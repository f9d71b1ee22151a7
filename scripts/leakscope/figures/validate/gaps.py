"""Figures of the gap between generator and validator: single items, correlations, and measured against true gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from leakscope.figures.lanes import (
    HOLLOW,
    draw_points,
    has_no_variation,
    name_lanes,
    offset,
    places_of,
    rows_of,
    say_not_known,
)
from leakscope.figures.legends import add_legend, legend_beside, no_variation_handle, plain_handle, series_handle
from leakscope.figures.panels import multiples, panels_of
from leakscope.figures.style import (
    COLORS,
    GREY,
    NO_LEAKAGE_LINE,
    Labels,
    double,
    label_of,
    mark_vertical,
    model_order,
    no_data,
    page_width,
    series,
    styled,
    text_width,
    unique,
    wrapped,
)
from leakscope.figures.validate.sides import BOTH, NEGATIVE, POSITIVE, main_forms, model_panels

ODDS = ["l_g", "l_v"]
GENERATOR, VALIDATOR = "generator log-odds l_G (nats)", "validator log-odds l_V (nats)"
SIDES = {True: ("positive", POSITIVE, "o"), False: ("negative", NEGATIVE, "s")}
SUBSETS = {"all": (BOTH, "D"), "positive": (POSITIVE, "o"), "negative": (NEGATIVE, "s")}
BEYOND = 0.001  # share of items on each side of an axis that are drawn at its edge
STRIP = 0.11  # share of a panel's width and height that the marginal distributions take
FEWEST = 20  # items that contours are drawn of
FEWEST_CORRELATED = 3  # items: two always lie on a line
LANE, LANE_LABEL, MARGINS = 0.27, 2.2, 0.6  # inches
TRUTH_LANE = 0.18  # inches
TRUE: dict[str, Any] = {
    "color": "black", "marker": "|", "markersize": 9, "markeredgewidth": 1.4, "linestyle": "none",
}  # fmt: skip


@styled
def log_odds_density(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw validator against generator log-odds of every item, with contours and marginal distributions.

    Contours hold 50 and 90 % of the positives or negatives; the few items beyond an axis are drawn at its edge.

    Args:
        table: ``model, task, positive, l_g, l_v`` (nats), one row an item, of the main prompt form.
        labels: model → label, in the order drawn.
    """
    data = table[np.isfinite(table[ODDS].to_numpy(float)).all(axis=1)]
    if data.empty:
        return no_data("no item has log-odds of generator and validator")
    panels = model_panels(data, labels)
    drawn = multiples([panel.title for panel in panels], [1.75 if len(panels) < 10 else 1.45], shared=True)
    limits = {column: _limits(data[column]) for column in ODDS}
    for index, panel in enumerate(panels):
        ax = drawn.axes[index, 0]
        rows = rows_of(data, task=panel.task, model=panel.model)
        ax.axhline(0, color=GREY, linewidth=0.8, linestyle=NO_LEAKAGE_LINE, zorder=3)
        ax.axvline(0, color=GREY, linewidth=0.8, linestyle=NO_LEAKAGE_LINE, zorder=3)
        for positive in SIDES:
            _cloud(ax, rows[rows["positive"].astype(bool) == positive], positive, limits, len(rows))
        _write_correlations(ax, rows)
        ax.set(xlim=limits["l_g"], ylim=limits["l_v"])
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
            axis.label.set_visible(True)  # seaborn hides the labels of axes that hid their ticks
        drawn.name_axes(index, GENERATOR, VALIDATOR)
    handles = [
        plain_handle(f"{name} items", color=color, marker=marker, linestyle="-")
        for name, color, marker in SIDES.values()
    ]
    return add_legend(drawn.fig, handles)


@styled
def correlations(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw each model's Pearson correlation of generator and validator log-odds: all, positive, negative items.

    Args:
        table: ``correlations.csv``; of all items, in the main prompt form.
        labels: model → label, in the order drawn.
    """
    data = main_forms(rows_of(table, split="all", statistic="pearson"))
    if data["value"].isna().all():
        return no_data("no correlation is known")
    tasks, models = unique(data["task"]), model_order(data, labels)
    names = [wrapped(label_of(model, labels), LANE_LABEL) for model in models]
    across = min(3, len(tasks))
    height = -(-len(tasks) // across) * (max(2, len(models)) * LANE + MARGINS)
    size = (page_width(text_width(names) + 0.2 + 2.6 * across), height)
    drawn = panels_of(len(tasks), across, size, sharex=True, sharey=True)
    lowest = min(0.0, data["value"].min(), data["ci_low"].min())
    for index, task in enumerate(tasks):
        ax = drawn.axes[index]
        name_lanes(ax, names)
        _correlation_lanes(ax, rows_of(data, task=task), models)
        mark_vertical(ax, 0.0, None)
        ax.set_xlim(lowest - 0.04, 1.0)
        ax.set_title(task)
        drawn.name_axes(index, "Pearson's r of l_G and l_V")
    handles = [
        plain_handle("all items" if subset == "all" else subset, color=color, marker=marker)
        for subset, (color, marker) in SUBSETS.items()
    ]
    if has_no_variation(data, "value").any():
        handles.append(no_variation_handle("items"))
    return add_legend(drawn.fig, handles)


@styled
def truth(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw the measured gap, 1 − Pearson, with its interval against the true gap, one mark per model.

    If there are more models than colors, each has a lane with both gaps.

    Args:
        table: ``truth.csv``; all items, in the main prompt form.
        labels: model → label, in the order drawn.
    """
    data = main_forms(rows_of(table, subset="all"))
    data = data[data["gap"].notna() & data["true_gap"].notna()]
    if data.empty:
        return no_data("no measured model has a known true gap")
    models = model_order(data, labels)
    tasks = unique(data["task"])
    if len(models) > len(COLORS):
        return _truth_lanes(data, tasks, models, labels)
    drawn = multiples(tasks, [2.9 if len(tasks) == 1 else 2.1], min(2, len(tasks)))
    values = data[["true_gap", "gap", "ci_low", "ci_high"]].to_numpy(float)
    low, high = min(0.0, np.nanmin(values)), max(0.1, np.nanmax(values))
    room = 0.05 * (high - low)
    for index, task in enumerate(tasks):
        ax = drawn.axes[index, 0]
        ax.plot([low - room, high + room], [low - room, high + room], color=GREY, linewidth=0.8, zorder=1)
        _gaps(ax, rows_of(data, task=task), models, room)
        ax.set(xlim=(low - room, high + room), ylim=(low - room, high + room), aspect="equal")
        ax.grid()
        drawn.name_axes(index, "true gap (grammar)", "measured gap")
    handles = [
        series_handle(n, wrapped(label_of(name, labels), 2.6), linestyle="none") for n, name in enumerate(models)
    ]
    handles.append(plain_handle("measured = true", linestyle="-"))
    if has_no_variation(data, "gap").any():
        handles.append(no_variation_handle("items"))
    legend_beside(drawn.axes[min(len(tasks), drawn.columns) - 1, 0], handles)
    width, height = drawn.fig.get_size_inches()
    extra = text_width(str(handle.get_label()) for handle in handles) + 1.2
    drawn.fig.set_size_inches(min(double(), width + extra), max(height, 0.15 * len(handles) + 0.6))
    return drawn.fig


def _truth_lanes(data: pd.DataFrame, tasks: Sequence[str], models: Sequence[str], labels: Labels) -> Figure:
    """Draw the measured and the true gap of each model in a lane, a panel for each task."""
    names = [wrapped(label_of(model, labels), LANE_LABEL) for model in models]
    across = min(3, len(tasks))
    height = -(-len(tasks) // across) * (len(models) * TRUTH_LANE + MARGINS)
    size = (page_width(text_width(names) + 0.2 + 2.6 * across), height)
    drawn = panels_of(len(tasks), across, size, sharex=True, sharey=True)
    for index, task in enumerate(tasks):
        ax = drawn.axes[index]
        name_lanes(ax, names)
        mark_vertical(ax, 0.0, None)
        mine = rows_of(data, task=task)
        places = places_of(mine["model"], models)
        draw_points(ax, places, mine, "gap", color=COLORS[0], marker="o", gid="gap", zorder=4)
        ax.plot(mine["true_gap"], places, gid="true", **TRUE)
        _say_not_known(ax, mine, models)
        ax.set_title(task)
        drawn.name_axes(index, "gap, 1 − r")
    handles = [plain_handle("measured", color=COLORS[0], marker="o"), plain_handle("true (grammar)", **TRUE)]
    if has_no_variation(data, "gap").any():
        handles.append(no_variation_handle("items"))
    return add_legend(drawn.fig, handles)


def _limits(values: pd.Series) -> tuple[float, float]:
    """Return limits that hold 0 and nearly all values, with room for the marginal distribution at the upper end."""
    low, high = (float(end) for end in np.quantile(values, (BEYOND, 1 - BEYOND)))
    low, high = min(low, 0.0), max(high, 0.0)
    room = 0.05 * max(high - low, 1.0)
    return low - room, high + room + STRIP / (1 - STRIP) * (high - low + 2 * room)


def _cloud(
    ax: Axes, rows: pd.DataFrame, positive: bool, limits: Mapping[str, tuple[float, float]], n_items: int
) -> None:
    """Draw the points, contours and marginal distributions of the positives or negatives."""
    name, color, marker = SIDES[positive]
    if rows.empty:
        return
    x, y = (rows[column].to_numpy(float) for column in ODDS)
    look: dict[str, Any] = {"color": color, "marker": marker, "linestyle": "none", "markeredgewidth": 0}
    ax.plot(
        np.clip(x, *limits["l_g"]), np.clip(y, *limits["l_v"]), markersize=2, zorder=2, gid=f"points:{name}",
        alpha=float(np.clip(150 / n_items, 0.12, 0.7)), rasterized=True, clip_on=False, **look,
    )  # fmt: skip
    if len(rows) >= FEWEST and np.linalg.matrix_rank(np.cov(x, y)) == 2:
        import seaborn as sns  # takes as long to import as pandas and matplotlib, and draws no other figure

        sns.kdeplot(
            x=x, y=y, levels=[0.1, 0.5], gridsize=60, clip=(limits["l_g"], limits["l_v"]), color=color, linewidths=0.9,
            zorder=4, ax=ax,
        )  # fmt: skip
    for values, column, draw, transform in (
        (x, "l_g", ax.fill_between, ax.get_xaxis_transform()),
        (y, "l_v", ax.fill_betweenx, ax.get_yaxis_transform()),
    ):
        heights, edges = np.histogram(values, bins=30, range=limits[column])
        tops = 1 - STRIP + 0.9 * STRIP * heights / max(1, heights.max())
        steps = np.repeat(edges, 2)[1:-1]
        draw(steps, 1 - STRIP, np.repeat(tops, 2), transform=transform, color=color, alpha=0.4, linewidth=0)


def _write_correlations(ax: Axes, rows: pd.DataFrame) -> None:
    """Write the correlations of all, positive and negative items where generator and validator disagree: above left."""
    positive = rows["positive"].astype(bool)
    parts = {"all": rows, "positive": rows[positive], "negative": rows[~positive]}
    for line, (subset, part) in enumerate(parts.items()):
        varies = len(part) >= FEWEST_CORRELATED and (part[ODDS].nunique() > 1).all()
        value = f"{part['l_g'].corr(part['l_v']):.2f}".replace("-", "−") if varies else "n/a"
        ax.annotate(
            f"r {subset[:3]} {value}", (0.02, 0.98 - STRIP), xycoords="axes fraction", xytext=(0, -8 * line),
            textcoords="offset points", ha="left", va="top", color=SUBSETS[subset][0], zorder=6,
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.4},
        )  # fmt: skip


def _correlation_lanes(ax: Axes, rows: pd.DataFrame, models: Sequence[str]) -> None:
    rows = rows[rows["value"].notna()]
    for number, (subset, (color, marker)) in enumerate(SUBSETS.items()):
        mine = rows_of(rows, subset=subset)
        places = places_of(mine["model"], models) + offset(number, len(SUBSETS))
        draw_points(ax, places, mine, "value", color=color, marker=marker, gid=subset, clip_on=False)
    _say_not_known(ax, rows, models)


def _say_not_known(ax: Axes, rows: pd.DataFrame, models: Sequence[str]) -> None:
    """Mark each model without a row as n/a."""
    known = set(rows["model"])
    for y, model in enumerate(models):
        if model not in known:
            say_not_known(ax, y)


def _gaps(ax: Axes, rows: pd.DataFrame, models: Sequence[str], room: float) -> None:
    """Draw the models' gaps; models with equal true gap are side by side, within ``room`` about it."""
    rows = rows.assign(place=rows["model"].map(list(models).index), flat=has_no_variation(rows, "gap"))
    rows = rows.sort_values("place")
    tied = rows.groupby(rows["true_gap"].round(6))["place"]
    n_tied = tied.transform("size")
    x = rows["true_gap"] + room * (tied.cumcount() - (n_tied - 1) / 2) / n_tied.clip(lower=4)
    for (_, row), here in zip(rows.iterrows(), x, strict=True):
        look = series(row["place"])
        ax.vlines(here, row["ci_low"], row["ci_high"], color=look.color, linewidth=0.9)
        hollow = HOLLOW if row["flat"] else {"markeredgewidth": 0.7}
        ax.plot(
            here, row["gap"], color=look.color, marker=look.marker, markersize=4.5, zorder=4,
            gid=f"gap:{row['model']}", **hollow,
        )  # fmt: skip
