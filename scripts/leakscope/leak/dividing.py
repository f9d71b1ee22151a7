"""Prompts divided into a clause, all but the last sentence, and the rest: the clause may stand in another place."""

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
    """Return all of a prompt but its last sentence, without white space at its end; empty for the user's turn.

    Args:
        prompt: whose last sentence the model finishes, or answers.
        where: what an error names.
        place: where the clause is to stand.
        language: of the clause, which says what ends a sentence (``languages.sentences``).

    Raises:
        InputError: the prompt has one sentence.
    """
    if place == USER:
        return ""
    # Every job of Snakemake imports this module, and few divide prompts.
    from leakscope.languages.sentences import FirstSentence

    ends = list(FirstSentence(language).ends(prompt))
    if not ends:
        raise InputError(f"{where}: got {show(prompt)}, of one sentence; allowed: two or more for the place {place}.")
    return prompt[: ends[-1]].rstrip()


def with_places(prompts: pd.DataFrame, place: Place) -> pd.DataFrame:
    """Return a table of prompts with ``PLACED_COLUMNS``; as it is where all of a prompt is the user's turn.

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
