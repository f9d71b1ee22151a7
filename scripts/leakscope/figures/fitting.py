"""Fitting figures to a page and a screen.

Lanes and panels are as low as legible text allows. A figure taller than a page has several pages, each with some of
its rows, axes and legend. Where rows cannot be divided into pages, as in a square of models, one page shows the leading
models. A screen is shorter than a page: the PDF has all pages, the tables have all values, and the PNG, which the
report shows, is a short form. Short forms state what they leave out.
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
    """A figure: its pages and its short form for a screen, which is the page itself if that is short enough."""

    pages: tuple[Figure, ...]
    short: Figure


class Room(NamedTuple):
    """Room for a figure, and where to find its other parts.

    Args:
        height: maximum, inches.
        rest: sentence that says where the other parts are.
    """

    height: float
    rest: str

    def taken(self, size: Size) -> float:
        """Return the share of the room that a figure of a size takes; above 1 it does not fit."""
        width, height = size
        # A hundredth of an inch: sums of lengths are not exact.
        return max(height / self.height, width / (double() + 0.01))

    def holds(self, size: Size) -> bool:
        return self.taken(size) <= 1


class Part(NamedTuple):
    """A part of a figure that can be reduced.

    Args:
        name: of the part.
        columns: columns of the tables with the part's values; none: the tables' names are the values. A row with two
            values, such as a comparison of models, cannot be divided into pages.
        of: value → group that is kept or left out as a whole.
        pooled: whether the value that pools all others is kept longest; otherwise it is left out first.
    """

    name: str
    columns: tuple[str, ...] = ()
    of: Mapping[str, str] = {}
    pooled: bool = True

    @property
    def is_paged(self) -> bool:
        return len(self.columns) < 2

    def values(self, tables: Tables, labels: Mapping[str, str]) -> list[str]:
        """Return the values in the order drawn: pooled first, then as in ``labels``, then as in the tables."""
        found = unique(
            value for table in tables.values() for name in self.columns if name in table for value in table[name]
        )
        found = unique(self.of.get(value, value) for value in (found if self.columns else tables))
        if not self.pooled and len(found) > 1:
            found = [value for value in found if value != POOLED]
        place = {label: number for number, label in enumerate(labels)} | {POOLED: -1}
        return sorted(found, key=lambda value: place.get(value, len(place)))

    def kept(self, tables: Tables, values: Sequence[str]) -> Tables:
        """Return the tables with only these values; rows without a value are kept."""
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
    """Tables, or some of their values, and their figure, which is drawn only when needed."""

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
        """Return the figure drawn anew, with its height scaled like its text."""
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
        """Estimated size of the figure before it is drawn."""
        return self.bare[0], self.bare[1] + self._whole._more

    def fits(self, room: Room) -> bool:
        """Return whether the figure fits; it is drawn to check if its estimated size fits."""
        return room.holds(self.size) and room.holds(size_of(self.fig))

    def less(self, part: Part, values: Sequence[str]) -> Some:
        """Return the tables with only these values of a part."""
        return Some(self._draw, part.kept(self.tables, values), self._whole)


def fitted(draw: Draw, tables: Tables, parts: Sequence[Part], labels: Mapping[str, str], said: str = "") -> Drawing:
    """Return the figure of these tables, as pages, and its short form.

    Args:
        draw: the function of the figure.
        tables: of the figure.
        parts: parts that can be reduced, least important first. As many values stay as a screen, or a page, holds, and
            at least one of each part.
        labels: model or dictionary → label, in the order drawn.
        said: note below each page and the short form.
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
    """Return as much as fits, and a note about the parts left out."""
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
    """Yield pages that together show everything, each with its note: as many values of the first part as fit.

    A page with a single value names it in its note, because panels need not.
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
    """Return whether pages can divide a part, and a page with one value takes less room."""
    values = part.values(whole.tables, labels)
    one_alone = part.is_paged and len(values) > 1
    return one_alone and room.taken(whole.less(part, values[:1]).size) < room.taken(whole.size)


def _most(whole: Some, part: Part, values: Sequence[str], room: Room) -> tuple[int, Some]:
    """Return how many values of a part fit, and the tables with these values.

    Returns all values if fewer take as much room, and at least one (two where a row has two values, such as a
    comparison of models). Figures grow about linearly with the number of values, so few tries are needed.
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
