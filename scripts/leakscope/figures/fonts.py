"""Fonts for the letters of labels, and a warning for letters that no font has.

DejaVu Sans ships with matplotlib and draws Latin, Greek and Cyrillic the same on every machine. Other scripts need
installed fonts; matplotlib's warning per missing letter becomes one line per figure.
"""

from __future__ import annotations

import logging
import re
import unicodedata
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache

import matplotlib
import pandas as pd
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from leakscope.figures.look import look

MAIN = "DejaVu Sans"
FALLBACKS = (
    "Noto Sans CJK SC",  # Chinese, and all letters of Japanese and Korean
    "Noto Sans CJK JP",
    "Noto Sans Hebrew",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "Noto Sans Bengali",
    "Noto Sans Thai",
    "Arial Unicode MS",
)
MISSING = re.compile(r"Glyph (\d+) .*missing from font")

logger = logging.getLogger(__name__)


def main_family() -> str:
    """Return the family that draws all letters that it has."""
    return look().family or MAIN


def families() -> tuple[str, ...]:
    """Return the installed families that draw a text, the main family first."""
    return _families(main_family())


@cache
def _families(main: str) -> tuple[str, ...]:
    installed = set(font_manager.get_font_names())
    return tuple(dict.fromkeys((main, *(name for name in (MAIN, *FALLBACKS) if name in installed))))


def families_of(drawn: object) -> tuple[str, ...]:
    """Return the families that a figure needs: only the main family if it has all letters, else all families.

    Args:
        drawn: tables, labels, titles, and collections of these.
    """
    main = main_family()
    return (main,) if set(map(ord, "".join(_texts(drawn)))) <= _letters(main) else families()


def _texts(drawn: object) -> Iterator[str]:
    if isinstance(drawn, str):
        yield drawn
    elif isinstance(drawn, pd.DataFrame):
        for column in drawn.select_dtypes(exclude="number"):
            yield from set(map(str, drawn[column]))  # a cell may be a list, or empty
        yield from map(str, drawn.columns)
    elif isinstance(drawn, Mapping):
        yield from _texts([*drawn.keys(), *drawn.values()])
    elif isinstance(drawn, Collection):
        for part in drawn:
            yield from _texts(part)


@cache
def _letters(family: str) -> frozenset[int]:
    return frozenset(FT2Font(font_manager.findfont(family)).get_charmap())


def drawable() -> frozenset[int]:
    """Return the code points that the fonts have."""
    return _letters_of(families())


@cache
def _letters_of(families: tuple[str, ...]) -> frozenset[int]:
    return frozenset().union(*map(_letters, families))


@contextmanager
def one_line_of_missing_letters(figure: str) -> Iterator[None]:
    """Turn matplotlib's warnings of letters that no font has into one line of the log; other warnings stay.

    Args:
        figure: name of the figure in the line.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    letters: dict[str, None] = {}
    for warning in caught:
        if found := MISSING.match(str(warning.message)):
            letters[chr(int(found[1]))] = None
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if letters:
        logger.warning(
            "%s: no installed font has the letters of %s (%s): boxes are drawn instead. Install the fonts Noto Sans of "
            "that script (Debian: fonts-noto-cjk, for other scripts fonts-noto-core) and delete %s/fontlist-*.json.",
            figure, ", ".join(dict.fromkeys(map(_script, letters))), "".join([*letters][:8]), matplotlib.get_cachedir(),
        )  # fmt: skip


def _script(letter: str) -> str:
    """Return the script of a letter: the first word of its Unicode name."""
    return unicodedata.name(letter, f"U+{ord(letter):04X}").split()[0]
