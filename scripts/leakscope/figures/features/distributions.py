"""Distributions over the features of dictionaries: firing rates, effective tokens, scores of explanations."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from leakscope.figures.lanes import name_lanes, rows_of, say_not_known, write_beside
from leakscope.figures.legends import add_legend, plain_handle
from leakscope.figures.sheets import sheet
from leakscope.figures.style import (
    COLORS,
    Labels,
    label_of,
    mark_vertical,
    no_data,
    page_width,
    styled,
    text_width,
    unique,
    wrapped,
)

TRAINED, CONTROL = COLORS[0], "#9a9a9a"
LANE, TEXT_LINE, MARGINS = 0.34, 0.12, 0.75  # inches
LANE_LABEL = 1.9  # inches, after which the name of a lane is broken
PANEL = 2.4  # inches, the most that a panel is wide
N_BINS = 40
PLAIN = 4  # digits before or after the point up to which a power of ten is written out
DETECTION = "detection_"  # what precedes an explainer's name in the columns of features' tables
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
CHANCE = 0.5  # balanced accuracy of guessing


class Lane(NamedTuple):
    """One distribution: name, values, color, and the note at its right."""

    name: str
    values: np.ndarray
    color: str
    note: str = ""


class Scale(NamedTuple):
    """The x-axis of distributions: its limits, its label and whether it shows powers of ten."""

    low: float
    high: float
    label: str
    powers: bool = False


@styled
def firing_density(tables: Mapping[str, pd.DataFrame], *, labels: Labels, randomised: Collection[str]) -> Figure:
    """Draw the distribution of firing rates over the features of each dictionary; dead features are only counted.

    Args:
        tables: dictionary → ``features.parquet``; columns log10_rate, dead.
        labels: dictionary → label, in the order drawn.
        randomised: dictionaries of randomised models, drawn in grey.
    """
    lanes = []
    for name in ordered(tables, labels):
        rates = tables[name].dropna(subset=["log10_rate"])
        dead = rates["dead"].astype(bool)
        note = f"{100 * dead.mean():.0f} % dead" if len(rates) else ""
        lanes.append(_lane(name, rates.loc[~dead, "log10_rate"], labels, randomised, note))
    if all(lane.values.size == 0 for lane in lanes):
        return no_data("no feature fires")
    low, high = _range(lanes)
    fig, axes = _figure(lanes, 1)
    _distributions(axes[0], lanes, Scale(np.floor(low), min(0.0, np.ceil(high)), "firing rate (logarithmic)", True))
    return add_legend(fig, _handles(tables, randomised))


@styled
def polysemanticity(tables: Mapping[str, pd.DataFrame], *, labels: Labels, randomised: Collection[str]) -> Figure:
    """Draw the effective tokens of each dictionary's features, and the detection scores of each explainer.

    Args:
        tables: dictionary → ``features.parquet``; columns effective_tokens and, for each explainer,
            ``detection_<explainer>`` (balanced accuracy).
        labels: dictionary → label, in the order drawn.
        randomised: dictionaries of randomised models, drawn in grey.
    """
    names = ordered(tables, labels)
    explainers = unique(
        column
        for name in names
        for column in tables[name]
        if str(column).startswith(DETECTION) and tables[name][column].notna().any()
    )
    panels = [[_tokens(name, tables[name], labels, randomised) for name in names]]
    for column in explainers:
        panels.append([_scores(name, tables[name], column, labels, randomised) for name in names])
    if all(lane.values.size == 0 for lanes in panels for lane in lanes):
        return no_data("no feature has fired, and none was explained")
    fig, axes = _figure(panels[0], len(panels))
    high = np.ceil(max(1.0, _range(panels[0])[1]))
    _distributions(axes[0], panels[0], Scale(0.0, high, "effective tokens of a\nfeature (logarithmic)", True))
    for ax, lanes, column in zip(axes[1:], panels[1:], explainers, strict=True):
        _distributions(ax, lanes, Scale(0.0, 1.0, f"detection score,\nexplainer {column.removeprefix(DETECTION)}"))
        mark_vertical(ax, CHANCE, "chance")
    return add_legend(fig, _handles(tables, randomised))


@styled
def seed_agreement(table: pd.DataFrame, *, labels: Labels, randomised: Collection[str]) -> Figure:
    """Draw the cosine of each feature to the nearest feature of a dictionary with another seed.

    Args:
        table: ``seed_agreement.parquet``; columns dictionary, other, feature, cosine (of decoder rows, to the nearest
            row of the other dictionary).
        labels: dictionary → label, in the order drawn.
        randomised: dictionaries of randomised models, drawn in grey.
    """
    data = table.dropna(subset=["cosine"])
    if data.empty:
        return no_data("no two dictionaries differ only in their seed")
    lanes = []
    for dictionary in ordered(unique(data["dictionary"]), labels):
        mine = rows_of(data, dictionary=dictionary)
        for other in ordered(unique(mine["other"]), labels):
            values = rows_of(mine, other=other)["cosine"].to_numpy(float)
            name = f"{label_of(dictionary, labels)} → {label_of(other, labels)}"
            color = CONTROL if dictionary in randomised else TRAINED
            lanes.append(Lane(name, values, color, f"{np.median(values):.2f}"))
    low, _ = _range(lanes)
    fig, axes = _figure(lanes, 1)
    _distributions(axes[0], lanes, Scale(np.floor(10 * min(0.0, low)) / 10, 1.0, "cosine to the nearest feature"))
    return add_legend(fig, _handles(unique(data["dictionary"]), randomised))


def ordered(names: Iterable[str], labels: Labels) -> list[str]:
    """Return the names: first the names in ``labels``, in its order, then the others in the given order."""
    found = list(names)
    named = [name for name in labels if name in found]
    return named + [name for name in found if name not in named]


def lane_heights(names: Sequence[str], least: float = LANE) -> float:
    """Return the height of a lane in inches that fits the names, which may have several lines."""
    return max([least, *(TEXT_LINE * (1 + name.count("\n")) + 0.06 for name in names)])


def _tokens(name: str, table: pd.DataFrame, labels: Labels, randomised: Collection[str]) -> Lane:
    """Return the decimal logarithms of the effective tokens, and their median."""
    tokens = table["effective_tokens"].dropna()
    tokens = tokens[tokens > 0]
    return _lane(name, np.log10(tokens), labels, randomised, f"{tokens.median():.3g}" if len(tokens) else "")


def _scores(name: str, table: pd.DataFrame, column: str, labels: Labels, randomised: Collection[str]) -> Lane:
    scores = table[column].dropna() if column in table else pd.Series(dtype=float)
    return _lane(name, scores, labels, randomised, f"{scores.median():.2f}" if len(scores) else "")


def _lane(name: str, values: pd.Series, labels: Labels, randomised: Collection[str], note: str) -> Lane:
    return Lane(label_of(name, labels), values.to_numpy(float), CONTROL if name in randomised else TRAINED, note)


def _range(lanes: Sequence[Lane]) -> tuple[float, float]:
    """Return the lowest and highest value of all lanes; (0, 0) if there is none."""
    values = np.concatenate([lane.values for lane in lanes])
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


def _figure(lanes: Sequence[Lane], n_panels: int) -> tuple[Figure, np.ndarray]:
    names = [wrapped(lane.name, LANE_LABEL) for lane in lanes]
    notes = text_width(lane.note for lane in lanes) + 0.1
    width = text_width(names) + n_panels * (PANEL + notes) + 0.3
    height = len(lanes) * lane_heights(names) + MARGINS
    fig = sheet(page_width(width), height)
    return fig, fig.subplots(1, n_panels, squeeze=False, sharey=True)[0]


def _distributions(ax: Axes, lanes: Sequence[Lane], scale: Scale) -> None:
    """Draw each distribution as a histogram that fills its lane at its highest bin, with its median."""
    name_lanes(ax, [wrapped(lane.name, LANE_LABEL) for lane in lanes])
    edges = np.linspace(scale.low, max(scale.high, scale.low + 1e-6), N_BINS + 1)
    for y, lane in enumerate(lanes):
        if not lane.values.size:
            say_not_known(ax, y)
        else:
            heights, _ = np.histogram(np.clip(lane.values, edges[0], edges[-1]), bins=edges)
            foot = y + 0.42
            tops = foot - 0.84 * heights / heights.max()
            ax.fill_between(
                np.repeat(edges, 2)[1:-1], foot, np.repeat(tops, 2), color=lane.color, alpha=0.75, linewidth=0,
                gid=f"lane:{lane.name}",
            )  # fmt: skip
            median = float(np.median(lane.values))
            ax.vlines(median, y - 0.42, foot, color="black", linewidth=1.0, zorder=4)
        write_beside(ax, y, lane.note)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_xlabel(scale.label)
    if scale.powers:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        plain = scale.low >= -PLAIN and scale.high <= PLAIN
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{10**x:g}" if plain else _power(x)))


def _power(exponent: float) -> str:
    return "10" + f"{exponent:.0f}".translate(RAISED)


def _handles(names: Iterable[str], randomised: Collection[str]) -> list[Line2D]:
    handles = [plain_handle("features of a dictionary", color=TRAINED, linewidth=5, alpha=0.75)]
    if any(name in randomised for name in names):
        handles.append(plain_handle("randomised model (control)", color=CONTROL, linewidth=5, alpha=0.75))
    return [*handles, plain_handle("median", color="black")]
