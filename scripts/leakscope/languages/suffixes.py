"""What is left of a word without the particles and endings that its language writes at its end (Korean, Urdu)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from leakscope.languages.language_files import known_of

if TYPE_CHECKING:
    from leakscope.languages.language_file import LanguageFile

# Letters (Korean: syllables) that are left at least.
SHORTEST = 2
# Of a Korean syllable in Unicode: where they begin, how many final consonants each has, none being the first, and ㄹ.
FIRST_SYLLABLE, FINALS, L = 0xAC00, 28, 8


def without_suffixes(word: str, language: str) -> frozenset[str]:
    """Return what a word may be without its suffixes, one after the other taken off; empty where it has none.

    A suffix that depends on the sound before it is a word's last: 고양이를 is 고양이, a cat, and not 고양, a town.

    >>> sorted(without_suffixes("레몬에서는", "ko"))
    ['레몬', '레몬에서']
    """
    known = known_of(language)
    rests = {*_bare(word, known.suffixes), *_sounding(word, known)}
    found: set[str] = set()
    while rests:
        found |= rests
        rests = {shorter for rest in rests for shorter in _bare(rest, known.suffixes)}
    return frozenset(found)


def has_final_consonant(syllable: str) -> bool:
    """Say whether a Korean syllable ends with a consonant; False of any other letter.

    Source: The Unicode Standard, 3.12, Conjoining Jamo Behavior.

    >>> has_final_consonant("몬"), has_final_consonant("과")
    (True, False)
    """
    return _final(syllable) != 0


def _final(syllable: str) -> int:
    """Return the number of a Korean syllable's final consonant; 0 where it has none, and of any other letter."""
    is_syllable = unicodedata.name(syllable, "").startswith("HANGUL SYLLABLE")
    return (ord(syllable) - FIRST_SYLLABLE) % FINALS if is_syllable else 0


def _bare(word: str, suffixes: Iterable[str]) -> Iterator[str]:
    for suffix in suffixes:
        rest = word.removesuffix(suffix)
        if rest != word and len(rest) >= SHORTEST:
            yield rest


def _sounding(word: str, known: LanguageFile) -> Iterator[str]:
    yield from (rest for rest in _bare(word, known.suffixes_after_consonants) if has_final_consonant(rest[-1]))
    yield from (rest for rest in _bare(word, known.suffixes_after_vowels) if not has_final_consonant(rest[-1]))
    yield from (rest for rest in _bare(word, known.suffixes_after_vowels_or_l) if _final(rest[-1]) in (0, L))
