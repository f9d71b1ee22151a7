"""The file of a language, as users write it."""

from __future__ import annotations

from typing import Annotated, Literal

from leakscope.typed.texts import Trimmed, with_gaps
from leakscope.typed.values import Distinct, Language, Nullable, Section

Round = Annotated[str, with_gaps("clause", is_trimmed=True)]


class PlaceWords(Section):
    """The words round a clause in other places than the user's turn (``models.prompts.placing``)."""

    found: Round
    """A tool's result in plain text."""
    noted: Trimmed
    """What the model said to an earlier turn."""
    example: Round
    """An example of the task, up to its answer."""
    answer: Trimmed
    """The example's answer."""


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
    """Whether a number and a full stop may be an ordinal ("am 3. Mai") or part of a date ("2024. 5. 3."), so that no
    sentence ends there."""
    abbreviations: Distinct[Trimmed] = []
    """What ends with a full stop and ends no sentence; "z. B." is one."""
    head: Literal["last", "name"] = "name"
    """What the group of a concept is called that comes without one: its last word (in "golden yellow" the colour), or
    the whole name."""
    articles: Distinct[Trimmed] = []
    """What may stand before a name and is no part of it."""
    prefixes: Distinct[Trimmed] = []
    """Conjunctions, prepositions and articles that are written together with the next word."""
    suffixes: Distinct[Trimmed] = []
    """Particles and endings that are written together with the word before them."""
    suffixes_after_consonants: Distinct[Trimmed] = []
    """Those that follow only a Korean syllable with a final consonant."""
    suffixes_after_vowels: Distinct[Trimmed] = []
    """Those that follow only a Korean syllable without one."""
    suffixes_after_vowels_or_l: Distinct[Trimmed] = []
    """Those that follow only a Korean syllable without one, or with ㄹ."""
    letters: dict[Trimmed, Trimmed] = {}
    """Letter of another language's keyboard → the letter that it is written for (Arabic ي for Urdu ی)."""
    joins_words: bool = False
    """Whether the words of one name may be written together ("خوبصورت") or apart ("خوب صورت")."""
    forms: dict[Trimmed, Trimmed] = {}
    """Inflected form → its word, where the dictionary of forms lacks it."""
    places: Nullable[PlaceWords] = None
    """The words round a clause in a tool's result, an earlier turn or an example; `null`: clauses are not put there."""
