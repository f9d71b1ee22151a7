"""Search for the terms of several lexicons in a text at once.

A mention is an occurrence of a term in a text. Of overlapping mentions, across all lexicons, the leftmost counts, and
of those with the same start the longest: "rheumatoid arthritis" is not also "arthritis".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
from ahocorasick_rs import AhoCorasick, Implementation

from leakscope.counting.normal_form import normalise
from leakscope.errors import InputError, one_of


class Terms:
    """The terms of several lexicons, and which pairs of lexicons are counted together."""

    def __init__(
        self, lexicons: Mapping[str, Mapping[str, Sequence[str]]], axes: Mapping[str, tuple[str, str]]
    ) -> None:
        """Prepare the search for all terms at once.

        Args:
            lexicons: name → id of a concept → its terms. A term in several lexicons is a mention of a concept in each.
            axes: name → the lexicon of subjects and the lexicon of groups.

        Raises:
            InputError: an axis has an unknown lexicon or the same on both sides; a term is empty, or belongs to two
                concepts of a lexicon.
        """
        for axis, sides in axes.items():
            for lexicon in sides:
                if lexicon not in lexicons:
                    raise one_of(f"axis {axis!r}: lexicon", lexicon, lexicons)
            if sides[0] == sides[1]:
                raise InputError(f"axis {axis!r}: got {sides[0]!r} on both sides; allowed: two different lexicons.")
        owners = {name: _concept_numbers(name, lexicon) for name, lexicon in lexicons.items()}
        patterns = sorted({term for terms in owners.values() for term in terms})
        if not patterns:
            raise InputError("lexicons: got no term; allowed: at least one.")
        self.concepts = {name: list(lexicon) for name, lexicon in lexicons.items()}
        self.axes = dict(axes)
        # lexicon → for each pattern the number of its concept in the lexicon, or -1.
        self.concept_of = {
            name: np.array([terms.get(pattern, -1) for pattern in patterns], np.int64) for name, terms in owners.items()
        }
        self.spaces = np.array([pattern.count(" ") for pattern in patterns], np.int64)
        self._automaton = AhoCorasick(patterns, implementation=Implementation.DFA)

    def sides(self) -> dict[str, tuple[list[str], list[str]]]:
        """Return axis → the ids of its subjects and of its groups."""
        return {axis: (self.concepts[left], self.concepts[right]) for axis, (left, right) in self.axes.items()}

    def find(self, text: str) -> list[tuple[int, int]]:
        """Return the mentions in a normalised text, from left to right.

        A mention is (pattern number, word number), both from 0: its index in ``concept_of`` and ``spaces``, and its
        first word. No mention is next to a letter, a digit, an underscore or a combining mark.
        """
        padded = f" {text} "
        # Overlapping matches too: the longest match may be rejected as part of a longer word.
        matches = self._automaton.find_matches_as_indexes(padded, overlapping=True)
        bounded = [
            # Sorts the longest of the matches with the same start first.
            (start, -end, pattern)
            for pattern, start, end in matches
            if not _is_of_word(padded[end]) and not _is_of_word(padded[start - 1])
        ]
        bounded.sort()
        mentions = []
        word, counted, taken = -1, 0, 0
        for start, minus_end, pattern in bounded:
            if start >= taken:
                word += padded.count(" ", counted, start)
                counted, taken = start, -minus_end
                mentions.append((pattern, word))
        return mentions


def _concept_numbers(name: str, lexicon: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return normalised term → number of its concept."""
    ids = list(lexicon)
    owners: dict[str, int] = {}
    for number, terms in enumerate(lexicon.values()):
        for term in terms:
            where = f"lexicon {name!r}, concept {ids[number]!r}"
            form = normalise(term)
            if not form:
                raise InputError(f"{where}: got the term {term!r}; allowed: terms that are not empty.")
            if owners.setdefault(form, number) != number:
                other = ids[owners[form]]
                raise InputError(f"{where}: got {term!r}, also a term of {other!r}; allowed: one concept per term.")
    return owners


def _is_of_word(character: str) -> bool:
    return character.isalnum() or character == "_" or (character > "\x7f" and unicodedata.category(character)[0] == "M")
