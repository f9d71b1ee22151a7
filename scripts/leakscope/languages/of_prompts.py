"""Which languages the prompts of a table are in: that of the text, and that of the concept it mentions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

# Where nothing else is said.
DEFAULT = "en"
LANGUAGE_COLUMNS = ("language", "concept_language")


class Languages(NamedTuple):
    """Of a prompt set: the language of its sentences, and so of the texts after them; and that of its concepts."""

    texts: str = DEFAULT
    concepts: str = DEFAULT

    @property
    def columns(self) -> dict[str, str]:
        """What a table of prompts says of them, ``LANGUAGE_COLUMNS``."""
        return dict(zip(LANGUAGE_COLUMNS, self, strict=True))


ENGLISH = Languages()


def with_reading(table: pd.DataFrame, reads: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """Return a table of rates with ``scorer_reads``: whether a row's scorer was made for its prompt set's languages.

    Args:
        table: ``prompt_set, scorer`` and more.
        reads: scorer → prompt set → "yes", "no", or nothing where it is not known.
    """
    places = zip(table["scorer"], table["prompt_set"], strict=True)
    return table.assign(scorer_reads=[reads[scorer][prompt_set] for scorer, prompt_set in places])


def languages_of(prompts: pd.DataFrame) -> Languages:
    """Return the languages of a prompts table of one set; a table without these columns is English."""
    if prompts.empty or not set(LANGUAGE_COLUMNS) <= set(prompts):
        return ENGLISH
    return Languages(*(str(prompts[name].iloc[0]) for name in LANGUAGE_COLUMNS))
