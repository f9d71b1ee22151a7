"""Pages of one file: a template, filled, and data that a browser unpacks by itself."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leakscope.files.reading import read_utf8
from leakscope.files.writing import replacing


def encoded(payload: Mapping[str, Any]) -> str:
    """Return JSON, gzip, base64, in which no text that a model wrote can end the element that holds it.

    Equal payloads give equal texts.
    """
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # A lone surrogate is a legal str but not UTF-8; it is shown as a question mark. mtime=0: the same bytes every time.
    # Level 6 is a third of the time of 9, and hardly longer.
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 6, mtime=0)).decode("ascii")


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
