"""Shared by all figures: the look, the order of models and categories, reference lines, saving.

Figures are plain ``matplotlib.figure.Figure`` objects: pyplot keeps every figure alive, and its state is global.
"""

from __future__ import annotations

import functools
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf, PdfPages
from matplotlib.figure import Figure

from leakscope.figures.fonts import families, families_of, one_line_of_missing_letters
from leakscope.figures.look import look, scale, style_settings
from leakscope.files.names import POOLED
from leakscope.files.writing import replacing

P = ParamSpec("P")
PLACEHOLDER = "placeholder"  # label of a figure that replaces another
Labels = Mapping[str, str]  # model, or whatever else a figure names → what it is called

CHARACTER = 0.058  # inches, a character of the 7 pt font on average
PAGE_HEIGHT = 9.0  # inches of a page that a figure may take
NO_LEAKAGE = 50.0  # percent: rate of a model whose text does not depend on the concept
NO_LEAKAGE_LINE = (0, (4, 2))  # dashes
# Height in pixels of a picture in Snakemake's report, in a browser window of 1280 × 800. The top of a taller picture
# cannot be scrolled to.
PNG_HEIGHT = 632
PNG_DPI, LEAST_DPI = 200, 96  # most and least; at 96, a browser's inch, text is as large as in print
MAX_HEIGHT = PNG_HEIGHT / LEAST_DPI  # inches

# seaborn's "colorblind" (blue, orange, green, red, pink, sky) without its palest hues, and black and brown; each color
# has its own marker and line style, so that series never differ only in color.
COLORS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#000000", "#56b4e9", "#8a5a2b")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 1)))
GREY, PALE = "#666666", "#f2f2f2"

# In points, of a font of 7 points.
SIZES = {
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "figure.titlesize": 8,
}
STYLE = {
    "axes.prop_cycle": f"cycler(color={COLORS})",
    "axes.titlelocation": "left",
    "axes.titlepad": 4.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e0e0e0",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.columnspacing": 1.4,
    "axes.unicode_minus": True,
}
# Whatever the style of a study says.
KEPT = {
    "pdf.fonttype": 42,  # TrueType: text in the PDF stays text
    "text.parse_math": False,  # labels, concepts and tokens are plain text: a $ is a $
    "text.usetex": False,
}


class Series(NamedTuple):
    """How one series looks: color, marker and line style."""

    color: str
    marker: str
    line: str | tuple[int, tuple[int, ...]]

    @property
    def curve(self) -> dict[str, Any]:
        """Arguments of ``plot`` for a curve."""
        return {"color": self.color, "marker": self.marker, "linestyle": self.line}

    @property
    def dots(self) -> dict[str, Any]:
        """Arguments of ``plot`` for markers only."""
        return {"color": self.color, "marker": self.marker, "linestyle": "none"}


def style() -> AbstractContextManager[None]:
    """Return the context for drawing and saving a figure; matplotlib's global settings are restored afterwards."""
    return matplotlib.rc_context(_settings(families()))


def _settings(fonts: Iterable[str]) -> dict[Any, Any]:
    """Return matplotlib's settings: leakscope's, overridden by the study's style, overridden by the font."""
    own = look().style
    sizes = {name: size * scale() for name, size in SIZES.items()}
    return {**STYLE, **(style_settings(own) if own else {}), **KEPT, **sizes, "font.family": list(fonts)}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorate a function to draw in leakscope's style without changing matplotlib's global settings."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        # Every text is looked up in every font that it may need, again and again: most figures need one.
        with matplotlib.rc_context(_settings(families_of([*args, *kwargs.values()]))):
            return draw(*args, **kwargs)

    return wrapper


def save_figure(
    pages: Figure | Sequence[Figure], pdf_path: str | Path, png_path: str | Path, short: Figure | None = None
) -> None:
    """Write a figure as PDF and as PNG, each whole or not at all, the same bytes for the same figure.

    The PNG has 200 dpi, or fewer so that the report shows its whole height.

    Args:
        pages: the figure, or its pages.
        pdf_path: of the PDF.
        png_path: of the PNG.
        short: what the PNG shows; the first page if None.
    """
    pages = [pages] if isinstance(pages, Figure) else pages
    short = short or pages[0]
    dpi = min(PNG_DPI, PNG_HEIGHT / short.get_figheight())
    with style(), one_line_of_missing_letters(Path(pdf_path).name):
        # Not savefig(): it draws a figure twice, at first only to lay it out, which drawing does anyway.
        with replacing(Path(pdf_path)) as part, PdfPages(part, metadata={"CreationDate": None}) as document:
            for page in pages:
                FigureCanvasPdf(page).print_pdf(document)  # type: ignore[no-untyped-call]
        short.set_dpi(dpi)
        with replacing(Path(png_path)) as part:
            FigureCanvasAgg(short).print_png(part)  # type: ignore[no-untyped-call]


@styled
def no_data(why: str) -> Figure:
    """Return a placeholder for a figure without data: ``no data:`` and the reason."""
    return placeholder(f"no data: {why}")


@styled
def placeholder(text: str) -> Figure:
    """Return a figure that consists of a sentence."""
    fig = Figure(figsize=(single(), 1.0), layout="constrained")
    fig.set_label(PLACEHOLDER)
    fig.text(0.5, 0.5, textwrap.fill(text, 50), ha="center", va="center", color=GREY)
    return fig


def series(index: int) -> Series:
    """Return the look of the series at ``index``; colors repeat with other markers and lines."""
    colors = matplotlib.rcParams["axes.prop_cycle"].by_key().get("color", COLORS)
    shift = index // len(colors)
    return Series(
        colors[index % len(colors)],
        MARKERS[(index + shift) % len(MARKERS)],
        LINES[(index + shift) % len(LINES)],
    )


def model_order(table: pd.DataFrame, labels: Mapping[str, str] | None) -> list[str]:
    """Return the table's models: first the models in ``labels``, in its order, then the others in table order."""
    found = unique(table["model"])
    named = [model for model in labels or {} if model in found]
    return named + [model for model in found if model not in named]


def category_order(table: pd.DataFrame) -> list[str]:
    """Return the table's categories in table order, the pooled category first."""
    found = unique(table["category"])
    return sorted(found, key=lambda category: category != POOLED)


def unique(values: Iterable[object]) -> list[str]:
    """Return the distinct values in order of first appearance, missing ones left out."""
    return list(dict.fromkeys(str(value) for value in values if not pd.isna(value)))  # type: ignore[call-overload]


def label_of(model: str, labels: Mapping[str, str] | None) -> str:
    """Return a model's label, or its name if it has none."""
    return (labels or {}).get(model, model)


def page_width(inches: float) -> float:
    """Return the width of a figure that needs this many inches: at least one column of a page, at most two."""
    return max(single(), min(double(), inches))


def single() -> float:
    """Return the width in inches of one column of a page."""
    return look().single


def double() -> float:
    """Return the width in inches of two columns of a page, the maximum for a figure."""
    return look().double


def character() -> float:
    """Return the width in inches of a character of the font, on average."""
    return CHARACTER * scale()


def wrapped(text: str, inches: float) -> str:
    """Break a text into lines of at most this many inches, also inside longer words."""
    # A text of wide letters has room for half as many of them.
    share = len(text) / max(1, _n_columns(text))
    return "\n".join(textwrap.wrap(text, max(8, int(share * inches / character())))) or text


def text_width(texts: Iterable[str]) -> float:
    """Return the width in inches of the widest text (of the widest line, where it is broken)."""
    return max((_n_columns(line) for text in texts for line in text.splitlines()), default=0) * character()


def _n_columns(text: str) -> int:
    """Return the width of a text in Latin letters; a Chinese, Japanese or Korean letter is as wide as two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def mark_vertical(ax: Axes, value: float, name: str | None) -> None:
    """Draw the reference line at ``x = value``, its name above the axes."""
    ax.axvline(value, color=GREY, linewidth=0.8, linestyle=NO_LEAKAGE_LINE, zorder=1, gid="reference")
    if name:
        ax.annotate(
            name, (value, 1), xycoords=("data", "axes fraction"), xytext=(0, 1.5), textcoords="offset points",
            ha="center", va="bottom", color=GREY,
        )  # fmt: skip


def mark_horizontal(ax: Axes, value: float, name: str | None) -> None:
    """Draw the reference line at ``y = value``, its name under the line's right end."""
    ax.axhline(value, color=GREY, linewidth=0.8, linestyle=NO_LEAKAGE_LINE, zorder=1, gid="reference")
    if name:
        ax.annotate(
            name, (1, value), xycoords=("axes fraction", "data"), xytext=(-1, -1.5), textcoords="offset points",
            ha="right", va="top", color=GREY,
        )  # fmt: skip


def rate_limits(*values: pd.Series) -> tuple[float, float]:
    """Return the limits of an axis of rates: 50 and all values with some room, never much more than 0 to 100."""
    lowest = min([NO_LEAKAGE, *(float(column.min()) for column in values if column.notna().any())])
    return max(-2.0, lowest - 8), 102.0
