"""Splits prompts into the clause (all but the last sentence) and the rest, to put the clause in another place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakscope.errors import InputError
from leakscope.languages.of_prompts import DEFAULT, languages_of
from leakscope.models.prompts.placing import USER, Place
from leakscope.typed.wording import show

# Every job of Snakemake imports this module.
if TYPE_CHECKING:
    import pandas as pd

PLACED_COLUMNS = ["clause", "place"]


def clause_of(prompt: str, where: str, place: Place, language: str = DEFAULT) -> str:
    """Return a prompt without its last sentence and trailing white space; empty if the clause is in the user's turn.

    Args:
        prompt: the model finishes or answers its last sentence.
        where: location for error messages.
        place: of the clause.
        language: of the clause; determines sentence ends (``languages.sentences``).

    Raises:
        InputError: the prompt has one sentence.
    """
    if place == USER:
        return ""
    # Every job of Snakemake imports this module; few split prompts.
    from leakscope.languages.sentences import FirstSentence

    ends = list(FirstSentence(language).ends(prompt))
    if not ends:
        raise InputError(
            f"{where}: got {show(prompt)}, one sentence; allowed: two or more sentences for the place {place}."
        )
    return prompt[: ends[-1]].rstrip()


def with_places(prompts: pd.DataFrame, place: Place) -> pd.DataFrame:
    """Return a table of prompts with ``PLACED_COLUMNS``; unchanged if the clause is in the user's turn.

    Raises:
        InputError: as ``clause_of``.
    """
    if place == USER:
        return prompts
    rows = zip(prompts["prompt_id"], prompts["prompt"], strict=True)
    language = languages_of(prompts).concepts
    clauses = [clause_of(prompt, f"prompt {prompt_id!r}", place, language) for prompt_id, prompt in rows]
    columns = dict(zip(PLACED_COLUMNS, (clauses, place), strict=True))
    return prompts.assign(**columns).astype(dict.fromkeys(PLACED_COLUMNS, "str"))
