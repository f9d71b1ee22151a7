"""What a text is written in, by its letters: which texts cannot be in the language that was asked for.

Letters tell Hebrew from English, and not Spanish from English: a share of foreign texts found so is a lower bound.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from leakscope.languages.language_files import known_of

# From this share of a text's letters on, the text is of their script.
MOST = 0.5


@lru_cache(maxsize=1 << 14)
def script_of(letter: str) -> str:
    """Return the first word of a letter's name in Unicode, such as LATIN; empty where it has none."""
    return unicodedata.name(letter, "").split(" ")[0].split("-")[0]


def is_foreign(text: str, language: str) -> bool:
    """Return whether more than half of a text's letters are of no script of the language.

    A text without letters is not foreign, nor is any of a language of which no script is written down.
    """
    own = known_of(language).scripts
    letters = [letter for letter in text if letter.isalpha()]
    if not own or not letters:
        return False
    return sum(script_of(letter) not in own for letter in letters) > MOST * len(letters)
