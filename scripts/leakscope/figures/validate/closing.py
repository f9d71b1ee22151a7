"""Closing the gap: the share that each method closes, and its cost."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from leakscope.figures.lanes import (
    HALF,
    draw_points,
    has_no_variation,
    name_lanes,
    offset,
    places_of,
    rows_of,
    say_not_known,
)
from leakscope.figures.legends import add_legend, plain_handle, series_handle
from leakscope.figures.sheets import sheet
from leakscope.figures.style import (
    Labels,
    double,
    label_of,
    mark_vertical,
    model_order,
    no_data,
    series,
    styled,
    unique,
    wrapped,
)

LANE, POINT, MARGINS = 0.1, 0.085, 0.55  # inches
LANE_LABEL = 1.6  # inches, after which the name of a method is broken
STEEP = 200.0  # percent of perplexity, from which on the axis is logarithmic beyond LINEAR
LINEAR = 10.0
XLABELS = (
    "share of the gap closed (%)",
    "change in accuracy (points)",
    "rise in perplexity\non neutral text (%)",
)


@styled
def closing(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw for each method the share of the gap closed with its interval, and the change in accuracy and perplexity.

    One row of panels per base model; all items of the test part; colors are splits.

    Args:
        table: ``closing.csv``; shares and accuracies from 0 to 1, the rise of perplexity in percent.
        labels: model → label, in the order drawn.
    """
    data = rows_of(table, subset="all", part="test")
    if data.empty or data["closed"].isna().all():
        return no_data("no tuned model was measured on test items")
    data = pd.DataFrame(
        {
            "base": data["base"], "method": data["method"], "split": data["split"], "closed": 100 * data["closed"],
            "low": 100 * data["closed_ci_low"], "high": 100 * data["closed_ci_high"],
            "validator": 100 * (data["validator_accuracy_after"] - data["validator_accuracy_before"]),
            "generator": 100 * (data["generator_accuracy_after"] - data["generator_accuracy_before"]),
            "rise": data["perplexity_rise"],
        }
    )  # fmt: skip
    bases = model_order(data.rename(columns={"base": "model"}), labels)
    methods, splits = unique(data["method"]), unique(data["split"])
    height = len(methods) * (LANE + POINT * len(splits)) + 0.1
    fig = sheet(double(), len(bases) * (height + 0.25) + MARGINS)
    grid = fig.subplots(len(bases), 3, squeeze=False, sharex="col", sharey=True, width_ratios=[1.5, 1, 1])
    for base, axes in zip(bases, grid, strict=True):
        rows = data[data["base"] == base]
        for ax in axes:
            name_lanes(ax, [wrapped(method, LANE_LABEL) for method in methods])
            mark_vertical(ax, 0.0, None)
        _methods(axes, rows, methods, splits)
        axes[0].set_title(label_of(base, labels))
    for ax, label in zip(grid[-1], XLABELS, strict=True):
        ax.set_xlabel(label)
    if data["rise"].abs().max() > STEEP:
        grid[0, 2].set_xscale("symlog", linthresh=LINEAR)
        grid[0, 2].xaxis.set_major_formatter(FuncFormatter(lambda percent, _: f"{percent:g}".replace("-", "−")))
        grid[-1, 2].set_xlabel(f"{XLABELS[2]},\nlogarithmic beyond {LINEAR:g}")
    handles = [series_handle(number, f"split {split}", linestyle="-") for number, split in enumerate(splits)]
    if data["generator"].notna().any():
        handles += [
            plain_handle("validator", marker="o", linestyle="none"),
            plain_handle("generator", marker="o", linestyle="none", markerfacecolor="white"),
        ]
    if has_no_variation(data, "closed", "low", "high").any():
        handles.append(plain_handle("no variation between items", marker="o", linestyle="none", **HALF))
    return add_legend(fig, handles)


def _methods(axes: Sequence[Axes], rows: pd.DataFrame, methods: Sequence[str], splits: Sequence[str]) -> None:
    """Draw a model's methods in the three panels; a lane without any value says so."""
    for number, split in enumerate(splits):
        mine, look = rows_of(rows, split=split), series(number)
        places = places_of(mine["method"], methods) + offset(number, len(splits))
        draw_points(
            axes[0], places, mine, "closed", low="low", high="high", flat=HALF, gid=f"closed:{split}", **look.dots
        )
        for ax, column, face in (
            (axes[1], "validator", look.color),
            (axes[1], "generator", "white"),
            (axes[2], "rise", look.color),
        ):
            gid = f"{column}:{split}"
            ax.plot(mine[column], places, **look.dots, markerfacecolor=face, markeredgewidth=0.7, gid=gid)
    for ax, columns in zip(axes, (["closed"], ["validator", "generator"], ["rise"]), strict=True):
        known = set(rows.loc[rows[columns].notna().any(axis=1), "method"])
        for y, method in enumerate(methods):
            if method not in known:
                say_not_known(ax, y)
