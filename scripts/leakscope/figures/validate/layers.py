"""Figures of the logit lens: log-odds of generator and validator by layer, and the prediction of each layer."""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from leakscope.figures.fonts import drawable
from leakscope.figures.lanes import rows_of
from leakscope.figures.legends import add_legend, plain_handle
from leakscope.figures.look import scale
from leakscope.figures.maps import color_bar, heat_map
from leakscope.figures.panels import multiples
from leakscope.figures.sheets import sheet
from leakscope.figures.style import GREY, NO_LEAKAGE_LINE, Labels, double, no_data, styled
from leakscope.figures.validate.sides import BOTH, NEGATIVE, POSITIVE, model_panels

SIDES = {"positive": POSITIVE, "negative": NEGATIVE}
SUBSETS = {"all": BOTH, **SIDES}
SPEAKERS = {"l_g": ("l_G", "-"), "l_v": ("l_V", (0, (3, 1.2)))}
SETTLED = {"layer_generator": ("^", GREY), "layer_validator": ("^", "white")}
PROMPTS = {"generator": "generator prompt", "validator": "validator prompt"}
VISIBLE = {" ": "␣", "\n": "↵", "\t": "→"}
MOST_LINES = 14  # layers whose tokens are written; of twice as many colors are shown
CELL_HEIGHT = 0.155  # inches, of a layer whose tokens are written
CELL_CHARACTER = 0.058  # inches, a character of the 6 pt font, a wide one


@styled
def log_odds_by_layer(layers: pd.DataFrame, parting: pd.DataFrame, *, labels: Labels) -> Figure:
    """Draw mean log-odds of positives and negatives by layer (above), and their Pearson correlation (below).

    A line marks the layer where generator and validator part; triangles mark the layers where their ROC-AUC settles.

    Args:
        layers: ``layers.csv``.
        parting: ``parting.csv``.
        labels: model → label, in the order drawn.
    """
    if layers.empty or layers[[*SPEAKERS]].isna().all(axis=None):
        return no_data("no log-odds by layer")
    panels = model_panels(layers, labels)
    drawn = multiples([panel.title for panel in panels], [1.2, 0.55], 3 if len(panels) > 4 else None)
    for index, panel in enumerate(panels):
        rows = rows_of(layers, task=panel.task, model=panel.model).sort_values("layer")
        upper, lower = drawn.axes[index]
        _mean_log_odds(upper, rows)
        _pearson_by_layer(lower, rows)
        for _, row in rows_of(parting, task=panel.task, model=panel.model).iterrows():
            _mark_layers(upper, lower, row)
        if drawn.is_left(index):
            upper.set_ylabel("mean log-odds\n(nats)")
            lower.set_ylabel("Pearson's r")
        lower.set_xlabel("layer" if drawn.is_lowest(index) else "")
    drawn.fig.align_ylabels()
    handles = [
        plain_handle(f"{name}, {subset}", color=color, linestyle=line)
        for name, line in SPEAKERS.values()
        for subset, color in SIDES.items()
    ]
    handles += [
        plain_handle("r of all items", color=BOTH),
        plain_handle("layer of parting", linestyle=NO_LEAKAGE_LINE),
        plain_handle("AUC of l_G settled", marker="^", linestyle="none"),
        plain_handle("AUC of l_V settled", marker="^", linestyle="none", markerfacecolor="white"),
    ]
    return add_legend(drawn.fig, handles)


@styled
def lens_heatmap(table: pd.DataFrame, *, title: str) -> Figure:
    """Draw the most probable next token at the last positions of an item's two prompts, by layer; color: probability.

    Args:
        table: ``kind, layer, position, token, top, probability``, of one item.
        title: the model's label.
    """
    maps = [(f"{title}: {name}", table[table["kind"] == kind]) for kind, name in PROMPTS.items()]
    maps = [(name, rows) for name, rows in maps if len(rows)]
    if not maps:
        return no_data("no layer was looked into")
    heights = [CELL_HEIGHT * min(MOST_LINES, rows["layer"].nunique()) for _, rows in maps]
    fig = sheet(double(), sum(heights) + 0.55 * len(maps) + 0.7)
    axes = fig.subplots(len(maps), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, (name, rows) in zip(axes, maps, strict=True):
        mesh = _lens(ax, rows)
        ax.set_title(name)
    axes[-1].set_xlabel("last tokens of the prompt")
    color_bar(fig, mesh, axes, "probability of the token written", [0, 0.25, 0.5, 0.75, 1])
    return fig


def visible(token: str, most: int) -> str:
    """Return a token in at most so many characters, white space as signs, and as \\u… what no font has."""
    text = "".join(VISIBLE.get(character, character) for character in token)
    text = "".join(character if _is_drawn(character) else _escaped(character) for character in text)
    return text if len(text) <= most else text[: max(1, most - 1)] + "…"


def _mean_log_odds(ax: Axes, rows: pd.DataFrame) -> None:
    ax.axhline(0, color=GREY, linewidth=0.6, zorder=1)
    for subset, color in SIDES.items():
        mine = rows[rows["subset"] == subset]
        for column, (_, line) in SPEAKERS.items():
            ax.plot(mine["layer"], mine[column], color=color, linestyle=line, gid=f"{column}:{subset}")
    ax.grid(axis="y")


def _pearson_by_layer(ax: Axes, rows: pd.DataFrame) -> None:
    ax.axhline(0, color=GREY, linewidth=0.6, zorder=1)
    for subset, color in SUBSETS.items():
        mine = rows[rows["subset"] == subset]
        width = 1.2 if subset == "all" else 0.7
        ax.plot(mine["layer"], mine["pearson"], color=color, linewidth=width, gid=f"pearson:{subset}")
    ax.set_ylim(min(-0.1, 1.1 * rows["pearson"].min()) if rows["pearson"].notna().any() else -0.1, 1.05)
    ax.set_yticks([tick for tick in (-1, -0.5, 0, 0.5, 1) if tick >= ax.get_ylim()[0]])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.grid(axis="y")


def _mark_layers(upper: Axes, lower: Axes, row: pd.Series) -> None:
    """Mark the parting layer in both panels, and the layers where each AUC settles at the bottom of the upper panel."""
    if not pd.isna(row["layer_parting"]):
        for ax in (upper, lower):
            ax.axvline(row["layer_parting"], color=GREY, linewidth=0.9, linestyle=NO_LEAKAGE_LINE, gid="parting")
    for column, (marker, face) in SETTLED.items():
        if not pd.isna(row[column]):
            upper.plot(
                row[column], 0.0, transform=upper.get_xaxis_transform(), marker=marker, color=GREY, clip_on=False,
                markerfacecolor=face, markersize=4.5, markeredgewidth=0.7, gid=column, zorder=5,
            )  # fmt: skip


def _lens(ax: Axes, rows: pd.DataFrame) -> QuadMesh:
    """Draw one prompt's map, the last layer on top; with many layers, only some are shown or labelled with tokens."""
    layers = sorted(set(rows["layer"]), reverse=True)
    layers = layers[:: -(-len(layers) // (2 * MOST_LINES))]
    probabilities, tops = (
        rows.pivot(index="layer", columns="position", values=name).reindex(layers) for name in ("probability", "top")
    )
    step = -(-len(layers) // MOST_LINES)
    most = int((double() - 0.6) / tops.shape[1] / CELL_CHARACTER)
    texts = tops.map(lambda token: "" if pd.isna(token) else visible(token, most)).to_numpy(object)
    texts[[place for place in range(len(layers)) if place % step]] = ""
    mesh = heat_map(ax, probabilities, texts, Normalize(0, 1), "cividis", fontsize=6, linewidth=0.4 if step == 1 else 0)
    stands = rows.drop_duplicates("position").set_index("position")["token"].reindex(tops.columns)
    ax.set_xticks(np.arange(len(stands)) + 0.5, [visible(token, most) for token in stands], rotation=0)
    ax.tick_params(axis="x", labelsize=6 * scale())
    ax.set_yticks(np.arange(0, len(layers), step) + 0.5, [f"{layer}" for layer in layers[::step]])
    ax.set_ylabel("layer")
    return mesh


def _is_drawn(character: str) -> bool:
    return ord(character) in drawable() and unicodedata.category(character)[0] not in "CMZ"


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}"
