"""Notes below a figure: missing parts and the reason."""

from __future__ import annotations

from matplotlib.figure import Figure

from leakscope.figures.look import scale
from leakscope.figures.style import GREY, styled, wrapped

NOTE_LINE = 0.14  # inches, of a font of 7 points


@styled
def add_note(fig: Figure, text: str) -> Figure:
    """Add a note below a figure, after existing notes, and enlarge the figure for it; an empty text adds nothing."""
    before = fig.get_supxlabel()
    if not text.strip():
        return fig
    text = wrapped(" ".join([*before.split(), *text.split()]), fig.get_figwidth() - 0.2)
    fig.supxlabel(text, fontsize=7 * scale(), color=GREY, x=0.01, ha="left")
    n_lines = len(text.splitlines()) - len(before.splitlines())
    fig.set_figheight(fig.get_figheight() + NOTE_LINE * scale() * n_lines)
    return fig
