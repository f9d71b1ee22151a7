"""Single-file pages: a filled template with data that the browser unpacks."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakscope.files.reading import read_utf8
from leakscope.files.writing import replacing


def encoded(payload: Mapping[str, Any]) -> str:
    """Return a payload as JSON, gzip, base64, so that no model's text can end its HTML element.

    Equal payloads give equal texts.
    """
    return _compressed(_json(payload))


def packed(head: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> str:
    """Return columns of numbers as ``encoded`` does JSON; ``unpackColumns`` of ``page.js`` reads them.

    A page reads them ten times faster than JSON. Before compression: the head's length (four bytes, the lowest first),
    the head as JSON, and each column's numbers, the lowest byte first; head and columns are filled up to multiples of
    eight bytes. The head gets ``columns``: name → [type, where it begins after the head in bytes, how many numbers].

    Args:
        head: what else the page is given; values that JSON knows.
        columns: of whole numbers of 1, 2 or 4 bytes, or floats of 4 or 8.
    """
    described, parts, begins = {}, [], 0
    for name, column in columns.items():
        values = np.ascontiguousarray(column, dtype=column.dtype.newbyteorder("<"))
        described[name] = [f"{values.dtype.kind}{values.dtype.itemsize}", begins, len(values)]
        parts.append(_filled(values.tobytes()))
        begins += len(parts[-1])
    text = _json({**head, "columns": described})
    text += b" " * (-(len(text) + 4) % 8)
    return _compressed(b"".join([len(text).to_bytes(4, "little"), text, *parts]))


def _filled(part: bytes) -> bytes:
    return part + b"\0" * (-len(part) % 8)


def _json(payload: Mapping[str, Any]) -> bytes:
    # A lone surrogate is a legal str but not UTF-8; it is shown as a question mark.
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")


def _compressed(content: bytes) -> str:
    # mtime=0: the same bytes every time. Level 6 is a third of the time of 9, and hardly longer.
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode("ascii")


def page(template: Path, **values: str) -> str:
    """Return a template with its values, and with the style and script that all pages share.

    These are ``page.css`` and ``page.js`` beside the template, for ``{{style}}`` and ``{{script}}``.
    """
    style, script = (read_utf8(template.with_name(f"page.{kind}")).rstrip("\n") for kind in ("css", "js"))
    return fill(read_utf8(template), style=style, script=script, **values)


def document_style(template: Path) -> str:
    """Return the style of pages that are read from top to bottom: what all pages share, and ``document.css``."""
    return "\n".join(read_utf8(template.with_name(f"{name}.css")).rstrip("\n") for name in ("page", "document"))


def fill(template: str, **values: str) -> str:
    """Return the template with each ``{{name}}`` replaced, in one pass: a value is never filled in itself."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def write_page(path: Path, text: str) -> None:
    """Write a page, whole or not at all; its folder is made."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="")
