"""What a page and a screen hold of a figure.

Lanes and panels are as low as their text can be read. A figure that is higher than a page can be has several: each has
some of its rows, with axes and legend. Where a row belongs to no page alone, as in a square of models, one page has the
leading ones. A screen holds less than a page: the PDF has all pages, the tables have all values, and the shorter form
is the PNG, which the report shows. Shorter forms say of how much less they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from leakscope.figures.look import scale
from leakscope.figures.notes import NOTE_LINE, add_note
from leakscope.figures.sheets import Size, size_alone, size_of
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

    def taken(self, size: Size) -> float:
        """Return how much of the room a figure of a size takes: more than 1 is too much."""
        width, height = size
        # A hundredth of an inch: sums of lengths are not exact.
        return max(height / self.height, width / (double() + 0.01))

    def holds(self, size: Size) -> bool:
        return self.taken(size) <= 1


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
SCORERS = Part("scorers", ("scorer",))


class Some:
    """Tables, or some of their values, and the figure of these, which is drawn only where it is shown."""

    def __init__(self, draw: Draw, tables: Tables, whole: Some | None = None) -> None:
        self._draw, self.tables, self._whole = draw, tables, whole or self
        # Inches that legends and notes add to a figure of these tables, as far as is known.
        self._more = 0.0

    @cached_property
    def fig(self) -> Figure:
        """The figure, drawn once."""
        fig = self.again()
        self._whole._more = max(self._whole._more, size_of(fig)[1] - self.bare[1])
        return fig

    def again(self) -> Figure:
        """Return the figure drawn anew, as much higher as its text is."""
        fig = self._draw(self.tables)
        if fig.get_label() != PLACEHOLDER:
            fig.set_figheight(fig.get_figheight() * scale())
        return fig

    @cached_property
    def bare(self) -> Size:
        """The size of the figure without legends and notes."""
        width, height = size_alone(lambda: self._draw(self.tables))
        return width, height * scale()

    @property
    def size(self) -> Size:
        """About the size of the figure, as far as is known before it is drawn."""
        return self.bare[0], self.bare[1] + self._whole._more

    def fits(self, room: Room) -> bool:
        """Say whether there is room for the figure: where it seems so, it is drawn."""
        return room.holds(self.size) and room.holds(size_of(self.fig))

    def less(self, part: Part, values: Sequence[str]) -> Some:
        """Return what there is of these values of a part."""
        return Some(self._draw, part.kept(self.tables, values), self._whole)


def fitted(draw: Draw, tables: Tables, parts: Sequence[Part], labels: Mapping[str, str], said: str = "") -> Drawing:
    """Return the figure of these tables, as pages, and its shorter form.

    Args:
        draw: the function of the figure.
        tables: what it draws.
        parts: what the shorter form may have less of, what matters least first; what is the last to share a page. As
            much stays as a screen, or a page, holds, and one of each at least.
        labels: model or dictionary → label, in the order drawn.
        said: what stands below each page and the shorter form.
    """
    whole = Some(draw, tables)
    lines = NOTE_LINE * scale() * (5 if said else 3)
    if whole.fits(Room(MAX_HEIGHT - (lines if said else 0), "")):
        add_note(whole.fig, said)
        return Drawing((whole.fig,), whole.fig)
    screen = Room(MAX_HEIGHT - lines, "the PDF of this figure and its tables have all.")
    page = Room(PAGE_HEIGHT - lines, "the tables of this figure have all.")
    short, note = _leading(whole, parts, labels, screen)
    pages = list(_pages(whole, parts, labels, page))
    pages = [(some, said) for some, said in pages if some.fig.get_label() != PLACEHOLDER] or pages[:1]
    numbers = [f"Page {n} of {len(pages)}." if len(pages) > 1 else "" for n, _ in enumerate(pages, start=1)]
    figs = tuple(
        add_note(some.fig, f"{left_out} {number} {said}")
        for (some, left_out), number in zip(pages, numbers, strict=True)
    )
    # A page may show just what a screen holds, but says something else.
    if note and short.fig in figs:
        return Drawing(figs, add_note(short.again(), f"{note} {said}"))
    return Drawing(figs, short.fig if short.fig in figs else add_note(short.fig, f"{note} {said}"))


def _leading(whole: Some, parts: Sequence[Part], labels: Mapping[str, str], room: Room) -> tuple[Some, str]:
    """Return as much as there is room for, and what to say of how much that is."""
    short, notes = whole, []
    for part in parts:
        values = part.values(short.tables, labels)
        n_kept, some = _most(short, part, values, room)
        if n_kept < len(values):
            one = f" ({_name(values[0], labels)})" if n_kept == 1 and values[0] != POOLED else ""
            notes.append(f"{n_kept} of {len(values)} {part.name}{one}")
            short = some
        if short.fits(room):
            break
    return short, f"Shown: {', '.join(notes)}; {room.rest}" if notes else ""


def _pages(
    whole: Some, parts: Sequence[Part], labels: Mapping[str, str], room: Room, said: str = ""
) -> Iterator[tuple[Some, str]]:
    """Yield pages that together have all, and what to say of each: as many values of the first part as fit.

    Where there is one value alone, panels need not tell it from others: the page says which.
    """
    if whole.fits(room):
        yield whole, said
        return
    part = next((part for part in parts if _lowers(whole, part, labels, room)), None)
    if part is None:
        some, left_out = _leading(whole, parts, labels, room)
        yield some, f"{said} {left_out}"
        return
    rest = [other for other in parts if other is not part]
    left = part.values(whole.tables, labels)
    while left:
        n_kept, some = _most(whole, part, left, room)
        which = f"{said} {part.name.capitalize()}: {_name(left[0], labels)}." if n_kept == 1 else said
        yield from _pages(some, rest, labels, room, which)
        left = left[n_kept:]
        whole = whole.less(part, left)


def _name(value: str, labels: Mapping[str, str]) -> str:
    return "all" if value == POOLED else labels.get(value, value)


def _lowers(whole: Some, part: Part, labels: Mapping[str, str], room: Room) -> bool:
    """Say whether a page can have less of a part, and takes less room with one value of it."""
    values = part.values(whole.tables, labels)
    one_alone = part.is_paged and len(values) > 1
    return one_alone and room.taken(whole.less(part, values[:1]).size) < room.taken(whole.size)


def _most(whole: Some, part: Part, values: Sequence[str], room: Room) -> tuple[int, Some]:
    """Return for how many values of a part there is room, and what there is of them.

    For all of them where fewer take as much, and for one at least; where a row names two values, such as the models of
    a comparison, for two. Figures grow by about as much with every value: few tries.
    """

    @cache
    def some(n_kept: int) -> Some:
        return whole if n_kept == len(values) else whole.less(part, values[:n_kept])

    def taken(n_kept: int) -> float:
        return room.taken(some(n_kept).size)

    n_kept, least = len(values), min(len(values), max(1, len(part.columns)))
    if taken(least) >= taken(n_kept):
        return n_kept, whole
    while n_kept > least and taken(n_kept) > 1:
        share = (1 - taken(least)) / (taken(n_kept) - taken(least)) if taken(n_kept) > taken(least) else 0.0
        n_kept = min(n_kept - 1, max(least, least + int(share * (n_kept - least))))
    # Panels in rows: one more may take a place that is empty.
    while n_kept + 1 < len(values) and taken(n_kept + 1) <= 1:
        n_kept += 1
    while n_kept > least and not some(n_kept).fits(room):
        n_kept -= 1
    return n_kept, some(n_kept)
