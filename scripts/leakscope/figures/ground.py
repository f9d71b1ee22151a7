"""Figures of the step ``ground``: rankings of counts, models and the world; each has its rule's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from leakscope.errors import one_of
from leakscope.figures.curves import add_legend, plain_handle, series_handle
from leakscope.figures.sizes import size_axis
from leakscope.figures.style import (
    COLORS,
    DOUBLE,
    GREY,
    PALE,
    label_of,
    model_order,
    no_data,
    series,
    styled,
    unique,
)

LANE, MARGINS = 0.2, 0.75  # inches
COMPARISONS = ("counts-model", "model-prevalence", "counts-prevalence")
BEYOND = "#d55e00"
QUARTILE_NAMES = {"Q1": "rarest quarter", "Q2": "2nd", "Q3": "3rd", "Q4": "most frequent quarter"}

Tables = Mapping[str, pd.DataFrame]
Labels = Mapping[str, str]


def draw(name: str, tables: Mapping[str, Path], *, labels: Labels, sizes: Mapping[str, int]) -> Figure:
    """Return a figure drawn from CSV tables.

    Args:
        name: of the figure.
        tables: name → file.
        labels: model → label, in the order of the study.
        sizes: model → number of parameters, where the configuration gives it; organisms' are in their table.

    Raises:
        InputError: there is no such figure.
    """
    if name not in FIGURES:
        raise one_of("figure", name, FIGURES)
    frames = {table: pd.read_csv(path, keep_default_na=False, na_values=[""]) for table, path in tables.items()}
    given = pd.DataFrame(list(sizes.items()), columns=["model", "n_parameters"])
    known = pd.concat([frames["organisms"], given], ignore_index=True) if "organisms" in frames else given
    return FIGURES[name](frames, labels, known)


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
    fig = Figure(figsize=(DOUBLE, sum(counts) * LANE * 1.4 + MARGINS * len(counts)), layout="constrained")
    grid = fig.subplots(
        len(counts), len(names), squeeze=False, sharex=True, height_ratios=[count + 0.6 for count in counts]
    )
    for i, axis in enumerate(axes_names):
        for j, comparison in enumerate(names):
            _tau_panel(grid[i, j], lanes[axis, comparison], f"{axis}: {comparison.replace('-', ' ↔ ')}")
            if i == len(counts) - 1:
                grid[i, j].set_xlabel("Kendall's τ$_b$, mean over subjects")
    handles = [
        plain_handle("τ", color=COLORS[0], marker="o"),
        plain_handle("τ beyond the prior", color=BEYOND, marker="D", markerfacecolor="white"),
        plain_handle(
            "by counts of other subjects (baseline)", color=GREY, marker="|", markersize=9, linestyle="none"
        ),
        plain_handle("counts, redrawn (ceiling)", color="black", marker="x", markersize=4, linestyle="none"),
    ]
    return add_legend(fig, handles)


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
    _name_lanes(ax, [name for name, _ in lanes])
    ax.set_title(title, loc="left", pad=4)
    ax.axvline(0, color=GREY, linewidth=0.8, zorder=1)
    ax.set_xlim(-1.02, 1.02)
    for y, (_, row) in enumerate(lanes):
        ax.hlines(y - 0.14, row["ci_low"], row["ci_high"], color=COLORS[0], linewidth=0.9)
        ax.plot(row["tau"], y - 0.14, color=COLORS[0], marker="o", gid="tau")
        ax.hlines(y + 0.18, row["beyond_ci_low"], row["beyond_ci_high"], color=BEYOND, linewidth=0.9)
        ax.plot(row["tau_beyond_prior"], y + 0.18, color=BEYOND, marker="D", markersize=3, markerfacecolor="white")
        ax.plot(row["baseline_tau"], y - 0.14, color=GREY, marker="|", markersize=9, linestyle="none", zorder=1)
        ax.plot(row["ceiling_tau"], y - 0.14, color="black", marker="x", markersize=4, linestyle="none", zorder=1)


def _name_lanes(ax: Axes, names: Sequence[str]) -> None:
    """Name the lanes, first on top, and shade every other one."""
    for position in range(1, len(names), 2):
        ax.axhspan(position - 0.5, position + 0.5, color=PALE, linewidth=0, zorder=0)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")


class _Panels(NamedTuple):
    fig: Figure
    grid: np.ndarray
    axes: list[str]


def _panels(axes_names: Sequence[str], n_columns: int, n_lanes: Mapping[str, int], width: float = DOUBLE) -> _Panels:
    """Return a figure with a row of panels for each axis, as high as its lanes need."""
    heights = [n_lanes[axis] + 0.6 for axis in axes_names]
    fig = Figure(figsize=(width, sum(heights) * LANE + MARGINS * len(axes_names)), layout="constrained")
    grid = fig.subplots(len(axes_names), n_columns, squeeze=False, height_ratios=heights, sharex="col")
    return _Panels(fig, grid, list(axes_names))


@styled
def first_places(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw in which share of subjects each group is ranked first (left) and last (right), the mean over templates.

    Args:
        table: ``first_and_last.csv``.
        labels: what to print for a model.
    """
    data = table[table["template_id"].astype(str) == "all"]
    if data.empty:
        return no_data("no scores")
    named = _model_lanes(data, labels)
    panels = _panels(unique(data["axis"]), 2, {axis: len(lanes) for axis, lanes in named.items()})
    groups = unique(data["group"])
    for i, axis in enumerate(panels.axes):
        for j, (column, title) in enumerate((("share_first", "first"), ("share_last", "last"))):
            ax = panels.grid[i, j]
            _name_lanes(ax, [name for name, _, _ in named[axis]] if j == 0 else [""] * len(named[axis]))
            for y, (_, model, language) in enumerate(named[axis]):
                mine = _of(data, axis=axis, model=model, language=language).set_index("group")[column]
                start = 0.0
                for number, group in enumerate(groups):
                    share = 100 * float(mine.get(group, 0.0))
                    look: dict[str, Any] = {
                        "color": COLORS[number % len(COLORS)],
                        "edgecolor": "white",
                        "linewidth": 0.4,
                    }
                    ax.barh(y, share, left=start, height=0.78, hatch="//" if number >= len(COLORS) else None, **look)
                    start += share
            ax.set_xlim(0, 100)
            ax.set_title(f"{axis}: {title}", loc="left", pad=4)
            if i == len(panels.axes) - 1:
                ax.set_xlabel("subjects (%)")
    return add_legend(panels.fig, [Patch(color=COLORS[i % len(COLORS)], label=g) for i, g in enumerate(groups)])


@styled
def logprob_differences(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw by how much each group's score lies above the mean of all groups, in nats, with intervals over subjects.

    Args:
        table: ``logprob_differences.csv``.
        labels: what to print for a model.
    """
    if table.empty:
        return no_data("no scores")
    named = _model_lanes(table, labels)
    groups = unique(table["group"])
    panels = _panels(unique(table["axis"]), 1, {axis: len(lanes) * 1.6 for axis, lanes in named.items()}, 5.2)
    for i, axis in enumerate(panels.axes):
        ax = panels.grid[i, 0]
        _name_lanes(ax, [name for name, _, _ in named[axis]])
        ax.axvline(0, color=GREY, linewidth=0.8, zorder=1)
        for y, (_, model, language) in enumerate(named[axis]):
            mine = _of(table, axis=axis, model=model, language=language)
            for _, row in mine.iterrows():
                number = groups.index(row["group"])
                look = series(number)
                place = y + ((number + 0.5) / len(groups) - 0.5) * 0.8
                ax.hlines(place, row["ci_low"], row["ci_high"], color=look.color, linewidth=0.9)
                ax.plot(row["difference"], place, color=look.color, marker=look.marker, markersize=3)
        ax.set_title(axis, loc="left", pad=4)
    panels.grid[-1, 0].set_xlabel("score above the mean of all groups (nats)")
    return add_legend(panels.fig, [series_handle(i, group, linestyle="none") for i, group in enumerate(groups)])


@styled
def template_spread(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw how far a group's rank differs between templates: the standard deviation over templates, by group.

    Args:
        table: ``rank_spread.csv``.
        labels: what to print for a model.
    """
    if table["rank_sd"].notna().sum() == 0:
        return no_data("ranks of a single template do not vary")
    named = _model_lanes(table, labels)
    groups = unique(table["group"])
    panels = _panels(unique(table["axis"]), 1, {axis: len(lanes) * 2.4 for axis, lanes in named.items()}, 5.2)
    for i, axis in enumerate(panels.axes):
        ax = panels.grid[i, 0]
        _name_lanes(ax, [name for name, _, _ in named[axis]])
        mine = [group for group in groups if group in set(table.loc[table["axis"] == axis, "group"])]
        for y, (_, model, language) in enumerate(named[axis]):
            rows = _of(table, axis=axis, model=model, language=language)
            for number, group in enumerate(mine):
                values = rows.loc[rows["group"] == group, "rank_sd"].dropna()
                if values.empty:
                    continue
                place, color = y + ((number + 0.5) / len(mine) - 0.5) * 0.86, COLORS[groups.index(group) % len(COLORS)]
                ax.boxplot(
                    [values.to_numpy()], positions=[place], orientation="horizontal", widths=0.72 / len(mine),
                    patch_artist=True, manage_ticks=False, whis=(5, 95), showfliers=False,
                    boxprops={"facecolor": color, "linewidth": 0.4}, medianprops={"color": "white", "linewidth": 1.0},
                    whiskerprops={"color": color, "linewidth": 0.8}, showcaps=False,
                )  # fmt: skip
        ax.set_title(axis, loc="left", pad=4)
        ax.set_xlim(left=0)
    panels.grid[-1, 0].set_xlabel(
        "standard deviation of a group's rank over templates\n(box: quartiles; line: 5 to 95 %)"
    )
    return add_legend(panels.fig, [Patch(color=COLORS[i % len(COLORS)], label=g) for i, g in enumerate(groups)])


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
        mine = _of(known, axis=axis, unit=unit).sort_values("window")
        look = series(number)
        drawn: dict[str, Any] = {"color": look.color, "marker": look.marker, "linestyle": look.line}
        left.plot(mine["window"], 100 * mine["share_identical"], **drawn)
        right.vlines(mine["window"], mine["ci_low"], mine["ci_high"], color=look.color, linewidth=0.9)
        right.plot(mine["window"], mine["tau"], **drawn)
    widest = known["reference_window"].max()
    left.set_ylabel("identical rankings (%)")
    left.set_ylim(-3, 103)
    right.set_ylabel(f"mean τ$_b$ with the widest window ({widest:g})")
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
    fig = Figure(figsize=(DOUBLE, sum(heights) + 0.5 * len(axes_names)), layout="constrained")
    grid = fig.subplots(len(axes_names), 2, squeeze=False, height_ratios=heights, width_ratios=[1, 1.5])
    for i, axis in enumerate(axes_names):
        mine = table[table["axis"] == axis]
        groups = sorted(unique(mine["group"]))
        _rank_bubbles(grid[i, 0], mine)
        _differences(grid[i, 1], mine, groups)
        grid[i, 0].set_title(f"{axis}: ranks within a subject", loc="left", pad=4)
        grid[i, 1].set_title(f"{axis}: share of counts less share of prevalence", loc="left", pad=4)
    grid[-1, 0].set_xlabel("rank by prevalence (1: highest)")
    grid[-1, 1].set_xlabel("difference (percentage points)")
    return fig


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
    _name_lanes(ax, groups)
    ax.axvline(0, color=GREY, linewidth=0.8, zorder=1)
    rng = np.random.default_rng(0)
    for y, group in enumerate(groups):
        mine = rows[rows["group"] == group]
        place = y + rng.uniform(-0.3, 0.3, len(mine))
        top = mine["among_top"].astype(str).str.lower().eq("true").to_numpy()
        for chosen, color in ((~top, "#9ecae1"), (top, COLORS[0])):
            here = mine[chosen]
            value, margin = 100 * here["difference"], 100 * here["margin_of_error"]
            ax.hlines(place[chosen], value - margin, value + margin, color=color, linewidth=0.7)
            ax.plot(value, place[chosen], color=color, marker="o", markersize=2, linestyle="none")
        ax.plot(100 * mine["difference"].mean(), y, color=BEYOND, marker="|", markersize=12, markeredgewidth=1.6)


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
    fig = Figure(figsize=(min(DOUBLE, 0.8 + 2.6 * len(axes_names)), 2.2), layout="constrained")
    grid = fig.subplots(1, len(axes_names), squeeze=False, sharey=True)[0]
    for ax, axis in zip(grid, axes_names, strict=True):
        mine = data[data["axis"] == axis]
        ax.set_xscale("log")
        for number, quartile in enumerate(QUARTILE_NAMES):
            rows = mine[mine["quartile"] == quartile].sort_values("n_parameters")
            look = series(number)
            x = rows["n_parameters"].to_numpy(float) * (1 + 0.06 * (number - 1.5))
            ax.vlines(x, rows["ci_low"], rows["ci_high"], color=look.color, linewidth=0.9)
            ax.plot(x, rows["tau"], color=look.color, marker=look.marker, linestyle=look.line)
        size_axis(ax, mine["n_parameters"])
        ax.axhline(0, color=GREY, linewidth=0.8, zorder=1)
        ax.set_title(axis, loc="left", pad=4)
        ax.set_xlabel("parameters")
        ax.grid(axis="y")
    grid[0].set_ylabel("counts ↔ model, mean τ$_b$")
    return add_legend(fig, [series_handle(i, name) for i, name in enumerate(QUARTILE_NAMES.values())])


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
    fig = Figure(figsize=(min(DOUBLE, 0.8 + 2.6 * len(axes_names)), 2.2), layout="constrained")
    grid = fig.subplots(1, len(axes_names), squeeze=False, sharey=True)[0]
    for ax, axis in zip(grid, axes_names, strict=True):
        for number, model in enumerate(models):
            rows = _of(data, axis=axis, model=model).set_index("language").reindex(languages)
            look = series(number)
            x = np.arange(len(languages)) + ((number + 0.5) / len(models) - 0.5) * 0.5
            ax.vlines(x, rows["ci_low"], rows["ci_high"], color=look.color, linewidth=0.9)
            ax.plot(x, rows["tau"], color=look.color, marker=look.marker, linestyle="none")
        ax.set_xticks(range(len(languages)), languages)
        ax.axhline(0, color=GREY, linewidth=0.8, zorder=1)
        ax.set_title(axis, loc="left", pad=4)
        ax.grid(axis="y")
    grid[0].set_ylabel("counts ↔ model, mean τ$_b$")
    handles = [series_handle(i, label_of(model, labels), linestyle="none") for i, model in enumerate(models)]
    return add_legend(fig, handles)


@styled
def aligned_pairs(pairs: pd.DataFrame, places: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw each pair's agreement with its base (left), and the change in every group's first places (right).

    Args:
        pairs: ``aligned_pairs.csv``.
        places: ``first_and_last.csv``.
        labels: what to print for a model.
    """
    if pairs.empty:
        return no_data("no pair has scores of both models")
    places = places[places["template_id"].astype(str) == "all"]
    several = pairs["language"].nunique() > 1
    lanes = {axis: list(_of(pairs, axis=axis).iterrows()) for axis in unique(pairs["axis"])}
    panels = _panels(list(lanes), 2, {axis: len(rows) * 1.6 for axis, rows in lanes.items()})
    groups = unique(places["group"])
    for i, axis in enumerate(panels.axes):
        names = [
            f"{label_of(row['base'], labels)} →\n{label_of(row['aligned'], labels)}"
            + (f" ({row['language']})" if several else "")
            for _, row in lanes[axis]
        ]
        left, right = panels.grid[i]
        _name_lanes(left, names)
        _name_lanes(right, [""] * len(names))
        left.set_xlim(-0.02, 1.02)
        right.axvline(0, color=GREY, linewidth=0.8, zorder=1)
        for y, (_, row) in enumerate(lanes[axis]):
            left.hlines(y, row["ci_low"], row["ci_high"], color=COLORS[0], linewidth=0.9)
            left.plot(row["tau"], y, color=COLORS[0], marker="o")
            before, after = (
                _of(places, axis=axis, language=row["language"], model=row[key]).set_index("group")["share_first"]
                for key in ("base", "aligned")
            )
            for number, group in enumerate(groups):
                if group in before.index:
                    place = y + ((number + 0.5) / len(groups) - 0.5) * 0.8
                    change = 100 * (after[group] - before[group])
                    right.hlines(place, 0, change, color=series(number).color, linewidth=1.2)
                    right.plot(change, place, color=series(number).color, marker=series(number).marker, markersize=3)
        left.set_title(f"{axis}: τ$_b$ of base with aligned", loc="left", pad=4)
        right.set_title(f"{axis}: change in first places", loc="left", pad=4)
    panels.grid[-1, 0].set_xlabel("mean τ$_b$ over subjects")
    panels.grid[-1, 1].set_xlabel("percentage points of subjects")
    return add_legend(panels.fig, [series_handle(i, group, linestyle="none") for i, group in enumerate(groups)])


def _model_lanes(table: pd.DataFrame, labels: Labels) -> dict[str, list[tuple[str, str, str]]]:
    """Return for each axis its lanes: what to call them, model, language."""
    several = table["language"].nunique() > 1
    lanes = {}
    for axis in unique(table["axis"]):
        mine = table[table["axis"] == axis]
        lanes[axis] = [
            (label_of(model, labels) + (f" ({language})" if several else ""), model, language)
            for model in model_order(mine, labels)
            for language in unique(mine.loc[mine["model"] == model, "language"])
        ]
    return lanes


def _of(table: pd.DataFrame, **keys: object) -> pd.DataFrame:
    """Return the rows that have these values."""
    for column, value in keys.items():
        table = table[table[column] == value]
    return table


FIGURES: dict[str, Callable[[Tables, Labels, pd.DataFrame], Figure]] = {
    "kendall_tau": lambda t, labels, _: kendall_tau(t["kendall_tau"], labels=labels),
    "first_places": lambda t, labels, _: first_places(t["first_and_last"], labels=labels),
    "logprob_differences": lambda t, labels, _: logprob_differences(t["logprob_differences"], labels=labels),
    "template_spread": lambda t, labels, _: template_spread(t["rank_spread"], labels=labels),
    "window_agreement": lambda t, _, __: window_agreement(t["window_agreement"]),
    "prevalence_gaps": lambda t, _, __: prevalence_gaps(t["prevalence_gaps"]),
    "tau_by_size": lambda t, _, known: tau_by_size(t["kendall_tau_by_quartile"], known),
    "tau_by_language": lambda t, labels, _: tau_by_language(t["kendall_tau"], labels=labels),
    "aligned_pairs": lambda t, labels, _: aligned_pairs(t["aligned_pairs"], t["first_and_last"], labels=labels),
}
