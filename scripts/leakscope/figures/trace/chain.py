"""The chain of an association's links, model by model: from the corpus to the leak, and where in the layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from leakscope.figures.lanes import rows_of
from leakscope.figures.legends import add_legend, plain_handle
from leakscope.figures.panels import Panels, panels_of
from leakscope.figures.style import (
    GREY,
    NO_LEAKAGE_LINE,
    Labels,
    label_of,
    model_order,
    no_data,
    page_width,
    series,
    styled,
    unique,
)
from leakscope.figures.trace.sites import draw_sites, site_handles

ROW, MARGINS = 1.28, 0.35  # inches, of a row of panels; below all
OWN = 4  # series of associated pairs: in no color of a site
SLOPES: dict[str, dict[str, Any]] = {
    "slope": {"color": "black", "linestyle": "-"},
    "slope_exact": {"color": "#56b4e9", "linestyle": (0, (4, 3))},
}
TITLES = {
    "count": "written together", "knows": "known", "layers": "half of the leak is there", "sites": "patching restores",
}  # fmt: skip
XLABELS = {"count": "count (nats)", "knows": "knows (nats)", "layers": "after layer", "sites": "after layer"}
YLABELS = {"count": "leak (nats)", "knows": "leak (nats)", "layers": "share of pairs", "sites": "restored share"}
Draw: TypeAlias = Callable[[Axes, pd.DataFrame, pd.DataFrame, pd.DataFrame], bool]


@styled
def trace(links: pd.DataFrame, relations: pd.DataFrame, patching: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw a row of panels for each model and prompt set: the known links of the chain from the corpus to the leak.

    Counts and knowledge against leak, one point per pair, with the measured slope and an organism's exact slope; the
    layers after which half of an associated pair's leak is present; the restored share by layer and site.

    Args:
        links: ``links.csv``.
        relations: ``relations.csv``.
        patching: ``patching.csv``.
        labels: model → label, in the order drawn.
    """
    columns = [name for name, known in _known(links, patching).items() if known]
    if not columns:
        return no_data("no two links of an association are known")
    rows = [
        (model, prompt_set)
        for model in model_order(links, labels)
        for prompt_set in unique(rows_of(links, model=model)["prompt_set"])
    ]
    width = page_width(0.3 + 1.75 * len(columns))
    drawn = panels_of(len(rows) * len(columns), len(columns), (width, ROW * len(rows) + MARGINS))
    several = links["prompt_set"].nunique() > 1
    for index, ax in enumerate(drawn.axes):
        (model, prompt_set), name = rows[index // len(columns)], columns[index % len(columns)]
        mine = [rows_of(table, model=model, prompt_set=prompt_set) for table in (links, relations, patching)]
        if not DRAWN[name](ax, *mine):
            _say_nothing(ax)
        label = label_of(model, labels)
        _name(drawn, index, columns, f"{label} · {prompt_set}" if several else label)
    return add_legend(drawn.fig, _handles(columns, relations, patching))


def _known(links: pd.DataFrame, patching: pd.DataFrame) -> dict[str, bool]:
    leak = links["leak_centred"].notna()
    return {
        "count": bool((links["count_centred"].notna() & leak).any()),
        "knows": bool((links["knows_centred"].notna() & leak).any()),
        "layers": bool(links["layer_half"].notna().any()),
        "sites": bool(patching["restored"].notna().any()),
    }


def _name(drawn: Panels, index: int, columns: list[str], label: str) -> None:
    """Name a panel: the column's content above the first row, and the row's model above its first panel."""
    ax, name = drawn.axes[index], columns[index % len(columns)]
    # The label may be wider than its panel, because there is nothing next to it.
    ax.set_title(
        "\n".join(filter(None, [label if drawn.is_left(index) else "", TITLES[name] if index < len(columns) else ""]))
    )
    ax.set_xlabel(XLABELS[name] if drawn.is_lowest(index) else "")
    ax.set_ylabel(YLABELS[name])


def _against_leak(link: str, ax: Axes, links: pd.DataFrame, relations: pd.DataFrame, _: pd.DataFrame) -> bool:
    """Draw a link against the leak."""
    x, y = links[f"{link}_centred"], links["leak_centred"]
    known = x.notna() & y.notna()
    if not known.any():
        return False
    for draw_zero in (ax.axhline, ax.axvline):
        draw_zero(0.0, color=GREY, linewidth=0.6, linestyle=NO_LEAKAGE_LINE, zorder=1)
    own = known & links["associated"].eq("yes")
    ax.plot(x[known & ~own], y[known & ~own], ".", color=GREY, markersize=1.8, alpha=0.5, gid=f"{link}:other")
    ax.plot(
        x[own],
        y[own],
        "^",
        color=series(OWN).color,
        markersize=2.6,
        markeredgewidth=0,
        gid=f"{link}:associated",
        zorder=3,
    )
    found = relations[(relations["x"] == link) & (relations["y"] == "leak") & (relations["given"].fillna("") == "")]
    ends = np.array([-1.0, 1.0]) * float(x[known].abs().max())
    for column, look in SLOPES.items():
        for slope in found[column].dropna():
            ax.plot(ends, slope * ends, linewidth=1.0, gid=f"{link}:{column}", zorder=4, **look)
    return True


def _layers(ax: Axes, links: pd.DataFrame, _: pd.DataFrame, patching: pd.DataFrame) -> bool:
    """Draw the layers after which half of the leak of associated pairs is present."""
    layers = links.loc[links["associated"].eq("yes"), "layer_half"].dropna()
    if layers.empty:
        return False
    last = int(max(layers.max(), patching["layer"].max() if len(patching) else 0))
    counts = np.bincount(layers.astype(int), minlength=last + 1)
    ax.bar(np.arange(last + 1), counts / counts.sum(), width=0.85, color=series(OWN).color, gid="layers")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.set_xlim(-0.7, last + 0.7)
    ax.grid(axis="y")
    return True


def _sites(ax: Axes, _: pd.DataFrame, __: pd.DataFrame, patching: pd.DataFrame) -> bool:
    if patching["restored"].isna().all():
        return False
    draw_sites(ax, patching)
    return True


def _say_nothing(ax: Axes) -> None:
    ax.text(0.5, 0.5, "n/a", transform=ax.transAxes, ha="center", va="center", color=GREY)
    ax.set(xticks=[], yticks=[])


def _handles(columns: list[str], relations: pd.DataFrame, patching: pd.DataFrame) -> list[Line2D]:
    handles: list[Line2D] = [plain_handle("associated pair", color=series(OWN).color, marker="^", linestyle="none")]
    if {"count", "knows"} & set(columns):
        handles += [plain_handle("other pair", marker=".", linestyle="none"), plain_handle("slope", **SLOPES["slope"])]
        if relations["slope_exact"].notna().any():
            handles.append(plain_handle("exact slope", **SLOPES["slope_exact"]))
    return handles + (site_handles(patching) if "sites" in columns else [])


DRAWN: dict[str, Draw] = {
    "count": partial(_against_leak, "count"),
    "knows": partial(_against_leak, "knows"),
    "layers": _layers,
    "sites": _sites,
}
