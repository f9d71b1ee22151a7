"""Leak left against use kept, with a line for each kind of mitigation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from leakscope.figures.lanes import INTERVAL, rows_of
from leakscope.figures.legends import add_legend, plain_handle, series_handle
from leakscope.figures.panels import multiples
from leakscope.figures.style import (
    GREY,
    Labels,
    label_of,
    mark_horizontal,
    mark_vertical,
    model_order,
    no_data,
    series,
    styled,
    unique,
)

NONE, PROMPT = "none", "prompt"
KINDS = (PROMPT, "decoding", "attention", "steering", "features", "tuning")
HEIGHT = 1.7  # inches, of a panel
LOWEST, HIGHEST = -0.6, 1.8  # of an axis: an interval of few templates goes on beyond
WITHOUT: dict[str, Any] = {"color": "black", "marker": "+", "linestyle": "none", "markersize": 7.0}
CHOSEN = 5.0  # points, of a marker


@styled
def frontier(mitigations: pd.DataFrame, *, labels: Labels, kept: float) -> Figure:
    """Draw leak left against use kept, a panel for each model and prompt set, a line for each kind over its strengths.

    Each kind is represented by the mitigation and variant that leaks least on the selection split among those chosen at
    the highest cost that keep the use, if any do. All values are of the evaluation split. Chosen strengths have large
    marks and intervals. For a model whose use is not measured, only leaks are drawn.

    Args:
        mitigations: ``mitigations.csv``.
        labels: model → label, in the order drawn.
        kept: share of the use that must be kept.
    """
    known = mitigations[(mitigations["kind"] != NONE) & mitigations["left"].notna()]
    if known.empty:
        return no_data("no mitigation was tried")
    several, cost = known["prompt_set"].nunique() > 1, highest_cost(known)
    panels = [
        (model, prompt_set)
        for model in model_order(known, labels)
        for prompt_set in unique(rows_of(known, model=model)["prompt_set"])
    ]
    titles = [f"{label_of(m, labels)} · {s}" if several else label_of(m, labels) for m, s in panels]
    drawn = multiples(titles, [HEIGHT])
    kinds = kinds_of(known)
    for index, (model, prompt_set) in enumerate(panels):
        ax, mine = drawn.axes[index, 0], rows_of(known, model=model, prompt_set=prompt_set)
        _panel(ax, mine, kinds, cost, kept)
        ax.set_xlabel("use kept (share)" if is_measured(mine) else "")
        ax.set_ylabel("leak left (share)" if drawn.is_left(index) else "")
    return add_legend(drawn.fig, _handles(known, kinds, cost))


def kinds_of(rows: pd.DataFrame) -> list[str]:
    """Return the kinds of mitigations in the table, shipped kinds first."""
    found = unique(rows["kind"])
    return [*(kind for kind in KINDS if kind in found), *(kind for kind in found if kind not in KINDS)]


def highest_cost(rows: pd.DataFrame) -> str:
    """Return the highest cost at which a mitigation was chosen, as written in the table; empty if none was."""
    costs = {cost for chosen in rows["chosen_at"].dropna() for cost in str(chosen).split()}
    return max(costs, key=float, default="")


def is_chosen(rows: pd.DataFrame, cost: str) -> pd.Series:
    """Return for each row whether it was chosen at a cost."""
    return rows["chosen_at"].fillna("").map(lambda chosen: cost in str(chosen).split()).astype(bool)


def is_measured(rows: pd.DataFrame) -> bool:
    """Return whether the model of these rows can use the concept at all, so that the kept use is defined."""
    return bool((rows["use_measured"] == "yes").any() and rows["use_kept"].notna().any())


def _panel(ax: Axes, rows: pd.DataFrame, kinds: list[str], cost: str, kept: float) -> None:
    measured = is_measured(rows)
    for value in (0.0, 1.0):
        mark_horizontal(ax, value, None)
    if measured:
        mark_vertical(ax, 1.0, None)
        ax.plot([1.0], [1.0], gid="none", zorder=5, **WITHOUT)
    best = {kind: _best(mine, cost, kept) for kind in kinds if len(mine := rows_of(rows, kind=kind))}
    for kind, mine in best.items():
        _line(ax, mine, kinds.index(kind), kind, measured)
    if not measured:
        _say_unmeasured(ax, len(kinds))
    _limits(ax, pd.concat(best.values()), measured)


def _best(rows: pd.DataFrame, cost: str, kept: float) -> pd.DataFrame:
    """Return the rows of a kind's best mitigation and variant; for prompts, which have no strength, all rows."""
    chosen = rows[(rows["split"] == "selection") & is_chosen(rows, cost)]
    evaluation = rows_of(rows, split="evaluation")
    if chosen.empty:
        return evaluation.assign(best=False)
    deaf = (chosen["use_kept"] < kept) & (chosen["use_measured"] == "yes")
    best = chosen.assign(deaf=deaf).sort_values(["deaf", "leak_absolute"], kind="stable").iloc[0]
    if best["kind"] == PROMPT:
        return evaluation.assign(best=is_chosen(evaluation, cost) & (evaluation["mitigation"] == best["mitigation"]))
    variant = evaluation["variant"].fillna("") == ("" if pd.isna(best["variant"]) else best["variant"])
    own: pd.DataFrame = evaluation[(evaluation["mitigation"] == best["mitigation"]) & variant]
    return own.assign(best=is_chosen(own, cost))


def _line(ax: Axes, rows: pd.DataFrame, number: int, kind: str, measured: bool) -> None:
    """Draw one kind: its strengths in order, beginning without a change, and the chosen strength."""
    look, rows = series(number), rows.sort_values("strength", kind="stable")
    x = rows["use_kept"] if measured else pd.Series(float(number), rows.index)
    if measured and kind != PROMPT and rows["best"].any():
        ax.plot(
            [1.0, *x], [1.0, *rows["left"]], color=look.color, linestyle=look.line, linewidth=0.9, gid=f"line:{kind}"
        )
    rest = ~rows["best"]
    ax.plot(x[rest], rows.loc[rest, "left"], **look.dots, markersize=2.4, alpha=0.8, gid=f"tried:{kind}")
    best = rows[rows["best"]]
    ax.vlines(x[best.index], best["left_ci_low"], best["left_ci_high"], color=look.color, linewidth=INTERVAL)
    if measured:
        low, high = (best[f"use_ci_{end}"] / best["use_base"] for end in ("low", "high"))
        ax.hlines(best["left"], low, high, color=look.color, linewidth=INTERVAL)
    ax.plot(
        x[best.index], best["left"], **look.dots, markersize=CHOSEN, markeredgecolor="white", markeredgewidth=0.4,
        gid=f"chosen:{kind}", zorder=4,
    )  # fmt: skip


def _say_unmeasured(ax: Axes, n_kinds: int) -> None:
    ax.set(xticks=[], xlim=(-0.7, max(n_kinds, len(KINDS)) - 0.3))
    ax.text(
        0.5, -0.06, "use kept: not measured", transform=ax.transAxes, ha="center", va="top", color=GREY,
        gid="unmeasured",
    )  # fmt: skip


def _limits(ax: Axes, rows: pd.DataFrame, measured: bool) -> None:
    """Show every value, and intervals as far as the limits of an axis allow."""
    chosen = rows[rows["best"]]
    low, high = _span(rows["left"], chosen[["left_ci_low", "left_ci_high"]])
    ax.set_ylim(min(low, -0.06), high)
    if measured:
        ax.set_xlim(*_span(rows["use_kept"], chosen[["use_ci_low", "use_ci_high"]].div(chosen["use_base"], axis=0)))


def _span(values: pd.Series, ends: pd.DataFrame) -> tuple[float, float]:
    """Return limits that contain all values, no change (1), and intervals up to ``LOWEST`` and ``HIGHEST``."""
    shown = [*values, *ends.clip(LOWEST, HIGHEST).to_numpy(float).ravel(), 1.0]
    return float(np.nanmin(shown)) - 0.06, float(np.nanmax(shown)) + 0.06


def _handles(rows: pd.DataFrame, kinds: list[str], cost: str) -> list[Line2D]:
    handles = [series_handle(number, kind, markersize=CHOSEN) for number, kind in enumerate(kinds)]
    handles.append(plain_handle("no mitigation", **WITHOUT))
    if cost:
        handles.append(plain_handle(f"chosen (+{cost} %)", marker="o", linestyle="none", markersize=CHOSEN))
    return handles
