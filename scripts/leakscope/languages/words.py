"""Which words a text has, and of which word each may be a form."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from typing import NamedTuple

from leakscope.files.normal_form import composed
from leakscope.languages.language_files import known_of

# Of Turkish and Azerbaijani, whose capital of "i" has a dot and whose capital of "ı" has none.
DOTTED = {"tr", "az"}
# Vowel signs of Hebrew and Arabic, and the line that lengthens an Arabic word: written or not, the word is the same.
OPTIONAL = re.compile("[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670]")
# Letters of what is left of a word without its prefix.
SHORTEST = 2


class Word(NamedTuple):
    """A word of a text: where it begins and ends, and what it may be a form of, case-folded."""

    start: int
    end: int
    forms: frozenset[str]


def plain(text: str) -> str:
    """Return a text as its words are looked for: composed, without signs that may be written or not."""
    return OPTIONAL.sub("", composed(text))


def fold(text: str, language: str) -> str:
    """Return a text without differences of case, as the language has them: in Turkish "I" is "ı"; and in the letters of
    its own keyboard."""
    return _lower(text, language).casefold()


def split(text: str, language: str) -> list[str]:
    """Return the words of a text, case-folded, in order; of a language without spaces, as ICU's dictionary has them."""
    return list(_split(text, language))


def words(text: str, language: str) -> tuple[Word, ...]:
    """Return the words of a text with their forms.

    Args:
        text: from ``plain``.
        language: its code.
    """
    return tuple(Word(start, end, forms(text[start:end], language)) for start, end in _places(text, language))


@lru_cache(maxsize=1 << 16)
def forms(word: str, language: str) -> frozenset[str]:
    """Return what a word may be a form of, case-folded: itself, its lemma, and both of what follows its prefix.

    A prefix is taken off where the dictionary of forms does not know the word as it stands: Hebrew כלב is a dog and not
    "like a heart".
    """
    found = _of_whole(word, language)
    if not _is_known(word, language):
        for prefix in known_of(language).prefixes:
            rest = word.removeprefix(prefix)
            if rest != word and len(rest) >= SHORTEST:
                found |= _of_whole(rest, language)
    return found


def edges(text: str, language: str) -> set[int]:
    """Return where a word may begin or end in a text without spaces, as ICU's dictionary has it."""
    from icu4py.breakers import WordBreaker

    return {0, *(end for _, end in WordBreaker(text, language).segments())}


@cache
def word_pattern() -> re.Pattern[str]:
    """Return the pattern of a word: letters and digits, with the signs that Unicode counts apart (vowels of Hindi)."""
    inside = inside_words()
    return re.compile(rf"\w{inside}*")


@cache
def inside_words() -> str:
    """Return a class of characters for patterns: what may stand inside of a word."""
    marks = (chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
    return rf"[\w\u200c\u200d{''.join(marks)}]"


@lru_cache(maxsize=1 << 14)
def _split(text: str, language: str) -> tuple[str, ...]:
    text = plain(text)
    return tuple(fold(text[start:end], language) for start, end in _places(text, language))


def _places(text: str, language: str) -> list[tuple[int, int]]:
    if known_of(language).words == "dictionary":
        cuts = sorted(edges(text, language))
        return [(i, j) for i, j in zip(cuts, cuts[1:], strict=False) if any(map(str.isalnum, text[i:j]))]
    return [match.span() for match in word_pattern().finditer(text)]


def _of_whole(word: str, language: str) -> frozenset[str]:
    variants = {word, _lower(word, language)}
    lemmas = {_lemma(variant, language) for variant in variants}
    own = known_of(language).forms.get(_lower(word, language))
    return frozenset(fold(form, language) for form in {*variants, *lemmas, own or word})


def _lower(text: str, language: str) -> str:
    for letter, own in known_of(language).letters.items():
        text = text.replace(letter, own)
    if language in DOTTED:
        text = text.replace("İ", "i").replace("I", "ı")
    return text.lower()


def _lemma(word: str, language: str) -> str:
    if language not in _inflected():
        return word
    from simplemma import lemmatize

    lemma: str = lemmatize(word, language)
    return plain(lemma)


def _is_known(word: str, language: str) -> bool:
    from simplemma import is_known

    return language in _inflected() and is_known(word, language)


@cache
def _inflected() -> frozenset[str]:
    """Return the languages of which the package simplemma has forms and lemmas."""
    from simplemma.strategies.dictionaries.dictionary_factory import SUPPORTED_LANGUAGES

    return frozenset(SUPPORTED_LANGUAGES)
