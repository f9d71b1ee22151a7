"""Prompts divided into a clause, all but the last sentence, and the rest: the clause may stand in another place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from leakscope.errors import InputError
from leakscope.models.prompts.placing import USER, Place
from leakscope.typed.wording import show

# Every job of Snakemake imports this module.
if TYPE_CHECKING:
    import pandas as pd

PLACED_COLUMNS = ["clause", "place"]
# Where a sentence may end: with what closes it, before white space, or after a sign of a script that has none there.
END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[”’」』）]*")
# What ends in a full stop before a name: a title, or an initial.
ABBREVIATED = re.compile(r"(?:^|[\s(\"'“‘«])(?:Mr|Mrs|Ms|Dr|Prof|St|Mt|vs|[A-Z])\.$")


def clause_of(prompt: str, where: str, place: Place) -> str:
    """Return all of a prompt but its last sentence, without white space at its end; empty for the user's turn.

    Args:
        prompt: whose last sentence the model finishes, or answers.
        where: what an error names.
        place: where the clause is to stand.

    Raises:
        InputError: the prompt has one sentence.
    """
    if place == USER:
        return ""
    ends = [end for found in END.finditer(prompt) if _ends_sentence(prompt[: (end := found.end())], prompt[end:])]
    if not ends:
        raise InputError(f"{where}: got {show(prompt)}, of one sentence; allowed: two or more for the place {place}.")
    return prompt[: ends[-1]]


def with_places(prompts: pd.DataFrame, place: Place) -> pd.DataFrame:
    """Return a table of prompts with ``PLACED_COLUMNS``; as it is where all of a prompt is the user's turn.

    Raises:
        InputError: as ``clause_of``.
    """
    if place == USER:
        return prompts
    rows = zip(prompts["prompt_id"], prompts["prompt"], strict=True)
    clauses = [clause_of(prompt, f"prompt {prompt_id!r}", place) for prompt_id, prompt in rows]
    columns = dict(zip(PLACED_COLUMNS, (clauses, place), strict=True))
    return prompts.assign(**columns).astype(dict.fromkeys(PLACED_COLUMNS, "str"))


def _ends_sentence(before: str, after: str) -> bool:
    """Say whether a full stop, or another sign, ends a sentence that another one follows."""
    following = after.lstrip()[:1]
    return bool(following) and not following.islower() and not ABBREVIATED.search(before)
