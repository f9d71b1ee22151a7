"""What the group of a concept is called, and whether a text says anything."""

from __future__ import annotations

from leakscope.languages.language_files import known_of
from leakscope.languages.of_prompts import DEFAULT


def concept_group(concept: str, language: str = DEFAULT) -> str:
    """Return the group of a concept that comes without one, case-folded: its last word, or the whole of it.

    The last word is the head of an English noun phrase: "lemon yellow" and "golden yellow" are both "yellow". In French
    it is not ("bleu clair", "vert clair"), nor in most languages (``head`` in data/languages/): there each name is a
    group of its own, unless the table of prompts gives groups. An empty concept is its own group.
    """
    words = concept.casefold().split()
    last = known_of(language).head == "last"
    return " ".join(words[-1:] if last else words)


def is_empty(text: str) -> bool:
    """Return whether a text is empty or of white space alone: it says nothing, so it is similar to nothing."""
    return not text.strip()
