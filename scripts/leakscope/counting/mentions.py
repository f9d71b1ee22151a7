"""Where terms stand in a text: the search for all terms of several lexicons at once.

A mention is a place in a text where a term stands. Of mentions that overlap, the one that begins first counts, of those
that begin together the longest, over the terms of all lexicons: "rheumatoid arthritis" is not also "arthritis".
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
            lexicons: name → id of a concept → its terms. A term may stand in several lexicons, and is then a mention of
                a concept of each.
            axes: name → the lexicon of subjects and the lexicon of groups.

        Raises:
            InputError: an axis names no lexicon or one twice; a term is empty, or stands for two concepts of a lexicon.
        """
        for axis, sides in axes.items():
            for lexicon in sides:
                if lexicon not in lexicons:
                    raise one_of(f"axis {axis!r}: lexicon", lexicon, lexicons)
            if sides[0] == sides[1]:
                raise InputError(f"axis {axis!r}: got {sides[0]!r} on both sides; allowed: two lexicons.")
        owners = {name: _concept_numbers(name, lexicon) for name, lexicon in lexicons.items()}
        patterns = sorted({term for terms in owners.values() for term in terms})
        if not patterns:
            raise InputError("lexicons: got no term; allowed: at least one.")
        self.concepts = {name: list(lexicon) for name, lexicon in lexicons.items()}
        self.axes = dict(axes)
        # lexicon → for each pattern the number of its concept there, -1 where there is none.
        self.concept_of = {
            name: np.array([terms.get(pattern, -1) for pattern in patterns], np.int64) for name, terms in owners.items()
        }
        self.spaces = np.array([pattern.count(" ") for pattern in patterns], np.int64)
        self._automaton = AhoCorasick(patterns, implementation=Implementation.DFA)

    def sides(self) -> dict[str, tuple[list[str], list[str]]]:
        """Return axis → the ids of its subjects and of its groups."""
        return {axis: (self.concepts[left], self.concepts[right]) for axis, (left, right) in self.axes.items()}

    def find(self, text: str) -> list[tuple[int, int]]:
        """Return the mentions in a text that is normalised, from left to right.

        A mention is the number of its pattern (see ``concept_of``, ``spaces``) and of its first word, from 0. Neither
        neighbour of a mention is a letter, a digit, an underscore or a combining mark.
        """
        padded = f" {text} "
        # All matches, also those within others: the longest one may be part of a longer word, and then is none.
        matches = self._automaton.find_matches_as_indexes(padded, overlapping=True)
        bounded = [
            # Of those that begin at one place the longest comes first, and is taken.
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
                raise InputError(f"{where}: got {term!r}, a term of {other!r} as well; allowed: one concept a term.")
    return owners


def _is_of_word(character: str) -> bool:
    return character.isalnum() or character == "_" or (character > "\x7f" and unicodedata.category(character)[0] == "M")
