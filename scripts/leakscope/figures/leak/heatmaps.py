"""Heat maps: values by concept, template or model, with a number in every cell that has room for one.

Match rates use a diverging map (purple below, orange above) whose neutral middle is 50; it is safe for the common forms
of color blindness. Shares use cividis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from leakscope.figures.look import scale
from leakscope.figures.maps import color_bar, heat_map, number_texts
from leakscope.figures.panels import panels_of
from leakscope.figures.sheets import sheet
from leakscope.figures.style import (
    NO_LEAKAGE,
    double,
    label_of,
    model_order,
    no_data,
    page_width,
    single,
    styled,
    text_width,
    unique,
    wrapped,
)
from leakscope.files.names import NOT_GROUPS, POOLED

CELL_WIDTH, CELL_HEIGHT = 0.22, 0.145  # inches
WRITTEN = 0.19  # inches, the least width of a cell with a number: "100" in 7 pt
LEAST_CELL = 0.13  # inches, minimal width of a cell: the width of its column's name
SHARE = "share of the row's answers (%)"
GAP = 0.3  # inches between panels, for the title of the lower one
BAR = 0.75  # inches for the color bar and its label
RATES = (Normalize(0, 100), "PuOr_r")
SIGNIFICANT = 0.05
DIFFERENCE = "match rate: row − column (percentage points)"
LEAST_WRITTEN = 0.5  # percent, a share that is not rounded to 0


class HeatMap(NamedTuple):
    """One heat map: scorer, title, cells (rows × columns), which cells are marked, and which are absent."""

    scorer: str
    title: str
    cells: pd.DataFrame
    marked: np.ndarray
    absent: np.ndarray | None = None


@styled
def by_concept(table: pd.DataFrame, *, by: str = "concept_group", labels: Mapping[str, str] | None = None) -> Figure:
    """Draw match rates in percent by concept (rows, one panel per category and scorer) and model (columns).

    Args:
        table: ``match_rates_by_concept.csv``; columns model, prompt_set, scorer, category, concept_group, concept,
            n_units, match_rate.
        by: ``concept_group``: concepts of a group (all shades of yellow) are pooled over their units; a concept without
            a group is a group of its own. ``concept``: each concept separately.
        labels: model → label, in the order drawn.
    """
    groups = table["concept_group"].fillna(table["concept"])
    row = groups if by == "concept_group" else _concept_names(table["concept"], groups)
    place = groups.map({name: index for index, name in enumerate(unique(groups))})
    return _rate_maps(table.assign(row=row, place=place, marked=False), labels)


@styled
def by_template(table: pd.DataFrame, *, labels: Mapping[str, str] | None = None) -> Figure:
    """Draw match rates in percent by template (rows) and model (columns); a frame marks a single distinct text.

    Args:
        table: ``match_rates_by_template.csv``; columns model, prompt_set, scorer, category, template_id, n_units,
            match_rate, distinct_texts.
        labels: model → label, in the order drawn.
    """
    data = table[table["template_id"].notna()]
    if data.empty:
        return no_data("no prompt was made from a template")
    return _rate_maps(data.assign(row=data["template_id"], place=0, marked=data["distinct_texts"] <= 1), labels)


@styled
def concept_matrix(table: pd.DataFrame, *, labels: Mapping[str, str] | None = None) -> Figure:
    """Draw which group (columns) a model writes for each group in the prompt (rows): shares in percent of the row.

    The pooled category is drawn only where there is no other.

    Args:
        table: ``concept_matrix.csv``; columns model, prompt_set, category, concept_group, generated_group, share.
        labels: model → label, in the order drawn.
    """
    data = _without_pooled(table)
    if data.empty:
        return no_data("the table has no category that is named in leak.matrix")
    panels = []
    for (prompt_set, name), part in data.groupby(["prompt_set", "category"], sort=False):
        for model in model_order(part, labels):
            cells = _share_cells(part[part["model"] == model], _groups(part))
            title = f"{label_of(model, labels)}\n{prompt_set} · {name}"
            panels.append(HeatMap("", title, cells, np.zeros(cells.shape, bool)))
    rows, columns = (max(panel.cells.shape[axis] for panel in panels) for axis in (0, 1))
    beside = max(text_width(map(str, panel.cells.index)) for panel in panels) + 0.4
    cell = _cell_width(columns, double() / 2 - beside)
    if cell < WRITTEN * scale():
        cell = _cell_width(columns, double() - beside)
    panel_width = max(columns * cell + beside, text_width(panel.title for panel in panels))
    across = max(1, min(len(panels), int(double() / panel_width)))
    width = page_width(max(across * panel_width, beside + text_width([SHARE])))
    height = -(-len(panels) // across) * (rows * CELL_HEIGHT + beside + 0.15) + BAR
    drawn = panels_of(len(panels), across, (width, height))
    for index, (ax, panel) in enumerate(zip(drawn.axes, panels, strict=True)):
        written = panel.cells.where((panel.cells >= LEAST_WRITTEN) & (cell >= WRITTEN * scale()))
        mesh = _heat_map(ax, panel, number_texts(written), Normalize(0, 100), "cividis")
        drawn.name_axes(index, "in the answer", "in the prompt")
    color_bar(drawn.fig, mesh, drawn.axes, SHARE, [0, 25, 50, 75, 100])
    return drawn.fig


@styled
def comparisons(table: pd.DataFrame, *, labels: Mapping[str, str] | None = None) -> Figure:
    """Draw the difference in match rate, model A (row) − model B (column), each once; a frame marks corrected p < .05.

    Args:
        table: ``comparisons.csv``; columns measure, prompt_set, scorer, category, model_a, model_b, difference
            (percentage points), p_corrected. The pooled category is drawn where there is one.
        labels: model → label, in the order drawn.
    """
    table = table[table["measure"] == "match_rate"]
    if table.empty:
        return no_data("fewer than two models share a prompt set")
    pooled = table[table["category"] == POOLED]
    data = table if pooled.empty else pooled
    models = model_order(pd.DataFrame({"model": [*data["model_a"], *data["model_b"]]}), labels)
    names = [label_of(model, labels) for model in models]
    grid: list[list[HeatMap]] = []
    scorers = unique(data["scorer"])
    for (prompt_set, category), part in data.groupby(["prompt_set", "category"], sort=False):
        grid.append([])
        for scorer in scorers:
            rows = part[part["scorer"] == scorer]
            values = _antisymmetric(rows, models, names)
            significant = _pairs(rows, models, rows["p_corrected"] < SIGNIFICANT)
            grid[-1].append(_each_once(HeatMap(scorer, f"{prompt_set} · {category}", values, significant)))
    return _map_grid(grid, _symmetric(data["difference"]), "PuOr_r", DIFFERENCE, below=True)


def _rate_maps(data: pd.DataFrame, labels: Mapping[str, str] | None) -> Figure:
    """Draw one heat map of match rates, ``row`` × model, per prompt set and category (down) and scorer (across)."""
    data = data[data["row"].notna()]
    if data.empty:
        return no_data("the table has no rows")
    if data["match_rate"].isna().all():
        return no_data("every value in the table is missing")
    data = _without_pooled(data)
    models = model_order(data, labels)
    grid: list[list[HeatMap]] = []
    scorers = unique(data["scorer"])
    for (prompt_set, category), part in data.groupby(["prompt_set", "category"], sort=False):
        grid.append([])
        order = unique(part.sort_values("place", kind="stable")["row"])
        for scorer in scorers:
            mine = part[part["scorer"] == scorer]
            cells = _pooled_rates(mine).reindex(index=order, columns=models)
            marked = mine.groupby(["row", "model"])["marked"].all().unstack().reindex_like(cells) == True  # noqa: E712
            cells.columns = pd.Index([label_of(model, labels) for model in models])
            grid[-1].append(HeatMap(scorer, f"{prompt_set} · {category}", cells, marked.to_numpy(bool)))
    return _map_grid(grid, *RATES, "match rate (%); 50: chance", ticks=[0, 25, NO_LEAKAGE, 75, 100])


def _map_grid(
    grid: Sequence[Sequence[HeatMap]],
    norm: Normalize,
    colors: str,
    label: str,
    *,
    ticks: Sequence[float] | None = None,
    below: bool = False,
) -> Figure:
    """Draw rows of panels that share their row names; scorers are side by side while the page is wide enough.

    Columns are named above the first panels, or below the last ones; where the figure is tall, at both ends.
    """
    columns = grid[0][0].cells.shape[1]
    left = text_width(str(name) for row in grid for name in row[0].cells.index) + 0.15
    if (
        len(grid[0]) > 1
        and _cell_width(len(grid[0]) * columns, double() - left - 0.1 * len(grid[0])) < WRITTEN * scale()
    ):
        grid = [[panel._replace(title=f"{panel.title} · {panel.scorer}")] for row in grid for panel in row]
    across = len(grid[0])
    cell = _cell_width(across * columns, double() - left - 0.1 * across)
    heights = [row[0].cells.shape[0] * CELL_HEIGHT for row in grid]
    names = text_width(map(str, grid[0][0].cells.columns))
    width = max(single(), left + across * (columns * cell + 0.1), min(double(), left + text_width([label])))
    both = sum(heights) > 5 and not below
    height = sum(heights) + GAP * len(grid) + (2 if both else 1) * names + BAR + 0.2
    fig = sheet(width, height)
    axes = fig.subplots(len(grid), across, squeeze=False, height_ratios=heights)
    scorers = {panel.scorer for row in grid for panel in row}
    for row, panels in enumerate(grid):
        first, last = row == 0, row == len(grid) - 1
        for column, panel in enumerate(panels):
            ax = axes[row, column]
            texts = number_texts(panel.cells if cell >= WRITTEN * scale() else panel.cells * np.nan)
            mesh = _heat_map(ax, panel, texts, norm, colors)
            if first and not below:
                ax.tick_params(axis="x", pad=13)  # the panel's title is between names and cells
            ax.tick_params(labeltop=first and not below, labelbottom=last and (both or below), labelleft=column == 0)
            title = wrapped(panel.title, width - left) if across == 1 else panel.title if column == 0 else ""
            if first and (across > 1 or len(scorers) == 1):
                title = _name_scorer(ax, panel.scorer, title, below)
            ax.set_title(title, loc="left", y=1.0, pad=3)
    color_bar(fig, mesh, axes.ravel(), wrapped(label, width - left), ticks)
    return fig


def _name_scorer(ax: Axes, scorer: str, title: str, below: bool) -> str:
    """Name a column's scorer above the names of its columns, or in the title, which is returned."""
    if below:
        return "\n".join(filter(None, [scorer, title]))
    ax.set_xlabel(scorer)
    ax.xaxis.set_label_position("top")
    return title


def _cell_width(columns: int, width: float) -> float:
    """Return the width of a cell: narrower than usual where this many cells do not fit the width."""
    return max(LEAST_CELL, min(CELL_WIDTH, width / max(1, columns) / scale())) * scale()


def _heat_map(ax: Axes, panel: HeatMap, texts: np.ndarray, norm: Normalize, colors: str) -> QuadMesh:
    """Draw one panel, with a frame round each marked cell."""
    mesh = heat_map(ax, panel.cells, texts, norm, colors, absent=panel.absent)
    for row, column in zip(*np.nonzero(panel.marked), strict=True):
        ax.add_patch(Rectangle((column + 0.04, row + 0.05), 0.92, 0.9, fill=False, linewidth=0.9, gid="marked"))
    ax.set_title(panel.title)
    return mesh


def _each_once(square: HeatMap) -> HeatMap:
    """Return the lower triangle of a square of models; the upper one has the same values with the opposite sign."""
    cells, marked = square.cells.iloc[1:, :-1], square.marked[1:, :-1]
    above = np.triu(np.ones(cells.shape, bool), 1)
    return square._replace(cells=cells.mask(above), marked=marked & ~above, absent=above)


def _without_pooled(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out the pooled category of prompt sets that have others: its cells would only repeat theirs."""
    others = set(table.loc[table["category"] != POOLED, "prompt_set"])
    return table[(table["category"] != POOLED) | ~table["prompt_set"].isin(others)]


def _pooled_rates(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean match rate, weighted by units, of each row and model; NaN where there is none."""
    known = table[table["match_rate"].notna()]
    weighted = known.assign(weighted=known["match_rate"] * known["n_units"])
    sums = weighted.groupby(["row", "model"])[["weighted", "n_units"]].sum()
    return (sums["weighted"] / sums["n_units"]).unstack()


def _concept_names(concepts: pd.Series, groups: pd.Series) -> pd.Series:
    """Return each concept followed by its group, unless the concept already contains it."""
    names = [
        concept if group.casefold() in concept.casefold() else f"{concept} ({group})"
        for concept, group in zip(concepts.astype(str), groups.astype(str), strict=True)
    ]
    return pd.Series(names, index=concepts.index)


def _groups(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the groups of prompts, and the groups of answers in the same order, ``several`` and ``none`` last."""
    prompts, answers = unique(table["concept_group"]), unique(table["generated_group"])
    ordered = [group for group in prompts if group in answers]
    ordered += [group for group in answers if group not in prompts and group not in NOT_GROUPS]
    return prompts, ordered + [group for group in NOT_GROUPS if group in answers]


def _share_cells(table: pd.DataFrame, groups: tuple[list[str], list[str]]) -> pd.DataFrame:
    """Return shares as prompt group × answer group; a group never written has 0, a prompt group never asked NaN."""
    shares = table.groupby(["concept_group", "generated_group"])["share"].first().unstack()
    return shares.fillna(0.0).reindex(columns=groups[1], fill_value=0.0).reindex(index=groups[0])


def _antisymmetric(rows: pd.DataFrame, models: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    """Return differences, row − column, for both orders of each pair; NaN on the diagonal."""
    place = {model: index for index, model in enumerate(models)}
    values = np.full((len(models), len(models)), np.nan)
    for a, b, difference in zip(rows["model_a"], rows["model_b"], rows["difference"], strict=True):
        values[place[a], place[b]], values[place[b], place[a]] = difference, -difference
    return pd.DataFrame(values, index=list(names), columns=list(names))


def _pairs(rows: pd.DataFrame, models: Sequence[str], flags: pd.Series) -> np.ndarray:
    """Return the flags as a symmetric matrix of models."""
    place = {model: index for index, model in enumerate(models)}
    matrix = np.zeros((len(models), len(models)), bool)
    for a, b, flag in zip(rows["model_a"], rows["model_b"], flags, strict=True):
        matrix[place[a], place[b]] = matrix[place[b], place[a]] = bool(flag)
    return matrix


def _symmetric(values: pd.Series) -> Normalize:
    """Return a scale centred on 0 that holds all values."""
    largest = float(values.abs().max())
    largest = largest if largest > 0 else 1.0  # also when NaN
    return Normalize(-largest, largest)
