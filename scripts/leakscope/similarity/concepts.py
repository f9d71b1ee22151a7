"""The group of a concept, and the test for empty texts."""

from __future__ import annotations

from leakscope.languages.language_files import known_of
from leakscope.languages.of_prompts import DEFAULT


def concept_group(concept: str, language: str = DEFAULT) -> str:
    """Return the default group of a concept, case-folded; use it where the table of prompts gives no group.

    In languages whose noun phrases end with their head (``head`` in data/languages/), such as English, the group is the
    last word: "lemon yellow" and "golden yellow" are both "yellow". In the others, such as French ("bleu clair", "vert
    clair"), the group is the whole concept. An empty concept is its own group.
    """
    words = concept.casefold().split()
    last = known_of(language).head == "last"
    return " ".join(words[-1:] if last else words)


def is_empty(text: str) -> bool:
    """Return whether a text is empty or only white space; such a text has no similarity to any concept."""
    return not text.strip()
