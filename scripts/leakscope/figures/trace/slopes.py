"""Relations between links: slopes with their intervals, and exact slopes of organisms."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from leakscope.figures.lanes import draw_points, draw_zero, name_lanes, offset, rows_of, say_not_known
from leakscope.figures.legends import add_legend, plain_handle
from leakscope.figures.panels import panels_of
from leakscope.figures.style import (
    Labels,
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

LANE, MARGINS = 0.24, 0.75  # inches
EXACT = {"marker": "D", "linestyle": "none", "markerfacecolor": "none", "markersize": 6.0, "markeredgewidth": 0.8}
NAMES = {
    ("count", "leak"): "leak by count", ("knows", "leak"): "leak by knowing", ("count", "knows"): "knowing by count",
    ("affirms", "leak"): "leak by affirming",
}  # fmt: skip


@styled
def relations(relations: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw slopes with intervals: a panel for each relation, a lane for each model, a row for each prompt set.

    Filled: simple slopes; open: slopes given the other link (``given``); diamonds: exact slopes of organisms.

    Args:
        relations: ``relations.csv``.
        labels: model → label, in the order drawn.
    """
    known = relations[relations["slope"].notna()]
    if known.empty:
        return no_data("no pair has two known links")
    known = known.assign(given=known["given"].fillna(""))
    kinds = [kind for kind in NAMES if len(rows_of(known, x=kind[0], y=kind[1]))]
    prompt_sets, models = unique(known["prompt_set"]), model_order(known, labels)
    names = [wrapped(label_of(model, labels), 1.6) for model in models]
    lines = sum(1 + name.count("\n") * 0.45 for name in names)
    width = page_width(text_width(names) + 0.3 + 1.5 * len(kinds))
    size = (width, len(prompt_sets) * (LANE * lines + MARGINS) + 0.1)
    drawn = panels_of(len(prompt_sets) * len(kinds), len(kinds), size, sharey=True)
    for index, ax in enumerate(drawn.axes):
        prompt_set, kind = prompt_sets[index // len(kinds)], kinds[index % len(kinds)]
        name_lanes(ax, names)
        draw_zero(ax)
        _slopes(ax, rows_of(known, prompt_set=prompt_set, x=kind[0], y=kind[1]), models)
        ax.set_title(f"{prompt_set}\n{NAMES[kind]}" if len(prompt_sets) > 1 else NAMES[kind])
        drawn.name_axes(index, "slope (nats per nat)")
    return add_legend(drawn.fig, _handles(known))


def _slopes(ax: Axes, rows: pd.DataFrame, models: Sequence[str]) -> None:
    partial = rows["given"].ne("").any()
    for place, model in enumerate(models):
        mine = rows_of(rows, model=model)
        if mine.empty:
            say_not_known(ax, place)
        for given, some in mine.groupby("given"):
            is_partial = given != ""
            at = place + (offset(int(is_partial), 2, 0.5) if partial else 0.0)
            look = series(int(is_partial))
            face = "white" if is_partial else look.color
            draw_points(
                ax, [at] * len(some), some, "slope", low="slope_low", high="slope_high", color=look.color,
                marker=look.marker, linestyle="none", markerfacecolor=face, gid=f"slope:{model}:{given}",
            )  # fmt: skip
            exact = some["slope_exact"].dropna()
            if len(exact) and not is_partial:
                ax.plot(exact, [at] * len(exact), color="black", gid=f"exact:{model}", zorder=4, **EXACT)  # type: ignore[arg-type]


def _handles(rows: pd.DataFrame) -> list[Line2D]:
    first, second = series(0), series(1)
    handles = [plain_handle("slope, with interval", color=first.color, marker=first.marker)]
    if rows["given"].ne("").any():
        handles.append(
            plain_handle("beyond the other link", color=second.color, marker=second.marker, markerfacecolor="white")
        )
    if rows["slope_exact"].notna().any():
        handles.append(plain_handle("exact", **{**EXACT, "color": "black"}))
    return handles
