"""Quality of dictionaries: unexplained variance, sparsity, and which dictionaries are not interpreted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from leakscope.figures.features.distributions import CONTROL, TRAINED, lane_heights, ordered
from leakscope.figures.lanes import name_lanes, write_beside
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
    styled,
    unique,
    wrapped,
)

LANE, LANE_LABEL, MARGINS = 0.22, 1.7, 0.95  # inches
FAILS = COLORS[3]


class Measure(NamedTuple):
    """A measure of a dictionary: column, axis label, limits of the panel, and whether low values are good."""

    column: str
    label: str
    limits: tuple[float, float] | None
    low_is_good: bool


MEASURES = (
    Measure("variance_unexplained", "variance\nunexplained", (0.0, 1.0), True),
    Measure("l0", "active features\nof a token (L0)", None, True),
    Measure("dead_share", "share of\ndead features", (0.0, 1.0), True),
    Measure("cross_entropy_recovered", "cross-entropy\nrecovered", (0.0, 1.0), False),
)


@styled
def quality(table: pd.DataFrame, *, labels: Labels, randomised: Collection[str], bar: Mapping[str, float]) -> Figure:
    """Draw the available measures of each dictionary, and the bar that it must meet to be interpreted.

    Values are written at the right of each lane; a value beyond a panel is drawn at the panel's edge.

    Args:
        table: ``quality.csv``; columns dictionary, variance_unexplained, l0, dead_share, cross_entropy_recovered.
        labels: dictionary → label, in the order drawn.
        randomised: dictionaries of randomised models, drawn in grey.
        bar: measure → worst value at which a dictionary is still interpreted.
    """
    columns = [measure.column for measure in MEASURES]
    data = table.set_index("dictionary")[columns].astype(float)
    if data.empty or data.isna().all(axis=None):
        return no_data("no dictionary was measured")
    names = ordered(unique(table["dictionary"]), labels)
    titles = [wrapped(label_of(name, labels), LANE_LABEL) for name in names]
    measures = [measure for measure in MEASURES if data[measure.column].notna().any()]
    fig = sheet(double(), len(names) * lane_heights(titles, LANE) + MARGINS)
    axes = fig.subplots(1, len(measures), squeeze=False, sharey=True)[0]
    for ax, measure in zip(axes, measures, strict=True):
        name_lanes(ax, titles)
        _limit(ax, measure, data[measure.column])
        threshold = bar.get(measure.column)
        if threshold is not None:
            mark_vertical(ax, threshold, None)
        for y, (name, value) in enumerate(zip(names, data.loc[names, measure.column], strict=True)):
            fails = _fails(value, measure, threshold)
            color = CONTROL if name in randomised else FAILS if fails else TRAINED
            _mark(ax, y, value, fails, color, f"{measure.column}:{name}")
        side = "at most" if measure.low_is_good else "at least"
        ax.set_xlabel(measure.label + ("" if threshold is None else f"\n({side} {threshold:g})"))
    return add_legend(fig, _handles(names, randomised))


def _limit(ax: Axes, measure: Measure, values: pd.Series) -> None:
    """Set the limits of a panel, with room for marks at its edges."""
    low, high = measure.limits or (0.0, 1.1 * float(values.max()) if values.max() > 0 else 1.0)
    room = 0.06 * (high - low)
    ax.set_xlim(low - room, high + room)


def _fails(value: float, measure: Measure, threshold: float | None) -> bool:
    if threshold is None:
        return False
    return value > threshold if measure.low_is_good else value < threshold


def _mark(ax: Axes, y: int, value: float, fails: bool, color: str, gid: str) -> None:
    """Draw a value, at the panel's edge if it is beyond, and write the value at the right of its lane."""
    text = "n/a" if pd.isna(value) else f"{value:.{3 if abs(value) < 1 else 1}f}".replace("-", "−")
    if not pd.isna(value):
        low, high = ax.get_xlim()
        look = {"marker": "X", "markersize": 5.0} if fails else {"marker": "o"}
        ax.plot(
            min(max(value, low), high), y, color=color, linestyle="none", markeredgewidth=0.8, clip_on=False, zorder=4,
            gid=gid, **look,
        )  # fmt: skip
    write_beside(ax, y, text, gap=5, color=FAILS if fails else GREY if text == "n/a" else "black")


def _handles(names: Collection[str], randomised: Collection[str]) -> list[Line2D]:
    handles = [
        plain_handle("meets the bar", color=TRAINED, marker="o", linestyle="none"),
        plain_handle(
            "below the bar: not interpreted", color=FAILS, marker="X", markersize=5.0,
            linestyle="none",
        ),
        plain_handle("bar", linestyle="--"),
    ]  # fmt: skip
    if any(name in randomised for name in names):
        handles.append(plain_handle("randomised model (control)", color=CONTROL, marker="o", linestyle="none"))
    return handles
