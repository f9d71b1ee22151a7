"""Reads people's answers from the files that the page saved, or from filled-in sheets.

Names of raters stay in their files: tables call them rater-1, rater-2 and so on, in order of first appearance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from leakscope.errors import InputError, Mistakes, counted
from leakscope.files.tables import read_table
from leakscope.leak.cells import at, other_columns, records, strip, whole, with_known_columns
from leakscope.leak.rating.answers import ANSWERS, PERSON, of_rater
from leakscope.leak.rating.items import ID_PATTERN
from leakscope.leak.rating.vocabulary import CANNOT_TELL, FIRST, ORDERS, SECOND
from leakscope.statistics.seeding import seeded_hash

SHOWN_ORDERS = ("order", "concept_order")
RATING_COLUMNS = ("item_id", *SHOWN_ORDERS, "answer", "rater")
# The page's keys, allowed as short answers in a sheet.
TYPED = {"1": FIRST, "2": SECOND, "0": CANNOT_TELL}
APOSTROPHES = str.maketrans("", "", "'’")
ALLOWED = f"{', '.join(ANSWERS)} (or 1, 2, 0), or an empty cell where nothing was answered"


class PeopleAnswers(NamedTuple):
    """Answers of people, ``answers.ANSWER_COLUMNS``, and a line for each file whose answers are not all used."""

    answers: pd.DataFrame
    lines: list[str]


class _RatedRow(NamedTuple):
    """A row of a file: rater, item and answer."""

    item_id: str
    order: str
    concept_order: str
    answer: str
    rater: str


def sheet_orders(item_id: str) -> dict[str, str]:
    """Return the orders of an item's texts and concepts in the sheet; they do not depend on the study's seed."""
    return {name: ORDERS[seeded_hash(0, name, item_id) % 2] for name in SHOWN_ORDERS}


def read_ratings(paths: Sequence[Path], items: pd.DataFrame) -> PeopleAnswers:
    """Return people's answers to the items of a sample.

    A file has ``item_id`` and ``answer``; if saved by the page, also ``order``, ``concept_order`` and ``rater``.
    Without orders, the sheet's are used; a file without names is one rater. The same name in two files is one rater.

    Args:
        paths: tables in any supported format.
        items: ``items.ITEM_COLUMNS``. Answers to items of an older sample are left out, and counted in ``lines``.

    Raises:
        InputError: a column is missing, a cell has a value that is not allowed, a rater answered an item twice, or a
            file has no answer to an item of the sample; one line each, without names of raters.
    """
    known, raters, lines = set(items["item_id"]), dict[str, str](), list[str]()
    kept, seen, found = list[_RatedRow](), dict[tuple[str, str], str](), Mistakes()
    for number, path in enumerate(paths, 1):
        with found.kept():
            n_known = n_unknown = 0
            for row, answer in _answers(path, f"file {number}", found):
                rater = raters.setdefault(answer.rater, f"rater-{len(raters) + 1}")
                if answer.item_id not in known:
                    n_unknown += 1
                    continue
                n_known += 1
                with found.kept():
                    _check_once(seen, (rater, answer.item_id), at(path, row))
                kept.append(answer._replace(rater=rater))
            if n_unknown:
                lines.append(_line(path, n_known, n_unknown))
    found.end()
    table = pd.DataFrame(kept, columns=list(RATING_COLUMNS), dtype="str")
    parts = [of_rater(rows, PERSON, str(rater)) for rater, rows in table.groupby("rater", sort=False)]
    answers = pd.concat(parts, ignore_index=True) if parts else of_rater(table, PERSON, "")
    return PeopleAnswers(answers, lines)


def _line(path: Path, n_known: int, n_unknown: int) -> str:
    """Return the message on a file with answers to unknown items."""
    if not n_known:
        answers = counted(n_unknown, "answer", "answers")
        raise InputError(f"{path}: got {answers}, none to an item of this sample; allowed: answers to its items.")
    return f"{path}: {n_known} of {n_known + n_unknown} answers are used; the others are to items of an older sample."


def _check_once(seen: dict[tuple[str, str], str], key: tuple[str, str], where: str) -> None:
    before = seen.setdefault(key, where)
    if before != where:
        raise InputError(f"{where}: got item {key[1]}, which {key[0]} answered in {before}; allowed: one answer each.")


def _answers(path: Path, nameless: str, found: Mistakes) -> Iterator[tuple[int, _RatedRow]]:
    """Yield row number and content of each row with an answer; mistakes in rows are collected."""
    table = with_known_columns(read_table(path), RATING_COLUMNS)
    has_orders = [name for name in SHOWN_ORDERS if name in table]
    if not {"item_id", "answer"} <= set(table) or len(has_orders) == 1:
        allowed = "item_id, answer and, of the page, order, concept_order and rater"
        raise other_columns(path, table, allowed, RATING_COLUMNS)
    for row, cells in zip(table.index, records(table), strict=True):
        with found.kept():
            answer = _read(at(path, row), cells, nameless)
            if answer.answer:
                yield row, answer


def _read(where: str, cells: dict[str, str], nameless: str) -> _RatedRow:
    """Return a row's content; the answer is empty if the cell is."""
    item_id = strip(cells["item_id"]).lower()
    said = whole(strip(cells["answer"])).casefold().replace(" ", "_").translate(APOSTROPHES)
    orders = sheet_orders(item_id) | {name: whole(strip(cells[name])) for name in SHOWN_ORDERS if name in cells}
    answer = TYPED.get(said, "cannot_tell" if said in ("cant_tell", "can_not_tell") else said)
    if not answer:
        return _RatedRow(item_id, "", "", "", "")
    if not ID_PATTERN.fullmatch(item_id):
        raise InputError(f"{where}: got the item {cells['item_id']!r}; allowed: an item_id of the sample.")
    if answer not in ANSWERS:
        raise InputError(f"{where}: got the answer {cells['answer']!r}; allowed: {ALLOWED}.")
    for name, order in orders.items():
        if order not in ORDERS:
            raise InputError(f"{where}: got {order!r} as {name}; allowed: {' or '.join(ORDERS)}.")
    named = strip(cells.get("rater", "")).casefold()
    return _RatedRow(item_id, **orders, answer=answer, rater=f"name {named}" if named else nameless)
