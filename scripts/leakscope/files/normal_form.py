"""One way to write a letter: Unicode knows "é" as one character and as "e" with a sign, and both look the same."""

from __future__ import annotations

import unicodedata


def composed(text: str) -> str:
    """Return a text in Unicode's normal form C, in which equal letters are equal characters."""
    return unicodedata.normalize("NFC", text)
