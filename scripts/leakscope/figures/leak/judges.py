"""Match rates by people, judges and scorers on the same items: a lane for each model, a panel for each prompt set."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from leakscope.figures.lanes import HALF, draw_points, has_no_variation, name_lanes, offset, places_of
from leakscope.figures.legends import add_legend, no_variation_handle, plain_handle, series_handle
from leakscope.figures.panels import panels_of
from leakscope.figures.style import (
    GREY,
    NO_LEAKAGE,
    NO_LEAKAGE_LINE,
    label_of,
    mark_vertical,
    model_order,
    no_data,
    page_width,
    rate_limits,
    series,
    styled,
    text_width,
    unique,
)
from leakscope.files.names import POOLED

PERSON, JUDGE = "person", "judge"
FIT = "fit"
KEYS = ["model", "prompt_set"]
VERDICTS = [*KEYS, "judge", "fit", "exact_rate"]
PANEL, LANE, MARGINS = 2.2, 0.12, 0.75  # inches: a panel's width, a point's share of a lane, titles and axes


@styled
def judges(
    ratings: pd.DataFrame, verdicts: pd.DataFrame | None = None, *, labels: Mapping[str, str] | None = None
) -> Figure:
    """Draw each rater's match rate of each model with its interval; 50, chance, is marked.

    People are drawn by their majority. Half-filled markers: judges that are unfit for a model or not shown to be fit.
    A line behind a lane is the known rate of an organism.

    Args:
        ratings: ``rating/ratings.csv``; columns model, prompt_set, kind (people, person, judge, scorer), rater,
            match_rate, ci_low, ci_high (percent); ``all`` pools models.
        verdicts: ``rating/judges.csv``; columns model, prompt_set, judge, fit, exact_rate (percent); None: a study
            without judges.
        labels: model → label, in the order drawn.
    """
    data = ratings[(ratings["kind"] != PERSON) & (ratings["model"] != POOLED) & ratings["match_rate"].notna()]
    if data.empty:
        return no_data("no rater answered any item")
    verdicts = pd.DataFrame(columns=VERDICTS) if verdicts is None else verdicts
    known = verdicts[verdicts["exact_rate"].notna() & verdicts["model"].isin(data["model"])]
    unfit = verdicts.loc[verdicts["fit"] != FIT, [*KEYS, "judge"]].rename(columns={"judge": "rater"})
    data = data.merge(unfit.assign(kind=JUDGE, unfit=True), on=[*KEYS, "kind", "rater"], how="left")
    data = data.assign(unfit=data["unfit"].notna(), who=data["kind"] + " " + data["rater"])
    models, sets, raters = model_order(data, labels), unique(data["prompt_set"]), unique(data["who"])
    names = [label_of(model, labels) for model in models]
    width = page_width(text_width(names) + 0.2 + PANEL * len(sets))
    height = MARGINS + len(models) * max(0.3, LANE * len(raters))
    drawn = panels_of(len(sets), len(sets), (width, height), sharex=True, sharey=True)
    for index, prompt_set in enumerate(sets):
        ax: Axes = drawn.axes[index]
        name_lanes(ax, names)
        ax.set_title(prompt_set)
        ax.set_xlim(*rate_limits(data["match_rate"], data["ci_low"], known["exact_rate"]))
        mark_vertical(ax, NO_LEAKAGE, None)
        _draw_known(ax, known[known["prompt_set"] == prompt_set], models)
        for number, who in enumerate(raters):
            rows = data[(data["prompt_set"] == prompt_set) & (data["who"] == who)]
            _draw_rater(ax, rows, places_of(rows["model"], models) + offset(number, len(raters)), number)
        drawn.name_axes(index, "match rate (%)")
    return add_legend(drawn.fig, _handles(data, raters, has_known=not known.empty))


def _draw_known(ax: Axes, known: pd.DataFrame, models: list[str]) -> None:
    places = places_of(known["model"], models)
    ax.vlines(known["exact_rate"], places - 0.45, places + 0.45, color=GREY, linewidth=2.5, alpha=0.5, gid="known")


def _draw_rater(ax: Axes, rows: pd.DataFrame, places: NDArray[np.float64], number: int) -> None:
    look = series(number)
    for mine, fill in ((~rows["unfit"], {}), (rows["unfit"], HALF)):
        style = {"marker": look.marker, "gid": rows["who"].iloc[0] if len(rows) else None, **fill}
        if mine.any():
            draw_points(ax, places[mine.to_numpy()], rows[mine], "match_rate", color=look.color, **style)


def _handles(data: pd.DataFrame, raters: list[str], *, has_known: bool) -> list[Line2D]:
    handles = [series_handle(number, who, linestyle="none") for number, who in enumerate(raters)]
    handles.append(plain_handle("chance", linewidth=0.8, linestyle=NO_LEAKAGE_LINE))
    if data["unfit"].any():
        handles.append(plain_handle("judge not shown to be fit", marker="o", linestyle="none", **HALF))
    if has_known:
        handles.append(plain_handle("known rate", marker="|", markersize=9, markeredgewidth=2.5, linestyle="none"))
    if has_no_variation(data, "match_rate").any():
        handles.append(no_variation_handle())
    return handles
