"""Heat maps: colored cells, with a number or word where there is room, and the color bar below them.

Cells without a value are grey and hatched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from leakscope.figures.fonts import main_family
from leakscope.figures.look import scale

NUMBER = re.compile(r"[−\d.]+")
EQUAL_CONTRAST = 0.18  # relative luminance at which black and white have equal contrast


def heat_map(
    ax: Axes,
    cells: pd.DataFrame,
    texts: np.ndarray,
    norm: Normalize,
    colors: str,
    *,
    fontsize: float = 7,
    linewidth: float = 0.4,
    absent: np.ndarray | None = None,
) -> QuadMesh:
    """Draw cells, the first row on top, each with its text; name rows and columns as the table does.

    Args:
        ax: where.
        cells: rows × columns; NaN: no value.
        texts: text of each cell, of the same shape.
        norm: value → place in the color map.
        colors: name of the color map.
        fontsize: of the texts, points, relative to a font of 7.
        linewidth: of the white lines between cells, points.
        absent: cells that do not exist and stay white.
    """
    values = cells.to_numpy(float)
    absent = np.zeros(values.shape, bool) if absent is None else absent
    ax.set_facecolor("#dddddd")
    if (np.isnan(values) & ~absent).any():
        ax.add_patch(
            Rectangle(
                (0, 0), 1, 1, transform=ax.transAxes, facecolor="none", edgecolor="#aaaaaa", hatch="////", linewidth=0
            )
        )
    mesh = ax.pcolormesh(np.ma.masked_invalid(values), norm=norm, cmap=colors, edgecolors="white", linewidth=linewidth)
    if absent.any():
        ax.pcolormesh(np.ma.masked_array(absent, ~absent), cmap=ListedColormap(["white"]), edgecolors="white")
    inks = _inks(mesh.to_rgba(np.ma.masked_invalid(values)))
    for row, column in zip(*np.nonzero(~np.isnan(values) & (texts != "")), strict=True):
        text = str(texts[row, column])
        # Numbers need no other fonts and reach beyond no axes: looked at again and again, they took half of the time.
        plain: dict[str, Any] = {"family": main_family(), "in_layout": False} if NUMBER.fullmatch(text) else {}
        ax.text(
            column + 0.5,
            row + 0.5,
            text,
            ha="center",
            va="center",
            color=inks[row, column],
            fontsize=fontsize * scale(),
            **plain,
        )
    ax.set_yticks(np.arange(values.shape[0]) + 0.5, [str(name) for name in cells.index])
    ax.set_xticks(np.arange(values.shape[1]) + 0.5, [str(name) for name in cells.columns], rotation=90)
    ax.tick_params(length=0)
    ax.set(xlim=(0, values.shape[1]), ylim=(values.shape[0], 0))
    ax.spines[:].set_visible(False)
    return mesh


def color_bar(
    fig: Figure, mesh: ScalarMappable, axes: Iterable[Axes], label: str, ticks: Sequence[float] | None = None
) -> None:
    """Put a color bar below the panels."""
    shrink = min(1.0, 3.0 / fig.get_figwidth())
    bar = fig.colorbar(
        mesh, ax=list(axes), location="bottom", shrink=shrink, aspect=30, pad=0.01, label=label, ticks=ticks
    )
    bar.outline.set_visible(False)


def number_texts(cells: pd.DataFrame) -> np.ndarray:
    """Return the values as whole numbers, empty where there is none."""
    numbers = cells.map(lambda value: "" if pd.isna(value) else f"{value:.0f}".replace("-0", "0").replace("-", "−"))
    return numbers.to_numpy(object)


def _inks(colors: np.ndarray) -> np.ndarray:
    """Return black or white for each color (last axis: RGBA, 0 to 1), whichever has more contrast.

    By the relative luminance of the Web Content Accessibility Guidelines 2.
    """
    rgb = colors[..., :3]
    linear = np.where(rgb <= 0.03928, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.where(linear @ [0.2126, 0.7152, 0.0722] > EQUAL_CONTRAST, "black", "white")
