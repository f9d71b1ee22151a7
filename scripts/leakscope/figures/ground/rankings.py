"""Figures of models' rankings: which group is first and by how much, what wording and further training change."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from leakscope.figures.ground.axis_rows import axis_rows, groups_of, model_lanes
from leakscope.figures.lanes import draw_point, draw_zero, name_lanes, offset, rows_of
from leakscope.figures.legends import legend_beside, series_handle
from leakscope.figures.style import COLORS, Labels, label_of, no_data, series, styled, unique

ALL_TEMPLATES = "all"
NARROW = 5.4  # inches


@styled
def first_places(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw in which share of subjects each group is ranked first (left) and last (right), the mean over templates.

    Args:
        table: ``first_and_last.csv``.
        labels: what to print for a model.
    """
    data = table[table["template_id"].astype(str) == ALL_TEMPLATES]
    if data.empty:
        return no_data("no scores")
    lanes = model_lanes(data, labels)
    panels = axis_rows(lanes, 2)
    for i, axis in enumerate(panels.axes):
        groups = groups_of(data, axis)
        for ax, column in zip(panels.grid[i], ("share_first", "share_last"), strict=True):
            first = column == "share_first"
            name_lanes(ax, [lane.name if first else "" for lane in lanes[axis]])
            for y, lane in enumerate(lanes[axis]):
                mine = rows_of(data, axis=axis, model=lane.model, language=lane.language)
                _stack(ax, y, 100 * mine.set_index("group")[column].reindex(groups).fillna(0))
            ax.set_xlim(0, 100)
            ax.set_title(f"{axis}: {'first' if first else 'last'}")
        legend_beside(panels.grid[i, 1], [Patch(color=_color(n), label=group) for n, group in enumerate(groups)])
    for ax in panels.grid[-1]:
        ax.set_xlabel("subjects (%)")
    return panels.fig


def _stack(ax: Axes, y: int, shares: pd.Series) -> None:
    start = 0.0
    for number, share in enumerate(shares):
        ax.barh(y, share, left=start, height=0.78, color=_color(number), edgecolor="white", linewidth=0.4)
        start += share


@styled
def logprob_differences(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw by how much each group's score lies above the mean of all groups, in nats, with intervals over subjects.

    Args:
        table: ``logprob_differences.csv``.
        labels: what to print for a model.
    """
    if table.empty:
        return no_data("no scores")
    lanes = model_lanes(table, labels)
    panels = axis_rows(lanes, 1, 1.6, NARROW)
    for ax, axis in zip(panels.grid[:, 0], panels.axes, strict=True):
        groups = groups_of(table, axis)
        name_lanes(ax, [lane.name for lane in lanes[axis]])
        draw_zero(ax)
        for y, lane in enumerate(lanes[axis]):
            for _, row in rows_of(table, axis=axis, model=lane.model, language=lane.language).iterrows():
                number = groups.index(row["group"])
                draw_point(
                    ax, y + offset(number, len(groups)), row["difference"], row["ci_low"], row["ci_high"],
                    **series(number).dots, markersize=3,
                )  # fmt: skip
        ax.set_title(axis)
        legend_beside(ax, [series_handle(n, group, linestyle="none") for n, group in enumerate(groups)])
    panels.grid[-1, 0].set_xlabel("score above the mean of all groups (nats)")
    return panels.fig


@styled
def template_spread(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw how far a group's rank differs between templates: the standard deviation over templates, by group.

    Args:
        table: ``rank_spread.csv``.
        labels: what to print for a model.
    """
    if table["rank_sd"].notna().sum() == 0:
        return no_data("ranks of a single template do not vary")
    lanes = model_lanes(table, labels)
    panels = axis_rows(lanes, 1, 2.4, NARROW)
    for ax, axis in zip(panels.grid[:, 0], panels.axes, strict=True):
        groups = groups_of(table, axis)
        name_lanes(ax, [lane.name for lane in lanes[axis]])
        for y, lane in enumerate(lanes[axis]):
            rows = rows_of(table, axis=axis, model=lane.model, language=lane.language)
            for number, group in enumerate(groups):
                values = rows.loc[rows["group"] == group, "rank_sd"].dropna()
                if len(values):
                    _box(ax, y + offset(number, len(groups), 0.86), values, 0.72 / len(groups), _color(number))
        ax.set_title(axis)
        legend_beside(ax, [Patch(color=_color(n), label=group) for n, group in enumerate(groups)])
    left, right = panels.grid[-1, 0].get_xlim()
    panels.grid[-1, 0].set_xlim(min(left, -0.02), max(right, 0.2))
    panels.grid[-1, 0].set_xlabel(
        "standard deviation of a group's rank over templates\n(dot: median; box: quartiles; line: 5 to 95 %)"
    )
    return panels.fig


def _box(ax: Axes, place: float, values: pd.Series, width: float, color: str) -> None:
    """Draw a box; the median is a dot, which is seen where nothing varies, too."""
    ax.boxplot(
        [values.to_numpy()], positions=[place], orientation="horizontal", widths=width, patch_artist=True,
        manage_ticks=False, whis=(5, 95), showfliers=False, showcaps=False,
        boxprops={"facecolor": color, "edgecolor": color, "linewidth": 0.4}, medianprops={"linewidth": 0},
        whiskerprops={"color": color, "linewidth": 0.8},
    )  # fmt: skip
    ax.plot(values.median(), place, marker="o", markersize=3, color="white", markeredgecolor=color)


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
    places = places[places["template_id"].astype(str) == ALL_TEMPLATES]
    several = pairs["language"].nunique() > 1
    lanes = {axis: [row for _, row in rows_of(pairs, axis=axis).iterrows()] for axis in unique(pairs["axis"])}
    panels = axis_rows(lanes, 2, 1.8)
    for (left, right), axis in zip(panels.grid, panels.axes, strict=True):
        groups = groups_of(places, axis)
        name_lanes(left, [_pair_name(row, labels, several) for row in lanes[axis]])
        name_lanes(right, [""] * len(lanes[axis]))
        left.set_xlim(-1.08, 1.08)
        for ax in (left, right):
            draw_zero(ax)
        for y, row in enumerate(lanes[axis]):
            draw_point(left, y, row["tau"], row["ci_low"], row["ci_high"], color=COLORS[0], marker="o")
            before, after = (
                rows_of(places, axis=axis, language=row["language"], model=row[key])
                .set_index("group")["share_first"]
                .reindex(groups)
                .fillna(0)
                for key in ("base", "aligned")
            )
            for number, group in enumerate(groups):
                change, place = 100 * (after[group] - before[group]), y + offset(number, len(groups))
                look = series(number)
                right.hlines(place, 0, change, color=look.color, linewidth=1.2)
                right.plot(change, place, **look.dots, markersize=3)
        left.set_title(f"{axis}: τ-b of base with aligned")
        right.set_title(f"{axis}: change in first places")
        legend_beside(right, [series_handle(n, group, linestyle="none") for n, group in enumerate(groups)])
    panels.grid[-1, 0].set_xlabel("mean τ-b over subjects")
    panels.grid[-1, 1].set_xlabel("percentage points of subjects")
    return panels.fig


def _pair_name(row: pd.Series, labels: Labels, several: bool) -> str:
    language = f" ({row['language']})" if several else ""
    return f"{label_of(row['base'], labels)} →\n{label_of(row['aligned'], labels)}{language}"


def _color(number: int) -> str:
    return COLORS[number % len(COLORS)]
