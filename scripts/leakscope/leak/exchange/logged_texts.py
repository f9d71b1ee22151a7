"""Texts of another tool's log, joined to prompts: by our id where the log has it, else by the prompt's words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from leakscope.errors import InputError, counted
from leakscope.files.normal_form import composed
from leakscope.leak.cells import at, read_id

# Characters of a prompt that an error shows.
SHOWN = 60


class LoggedText(NamedTuple):
    """What a log says of one prompt.

    row: of the log, from 1.
    prompt_id: that a log of one of our exports has; None in others.
    prompts: texts of which one may be the prompt, the likeliest first.
    texts: what was written after it.
    """

    row: int
    prompt_id: str | None
    prompts: tuple[str, ...]
    texts: tuple[str, ...]


def logged_table(
    logged: Sequence[LoggedText], prompts: pd.DataFrame, path: Path, prompts_path: Path
) -> tuple[pd.DataFrame, str | None]:
    """Return ``prompt_id, sample, prompt, text``, a row for each text, and what to know of those of no prompt.

    Samples of a prompt are counted in the order of the log. A prompt that several rows of ``prompts`` have, such as
    controls without a clause, gets the texts for each of them.

    Raises:
        InputError: no row of the log is of one of the prompts.
    """
    own = dict(zip(prompts["prompt_id"], prompts["prompt"], strict=True))
    by_text: dict[str, list[str]] = {}
    for prompt_id, prompt in own.items():
        by_text.setdefault(prompt.strip(), []).append(prompt_id)
    rows, unknown, samples = list[tuple[int, str, str, str, str]](), list[LoggedText](), Counter[str]()
    for entry in logged:
        found = list(_found(entry, own, by_text))
        unknown += [] if found else [entry]
        for prompt_id, prompt in found:
            for text in entry.texts:
                rows.append((entry.row, prompt_id, str(samples[prompt_id]), prompt, composed(text)))
                samples[prompt_id] += 1
    if not rows:
        given = f"{_strangers(unknown)} without a match in {prompts_path}" if unknown else "no row"
        allowed = f"prompts of {prompts_path}, by `prompt_id` in `doc` or `metadata`, or word for word"
        raise InputError(f"{path}: got {given}; allowed: {allowed}.")
    table = pd.DataFrame(
        [row[1:] for row in rows], columns=["prompt_id", "sample", "prompt", "text"], index=[row[0] for row in rows]
    ).astype("str")
    left_out = f"{path}: {_strangers(unknown)} without a match in {prompts_path}, left out." if unknown else None
    return table, left_out


def _found(entry: LoggedText, own: dict[str, str], by_text: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """Yield the ids of a row's prompts, each with the prompt that the log has."""
    if entry.prompt_id in own:
        yield entry.prompt_id, next(iter(entry.prompts), own[entry.prompt_id])
        return
    known = next((text for text in entry.prompts if text.strip() in by_text), None)
    if known is not None:
        yield from ((prompt_id, known) for prompt_id in by_text[known.strip()])


def _strangers(unknown: Sequence[LoggedText]) -> str:
    first = unknown[0]
    shown = first.prompt_id or next(iter(first.prompts), "")
    cut = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
    return f"{counted(len(unknown), 'row', 'rows')} (first: row {first.row}, {cut!r})"


def text_of(value: Any, where: Path, row: int, key: str) -> str:
    """Return a value of a log that must be a text.

    Raises:
        InputError: it is none; the error names row and key.
    """
    if not isinstance(value, str):
        raise InputError(f"{at(where, row)}: {key}: got {type(value).__name__}; allowed: a text.")
    return composed(value)


def id_of(fields: Any) -> str | None:
    """Return our id of a prompt, of the fields that a log keeps of it."""
    value = fields.get("prompt_id") if isinstance(fields, dict) else None
    return read_id(value) if isinstance(value, str) and value.strip() else None
