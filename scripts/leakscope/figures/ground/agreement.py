"""Figures of agreement: rankings of counts, models and the world, by size, by language, by window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leakscope.figures.curves import draw_curve, size_axis
from leakscope.figures.ground.axis_rows import LANE, MARGINS
from leakscope.figures.lanes import draw_point, draw_zero, name_lanes, offset, rows_of
from leakscope.figures.legends import add_legend, plain_handle, series_handle
from leakscope.figures.panels import Panels, panels_of
from leakscope.figures.style import (
    COLORS,
    GREY,
    Labels,
    double,
    label_of,
    model_order,
    no_data,
    series,
    styled,
    unique,
    wrapped,
)

COMPARISONS = ("counts-model", "model-prevalence", "counts-prevalence")
LANE_LABEL = 1.5  # inches, after which the name of a lane is broken
BEYOND = "#d55e00"
PALE_BLUE = "#9ecae1"
QUARTILE_NAMES = {"Q1": "rarest quarter", "Q2": "2nd", "Q3": "3rd", "Q4": "most frequent quarter"}


@styled
def kendall_tau(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw each model's mean tau-b with its interval, its part beyond the prior, and the baseline of the prior alone.

    Args:
        table: ``kendall_tau.csv``.
        labels: what to print for a model; its order is the order drawn.
    """
    if table["tau"].notna().sum() == 0:
        return no_data("no tau is known")
    names = [c for c in COMPARISONS if c in set(table["comparison"])]
    axes_names = unique(table["axis"])
    several = table["language"].nunique() > 1
    lanes = {
        (axis, comparison): _lanes(table, axis, comparison, labels, several)
        for axis in axes_names
        for comparison in names
    }
    counts = [max(len(lanes[axis, comparison]) for comparison in names) for axis in axes_names]
    fig = Figure(figsize=(double(), sum(counts) * LANE * 1.4 + MARGINS * len(counts)), layout="constrained")
    grid = fig.subplots(
        len(counts), len(names), squeeze=False, sharex=True, height_ratios=[count + 0.6 for count in counts]
    )
    for i, axis in enumerate(axes_names):
        for j, comparison in enumerate(names):
            _tau_panel(grid[i, j], lanes[axis, comparison], f"{axis}: {comparison.replace('-', ' ↔ ')}")
            if i == len(counts) - 1:
                grid[i, j].set_xlabel("Kendall's τ-b, mean over subjects")
    handles = [
        plain_handle("τ", color=COLORS[0], marker="o"),
        plain_handle("τ beyond the prior", color=BEYOND, marker="D", markerfacecolor="white"),
        plain_handle("by counts of other subjects (baseline)", color=GREY, marker="|", markersize=9, linestyle="none"),
        plain_handle("another corpus (ceiling)", color="black", marker="x", markersize=4, linestyle="none"),
    ]
    return add_legend(fig, handles)


@styled
def tau_by_size(table: pd.DataFrame, sizes: pd.DataFrame) -> Figure:
    """Draw counts ↔ model against the number of parameters, one line for each quartile of the subjects' total counts.

    Args:
        table: ``kendall_tau_by_quartile.csv``.
        sizes: ``model, n_parameters``.
    """
    known = sizes.loc[sizes["n_parameters"].notna(), ["model", "n_parameters"]].drop_duplicates("model")
    data = table.merge(known, on="model")
    data = data[data["language"] == (data["language"].iloc[0] if len(data) else "")]
    if data.empty:
        return no_data("no model with a known number of parameters has a tau")
    axes_names = unique(data["axis"])
    drawn = _tau_curves(axes_names)
    for ax, axis in zip(drawn.axes, axes_names, strict=True):
        mine = data[data["axis"] == axis]
        for number, quartile in enumerate(QUARTILE_NAMES):
            rows = mine[mine["quartile"] == quartile].sort_values("n_parameters")
            x = rows["n_parameters"].to_numpy(float) * (1 + 0.06 * (number - 1.5))
            draw_curve(ax, x, rows, "tau", **series(number).curve)
        size_axis(ax, mine["n_parameters"])
        ax.set_xlabel("parameters")
    return add_legend(drawn.fig, [series_handle(i, name) for i, name in enumerate(QUARTILE_NAMES.values())])


@styled
def tau_by_language(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw counts ↔ model by the language of the sentences, one line a model.

    Args:
        table: ``kendall_tau.csv``.
        labels: what to print for a model.
    """
    data = table[table["comparison"] == "counts-model"]
    if data.empty:
        return no_data("no tau is known")
    axes_names, models, languages = unique(data["axis"]), model_order(data, labels), unique(data["language"])
    drawn = _tau_curves(axes_names)
    for ax, axis in zip(drawn.axes, axes_names, strict=True):
        for number, model in enumerate(models):
            rows = rows_of(data, axis=axis, model=model).set_index("language").reindex(languages)
            x = np.arange(len(languages)) + offset(number, len(models), 0.5)
            draw_curve(ax, x, rows, "tau", **series(number).dots)
        ax.set_xticks(range(len(languages)), languages)
    handles = [series_handle(i, label_of(model, labels), linestyle="none") for i, model in enumerate(models)]
    return add_legend(drawn.fig, handles)


@styled
def window_agreement(table: pd.DataFrame) -> Figure:
    """Draw how far each window ranks as the widest one: share of identical rankings, and mean tau with its interval.

    Args:
        table: ``window_agreement.csv``.
    """
    known = table[table["window"].notna()]
    if known.empty:
        return no_data("one window only")
    lines = list(known[["axis", "unit"]].drop_duplicates().itertuples(index=False, name=None))
    several = known["unit"].nunique() > 1
    fig = Figure(figsize=(5.6, 2.1), layout="constrained")
    left, right = fig.subplots(1, 2, sharex=True)
    for number, (axis, unit) in enumerate(lines):
        mine = rows_of(known, axis=axis, unit=unit).sort_values("window")
        left.plot(mine["window"], 100 * mine["share_identical"], **series(number).curve)
        draw_curve(right, mine["window"], mine, "tau", **series(number).curve)
    widest = known["reference_window"].max()
    left.set_ylabel("identical rankings (%)")
    left.set_ylim(-3, 103)
    right.set_ylabel(f"mean τ-b with {widest:g} words")
    right.set_ylim(min(0.0, right.get_ylim()[0]), 1.02)
    for ax in (left, right):
        ax.set_xscale("log")
        ticks = sorted(set(known["window"]))
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
        ax.set_xlabel("window (words)")
        ax.grid(axis="y")
    names = [f"{axis} ({unit})" if several else axis for axis, unit in lines]
    return add_legend(fig, [series_handle(i, name) for i, name in enumerate(names)])


@styled
def prevalence_gaps(table: pd.DataFrame) -> Figure:
    """Draw the ranks of counts against those of prevalence (left), and the difference of shares by group (right).

    Left, the size of a point is how many subjects have the pair of ranks; right, each subject is a line, as long as its
    margin of error, those among the most counted dark.

    Args:
        table: ``prevalence_gaps.csv``.
    """
    if table.empty:
        return no_data("no pair has both counts and a prevalence")
    axes_names = unique(table["axis"])
    n_groups = {axis: table.loc[table["axis"] == axis, "group"].nunique() for axis in axes_names}
    heights = [max(1.7, 0.3 * n_groups[axis] + 0.5) for axis in axes_names]
    fig = Figure(figsize=(double(), sum(heights) + 0.5 * len(axes_names)), layout="constrained")
    grid = fig.subplots(len(axes_names), 2, squeeze=False, height_ratios=heights, width_ratios=[1, 1.5])
    for i, axis in enumerate(axes_names):
        mine = table[table["axis"] == axis]
        groups = sorted(unique(mine["group"]))
        _rank_bubbles(grid[i, 0], mine)
        _differences(grid[i, 1], mine, groups)
        grid[i, 0].set_title(f"{axis}: ranks within a subject")
        grid[i, 1].set_title(f"{axis}: share of counts less share of prevalence")
    grid[-1, 0].set_xlabel("rank by prevalence (1: highest)")
    grid[-1, 1].set_xlabel("difference (percentage points)")
    handles = [
        plain_handle("subjects with these ranks (size: how many)", color=COLORS[0], marker="o", linestyle="none"),
        plain_handle("a subject, with its margin of error", color=PALE_BLUE, marker="o", markersize=3),
        plain_handle("one of those counted most", color=COLORS[0], marker="o", markersize=3),
        plain_handle(
            "mean over subjects", color=BEYOND, marker="|", markersize=9, markeredgewidth=1.6, linestyle="none"
        ),
    ]
    return add_legend(fig, handles)


def _tau_curves(axes_names: Sequence[str]) -> Panels:
    """Return a panel for each axis beside each other, for curves of tau-b."""
    size = (min(double(), 2.0 + 2.6 * len(axes_names)), 2.2)
    drawn = panels_of(len(axes_names), len(axes_names), size, sharey=True)
    for ax, axis in zip(drawn.axes, axes_names, strict=True):
        ax.axhline(0, color=GREY, linewidth=0.8, zorder=1)
        ax.set_title(axis)
        ax.grid(axis="y")
    drawn.axes[0].set_ylabel("counts ↔ model, mean τ-b")
    return drawn


def _lanes(
    table: pd.DataFrame, axis: str, comparison: str, labels: Labels, several: bool
) -> list[tuple[str, pd.Series]]:
    """Return the rows of a panel with what to call them, in the order of the models."""
    mine = table[(table["axis"] == axis) & (table["comparison"] == comparison)]
    lanes = []
    for model in model_order(mine, labels) or [""]:
        for _, row in (mine[mine["model"] == model] if model else mine).iterrows():
            name = label_of(model, labels) if model else "counts"
            lanes.append((f"{name} ({row['language']})" if several and model else name, row))
    return lanes


def _tau_panel(ax: Axes, lanes: Sequence[tuple[str, pd.Series]], title: str) -> None:
    if not lanes:
        ax.set_axis_off()
        return
    name_lanes(ax, [wrapped(name, LANE_LABEL) for name, _ in lanes])
    ax.set_title(title)
    draw_zero(ax)
    ax.set_xlim(-1.08, 1.08)
    for y, (_, row) in enumerate(lanes):
        draw_point(ax, y - 0.14, row["tau"], row["ci_low"], row["ci_high"], color=COLORS[0], marker="o", gid="tau")
        draw_point(
            ax, y + 0.18, row["tau_beyond_prior"], row["beyond_ci_low"], row["beyond_ci_high"], color=BEYOND,
            marker="D", markersize=3, markerfacecolor="white",
        )  # fmt: skip
        ax.plot(row["baseline_tau"], y - 0.14, color=GREY, marker="|", markersize=9, linestyle="none", zorder=1)
        ax.plot(row["ceiling_tau"], y - 0.14, color="black", marker="x", markersize=4, linestyle="none", zorder=1)


def _rank_bubbles(ax: Axes, rows: pd.DataFrame) -> None:
    sizes = rows.groupby(["prevalence_rank", "count_rank"]).size().rename("n").reset_index()
    largest = sizes["n"].max()
    ax.scatter(
        sizes["prevalence_rank"], sizes["count_rank"], s=8 + 150 * sizes["n"] / largest, color=COLORS[0], linewidth=0,
        alpha=0.75,
    )  # fmt: skip
    highest = int(np.ceil(max(sizes["prevalence_rank"].max(), sizes["count_rank"].max())))
    ax.plot([1, highest], [1, highest], color=GREY, linewidth=0.8, zorder=0)
    ax.set_xticks(range(1, highest + 1))
    ax.set_yticks(range(1, highest + 1))
    ax.set_xlim(0.4, highest + 0.6)
    ax.set_ylim(highest + 0.6, 0.4)
    ax.set_ylabel("rank by counts")
    ax.grid()


def _differences(ax: Axes, rows: pd.DataFrame, groups: Sequence[str]) -> None:
    name_lanes(ax, groups)
    draw_zero(ax)
    rng = np.random.default_rng(0)
    for y, group in enumerate(groups):
        mine = rows[rows["group"] == group]
        place = y + rng.uniform(-0.3, 0.3, len(mine))
        top = mine["among_top"].astype(str).str.lower().eq("true").to_numpy()
        for chosen, color in ((~top, PALE_BLUE), (top, COLORS[0])):
            here = mine[chosen]
            ax.hlines(place[chosen], 100 * here["ci_low"], 100 * here["ci_high"], color=color, linewidth=0.7)
            ax.plot(100 * here["difference"], place[chosen], color=color, marker="o", markersize=2, linestyle="none")
        ax.plot(100 * mine["difference"].mean(), y, color=BEYOND, marker="|", markersize=12, markeredgewidth=1.6)
