"""A figure that is higher than a screen has a shorter form: of less, and it says of how much less.

Lanes and panels are as low as their text can be read, so what does not fit has to be left out. The complete figure is
the PDF, all values are in the tables, and the shorter form is the PNG, which the report shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from leakscope.figures.style import GREY, MAX_HEIGHT, styled, unique, wrapped
from leakscope.files.names import POOLED

Tables = Mapping[str, pd.DataFrame]
NOTE_LINE = 0.14  # inches
LIMIT = MAX_HEIGHT - 3 * NOTE_LINE


class Drawing(NamedTuple):
    """A figure, and the form of it that a screen holds: the same where it is low enough."""

    full: Figure
    short: Figure


class Part(NamedTuple):
    """What a figure may have less of.

    Args:
        name: what it is called.
        columns: those of the tables that name it; none: it is the tables' own names.
        of: value → what it belongs to, which stays or goes as a whole.
        pooled: whether the value that pools all others stays longest; else it goes at once.
    """

    name: str
    columns: tuple[str, ...] = ()
    of: Mapping[str, str] = {}
    pooled: bool = True

    def values(self, tables: Tables, labels: Mapping[str, str]) -> list[str]:
        """Return what there is in the order drawn: as in ``labels``, then as it comes, what pools all at first."""
        found = unique(
            value for table in tables.values() for name in self.columns if name in table for value in table[name]
        )
        found = unique(self.of.get(value, value) for value in (found if self.columns else tables))
        if not self.pooled and len(found) > 1:
            found = [value for value in found if value != POOLED]
        place = {label: number for number, label in enumerate(labels)} | {POOLED: -1}
        return sorted(found, key=lambda value: place.get(value, len(place)))

    def kept(self, tables: Tables, values: Sequence[str]) -> Tables:
        """Return the tables with these values alone; rows that name none stay."""
        if not self.columns:
            return {name: tables[name] for name in values}
        return {name: self._rows(table, values) for name, table in tables.items()}

    def _rows(self, table: pd.DataFrame, values: Sequence[str]) -> pd.DataFrame:
        for column in set(self.columns) & set(table.columns):
            named = table[column].notna()
            belongs = table[column].astype(str).map(lambda value: self.of.get(value, value))
            table = table[~named | belongs.isin(list(values))]
        return table


MODELS = Part("models", ("model",))
CATEGORIES = Part("categories", ("category",))
PROMPT_SETS = Part("prompt sets", ("prompt_set",))


def fitted(
    draw: Callable[[Tables], Figure], tables: Tables, parts: Sequence[Part], labels: Mapping[str, str]
) -> Drawing:
    """Return the figure of these tables and its shorter form.

    Args:
        draw: the function of the figure.
        tables: what it draws.
        parts: what the shorter form may have less of, what matters least first. As much stays as a screen holds, and
            one of each at least.
        labels: model or dictionary → label, in the order drawn.
    """
    full = short = draw(tables)
    if full.get_figheight() <= MAX_HEIGHT:
        return Drawing(full, full)
    notes = []
    for part in parts:
        values = part.values(tables, labels)
        n_kept, short = _most(draw, tables, part, values, short)
        if n_kept < len(values):
            notes.append(f"{n_kept} of {len(values)} {part.name}")
            tables = part.kept(tables, values[:n_kept])
        if short.get_figheight() <= LIMIT:
            break
    return Drawing(full, _with_note(short, notes) if notes else full)


def _most(
    draw: Callable[[Tables], Figure], tables: Tables, part: Part, values: Sequence[str], whole: Figure
) -> tuple[int, Figure]:
    """Return of how many values the figure is low enough, and that figure.

    These are all of them where fewer do not lower it, and one at least.

    Figures grow by about as much with every value, and many of them take long to draw: few tries, of few values. Where
    a row names two values, such as the models of a comparison, two stay.

    Args:
        draw: the function of the figure.
        tables: what it draws.
        part: whose values they are.
        values: in the order in which they stay.
        whole: the figure of all of them.
    """

    @cache
    def drawn(n_kept: int) -> Figure:
        return whole if n_kept == len(values) else draw(part.kept(tables, values[:n_kept]))

    def height_of(n_kept: int) -> float:
        return drawn(n_kept).get_figheight()

    n_kept, least = len(values), max(1, len(part.columns))
    height, lowest = height_of(n_kept), height_of(min(n_kept, least))
    if lowest >= height:
        return n_kept, whole
    while n_kept > least and height > LIMIT:
        share = (LIMIT - lowest) / (height - lowest) if height > lowest else 0.0
        n_kept = min(n_kept - 1, max(least, least + int(share * (n_kept - least))))
        height = height_of(n_kept)
    # Panels in rows: one more may take a place that is empty.
    while height <= LIMIT and n_kept + 1 < len(values) and height_of(n_kept + 1) <= LIMIT:
        n_kept += 1
    return n_kept, drawn(n_kept)


@styled
def _with_note(fig: Figure, notes: Sequence[str]) -> Figure:
    """Say below a figure what it shows of all that there is."""
    text = f"{', '.join(notes)}; the PDF of this figure and its tables have all."
    text = wrapped(text, fig.get_figwidth() - 0.2)
    fig.supxlabel(text, fontsize=7, color=GREY, x=0.01, ha="left")
    fig.set_figheight(fig.get_figheight() + NOTE_LINE * (1 + text.count("\n")))
    return fig
