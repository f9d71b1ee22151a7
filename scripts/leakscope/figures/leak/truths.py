"""Measured match rates of organisms against what was planted and against the exact rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from leakscope.figures.lanes import HOLLOW, has_no_variation
from leakscope.figures.legends import add_legend, no_variation_handle, plain_handle, series_handle
from leakscope.figures.panels import curve_panels, panel_grid, panels_of
from leakscope.figures.style import (
    GREY,
    NO_LEAKAGE,
    double,
    mark_horizontal,
    mark_vertical,
    no_data,
    rate_limits,
    series,
    styled,
    unique,
)
from leakscope.files.names import POOLED

KEYS = ["model", "prompt_set", "scorer", "category"]
EXACT = {"true_match_rate_grammar": "grammar", "true_match_rate_organism": "organism itself"}
OPEN: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "none", "markersize": 6.5, "markeredgewidth": 0.7}
STILL: dict[str, Any] = {"linestyle": "none", "marker": "x", "markeredgewidth": 0.8}  # hollow ones miss
APART = 0.5  # between two sizes at the same strength, in square roots of a percent
MOST_CATEGORIES = 6  # of a prompt set, that each get a curve of their own


@styled
def dose_response(match_rates: pd.DataFrame, organisms: pd.DataFrame, truth: pd.DataFrame | None = None) -> Figure:
    """Draw match rates against the planted strength λ (percent, square-root scale), one panel per category.

    Args:
        match_rates: ``match_rates.csv``; columns model, prompt_set, scorer, category, match_rate, ci_low, ci_high
            (percent; 50 is marked).
        organisms: ``organisms.csv``; columns model, size, strength (0 to 1).
        truth: ``truth.csv``; columns model, prompt_set, scorer, category, true_match_rate_grammar (drawn as a line),
            true_match_rate_organism (open markers).
    """
    planted = organisms.loc[organisms["strength"].notna(), ["model", "size", "strength"]].drop_duplicates("model")
    data = match_rates.merge(planted, on="model")
    if data.empty or data["match_rate"].isna().all():
        return no_data("no organism was measured")
    exact = truth if truth is not None else pd.DataFrame(columns=[*KEYS, *EXACT], dtype=object)
    data = data.merge(exact[[*KEYS, *EXACT]], on=KEYS, how="left")
    data = data.assign(percent=100 * data["strength"], **{name: data[name].astype(float) for name in EXACT})
    data = _few_categories(data)
    sizes = unique(data["size"])
    grid = panel_grid(data)
    drawn = curve_panels(grid, "planted strength λ (%), square-root scale", "match rate (%)", sharex=True)
    for index, (prompt_set, category, scorer) in enumerate(grid.panels):
        here = (data["prompt_set"] == prompt_set) & (data["category"] == category) & (data["scorer"] == scorer)
        ax = drawn.axes[index]
        _strength_axis(ax, data["percent"])
        mark_horizontal(ax, NO_LEAKAGE, "chance" if index < grid.columns else None)
        _doses(ax, data[here], sizes)
        ax.set_ylim(*rate_limits(data["match_rate"], data["ci_low"], *(data[name] for name in EXACT)))
    known = [name for name in EXACT if data[name].notna().any()]
    handles = _dose_handles(sizes, known)
    if has_no_variation(data, "match_rate").any():
        handles.append(no_variation_handle())
    return add_legend(drawn.fig, handles)


def _few_categories(data: pd.DataFrame) -> pd.DataFrame:
    """Keep only the pooled category of a prompt set with many categories, to limit the number of curves."""
    many = data.groupby("prompt_set")["category"].transform("nunique") > MOST_CATEGORIES
    return data[~many | (data["category"] == POOLED)]


@styled
def truth(match_rates: pd.DataFrame, truth: pd.DataFrame) -> Figure:
    """Draw measured against exact match rates, of the grammar (left) and of each organism itself (right).

    A panel's title says how many intervals contain the exact rate; points whose intervals miss it are open.

    Args:
        match_rates: ``match_rates.csv``; columns model, prompt_set, scorer, category, match_rate, ci_low, ci_high.
        truth: ``truth.csv``; the same keys, true_match_rate_grammar, true_match_rate_organism (percent).
    """
    data = match_rates.merge(truth, on=KEYS)
    data = data[data["match_rate"].notna()]
    known = data.groupby("prompt_set", sort=False)[list(EXACT)].any() if len(data) else pd.DataFrame()
    panels = [(prompt_set, name) for prompt_set, has in known.iterrows() for name in EXACT if has[name]]
    if not panels:
        return no_data("no measured model has a known exact rate")
    scorers = unique(data["scorer"])
    limits = rate_limits(data["match_rate"], data["ci_low"], *(data[name] for name in EXACT))
    width, columns = min(double(), 6.0), min(2, len(panels))
    size = (width * columns / 2, (width / 2 + 0.2) * -(-len(panels) // columns) + 0.3)
    drawn = panels_of(len(panels), columns, size, sharex=True, sharey=True)
    for index, (prompt_set, name) in enumerate(panels):
        rows, kind = data[(data["prompt_set"] == prompt_set) & data[name].notna()], EXACT[name]
        ax = drawn.axes[index]
        _against_truth(ax, rows, rows[name], scorers)
        ax.set(xlim=limits, ylim=limits, aspect="equal")
        ax.set_title(f"{prompt_set}, {kind}\n{_coverage(rows, rows[name])}")
        drawn.name_axes(index, "exact match rate (%)", "measured match rate (%)")
    handles = [series_handle(index, scorer, linestyle="none") for index, scorer in enumerate(scorers)]
    handles.append(plain_handle("interval misses", marker="o", linestyle="none", markerfacecolor="white"))
    handles.append(plain_handle("measured = exact", linestyle="-"))
    if has_no_variation(data, "match_rate").any():
        handles.append(plain_handle("no variation between templates", **STILL))
    return add_legend(drawn.fig, handles)


def _doses(ax: Axes, rows: pd.DataFrame, sizes: Sequence[str]) -> None:
    """Draw the grammar's line, each size's measured points with intervals, and its own exact rates as open markers."""
    exact = rows.groupby("percent")["true_match_rate_grammar"].mean().dropna()
    ax.plot(exact.index, exact, color="black", linewidth=0.9, gid="grammar", zorder=2)
    for index, size in enumerate(sizes):
        mine = rows[rows["size"].astype(str) == size].sort_values("percent")
        look = series(index)
        root = np.sqrt(mine["percent"].to_numpy(float)) + APART * (index - (len(sizes) - 1) / 2)
        x = np.sign(root) * root**2
        ax.vlines(x, mine["ci_low"], mine["ci_high"], color=look.color, linewidth=0.9, zorder=3)
        still = has_no_variation(mine, "match_rate")
        ax.plot(x, mine["match_rate"].mask(still), **look.dots, gid=f"size:{size}", zorder=4)
        ax.plot(x[still], mine.loc[still, "match_rate"], **look.dots | HOLLOW, zorder=4)
        own: dict[str, Any] = OPEN | {"marker": look.marker, "markeredgecolor": look.color}
        ax.plot(x, mine["true_match_rate_organism"], gid=f"exact:{size}", zorder=5, **own)


def _dose_handles(sizes: Sequence[str], known: Sequence[str]) -> list[Line2D]:
    handles = [series_handle(index, f"size {size}, measured", linestyle="none") for index, size in enumerate(sizes)]
    if "true_match_rate_grammar" in known:
        handles.append(plain_handle("exact, grammar", color="black", linestyle="-"))
    if "true_match_rate_organism" in known:
        handles.append(plain_handle("exact, organism itself", marker="o", **OPEN))
    return handles


def _strength_axis(ax: Axes, percent: pd.Series) -> None:
    """Use a square-root scale, which keeps 0, 5, 10 and 20 apart, with a tick at each strength."""
    ax.set_xscale("function", functions=(lambda x: np.sign(x) * np.sqrt(np.abs(x)), lambda x: np.sign(x) * x**2))
    strengths = sorted(set(percent))
    ax.set_xticks(strengths, [f"{strength:g}" for strength in strengths])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(-0.7, (np.sqrt(max(strengths)) + 0.7) ** 2)


def _against_truth(ax: Axes, rows: pd.DataFrame, exact: pd.Series, scorers: Sequence[str]) -> None:
    """Draw measured against exact rates with the identity line."""
    ax.plot([0, 100], [0, 100], color=GREY, linewidth=0.8, zorder=1, gid="identity")
    mark_vertical(ax, NO_LEAKAGE, None)
    mark_horizontal(ax, NO_LEAKAGE, "chance")
    inside = _contained(rows, exact)
    for index, scorer in enumerate(scorers):
        mine = rows["scorer"] == scorer
        look = series(index)
        low, high = rows.loc[mine, "ci_low"], rows.loc[mine, "ci_high"]
        ax.vlines(exact[mine], low, high, color=look.color, alpha=0.35, linewidth=0.7)
        still = has_no_variation(rows, "match_rate")
        ax.plot(exact[mine & still], rows.loc[mine & still, "match_rate"], color=look.color, zorder=3, **STILL)
        varied = mine & ~still
        for name, kept, face in (("inside", varied & inside, look.color), ("outside", varied & ~inside, "white")):
            ax.plot(
                exact[kept], rows.loc[kept, "match_rate"], **look.dots, markerfacecolor=face, markeredgewidth=0.7,
                zorder=3, gid=f"{scorer}:{name}",
            )  # fmt: skip


def _contained(rows: pd.DataFrame, exact: pd.Series) -> pd.Series:
    return (rows["ci_low"] <= exact) & (exact <= rows["ci_high"])


def _coverage(rows: pd.DataFrame, exact: pd.Series) -> str:
    """Return the number of intervals that contain the exact rate, out of all."""
    bounded = rows["ci_low"].notna() & rows["ci_high"].notna()
    if not bounded.any():
        return "no intervals"
    hits, total = int(_contained(rows, exact)[bounded].sum()), int(bounded.sum())
    return f"{hits} of {total} intervals ({100 * hits / total:.0f} %) contain it"
