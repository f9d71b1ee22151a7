"""Prompts from the sentences of any table, each preceded by unrelated clauses that express a concept.

Clause and sentence together are a test of the clause's concept; the sentence without clause is the control, and the
sentence after a neutral clause the neutral control. So users write no controls, and these differ from tests only in the
clause.

Source: Expression Leakage (arXiv 2508.01708), in which clauses express a feeling; match rates are added here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from leakscope.errors import InputError, Mistakes
from leakscope.files.names import POOLED
from leakscope.files.tables import read_table
from leakscope.languages.closing_marks import is_spaced
from leakscope.languages.of_prompts import ENGLISH, Languages
from leakscope.leak.cells import at, other_columns, read_id, records, strip, whole, with_known_columns
from leakscope.leak.prompt_files import ClauseFile, read_clauses
from leakscope.leak.prompts import CONTROL_NAMES, PROMPT_COLUMNS, refuse_twice, slugs, text_table
from leakscope.statistics.seeding import seeded_hash

KNOWN = ("prompt", "prompt_id", "category")
# Other common names of these columns.
OTHERS = {"text": "prompt", "sentence": "prompt", "id": "prompt_id"}


class Sentence(NamedTuple):
    """A sentence of a table, which the model continues; ``category`` may be None."""

    name: str
    category: str | None
    text: str


def insert_clauses(
    path: Path, clauses: Path, prompt_set: str, sheet: str | None = None, languages: Languages = ENGLISH
) -> pd.DataFrame:
    """Return the prompts of every sentence of a table with every clause, with the columns of ``build_prompts``.

    A sentence gives its control (``<sentence>/without``), its neutral control (``<sentence>/neutral``, with a neutral
    clause that depends only on the sentence) and one test per clause (``<sentence>/<concept>``, or
    ``<sentence>/<concept>-2`` for a second clause of a concept). Its template is the sentence.

    Args:
        path: of the table: ``prompt`` or ``text``, optionally ``prompt_id`` (or ``id``) and ``category``; without ids a
            sentence is named by its row number, from 0.
        clauses: see ``prompt_files.ClauseFile``.
        prompt_set: its name.
        sheet: of an XLSX file; None: the first.
        languages: of its sentences and concepts.

    Raises:
        InputError: the clauses are invalid, there is no column of sentences, a sentence is empty, or a sentence or id
            occurs twice: all mistakes, one line each, rows numbered as in a spreadsheet.
    """
    read, sentences = read_clauses(clauses), _sentences(path, sheet)
    space = " " if is_spaced(languages.texts) else ""
    rows = [row for sentence in sentences for row in _rows(sentence, read, clauses, space)]
    refuse_twice(rows, path)
    shared = {"prompt_set": prompt_set, "made": "no", **languages.columns}
    return text_table([{**row, **shared} for row in rows], PROMPT_COLUMNS)


def _rows(sentence: Sentence, read: ClauseFile, path: Path, space: str) -> Iterator[dict[str, str | None]]:
    shared = {"category": sentence.category, "template_id": sentence.name}
    without, neutral = (f"{sentence.name}/{name}" for name in CONTROL_NAMES)
    chosen = read.neutral[seeded_hash(0, sentence.text) % len(read.neutral)]
    yield {"prompt_id": without, **shared, "prompt": sentence.text}
    yield {"prompt_id": neutral, **shared, "prompt": f"{chosen}{space}{sentence.text}"}
    names = slugs([clause.concept for clause in read.clauses], f"{path}: clauses")
    for name, clause in zip(names, read.clauses, strict=True):
        yield {
            "prompt_id": f"{sentence.name}/{name}",
            "control_id": without,
            "neutral_control_id": neutral,
            "concept": clause.concept,
            "concept_group": clause.group,
            **shared,
            "prompt": f"{clause.clause}{space}{sentence.text}",
        }


def _sentences(path: Path, sheet: str | None) -> list[Sentence]:
    table = with_known_columns(read_table(path, sheet), KNOWN, OTHERS)
    if "prompt" not in table:
        raise other_columns(path, table, "prompt, or text", KNOWN)
    found, sentences = Mistakes(), list[Sentence]()
    rows: dict[str, int] = {}
    for place, (number, cells) in enumerate(zip(table.index, records(table), strict=True)):
        with found.kept():
            sentence = _sentence(cells, place, at(path, number))
            first = rows.setdefault(sentence.name, number)
            if first != number:
                twice = f"{sentence.name!r}, which row {first} has already"
                raise InputError(f"{at(path, number)}: prompt_id: got {twice}; allowed: each id once.")
            sentences.append(sentence)
    found.end()
    return sentences


def _sentence(cells: Mapping[str, str], place: int, where: str) -> Sentence:
    text, category = strip(cells["prompt"]), whole(strip(cells.get("category", ""))) or None
    if not text:
        raise InputError(f"{where}: prompt: got {cells['prompt']!r}; allowed: text that is not empty.")
    if category == POOLED:
        raise InputError(f"{where}: category: got {category!r}; allowed: a name other than {POOLED}.")
    return Sentence(read_id(cells.get("prompt_id", "")) or str(place), category, text)
