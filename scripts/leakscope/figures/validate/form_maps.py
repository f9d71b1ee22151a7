"""Agreement of prompt forms: correlations between their log-odds, as heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from leakscope.figures.lanes import rows_of
from leakscope.figures.maps import color_bar, heat_map
from leakscope.figures.panels import ROOM, Panels, multiples
from leakscope.figures.style import Labels, double, no_data, page_width, styled, text_width
from leakscope.figures.validate.sides import main_forms, model_panels

KINDS = {"generator": "G", "negated": "N", "validator": "V"}
NARROWEST = 1.7  # inches for a panel with its title
CELL, NUMBER = 0.26, 0.2  # inches: the largest cell, and the smallest one that has its number
BAR = 0.6  # inches for the color bar
BETWEEN: dict[str, Any] = {"color": "black", "linewidth": 0.9, "solid_capstyle": "butt"}


@styled
def form_agreement(table: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw the Pearson correlations of log-odds between all prompt forms of the main style.

    Args:
        table: ``form_agreement.csv``.
        labels: model → label, in the order drawn.
    """
    data = main_forms(table, "style")
    if data["pearson"].isna().all():
        return no_data("no two prompt forms were scored")
    panels = model_panels(data, labels)
    maps = [_matrix(rows_of(data, task=panel.task, model=panel.model)) for panel in panels]
    apart = any(not (cells.index.equals(maps[0].index) and cells.columns.equals(maps[0].columns)) for cells in maps)
    drawn, numbers = _frame([panel.title for panel in panels], maps, apart=apart)
    for index, cells in enumerate(maps):
        ax = drawn.axes[index, 0]
        mesh = _square(ax, cells, numbers=numbers)
        ax.tick_params(labelleft=apart or drawn.is_left(index), labelbottom=apart or drawn.is_lowest(index))
    label = "Pearson's r of the log-odds\n(G: generator, N: negated generator, V: validator)"
    color_bar(drawn.fig, mesh, drawn.axes.ravel(), label, [-1, -0.5, 0, 0.5, 1])
    return drawn.fig


def _frame(titles: Sequence[str], maps: Sequence[pd.DataFrame], *, apart: bool) -> tuple[Panels, bool]:
    """Return a figure of the size that the maps need, and whether their cells have room for numbers.

    Args:
        titles: of the maps.
        maps: square tables.
        apart: whether every map names its own forms; otherwise only maps at the left and lower edge do.
    """
    n_forms = max(len(cells) for cells in maps) - 1  # a form compared with itself is not drawn
    names = max(text_width(cells.index) for cells in maps) + 0.1
    across = min(len(maps), 2 if len(maps) in (2, 4) else 3)
    down = -(-len(maps) // across)
    beside = names * (across if apart else 1)
    # Below the lowest map of each column; the lowest maps are in two rows where the last row is not full.
    below = names * (down if apart else 1 + (down > 1 and len(maps) % across > 0))
    cell = min(CELL, (double() - 0.2 - beside) / across / n_forms)
    slot = max(cell * n_forms, NARROWEST)
    width = page_width(beside + across * (slot + 0.12) + 0.15)
    # Only the lowest maps have names below, so there is less space between rows.
    drawn = multiples(titles, [cell * n_forms + 0.1 - ROOM], across, width=width, title_width=slot - 0.15)
    drawn.fig.set_figheight(drawn.fig.get_figheight() + below + BAR)
    return drawn, cell >= NUMBER


def _matrix(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the correlations, each once: of every form (rows) with those before it (columns).

    Generators come before their negations before validators.
    """
    pairs = [
        ((a, b), (c, d), value)
        for a, b, c, d, value in zip(
            rows["kind_a"], rows["form_a"].astype(str), rows["kind_b"], rows["form_b"].astype(str), rows["pearson"],
            strict=True,
        )
    ]  # fmt: skip
    forms = list(dict.fromkeys(form for first, second, _ in pairs for form in (first, second)))
    forms.sort(key=lambda form: list(KINDS).index(form[0]))
    place = {form: number for number, form in enumerate(forms)}
    values = np.full((len(forms), len(forms)), np.nan)
    for first, second, value in pairs:
        column, row = sorted((place[first], place[second]))
        values[row, column] = value
    names = pd.Index([f"{KINDS[kind]} {form}" for kind, form in forms])
    return pd.DataFrame(values, index=names, columns=names).iloc[1:, :-1]


def _square(ax: Axes, cells: pd.DataFrame, *, numbers: bool) -> QuadMesh:
    """Draw one map, a triangle, with lines between the kinds of forms."""
    texts = cells.map(_number_text if numbers else lambda _: "").to_numpy(object)
    mesh = heat_map(ax, cells, texts, Normalize(-1, 1), "PuOr_r", fontsize=6)
    ax.set(aspect="equal", anchor="W")
    for row in range(len(cells) - 1):
        ax.add_patch(Rectangle((row + 1, row), len(cells), 1, facecolor="white", linewidth=0, zorder=1.5))
    for end in np.cumsum([cells.columns.str.startswith(f"{short} ").sum() for short in KINDS.values()])[:-1]:
        if 0 < end <= len(cells):
            ax.plot([0, end], [end - 1] * 2, **BETWEEN)
            ax.plot([end] * 2, [end - 1, len(cells)], **BETWEEN)
    return mesh


def _number_text(value: float) -> str:
    """Return two digits after the point, without the zero before it."""
    return "" if np.isnan(value) else f"{value:.2f}".replace("-0.00", "0.00").replace("0.", ".", 1).replace("-", "−")
