"""The file of a language, as users write it."""

from __future__ import annotations

from typing import Literal

from leakscope.typed.texts import Trimmed
from leakscope.typed.values import Distinct, Language, Section


class LanguageFile(Section):
    """data/languages/<language>.yaml: what leakscope knows of a language; of one without a file, the defaults hold."""

    language: Language
    """Its code, the file's name."""
    source: Trimmed
    """Where the lists come from, for people."""
    scripts: Distinct[Trimmed] = []
    """What it is written in, as Unicode begins the names of its letters: LATIN, HEBREW, CJK. Empty: not known, and no
    text is foreign."""
    words: Literal["spaces", "dictionary"] = "spaces"
    """What tells words apart: spaces and signs, or a dictionary, where nothing stands between them."""
    sentence_marks: bool = True
    """Whether sentences end with a mark. Where they do not, most texts end by their number of tokens."""
    ordinals: bool = False
    """Whether a number and a full stop may be an ordinal ("am 3. Mai"), so that no sentence ends there."""
    abbreviations: Distinct[Trimmed] = []
    """What ends with a full stop and ends no sentence; "z. B." is one."""
    head: Literal["last", "name"] = "name"
    """What the group of a concept is called that comes without one: its last word (in "golden yellow" the colour), or
    the whole name."""
    articles: Distinct[Trimmed] = []
    """What may stand before a name and is no part of it."""
    prefixes: Distinct[Trimmed] = []
    """Conjunctions, prepositions and articles that are written together with the next word."""
    forms: dict[Trimmed, Trimmed] = {}
    """Inflected form → its word, where the dictionary of forms lacks it."""
