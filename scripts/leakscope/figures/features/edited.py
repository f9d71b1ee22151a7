"""Before and after edits: single items, whole models, and the items' gaps against the planted gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from leakscope.figures.features.distributions import lane_heights
from leakscope.figures.features.edit_effects import DIFFERENCE, FEATURES, LOOKS, NONE, Block, blocks_of
from leakscope.figures.lanes import HALF, draw_points, has_no_variation, name_lanes, places_of, rows_of, say_not_known
from leakscope.figures.legends import add_legend, plain_handle
from leakscope.figures.panels import multiples, panels_of
from leakscope.figures.sheets import sheet
from leakscope.figures.style import (
    COLORS,
    GREY,
    NO_LEAKAGE,
    Labels,
    double,
    label_of,
    mark_vertical,
    model_order,
    no_data,
    page_width,
    styled,
    text_width,
    unique,
    wrapped,
)

ITEM_LANE, LANE, MARGINS, TITLE_LINE = 0.125, 0.26, 0.6, 0.13  # inches
LONGEST_ITEM, TAIL = 30, 10  # characters; those kept of the end of a longer one
COLUMN = 1.4  # inches, a column of items
FEWEST_CORRELATED = 3  # items: two always lie on a line
OPEN: dict[str, Any] = {"marker": "o", "markerfacecolor": "white", "markeredgewidth": 0.7, "linestyle": "none"}
BEFORE: dict[str, Any] = {"color": GREY, **OPEN}
AFTER: dict[str, Any] = {"color": COLORS[0], "marker": "o", "linestyle": "none"}
# measure → what the axis says; others are called by their name
MEASURES = {
    "match_rate": "match rate (%)",
    "stereotype_score": "stereotype score (%)",
    "mean_abs_gap": "mean |gap|",
    "cost": "rise in perplexity (%)",
}
# measure → its value without leakage, preference, gap or cost
REFERENCES = {"match_rate": NO_LEAKAGE, "stereotype_score": 50.0, "mean_abs_gap": 0.0, "cost": 0.0}


class Column(NamedTuple):
    """A column of items: the edited dictionary and contrast, and the intervention."""

    block: Block
    intervention: str


@styled
def effects_by_item(table: pd.DataFrame, *, labels: Labels, families: Mapping[str, str]) -> Figure:
    """Draw the gap of every held-out item before and after, for features and difference in means at the highest cost.

    Items are sorted by their association. For dictionaries that differ only in their seed, the mean is drawn, and each
    dictionary as a pale dot.

    Args:
        table: ``effects_by_item.csv``; of the split ``evaluation``, ``none`` and what was chosen.
        labels: dictionary or family → label, in the order drawn.
        families: dictionary → the entry of ``features.dictionaries`` that it is a seed of, where that is another name.
    """
    data = rows_of(table, split="evaluation").dropna(subset=["gap"])
    edited = data[data["intervention"].isin([FEATURES, DIFFERENCE]) & data["target_cost"].notna()]
    if edited.empty:
        return no_data("no edit was measured on held-out items")
    cost = edited["target_cost"].max()
    data = data[(data["intervention"] == NONE) | (data["target_cost"] == cost)]
    blocks = blocks_of(edited, labels, families)
    names_of = {contrast: _items(data, contrast) for contrast in unique(block.contrast for block in blocks)}
    names_width = text_width(name for names in names_of.values() for name in names.values()) + 0.2
    most = max(1, int((double() - names_width) / COLUMN))
    rows = _rows_of_columns(blocks, data, most)
    items = [names_of[columns[0].block.contrast] for columns in rows]
    across = max(len(columns) for columns in rows)
    heights = [ITEM_LANE * len(names) for names in items]
    width = page_width(names_width + COLUMN * across)
    fig = sheet(width, sum(heights) + len(rows) * MARGINS + 0.3)
    grid = fig.subplots(len(rows), across, squeeze=False, sharey="row", sharex=True, height_ratios=heights)
    for columns, names, axes in zip(rows, items, grid, strict=True):
        for ax, column in zip(axes, columns, strict=False):
            _item_lanes(ax, _of_column(data, column), column, names)
            ax.set_title(_title(column, columns, labels))
            ax.set_xlabel("gap, p_a − p_b")
            ax.tick_params(labelbottom=True)
        for ax in axes[len(columns) :]:
            ax.remove()
    handles = [plain_handle("no edit", **BEFORE)]
    for intervention in (FEATURES, DIFFERENCE):
        if (edited["intervention"] == intervention).any():
            look = LOOKS[intervention]
            handles.append(plain_handle(f"{look.name} (+{cost:g} %)", color=look.color, marker=look.marker))
    return add_legend(fig, handles)


@styled
def truth(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw the measured against the planted gap of every item, a panel for each model and contrast.

    Args:
        table: ``truth.csv``; columns model, contrast, item, true_gap, gap.
        labels: model → label, in the order drawn.
    """
    data = table.dropna(subset=["true_gap", "gap"])
    if data.empty:
        return no_data("no measured model has a planted gap")
    several = data["contrast"].nunique() > 1
    panels = [
        (label_of(model, labels) + (f" · {contrast}" if several else ""), rows_of(data, model=model, contrast=contrast))
        for model in model_order(data, labels)
        for contrast in unique(data.loc[data["model"] == model, "contrast"])
    ]
    drawn = multiples([title for title, _ in panels], [1.9 + TITLE_LINE], shared=True)
    ends = 1.08 * float(np.abs(data[["true_gap", "gap"]].to_numpy(float)).max()) or 1.0
    for index, (_, rows) in enumerate(panels):
        ax = drawn.axes[index, 0]
        ax.plot([-ends, ends], [-ends, ends], color=GREY, linewidth=0.8, zorder=1, gid="identity")
        ax.plot(
            rows["true_gap"], rows["gap"], color=COLORS[0], marker="o", markersize=3, alpha=0.75, markeredgewidth=0,
            linestyle="none", gid="items",
        )  # fmt: skip
        ax.set_title(f"{ax.get_title(loc='left')}\n{_correlation(rows)}")
        ax.set(xlim=(-ends, ends), ylim=(-ends, ends), aspect="equal")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
        ax.grid()
        drawn.name_axes(index, "planted gap, p_a − p_b", "measured gap")
    handles = [
        plain_handle("an item", color=COLORS[0], marker="o", linestyle="none"),
        plain_handle("measured = planted", linestyle="-"),
    ]
    return add_legend(drawn.fig, handles)


@styled
def edited(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw the measures of each edited model and of its base, with intervals; a panel for each measure.

    Args:
        table: ``edited.csv``; columns model, base, measure, subset (of what was measured, or empty), before, after, and
            both with ``_ci_low`` and ``_ci_high``.
        labels: model → label, in the order drawn.
    """
    data = table.dropna(subset=["before", "after"], how="all").assign(subset=lambda t: t["subset"].fillna(""))
    data = data[data["measure"] != "leak_rate"]  # for comparison with published numbers, only in the table
    if data.empty:
        return no_data("no edited model was measured")
    models = model_order(data, labels)
    names = [wrapped(label_of(model, labels), 1.8) for model in models]
    panels = list(data[["measure", "subset"]].drop_duplicates().itertuples(index=False, name=None))
    across = min(3, len(panels))
    width = page_width(text_width(names) + 0.2 + 2.1 * across)
    inner = (width - text_width(names) - 0.2) / across - 0.2
    titles = [wrapped(subset, inner) for _, subset in panels]
    lines = 1 + max(title.count("\n") for title in titles)
    height = -(-len(panels) // across) * (len(models) * lane_heights(names, LANE) + MARGINS + lines * TITLE_LINE)
    drawn = panels_of(len(panels), across, (width, height), sharey=True)
    for ax, (measure, subset), title in zip(drawn.axes, panels, titles, strict=True):
        name_lanes(ax, names)
        _before_and_after(ax, rows_of(data, measure=measure, subset=subset), models)
        if measure in REFERENCES:
            mark_vertical(ax, REFERENCES[measure], None)
        ax.set_title(title)
        ax.set_xlabel(MEASURES.get(measure, measure.replace("_", " ")))
    handles = [plain_handle("before", **BEFORE), plain_handle("after", color=COLORS[0], marker="o")]
    if any(_has_no_variation(data, when).any() for when in ("before", "after")):
        handles.append(plain_handle("no variation", marker="o", linestyle="none", **HALF))
    return add_legend(drawn.fig, handles)


def _rows_of_columns(blocks: Sequence[Block], data: pd.DataFrame, most: int) -> list[list[Column]]:
    """Return the columns of items, at most ``most`` per row; a row has one contrast, hence the same items."""
    rows: list[list[Column]] = []
    known = set(data[["dictionary", "contrast", "intervention"]].itertuples(index=False, name=None))
    for contrast in unique(block.contrast for block in blocks):
        here = [
            [
                Column(block, name)
                for name in (FEATURES, DIFFERENCE)
                if known & {(d, contrast, name) for d in block.dictionaries}
            ]
            for block in blocks
            if block.contrast == contrast
        ]
        rows.append([])
        for columns in here:
            if rows[-1] and len(rows[-1]) + len(columns) > most:
                rows.append([])
            rows[-1] += columns
    return rows


def _of_column(data: pd.DataFrame, column: Column) -> pd.DataFrame:
    """Return the gaps after an intervention, each with the same dictionary's gap before."""
    keys = ["dictionary", "contrast", "item"]
    mine = data[data["dictionary"].isin(column.block.dictionaries) & (data["contrast"] == column.block.contrast)]
    before = rows_of(mine, intervention=NONE).groupby(keys, sort=False)["gap"].mean().rename("before")
    after = rows_of(mine, intervention=column.intervention).groupby(keys, sort=False)["gap"].mean().rename("after")
    return after.to_frame().join(before).reset_index()


def _items(data: pd.DataFrame, contrast: str) -> dict[str, str]:
    """Return item → name of its lane, in the order of associations."""
    rows = rows_of(data, contrast=contrast)
    associations = rows.groupby("item", sort=True)["association"].mean().sort_values(kind="stable")
    return {
        str(item): _short(str(item)) + ("" if np.isnan(value) else f"  {value:+.2f}".replace("-", "−"))
        for item, value in associations.items()
    }


def _short(item: str) -> str:
    """Return the item without its middle where it is long: names of items often begin alike."""
    return item if len(item) <= LONGEST_ITEM else f"{item[: LONGEST_ITEM - TAIL - 1]}…{item[-TAIL:]}"


def _item_lanes(ax: Axes, rows: pd.DataFrame, column: Column, names: Mapping[str, str]) -> None:
    """Draw for every item a line from the gap before to the gap after the edit."""
    name_lanes(ax, list(names.values()))
    ax.tick_params(axis="y", labelsize=6)
    mark_vertical(ax, 0.0, None)
    look, places = LOOKS[column.intervention], {item: y for y, item in enumerate(names)}
    means = rows.groupby("item", sort=False)[["before", "after"]].mean()
    y = [places[str(item)] for item in means.index]
    ax.hlines(y, means["before"], means["after"], color=look.color, linewidth=0.9, alpha=0.6, zorder=2)
    if rows["dictionary"].nunique() > 1:
        ax.plot(
            rows["after"], [places[str(item)] for item in rows["item"]], color=look.color, marker="o", markersize=2,
            alpha=0.4, markeredgewidth=0, linestyle="none", zorder=3, gid=f"seeds:{column.intervention}",
        )  # fmt: skip
    ax.plot(means["before"], y, **{**BEFORE, "markersize": 3}, zorder=4, gid=f"before:{column.block.family}")
    ax.plot(
        means["after"], y, color=look.color, marker=look.marker, markersize=3.2, markeredgewidth=0, linestyle="none",
        zorder=5, gid=f"{column.intervention}:{column.block.family}",
    )  # fmt: skip


def _title(column: Column, columns: Sequence[Column], labels: Labels) -> str:
    """Return a column's title: the intervention, below the dictionary's and contrast's name on the first column."""
    how = LOOKS[column.intervention].name
    mine = [other for other in columns if other.block == column.block]
    if column != mine[0]:
        return how
    return wrapped(column.block.title(labels), COLUMN * len(mine) - 0.1) + "\n" + how


def _before_and_after(ax: Axes, rows: pd.DataFrame, models: Sequence[str]) -> None:
    """Draw each model's values in its lane, half filled where an interval comes from no variation."""
    y = places_of(rows["model"], models)
    for when, shift, look in (("before", -0.16, BEFORE), ("after", 0.16, AFTER)):
        half = {"markerfacecolor": look["color"], **HALF}
        draw_points(
            ax, y + shift, rows, when, low=f"{when}_ci_low", high=f"{when}_ci_high", flat=half, gid=when, **look
        )
    for place, model in enumerate(models):
        if model not in set(rows["model"]):
            say_not_known(ax, place)


def _has_no_variation(rows: pd.DataFrame, when: str) -> pd.Series:
    return has_no_variation(rows, when, f"{when}_ci_low", f"{when}_ci_high")


def _correlation(rows: pd.DataFrame) -> str:
    """Return Pearson's r of planted and measured gaps, where it is defined, and of how many items."""
    varies = len(rows) >= FEWEST_CORRELATED and (rows[["true_gap", "gap"]].nunique() > 1).all()
    value = f"{rows['true_gap'].corr(rows['gap']):.2f}".replace("-", "−") if varies else "n/a"
    return f"r = {value}, n = {len(rows)}"
