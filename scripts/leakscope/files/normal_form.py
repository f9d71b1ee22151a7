"""Unicode normalisation: "é" may be one character, or "e" with a combining accent, and both look the same."""

from __future__ import annotations

import unicodedata


def composed(text: str) -> str:
    """Return a text in Unicode normal form C, in which equal letters are equal characters."""
    return unicodedata.normalize("NFC", text)
