"""Agreement of scorers: a lane per pair of scorers, a panel per measure of agreement."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from leakscope.figures.lanes import draw_zero, name_lanes, offset
from leakscope.figures.legends import add_legend, series_handle
from leakscope.figures.panels import panels_of
from leakscope.figures.style import no_data, page_width, series, styled, text_width, unique
from leakscope.files.names import POOLED

# column → title, axis, limits
MEASURES = {
    "correlation": ("what they measure", "correlation of test − control", (-1.05, 1.05)),
    "opposite_rate": ("which text wins", "opposite (% of pairs)", (-2.5, 102.5)),
    "rank_tau": ("which model leaks more", "Kendall's τ of models' rates", (-1.05, 1.05)),
}
PANEL, LANE, MARGINS = 1.6, 0.16, 0.75  # inches: a panel's width, a point's share of a lane, titles and axes


@styled
def agreement(table: pd.DataFrame) -> Figure:
    """Draw the agreement of each pair of scorers over all categories, with a marker per prompt set.

    Args:
        table: ``agreement.csv``; columns prompt_set, category, scorer_a, scorer_b, correlation (−1 to 1),
            opposite_rate (percent), rank_tau (−1 to 1; missing for a single model, and then without a panel).
    """
    data = table[table["category"] == POOLED]
    measures = {measure: how for measure, how in MEASURES.items() if data[measure].notna().any()}
    if not measures:
        return no_data("fewer than two scorers, or no value by them")
    lanes = data["scorer_a"].astype(str) + "\n" + data["scorer_b"].astype(str)
    names, sets = unique(lanes), unique(data["prompt_set"])
    left = text_width(names) + 0.2
    width = page_width(left + len(measures) * PANEL)
    height = MARGINS + len(names) * max(0.32, LANE * len(sets))
    drawn = panels_of(len(measures), len(measures), (width, height), sharey=True)
    for index, (measure, (title, label, limits)) in enumerate(measures.items()):
        ax = drawn.axes[index]
        name_lanes(ax, names)
        ax.set(title=title, xlim=limits)
        if measure != "opposite_rate":
            draw_zero(ax)
        drawn.name_axes(index, label)
        for number, prompt_set in enumerate(sets):
            rows = data["prompt_set"] == prompt_set
            places = [names.index(lane) + offset(number, len(sets)) for lane in lanes[rows]]
            ax.plot(data.loc[rows, measure], places, **series(number).dots)
    handles = [series_handle(number, name, linestyle="none") for number, name in enumerate(sets)]
    return add_legend(drawn.fig, handles)
