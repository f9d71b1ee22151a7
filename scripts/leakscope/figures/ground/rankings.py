"""Figures of models' rankings: which group is first and by how much, and effects of wording and further training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from leakscope.figures.ground.axis_rows import NARROW, ModelLane, axis_rows, groups_of, model_lanes
from leakscope.figures.lanes import draw_points, draw_zero, has_no_variation, name_lanes, offset, rows_of
from leakscope.figures.legends import legend_beside, no_variation_handle, series_handle
from leakscope.figures.style import COLORS, Labels, label_of, no_data, series, styled, unique

ALL_TEMPLATES = "all"
HATCHES = (None, "////", "....", "xxxx")


@styled
def first_places(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw the share of subjects for which each group is ranked first (left) and last (right), averaged over templates.

    Args:
        table: ``first_and_last.csv``.
        labels: model → label.
    """
    data = table[table["template_id"].astype(str) == ALL_TEMPLATES]
    if data.empty:
        return no_data("no scores")
    lanes, groups_by_axis = model_lanes(data, labels), groups_of(data)
    panels = axis_rows(lanes, groups_by_axis, 2)
    for i, axis in enumerate(panels.axes):
        groups = groups_by_axis[axis]
        for ax, column in zip(panels.grid[i], ("share_first", "share_last"), strict=True):
            first = column == "share_first"
            name_lanes(ax, [lane.name if first else "" for lane in lanes[axis]])
            shares = _in_lanes(data, axis, lanes[axis]).pivot(index="lane", columns="group", values=column)
            _stack(ax, 100 * shares.reindex(columns=groups).fillna(0))
            ax.set_xlim(0, 100)
            ax.set_title(f"{axis}: {'first' if first else 'last'}")
        legend_beside(panels.grid[i, 1], [Patch(label=group, **_face(n)) for n, group in enumerate(groups)])
    for ax in panels.grid[-1]:
        ax.set_xlabel("subjects (%)")
    return panels.fig


def _in_lanes(table: pd.DataFrame, axis: str, lanes: Sequence[ModelLane]) -> pd.DataFrame:
    """Return an axis's rows with the place of their lane."""
    mine = rows_of(table, axis=axis)
    places = {(lane.model, lane.language): place for place, lane in enumerate(lanes)}
    return mine.assign(lane=[places[key] for key in zip(mine["model"], mine["language"], strict=True)])


def _stack(ax: Axes, shares: pd.DataFrame) -> None:
    """Draw a bar for each row, with a part for each column."""
    start = np.zeros(len(shares))
    for number, group in enumerate(shares.columns):
        end = start + shares[group].to_numpy()
        _areas(ax, start, end, shares.index.to_numpy(), 0.78, number, group)
        start = end


def _areas(
    ax: Axes, left: np.ndarray, right: np.ndarray, places: np.ndarray, height: float, number: int, gid: str
) -> None:
    """Draw a group's areas, from left to right about their places; one artist for all, because it is fast."""
    corners = [
        np.column_stack([x, places + side * height / 2]) for x, side in ((left, -1), (right, -1), (right, 1), (left, 1))
    ]
    ax.add_collection(PolyCollection([*np.stack(corners, axis=1)], zorder=1, gid=gid, **_face(number)))


@styled
def logprob_differences(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw each group's score minus the mean of all groups, in nats, with intervals for other subjects.

    Args:
        table: ``logprob_differences.csv``.
        labels: model → label.
    """
    if table.empty:
        return no_data("no scores")
    lanes, groups_by_axis = model_lanes(table, labels), groups_of(table)
    panels = axis_rows(lanes, groups_by_axis, 1, 1.6, NARROW)
    for ax, axis in zip(panels.grid[:, 0], panels.axes, strict=True):
        groups = groups_by_axis[axis]
        name_lanes(ax, [lane.name for lane in lanes[axis]])
        draw_zero(ax)
        mine = _in_lanes(table, axis, lanes[axis])
        for number, group in enumerate(groups):
            rows = rows_of(mine, group=group)
            places = rows["lane"] + offset(number, len(groups))
            draw_points(ax, places, rows, "difference", **series(number).dots, markersize=3)
        ax.set_title(axis)
        flat = bool(has_no_variation(mine, "difference").any())
        legend_beside(ax, _handles(groups, flat))
    panels.grid[-1, 0].set_xlabel("score above the mean of all groups (nats)")
    return panels.fig


@styled
def template_spread(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw the standard deviation of a group's rank over templates, by group.

    Args:
        table: ``rank_spread.csv``.
        labels: model → label.
    """
    table = table[table["rank_sd"].notna()]
    if table.empty:
        return no_data("ranks of a single template do not vary")
    lanes, groups_by_axis = model_lanes(table, labels), groups_of(table)
    panels = axis_rows(lanes, groups_by_axis, 1, 2.4, NARROW)
    for ax, axis in zip(panels.grid[:, 0], panels.axes, strict=True):
        groups = groups_by_axis[axis]
        name_lanes(ax, [lane.name for lane in lanes[axis]])
        mine = _in_lanes(table, axis, lanes[axis])
        for number, group in enumerate(groups):
            rows = rows_of(mine, group=group)
            _boxes(ax, rows, offset(number, len(groups), 0.86), 0.72 / len(groups), number, group)
        ax.set_title(axis)
        legend_beside(ax, [Patch(label=group, **_face(n)) for n, group in enumerate(groups)])
    left, right = panels.grid[-1, 0].get_xlim()
    panels.grid[-1, 0].set_xlim(min(left, -0.02), max(right, 0.2))
    panels.grid[-1, 0].set_xlabel(
        "standard deviation of a group's rank over templates\n(dot: median; box: quartiles; line: 5 to 95 %)"
    )
    return panels.fig


def _boxes(ax: Axes, rows: pd.DataFrame, shift: float, height: float, number: int, gid: str) -> None:
    """Draw a group's boxes, one per lane; the median is a dot, which stays visible where nothing varies."""
    low, left, median, right, high = (
        rows.groupby("lane")["rank_sd"].quantile(share) for share in (0.05, 0.25, 0.5, 0.75, 0.95)
    )
    places, color = median.index.to_numpy(float) + shift, _face(number)["facecolor"]
    ax.hlines(places, low, high, color=color, linewidth=0.8)
    _areas(ax, left.to_numpy(), right.to_numpy(), places, height, number, gid)
    ax.plot(median, places, marker="o", markersize=3, color="white", markeredgecolor=color, linestyle="none")


@styled
def aligned_pairs(pairs: pd.DataFrame, places: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw each pair's agreement with its base (left), and the change in every group's first places (right).

    Args:
        pairs: ``aligned_pairs.csv``.
        places: ``first_and_last.csv``.
        labels: model → label.
    """
    if pairs.empty:
        return no_data("no pair has scores of both models")
    places = places[places["template_id"].astype(str) == ALL_TEMPLATES]
    several = pairs["language"].nunique() > 1
    place_of = {model: number for number, model in enumerate(labels)}
    pairs = pairs.sort_values("aligned", key=lambda names: names.map(place_of), kind="stable")
    lanes = {axis: [*_pair_names(rows_of(pairs, axis=axis), labels, several)] for axis in unique(pairs["axis"])}
    groups_by_axis = groups_of(places)
    panels = axis_rows(lanes, groups_by_axis, 2, 1.8)
    for (left, right), axis in zip(panels.grid, panels.axes, strict=True):
        groups = groups_by_axis[axis]
        mine = rows_of(pairs, axis=axis)
        name_lanes(left, lanes[axis])
        name_lanes(right, [""] * len(lanes[axis]))
        left.set_xlim(-1.08, 1.08)
        for ax in (left, right):
            draw_zero(ax)
        draw_points(left, range(len(mine)), mine, "tau", color=COLORS[0], marker="o")
        for number, group in enumerate(groups):
            look, shares = series(number), rows_of(places, axis=axis, group=group).set_index(["model", "language"])
            before, after = (
                shares["share_first"].reindex(pd.MultiIndex.from_frame(mine[[key, "language"]])).fillna(0).to_numpy()
                for key in ("base", "aligned")
            )
            change, y = 100 * (after - before), np.arange(len(mine)) + offset(number, len(groups))
            right.hlines(y, 0, change, color=look.color, linewidth=1.2)
            right.plot(change, y, **look.dots, markersize=3)
        left.set_title(f"{axis}: τ-b of base with aligned")
        right.set_title(f"{axis}: change in first places")
        legend_beside(right, _handles(groups, bool(has_no_variation(mine, "tau").any())))
    panels.grid[-1, 0].set_xlabel("mean τ-b over subjects")
    panels.grid[-1, 1].set_xlabel("percentage points of subjects")
    return panels.fig


def _pair_names(pairs: pd.DataFrame, labels: Labels, several: bool) -> Iterator[str]:
    for base, aligned, language in pairs[["base", "aligned", "language"]].itertuples(index=False):
        yield f"{label_of(base, labels)} →\n{label_of(aligned, labels)}" + (f" ({language})" if several else "")


def _handles(groups: Sequence[str], flat: bool) -> list[Line2D]:
    """Return the legend's entries for groups, and for values without variation if there are any."""
    handles = [series_handle(number, group, linestyle="none") for number, group in enumerate(groups)]
    return [*handles, no_variation_handle("subjects")] if flat else handles


def _face(number: int) -> dict[str, Any]:
    """Return the look of a group's area; a color used a second time is hatched."""
    hatch = HATCHES[number // len(COLORS) % len(HATCHES)]
    return {"facecolor": COLORS[number % len(COLORS)], "edgecolor": "white", "linewidth": 0.4, "hatch": hatch}
