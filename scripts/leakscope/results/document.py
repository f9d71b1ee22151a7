"""A short document of results, written twice: as a page without scripts, and as Markdown to paste elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from leakscope.files.reading import read_utf8
from leakscope.web.elements import bullets, element, link_items, wide_table
from leakscope.web.pages import document_style, fill

TEMPLATE = Path(__file__).resolve().parents[3] / "report" / "document.template.html"
WIDTH, HEIGHT = 144, 20
"""Of an interval's picture, in units of its own."""


class DrawnInterval(NamedTuple):
    """A cell that shows a rate and its interval as a picture, 0 to 100; None where they are not known.

    doubtful: whether a reader should not go by it.
    """

    value: float | None
    low: float | None
    high: float | None
    doubtful: bool = False


class SectionTable(NamedTuple):
    """Cells below a header; intervals are drawn on the page and left out of the Markdown."""

    header: Sequence[str]
    rows: Sequence[Sequence[str | DrawnInterval]]
    title: str = ""


class DocumentSection(NamedTuple):
    """A heading, and what stands below it: paragraphs, then points, then tables.

    warns: whether it says when not to believe the rest.
    """

    title: str
    paragraphs: Sequence[str] = ()
    points: Sequence[str] = ()
    tables: Sequence[SectionTable] = ()
    warns: bool = False


class ResultDocument(NamedTuple):
    """A title, the headline and what follows it, sections, and links: text → file below the document's folder."""

    title: str
    headline: Sequence[str]
    sections: Sequence[DocumentSection]
    links: Mapping[str, str]
    footer: str


def as_html(document: ResultDocument, template: Path = TEMPLATE) -> str:
    """Return a document as a page that needs nothing else; equal documents give equal texts.

    Args:
        document: what it says.
        template: beside it ``page.css`` and ``document.css``.
    """
    links = f'<nav aria-label="Files"><ul class="links">{link_items(document.links)}</ul></nav>'
    return fill(
        read_utf8(template),
        style=document_style(template),
        title=html.escape(document.title),
        headline="".join(element("p" if place else "h1", line) for place, line in enumerate(document.headline)),
        links=links if document.links else "",
        sections="".join(_section(section, f"part-{place}") for place, section in enumerate(document.sections)),
        footer=html.escape(document.footer),
    )


def as_markdown(document: ResultDocument) -> str:
    """Return a document as Markdown, a blank line between its parts."""
    first, *others = map(_plain, document.headline)
    parts = [f"# {_plain(document.title)}", f"**{first}**", *others]
    for section in document.sections:
        parts += [f"## {_plain(section.title)}", *map(_plain, section.paragraphs)]
        parts += ["\n".join(f"- {_plain(point)}" for point in section.points)] if section.points else []
        for table in section.tables:
            parts += [f"### {_plain(table.title)}"] if table.title else []
            parts.append(_markdown_table(table))
    return "\n\n".join([*parts, _plain(document.footer)]) + "\n"


def _section(section: DocumentSection, name: str) -> str:
    inside = [f'<h2 id="{name}">{html.escape(section.title)}</h2>']
    inside += [element("p", line) for line in section.paragraphs]
    inside += [bullets(section.points)] if section.points else []
    inside += [_table(table, section.title) for table in section.tables]
    kind = ' class="believing"' if section.warns else ""
    return f'<section{kind} aria-labelledby="{name}">{"".join(inside)}</section>'


def _table(table: SectionTable, title: str) -> str:
    rows = ([_cell(cell) for cell in row] for row in table.rows)
    above = element("h3", table.title) if table.title else ""
    return above + wide_table(table.header, rows, ": ".join(filter(None, ("Table", title, table.title))))


def _cell(cell: str | DrawnInterval) -> str:
    return _picture(cell) if isinstance(cell, DrawnInterval) else html.escape(cell)


def _picture(interval: DrawnInterval) -> str:
    """Return an interval as SVG; its numbers stand in cells beside it."""
    if interval.value is None:
        return ""
    kind, middle = ' class="doubtful"' if interval.doubtful else "", HEIGHT / 2
    drawn = f'<line class="chance" x1="{_at(50)}" x2="{_at(50)}" y1="0" y2="{HEIGHT}"/>'
    if interval.low is not None and interval.high is not None:
        ends = f'x1="{_at(interval.low)}" x2="{_at(interval.high)}"'
        drawn += f'<line{kind} {ends} y1="{middle:g}" y2="{middle:g}"/>'
    drawn += f'<circle{kind} cx="{_at(interval.value)}" cy="{middle:g}" r="4"/>'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">{drawn}</svg>'


def _at(value: float) -> str:
    """Return where a percentage lies; points at the ends are whole."""
    return f"{6 + (WIDTH - 12) * value / 100:.4g}"


def _markdown_table(table: SectionTable) -> str:
    kept = [
        place
        for place in range(len(table.header))
        if not any(isinstance(row[place], DrawnInterval) for row in table.rows)
    ]
    lines = [[table.header[place] for place in kept], ["---"] * len(kept)]
    lines += [[_plain(str(row[place])) for place in kept] for row in table.rows]
    return "\n".join(_line(cells) for cells in lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Return a text in which nothing is Markdown or HTML."""
    escaped = "".join(f"\\{sign}" if sign in "\\`*_[]<>|#" else sign for sign in text)
    return " ".join(escaped.split())
