"""Figures of agreement between counts, models and prevalence, also by size, language and window."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leakscope.figures.curves import draw_curve, size_axis
from leakscope.figures.ground.axis_rows import LANE, MARGINS, NARROW, label_lowest
from leakscope.figures.lanes import (
    INTERVAL,
    draw_points,
    draw_zero,
    has_no_variation,
    name_lanes,
    offset,
    places_of,
    rows_of,
)
from leakscope.figures.legends import add_legend, no_variation_handle, plain_handle, series_handle
from leakscope.figures.panels import Panels, panels_of
from leakscope.figures.sheets import sheet
from leakscope.figures.style import (
    COLORS,
    GREY,
    Labels,
    double,
    label_of,
    model_order,
    no_data,
    page_width,
    series,
    styled,
    text_width,
    unique,
    wrapped,
)

# what a panel's title says → the comparisons that it shows
COMPARISONS = {
    "model ↔ counts": ("counts-model",),
    "model, counts ↔ prevalence": ("model-prevalence", "counts-prevalence"),
}
LANE_LABEL = 2.0  # inches, after which the name of a lane is broken
LANE_OF_LANGUAGE = 0.1  # inches
BEYOND = "#d55e00"
PALE_BLUE = "#9ecae1"
OPEN: dict[str, Any] = {
    "color": BEYOND, "marker": "D", "markersize": 3, "markerfacecolor": "white", "linestyle": "none",
}  # fmt: skip
BAR: dict[str, Any] = {"color": GREY, "marker": "|", "markersize": 9, "linestyle": "none", "zorder": 1}
CROSS: dict[str, Any] = {"color": "black", "marker": "x", "markersize": 4, "linestyle": "none", "zorder": 1}
QUARTILE_NAMES = {"Q1": "rarest quarter", "Q2": "2nd", "Q3": "3rd", "Q4": "most frequent quarter"}


class TauLane(NamedTuple):
    """A lane of taus: its name, and its row of each comparison."""

    name: str
    rows: dict[str, pd.Series]


@styled
def kendall_tau(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw each model's mean tau-b with its interval, tau beyond the prior, and the baseline of the prior.

    One row of panels per axis: models with counts (left), models and counts with prevalence (right). A comparison
    without tau has no panel.

    Args:
        table: ``kendall_tau.csv``.
        labels: model → label, in the order drawn.
    """
    data = table[table["tau"].notna()]
    if data.empty:
        return no_data("no tau is known")
    axes_names = unique(data["axis"])
    columns = [title for title, own in COMPARISONS.items() if data["comparison"].isin(own).any()]
    several = data["language"].nunique() > 1
    lanes = [_lanes(rows_of(data, axis=axis), labels, several) for axis in axes_names]
    heights = [len(mine) * LANE * 1.4 + MARGINS for mine in lanes]
    fig = sheet(double() if len(columns) > 1 else NARROW, sum(heights))
    grid = fig.subplots(len(lanes), len(columns), squeeze=False, sharey="row", height_ratios=heights)
    for axis, mine, panels in zip(axes_names, lanes, grid, strict=True):
        left = True
        for ax, title in zip(panels, columns, strict=True):
            if _tau_panel(ax, mine, COMPARISONS[title], f"{axis}: {title}"):
                ax.tick_params(labelleft=left)
                left = False
    for panels in grid.T:
        label_lowest(panels, "Kendall's τ-b, mean over subjects")
    handles = [
        plain_handle("τ", color=COLORS[0], marker="o"),
        plain_handle("τ beyond the prior", **OPEN | {"linestyle": "-"}),
        plain_handle("by counts of other subjects (baseline)", **BAR),
    ]
    if data["ceiling_tau"].notna().any():
        handles.append(plain_handle("another corpus (ceiling)", **CROSS))
    if has_no_variation(data, "tau").any():
        handles.append(no_variation_handle("subjects"))
    return add_legend(fig, handles)


@styled
def tau_by_size(table: pd.DataFrame, sizes: pd.DataFrame) -> Figure:
    """Draw counts ↔ model against the number of parameters, one line for each quartile of the subjects' total counts.

    Args:
        table: ``kendall_tau_by_quartile.csv``.
        sizes: ``model, n_parameters``.
    """
    known = sizes.loc[sizes["n_parameters"].notna(), ["model", "n_parameters"]].drop_duplicates("model")
    data = table[table["tau"].notna()].merge(known, on="model")
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
        ax.set_xlabel("parameters (logarithmic)")
    handles = [series_handle(i, name) for i, name in enumerate(QUARTILE_NAMES.values())]
    if has_no_variation(data, "tau").any():
        handles.append(no_variation_handle("subjects"))
    return add_legend(drawn.fig, handles)


@styled
def tau_by_language(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw counts ↔ model by the language of the sentences, a lane for each model and a panel for each axis.

    Args:
        table: ``kendall_tau.csv``.
        labels: model → label, in the order drawn.
    """
    data = table[(table["comparison"] == "counts-model") & table["tau"].notna()]
    if data.empty:
        return no_data("no tau is known")
    axes_names, models, languages = unique(data["axis"]), model_order(data, labels), unique(data["language"])
    names = [wrapped(label_of(model, labels), LANE_LABEL) for model in models]
    across = min(3, len(axes_names))
    lane = max(LANE, LANE_OF_LANGUAGE * len(languages))
    height = -(-len(axes_names) // across) * (len(models) * lane + MARGINS)
    size = (page_width(text_width(names) + 0.3 + 2.2 * across), height)
    drawn = panels_of(len(axes_names), across, size, sharex=True, sharey=True)
    for index, axis in enumerate(axes_names):
        ax = drawn.axes[index]
        name_lanes(ax, names)
        draw_zero(ax)
        for number, language in enumerate(languages):
            rows = rows_of(data, axis=axis, language=language)
            places = places_of(rows["model"], models) + offset(number, len(languages))
            draw_points(ax, places, rows, "tau", **series(number).dots, markersize=3)
        ax.set_title(axis)
        drawn.name_axes(index, "counts ↔ model, mean τ-b")
    handles = [series_handle(number, language, linestyle="none") for number, language in enumerate(languages)]
    if has_no_variation(data, "tau").any():
        handles.append(no_variation_handle("subjects"))
    return add_legend(drawn.fig, handles)


@styled
def window_agreement(table: pd.DataFrame) -> Figure:
    """Draw the agreement of each window with the widest: share of identical rankings, and mean tau with its interval.

    Args:
        table: ``window_agreement.csv``.
    """
    known = table[table["window"].notna()]
    if known.empty:
        return no_data("one window only")
    lines = list(known[["axis", "unit"]].drop_duplicates().itertuples(index=False, name=None))
    several = known["unit"].nunique() > 1
    fig = sheet(5.6, 2.1)
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
        ax.set_xlabel("window (words, logarithmic)")
        ax.grid(axis="y")
    names = [f"{axis} ({unit})" if several else axis for axis, unit in lines]
    handles = [series_handle(i, name) for i, name in enumerate(names)]
    if has_no_variation(known, "tau").any():
        handles.append(no_variation_handle("subjects"))
    return add_legend(fig, handles)


@styled
def prevalence_gaps(table: pd.DataFrame) -> Figure:
    """Draw ranks by counts against ranks by prevalence (left), and the difference of shares by group (right).

    Left: a point's area is the number of subjects with the pair of ranks. Right: each subject is a line as long as its
    margin of error, dark for the subjects with the highest counts.

    Args:
        table: ``prevalence_gaps.csv``.
    """
    if table.empty:
        return no_data("no pair has both counts and a prevalence")
    axes_names = unique(table["axis"])
    n_groups = {axis: table.loc[table["axis"] == axis, "group"].nunique() for axis in axes_names}
    heights = [max(1.7, 0.3 * n_groups[axis] + 0.5) for axis in axes_names]
    fig = sheet(double(), sum(heights) + 0.5 * len(axes_names))
    grid = fig.subplots(len(axes_names), 2, squeeze=False, height_ratios=heights, width_ratios=[1, 1.5])
    for i, axis in enumerate(axes_names):
        mine = table[table["axis"] == axis]
        groups = sorted(unique(mine["group"]))
        _rank_bubbles(grid[i, 0], mine)
        _differences(grid[i, 1], mine, groups)
        grid[i, 0].set_title(f"{axis}: ranks within a subject")
        grid[i, 1].set_title(f"{axis}: share of counts minus share of prevalence")
    grid[-1, 0].set_xlabel("rank by prevalence (1: highest)")
    grid[-1, 1].set_xlabel("difference (percentage points)")
    handles = [
        plain_handle("subjects with these ranks (area: number)", color=COLORS[0], marker="o", linestyle="none"),
        plain_handle("a subject, with its margin of error", color=PALE_BLUE, marker="o", markersize=3),
        plain_handle("a subject with high counts", color=COLORS[0], marker="o", markersize=3),
        plain_handle(
            "mean over subjects", color=BEYOND, marker="|", markersize=9, markeredgewidth=1.6, linestyle="none"
        ),
    ]
    return add_legend(fig, handles)


def _tau_curves(axes_names: Sequence[str]) -> Panels:
    """Return panels side by side, one per axis, for curves of tau-b."""
    size = (min(double(), 2.0 + 2.6 * len(axes_names)), 2.2)
    drawn = panels_of(len(axes_names), len(axes_names), size, sharey=True)
    for ax, axis in zip(drawn.axes, axes_names, strict=True):
        ax.axhline(0, color=GREY, linewidth=0.8, zorder=1)
        ax.set_title(axis)
        ax.grid(axis="y")
    drawn.axes[0].set_ylabel("counts ↔ model, mean τ-b")
    return drawn


def _lanes(table: pd.DataFrame, labels: Labels, several: bool) -> list[TauLane]:
    """Return the lanes of an axis: counts with prevalence, where both are known, then models in their order."""
    lanes = [TauLane("counts", {row["comparison"]: row}) for _, row in table[table["model"].isna()].iterrows()]
    for model in model_order(table, labels):
        mine = table[table["model"] == model]
        for language in unique(mine["language"]):
            rows = {row["comparison"]: row for _, row in rows_of(mine, language=language).iterrows()}
            lanes.append(TauLane(label_of(model, labels) + (f" ({language})" if several else ""), rows))
    return lanes


def _tau_panel(ax: Axes, lanes: Sequence[TauLane], comparisons: Collection[str], title: str) -> bool:
    """Draw the lanes' rows of some comparisons; if there are none, remove the panel and return False."""
    found = {y: row for y, lane in enumerate(lanes) for name, row in lane.rows.items() if name in comparisons}
    if not found:
        ax.remove()
        return False
    rows, y = pd.DataFrame(found.values()), np.array([*found])
    name_lanes(ax, [wrapped(lane.name, LANE_LABEL) for lane in lanes])
    ax.set_title(title)
    draw_zero(ax)
    ax.set_xlim(-1.08, 1.08)
    ax.set_xticks([-1, -0.5, 0, 0.5, 1])
    draw_points(ax, y - 0.14, rows, "tau", color=COLORS[0], marker="o", gid="tau")
    ax.hlines(y + 0.18, rows["beyond_ci_low"], rows["beyond_ci_high"], color=BEYOND, linewidth=INTERVAL)
    for column, place, look in (
        ("tau_beyond_prior", 0.18, OPEN),
        ("baseline_tau", -0.14, BAR),
        ("ceiling_tau", -0.14, CROSS),
    ):
        ax.plot(rows[column], y + place, **look)
    return True


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
