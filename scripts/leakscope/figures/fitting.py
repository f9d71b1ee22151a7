"""What a page and a screen hold of a figure.

Lanes and panels are as low as their text can be read. A figure that is higher than a page can be has several: each has
some of its rows, with axes and legend. Where a row belongs to no page alone, as in a square of models, one page has the
leading ones. A screen holds less than a page: the PDF has all pages, the tables have all values, and the shorter form
is the PNG, which the report shows. Shorter forms say of how much less they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from leakscope.figures.look import scale
from leakscope.figures.notes import NOTE_LINE, add_note
from leakscope.figures.style import MAX_HEIGHT, PAGE_HEIGHT, PLACEHOLDER, double, unique
from leakscope.files.names import POOLED

Tables = Mapping[str, pd.DataFrame]
Draw = Callable[[Tables], Figure]


class Drawing(NamedTuple):
    """A figure: its pages, and the form of it that a screen holds, which is the one page where that is low enough."""

    pages: tuple[Figure, ...]
    short: Figure


class Room(NamedTuple):
    """What a figure may take, and who has the rest of it.

    Args:
        height: most inches.
        rest: who has what is left out.
    """

    height: float
    rest: str

    def taken(self, fig: Figure) -> float:
        """Return how much of the room a figure takes: more than 1 is too much."""
        # A hundredth of an inch: sums of lengths are not exact.
        return max(fig.get_figheight() / self.height, fig.get_figwidth() / (double() + 0.01))

    def holds(self, fig: Figure) -> bool:
        return self.taken(fig) <= 1


class Part(NamedTuple):
    """What a figure may have less of.

    Args:
        name: what it is called.
        columns: those of the tables that name it; none: it is the tables' own names. A row that names two of them,
            such as models that are compared, is on no page of either alone.
        of: value → what it belongs to, which stays or goes as a whole.
        pooled: whether the value that pools all others stays longest; else it goes at once.
    """

    name: str
    columns: tuple[str, ...] = ()
    of: Mapping[str, str] = {}
    pooled: bool = True

    @property
    def is_paged(self) -> bool:
        return len(self.columns) < 2

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


def fitted(draw: Draw, tables: Tables, parts: Sequence[Part], labels: Mapping[str, str]) -> Drawing:
    """Return the figure of these tables, as pages, and its shorter form.

    Args:
        draw: the function of the figure.
        tables: what it draws.
        parts: what the shorter form may have less of, what matters least first; what is the last to share a page. As
            much stays as a screen, or a page, holds, and one of each at least.
        labels: model or dictionary → label, in the order drawn.
    """

    def scaled(some: Tables) -> Figure:
        """Draw a figure, as much higher as its text is."""
        fig = draw(some)
        if fig.get_label() != PLACEHOLDER:
            fig.set_figheight(fig.get_figheight() * scale())
        return fig

    whole = scaled(tables)
    line = NOTE_LINE * scale()
    screen = Room(MAX_HEIGHT - 3 * line, "the PDF of this figure and its tables have all.")
    page = Room(PAGE_HEIGHT - 2 * line, "the tables of this figure have all.")
    if Room(MAX_HEIGHT, "").holds(whole):
        return Drawing((whole,), whole)
    short = _leading(scaled, tables, parts, labels, whole, screen)
    pages = list(_pages(scaled, tables, parts, labels, whole, page))
    pages = [fig for fig in pages if fig.get_label() != PLACEHOLDER] or pages[:1]
    for number, fig in enumerate(pages, start=1):
        if len(pages) > 1:
            add_note(fig, f"Page {number} of {len(pages)}.")
    return Drawing(tuple(pages), short)


def _leading(
    draw: Draw, tables: Tables, parts: Sequence[Part], labels: Mapping[str, str], whole: Figure, room: Room
) -> Figure:
    """Return the figure of as much as there is room for; it says of how much."""
    short, notes = whole, []
    for part in parts:
        values = part.values(tables, labels)
        n_kept, short = _most(draw, tables, part, values, short, room)
        if n_kept < len(values):
            notes.append(f"{n_kept} of {len(values)} {part.name}")
            tables = part.kept(tables, values[:n_kept])
        if room.holds(short):
            break
    return add_note(short, f"{', '.join(notes)}; {room.rest}") if notes else whole


def _pages(
    draw: Draw, tables: Tables, parts: Sequence[Part], labels: Mapping[str, str], whole: Figure, room: Room
) -> Iterator[Figure]:
    """Yield pages that together have all: on each, as many values of the first part as there is room for."""
    if room.holds(whole):
        yield whole
        return
    paged = [part for part in parts if part.is_paged]
    if not paged:
        yield _leading(draw, tables, parts, labels, whole, room)
        return
    part, rest = paged[0], [other for other in parts if other is not paged[0]]
    left = part.values(tables, labels)
    if len(left) < 2:
        yield from _pages(draw, tables, rest, labels, whole, room)
        return
    n_kept, fig = _most(draw, tables, part, left, whole, room)
    while left:
        here, left = left[:n_kept], left[n_kept:]
        yield from _pages(draw, part.kept(tables, here), rest, labels, fig, room)
        if left:
            n_kept, fig = _next(draw, tables, part, left, n_kept, room)


def _next(
    draw: Draw, tables: Tables, part: Part, values: Sequence[str], n_before: int, room: Room
) -> tuple[int, Figure]:
    """Return how many of these values the next page has, about as many as the one before it, and that page."""
    n_kept = min(n_before, len(values))
    fig = draw(part.kept(tables, values[:n_kept]))
    while not room.holds(fig) and n_kept > 1:
        n_kept = max(1, min(n_kept - 1, int(n_kept / room.taken(fig))))
        fig = draw(part.kept(tables, values[:n_kept]))
    # Panels in rows: one more may take a place that is empty.
    while room.holds(fig) and n_kept < len(values):
        more = draw(part.kept(tables, values[: n_kept + 1]))
        if not room.holds(more):
            break
        n_kept, fig = n_kept + 1, more
    return n_kept, fig


def _most(
    draw: Draw, tables: Tables, part: Part, values: Sequence[str], whole: Figure, room: Room
) -> tuple[int, Figure]:
    """Return for how many values of the figure there is room, and that figure.

    These are all of them where fewer take as much, and one at least.

    Figures grow by about as much with every value, and many of them take long to draw: few tries, of few values. Where
    a row names two values, such as the models of a comparison, two stay.

    Args:
        draw: the function of the figure.
        tables: what it draws.
        part: whose values they are.
        values: in the order in which they stay.
        whole: the figure of all of them.
        room: what it may take.
    """

    @cache
    def drawn(n_kept: int) -> Figure:
        return whole if n_kept == len(values) else draw(part.kept(tables, values[:n_kept]))

    def taken(n_kept: int) -> float:
        return room.taken(drawn(n_kept))

    n_kept, least = len(values), max(1, len(part.columns))
    most, lowest = taken(n_kept), taken(min(n_kept, least))
    if lowest >= most:
        return n_kept, whole
    while n_kept > least and most > 1:
        share = (1 - lowest) / (most - lowest) if most > lowest else 0.0
        n_kept = min(n_kept - 1, max(least, least + int(share * (n_kept - least))))
        most = taken(n_kept)
    # Panels in rows: one more may take a place that is empty.
    while most <= 1 and n_kept + 1 < len(values) and taken(n_kept + 1) <= 1:
        n_kept += 1
    return n_kept, drawn(n_kept)
