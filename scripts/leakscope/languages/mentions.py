"""Where a text names a concept, in whatever form its language gives it.

Of most languages a text names "lemon" by every form that the dictionary of forms (the package simplemma) knows of it,
"lemons" for instance; in Arabic and Hebrew also behind a conjunction, preposition or article, in Korean and Urdu before
particles and endings. Where words have no spaces between them (Chinese, Japanese, Thai), the concept has to begin and
end where ICU's dictionary has a word begin and end: 红色 is in 一顶红色的帽子, and 红 is not in 红茶. What is no word
alone ("C++") is looked for as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from leakscope.languages.language_files import known_of
from leakscope.languages.of_prompts import DEFAULT
from leakscope.languages.suffixes import without_suffixes
from leakscope.languages.words import Word, edges, fold, inside_words, plain, words

# What may stand between two words of one name.
BETWEEN = re.compile(r"[\s\-‐־'’]*")
# What stands between the parts of one name where they may be written together.
JOINT = re.compile(r"[\s\u200c]+")

Place = tuple[int, int]


class _Text(NamedTuple):
    """A text as it is searched: without optional signs, its words, and all their forms."""

    plain: str
    words: tuple[Word, ...]
    forms: frozenset[str]


def contains_concept(text: str, concept: str, language: str = DEFAULT) -> bool:
    """Return whether a text names a concept.

    Args:
        text: that a model wrote.
        concept: as the prompt has it.
        language: the concept's; a text in another names it by its own word alone.
    """
    return next(_mentions(text, concept, language), None) is not None


def named_of(text: str, names: Iterable[str], language: str = DEFAULT) -> set[str]:
    """Return which names a text holds, the longest first: where it says "orange juice", it does not say "orange"."""
    taken: list[Place] = []
    found = set()
    for name in sorted(set(names), key=lambda name: (-len(name), name)):
        free = [place for place in _mentions(text, name, language) if not any(_overlap(place, one) for one in taken)]
        if free:
            found.add(name)
            taken += free
    return found


def _overlap(one: Place, other: Place) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _mentions(text: str, concept: str, language: str) -> Iterator[Place]:
    """Yield where a text names a concept, in the text without optional signs."""
    if known_of(language).words == "dictionary":
        yield from _between_edges(text, concept, language)
        return
    parts = _name(concept, language)
    if not parts:
        yield from _as_written(text, concept, language)
        return
    read = _read(text, language)
    if known_of(language).joins_words:
        yield from _joined(read, concept, language)
    # Of most pairs of text and concept no word is common, and nothing more is looked at.
    if read.forms.isdisjoint(parts[0]):
        return
    for first in range(len(read.words) - len(parts) + 1):
        there = read.words[first : first + len(parts)]
        if all(not one.isdisjoint(word.forms) for one, word in zip(parts, there, strict=True)):
            gaps = (read.plain[a.end : b.start] for a, b in zip(there, there[1:], strict=False))
            if all(map(BETWEEN.fullmatch, gaps)):
                yield there[0].start, there[-1].end


def _joined(read: _Text, concept: str, language: str) -> Iterator[Place]:
    """Yield where words that follow each other are a concept, but for the joints between them."""
    name = JOINT.sub("", fold(plain(concept), language))
    for first, word in enumerate(read.words):
        for last in read.words[first:]:
            run = JOINT.sub("", fold(read.plain[word.start : last.end], language))
            if run == name:
                yield word.start, last.end
            if len(run) >= len(name):
                break


def _as_written(text: str, concept: str, language: str) -> Iterator[Place]:
    folded, name = fold(plain(text), language), fold(plain(concept), language)
    if name and name in folded:
        inside = inside_words()
        for match in re.finditer(rf"(?<!{inside}){re.escape(name)}(?!{inside})", folded):
            yield match.span()


def _between_edges(text: str, concept: str, language: str) -> Iterator[Place]:
    folded, name = fold(plain(text), language), fold(plain(concept), language)
    start = folded.find(name) if name else -1
    if start < 0:
        return
    cuts = _edges(folded, language)
    while start >= 0:
        if start in cuts and start + len(name) in cuts:
            yield start, start + len(name)
        start = folded.find(name, start + 1)


@lru_cache(maxsize=1 << 14)
def _read(text: str, language: str) -> _Text:
    known = plain(text)
    found = tuple(_spoken(word, language) for word in words(known, language))
    return _Text(known, found, frozenset().union(*(word.forms for word in found)))


def _spoken(word: Word, language: str) -> Word:
    """Return a word of a text with what it may be without its suffixes; a concept has none."""
    rests = (without_suffixes(form, language) for form in word.forms)
    return word._replace(forms=word.forms.union(*rests))


@lru_cache(maxsize=1 << 14)
def _edges(folded: str, language: str) -> frozenset[int]:
    return frozenset(edges(folded, language))


@lru_cache(maxsize=1 << 14)
def _name(concept: str, language: str) -> Sequence[frozenset[str]]:
    """Return the forms of each word of a concept; nothing where it is more, or less, than words."""
    known = plain(concept).strip()
    found = words(known, language)
    gaps = [known[a.end : b.start] for a, b in zip(found, found[1:], strict=False)]
    whole = bool(found) and found[0].start == 0 and found[-1].end == len(known)
    return tuple(word.forms for word in found) if whole and all(map(BETWEEN.fullmatch, gaps)) else ()
