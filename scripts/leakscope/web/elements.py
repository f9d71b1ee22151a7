"""HTML of static pages: elements, lists, links and tables, with every text escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote


def element(tag: str, text: str) -> str:
    """Return an element with a text."""
    return f"<{tag}>{html.escape(text)}</{tag}>"


def bullets(lines: Iterable[str]) -> str:
    """Return a list of texts."""
    return f"<ul>{''.join(element('li', line) for line in lines)}</ul>"


def link_items(files: Mapping[str, str]) -> str:
    """Return the items of a list of links: text → file below the page's folder."""
    return "".join(
        f'<li><a href="{html.escape(quote(file))}">{html.escape(text)}</a></li>' for text, file in files.items()
    )


def wide_table(header: Sequence[str], rows: Iterable[Sequence[str]], label: str) -> str:
    """Return a table that scrolls in a narrow window.

    Args:
        header: texts.
        rows: cells, as HTML: an element, or escaped text.
        label: the table's name for screen readers.
    """
    head = "".join(element("th", name) for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{html.escape(label)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
