"""Effects of edits at equal cost: the remaining gap after edits of features, after baselines, and without an edit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from leakscope.figures.features.distributions import ordered
from leakscope.figures.lanes import HALF, has_no_variation, name_lanes, offset, rows_of, write_beside
from leakscope.figures.legends import add_legend, plain_handle
from leakscope.figures.sheets import sheet
from leakscope.figures.style import (
    COLORS,
    GREY,
    Labels,
    double,
    label_of,
    mark_vertical,
    no_data,
    single,
    styled,
    unique,
    wrapped,
)

NONE, FEATURES, DIFFERENCE = "none", "features", "difference_in_means"


class Look(NamedTuple):
    """Name and look of an intervention."""

    name: str
    color: str
    marker: str


LOOKS = {
    FEATURES: Look("features", COLORS[0], "o"),
    DIFFERENCE: Look("difference in means", COLORS[1], "s"),
    "random_features": Look("random features", GREY, "^"),
    "random_direction": Look("random direction", GREY, "D"),
}
LANE, MARGINS, TITLE_LINE = 0.36, 0.5, 0.13  # inches
PANEL, TEXT = 2.1, 0.75  # inches: maximal width of a panel; text at its right
ACROSS = 3  # costs side by side
BEYOND = 1.6  # times the largest gap of chosen edits: other edits with larger gaps are drawn at the edge
DOTS = (0, (1, 1.2))


class Block(NamedTuple):
    """Content of a row of panels: dictionaries that differ only in their seed, and a contrast."""

    family: str
    contrast: str
    dictionaries: list[str]

    def title(self, labels: Labels) -> str:
        several = f" · {len(self.dictionaries)} seeds" if len(self.dictionaries) > 1 else ""
        return f"{label_of(self.family, labels)} · {self.contrast}{several}"


class Mark(NamedTuple):
    """Remaining gap after a dictionary's intervention at a cost: mean over seeds, and the ends of all intervals."""

    value: float
    low: float
    high: float
    cost: float
    reached: bool
    is_flat: bool


@styled
def effects(table: pd.DataFrame, *, labels: Labels, families: Mapping[str, str]) -> Figure:
    """Draw the mean |gap| of held-out items after each intervention at equal cost, with its interval.

    One row of panels per dictionary and contrast (shared by dictionaries that differ only in their seed, with one mark
    each), one panel per cost. Pale dots are edits that were not chosen, and single seeds of a baseline.

    Args:
        table: ``effects.csv``; of the split ``evaluation``: ``none`` without a target cost, all others with one.
        labels: dictionary or family → label, in the order drawn.
        families: dictionary → the entry of ``features.dictionaries`` that it is a seed of, where that is another name.
    """
    data = rows_of(table, split="evaluation").dropna(subset=["mean_abs_gap"])
    data = data.assign(is_flat=_chosen(data) & has_no_variation(data, "mean_abs_gap"))
    edited = data[data["intervention"].isin(list(LOOKS)) & data["target_cost"].notna()]
    if edited.empty:
        return no_data("no edit was measured at a cost")
    blocks = blocks_of(edited, labels, families)
    costs = sorted(edited["target_cost"].unique())
    across = min(ACROSS, len(costs))
    down = -(-len(costs) // across)
    looks = {name: look for name, look in LOOKS.items() if name in set(edited["intervention"])}
    width = min(double(), max(single() + 1, 1.3 + across * (PANEL + TEXT)))
    titles = [wrapped(block.title(labels), width - 1.5) for block in blocks]
    lines = sum(1 + down + title.count("\n") for title in titles)
    height = len(blocks) * down * (len(looks) * LANE + MARGINS) + lines * TITLE_LINE
    fig = sheet(width, height)
    grid = fig.subplots(len(blocks) * down, across, squeeze=False, sharey=True).reshape(len(blocks), -1)
    for block, title, axes in zip(blocks, titles, grid, strict=True):
        rows = _of(data, block)
        limit = _limit(rows)
        # A cost at which nothing of the block was measured has no panel.
        own = [cost for cost in costs if (rows["target_cost"] == cost).any()]
        for ax, cost in zip(axes, own, strict=False):
            ax.set_xlim(0, limit)
            _panel(ax, rows[(rows["target_cost"] == cost) | (rows["intervention"] == NONE)], block, looks)
            price = f"at +{cost:g} % perplexity"
            ax.set_title(f"{title}\n{price}" if ax is axes[0] else price)
        for ax in axes[len(own) :]:
            ax.remove()
    for place, ax in enumerate(grid[-1, : len(own)]):
        ax.set_xlabel("remaining mean |gap|,\nheld-out items" if place + across >= len(own) else "")
    return add_legend(fig, _handles(data, edited))


def blocks_of(table: pd.DataFrame, labels: Labels, families: Mapping[str, str]) -> list[Block]:
    """Return a block for each family and contrast, in the order of ``labels``."""
    dictionaries = ordered(unique(table["dictionary"]), labels)
    blocks = []
    for family in unique(families.get(name, name) for name in dictionaries):
        mine = [name for name in dictionaries if families.get(name, name) == family]
        rows = table[table["dictionary"].isin(mine)]
        for contrast in unique(rows["contrast"]):
            with_it = unique(rows.loc[rows["contrast"] == contrast, "dictionary"])
            blocks.append(Block(family, contrast, [name for name in mine if name in with_it]))
    return blocks


def _of(table: pd.DataFrame, block: Block) -> pd.DataFrame:
    return table[table["dictionary"].isin(block.dictionaries) & (table["contrast"] == block.contrast)]


def _limit(rows: pd.DataFrame) -> float:
    """Return the upper end of the axis: chosen edits fit, the worst of all other edits are drawn at the edge."""
    main = rows[_chosen(rows) | ~rows["intervention"].isin([FEATURES, DIFFERENCE])]
    highest = np.nanmax([0.0, *main[["mean_abs_gap", "ci_high"]].to_numpy(float).ravel()]) or rows["mean_abs_gap"].max()
    return 1.05 * float(min(BEYOND * highest, max(highest, rows["mean_abs_gap"].max()))) or 1.0


def _panel(ax: Axes, rows: pd.DataFrame, block: Block, looks: Mapping[str, Look]) -> None:
    """Draw the lanes of one cost, and lines through all of them where nothing and difference in means would be."""
    name_lanes(ax, [look.name for look in looks.values()])
    before = rows.loc[rows["intervention"] == NONE, "mean_abs_gap"]
    if len(before):
        mark_vertical(ax, float(before.mean()), None)
    for y, (intervention, look) in enumerate(looks.items()):
        mine = rows[rows["intervention"] == intervention]
        marks = {
            str(name): mark
            for name, rows_of_one in mine.groupby("dictionary", sort=False)
            if (mark := _mark_of(rows_of_one, intervention)) is not None
        }
        _pale(ax, y, mine, look, intervention)
        n = len(block.dictionaries)
        places = {name: y - 0.12 + offset(block.dictionaries.index(name), n, 0.5) for name in marks}
        _draw(ax, places, marks, look, intervention)
        _write(ax, y, list(marks.values()), look)
        if intervention == DIFFERENCE and marks:
            mean = sum(mark.value for mark in marks.values()) / len(marks)
            ax.axvline(mean, color=look.color, linewidth=0.9, linestyle=DOTS, zorder=2, gid="difference")


def _mark_of(rows: pd.DataFrame, intervention: str) -> Mark | None:
    """Return the mark of the chosen rows; for a random baseline, which has no chosen row, of all its seeds."""
    chosen = rows[_chosen(rows)]
    if chosen.empty and intervention not in (FEATURES, DIFFERENCE):
        chosen = rows
    if chosen.empty:
        return None
    gaps = chosen["mean_abs_gap"]
    return Mark(
        float(gaps.mean()),
        float(chosen["ci_low"].fillna(gaps).min()),
        float(chosen["ci_high"].fillna(gaps).max()),
        float(chosen["cost"].mean()),
        bool(_reached(chosen).all()),
        bool(chosen["is_flat"].all()),
    )


def _pale(ax: Axes, y: int, rows: pd.DataFrame, look: Look, intervention: str) -> None:
    """Draw at the foot of a lane what was not chosen, and all seeds of a random baseline."""
    others = rows[~_chosen(rows)] if intervention in (FEATURES, DIFFERENCE) else rows[rows["seed"].notna()]
    if others.empty:
        return  # a line without points that is not clipped would ask for room down to the figure's corner
    gaps = others["mean_abs_gap"].clip(upper=ax.get_xlim()[1])
    ax.plot(
        gaps, [y + 0.34] * len(gaps), color=look.color, marker="o", markersize=2.2, alpha=0.35, markeredgewidth=0,
        linestyle="none", clip_on=False, gid=f"pale:{intervention}",
    )  # fmt: skip


def _draw(ax: Axes, places: Mapping[str, float], marks: Mapping[str, Mark], look: Look, intervention: str) -> None:
    """Draw each dictionary's mark at its place."""
    lows, highs = ([getattr(mark, end) for mark in marks.values()] for end in ("low", "high"))
    ax.hlines([*places.values()], lows, highs, color=look.color, linewidth=1.0, zorder=3)
    for name, mark in marks.items():
        face = look.color if mark.reached else "white"
        ax.plot(
            mark.value, places[name], color=look.color, marker=look.marker, markersize=4.5, markerfacecolor=face,
            markeredgewidth=0.8, linestyle="none", zorder=4, gid=f"{intervention}:{name}",
            **(HALF if mark.is_flat else {}),
        )  # fmt: skip


def _write(ax: Axes, y: int, marks: Sequence[Mark], look: Look) -> None:
    """Write at the right of a lane the gap that is left and what it costs, both as means over dictionaries."""
    text, color = "n/a", GREY
    if marks:
        value = sum(mark.value for mark in marks) / len(marks)
        text, color = f"{value:.3f}\n{_percent([mark.cost for mark in marks])}", look.color
    write_beside(ax, y, text, color=color, linespacing=1.0, fontsize=6.5)


def _percent(costs: Iterable[float]) -> str:
    """Return the costs in percent: one if they look the same, else the lowest and highest."""
    known = sorted(cost for cost in costs if not pd.isna(cost))
    if not known:
        return "cost n/a"
    texts = list(dict.fromkeys(f"{cost:+.1f}".replace("-", "−") for cost in (known[0], known[-1])))
    return " to ".join(texts) + " %"


def _chosen(rows: pd.DataFrame) -> pd.Series:
    return rows["chosen"].eq(True)


def _reached(rows: pd.DataFrame) -> pd.Series:
    return ~rows["reached"].eq(False)


def _handles(data: pd.DataFrame, edited: pd.DataFrame) -> list[Line2D]:
    """Return the legend: only what the figure has."""
    dot: dict[str, Any] = {"marker": "o", "linestyle": "none"}
    handles = [plain_handle("chosen edit, with interval", marker="o", linestyle="-")]
    if not _reached(edited).all():
        handles.append(plain_handle("cost not reached", markerfacecolor="white", **dot))
    handles.append(plain_handle("other edits, single seeds", markersize=2.2, alpha=0.5, **dot))
    if edited["is_flat"].any():
        handles.append(plain_handle("no variation between items", **HALF, **dot))
    if (data["intervention"] == NONE).any():
        handles.append(plain_handle("no edit", linestyle="--"))
    if (edited["intervention"] == DIFFERENCE).any():
        handles.append(plain_handle("difference in means", color=COLORS[1], linestyle=DOTS))
    return handles
