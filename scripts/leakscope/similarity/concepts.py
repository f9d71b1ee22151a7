"""What a concept is called, whether a text names it, and whether it says anything."""

from __future__ import annotations

import re
from collections.abc import Iterable


def concept_group(concept: str) -> str:
    """Return the group of a concept that comes without one: its last word, case-folded.

    The last word is the head of an English noun phrase: "lemon yellow" and "golden yellow" are both "yellow". Where it
    is not, give groups in the table of prompts. An empty concept is its own group.
    """
    words = concept.casefold().split()
    return words[-1] if words else ""


def is_empty(text: str) -> bool:
    """Return whether a text is empty or of white space alone: it says nothing, so it is similar to nothing."""
    return not text.strip()


def contains_concept(text: str, concept: str) -> bool:
    """Return whether the text contains the concept, case-folded, as whole words."""
    word = concept.casefold()
    folded = text.casefold()
    return word in folded and re.search(whole_words([word]), folded) is not None


def whole_words(words: Iterable[str]) -> str:
    """Return a pattern for any of these; the longest first, so that "orange juice" is not read as "orange"."""
    longest_first = sorted(set(words), key=lambda word: (-len(word), word))
    return rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)"
