"""Prompts from a user's table, in one of three forms.

Long: a row gives its control by id. Published: a row gives its control by row number (``n_control``, from 0). Paired: a
row has a test prompt and its control prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from leakscope.errors import InputError, Mistakes, counted
from leakscope.files.names import POOLED
from leakscope.files.tables import read_table
from leakscope.languages.mentions import contains_concept
from leakscope.languages.of_prompts import ENGLISH, Languages
from leakscope.leak.cells import (
    at,
    named,
    other_columns,
    read_id,
    records,
    some,
    strip,
    whole,
    whole_number,
    with_known_columns,
)
from leakscope.leak.dividing import clause_of, with_places
from leakscope.leak.partners import with_partners
from leakscope.leak.prompts import PROMPT_COLUMNS, text_table
from leakscope.models.prompts.placing import USER, Place
from leakscope.similarity.concepts import concept_group

LONG_FORM = ("prompt_id", "control_id", "concept", "prompt")
PUBLISHED_FORM = ("prompt", "n_control", "concept")
PAIRED_FORM = ("test_prompt", "control_prompt", "concept")
KNOWN = (
    *(*LONG_FORM, "neutral_control_id", *PUBLISHED_FORM, *PAIRED_FORM),
    *("concept_group", "expected", "expected_color", "category", "template_id", "made"),
)
# Values with a special meaning in result tables.
RESERVED = {"category": (POOLED,), "concept_group": ("several", "none")}

Row = dict[str, str | None]


class ImportedPrompts(NamedTuple):
    """Prompts, one row each, and warnings for the user."""

    prompts: pd.DataFrame
    warnings: list[str]


class _Read(NamedTuple):
    """Rows of a table: numbers, ids and cells."""

    numbers: list[int]
    rows: list[Row]
    cells: list[dict[str, str]]


def import_prompts(
    path: Path,
    prompt_set: str,
    sheet: str | None = None,
    partners: int = 0,
    place: Place = USER,
    languages: Languages = ENGLISH,
) -> ImportedPrompts:
    """Return the prompts of a table in its order, with the columns of ``build_prompts``.

    A prompt's text is kept as written. Spaces around concepts and ids are stripped, and 1.0 is read as 1 in an id. A
    row without a control is not a test; in the published form its id is its row number, from 0. If no row has a control
    and every concept has a template, concepts are compared within templates: with match rates, without Leak-Rates.

    Args:
        path: of the table.
        prompt_set: its name.
        sheet: of an XLSX file; None: the first.
        partners: number of prompts made from a test whose control has no other concept (``leak.partners``).
        place: of each prompt's clause; outside the user's turn, prompts also have ``dividing.PLACED_COLUMNS``.
        languages: of prompts and concepts.

    Raises:
        InputError: a column is missing, an id is unknown or occurs twice, a prompt or concept is empty, a concept has
            no control, a prompt cannot be split, or no row is a test: all mistakes, one line each, rows numbered as in
            a spreadsheet.
    """
    table = with_known_columns(read_table(path, sheet), KNOWN, {"id": "prompt_id"})
    found = Mistakes()
    read = _form(table, path)(table, path, found)
    described: list[Row] = []
    for number, row, cells in zip(*read, strict=True):
        if not any(cells.values()):
            found.append(InputError(f"{at(path, number)}: got an empty row; allowed: none between others."))
            continue
        with found.kept():
            described.append({**row, **_described(row, cells, at(path, number), languages.concepts)})
            clause_of(str(described[-1]["prompt"]), f"{at(path, number)}: prompt", place, languages.concepts)
    by_template = _is_by_template(read)
    if "n_control" not in table and not by_template:
        _check_controlled(read, path, found)
    found.end()
    if not by_template and not any(map(_is_test, described)):
        allowed = "at least one, or a template_id for every concept"
        raise InputError(f"{path}: got no prompt with a control; allowed: {allowed}.")
    shared = {"prompt_set": prompt_set, **languages.columns}
    prompts = text_table([{**row, **shared} for row in described], PROMPT_COLUMNS)
    prompts, about_partners = with_partners(prompts, partners, read.numbers)
    for name in prompts.loc[prompts["prompt_id"].duplicated(), "prompt_id"]:
        raise InputError(f"{path}: prompt_id: got {name!r}, the id of a generated partner prompt; allowed: another id.")
    warnings = [*_warnings(read, described, languages.concepts, by_template=by_template), *about_partners]
    return ImportedPrompts(with_places(prompts, place), [f"{path}: {warning}" for warning in warnings])


def _form(table: pd.DataFrame, path: Path) -> Callable[[pd.DataFrame, Path, Mistakes], _Read]:
    forms = {LONG_FORM: _long_rows, PUBLISHED_FORM: _published_rows, PAIRED_FORM: _paired_rows}
    for columns, reader in forms.items():
        if set(columns) <= {str(name) for name in table}:
            return reader
    raise other_columns(path, table, "; or ".join(map(", ".join, forms)), KNOWN)


def _long_rows(table: pd.DataFrame, path: Path, found: Mistakes) -> _Read:
    ids = [read_id(value) for value in table["prompt_id"]]
    cells = records(table)
    numbers: dict[str, int] = {}
    for number, prompt_id, record in zip(table.index, ids, cells, strict=True):
        first = numbers.setdefault(prompt_id, number)
        if not any(record.values()):
            continue
        if not prompt_id:
            found.append(InputError(f"{at(path, number)}: prompt_id: got {prompt_id!r}; allowed: an id."))
        elif first != number:
            twice = f"{prompt_id!r}, which row {first} has already"
            found.append(InputError(f"{at(path, number)}: prompt_id: got {twice}; allowed: each id once."))
    rows: list[Row] = []
    for number, prompt_id, record in zip(table.index, ids, cells, strict=True):
        row: Row = {"prompt_id": prompt_id, "control_id": None, "neutral_control_id": None}
        for name in ("control_id", "neutral_control_id"):
            with found.kept():
                row[name] = _control_id(record.get(name, ""), name, prompt_id, numbers, at(path, number))
        rows.append(row)
    return _Read(list(table.index), rows, cells)


def _control_id(value: str, name: str, prompt_id: str, known: Mapping[str, int], where: str) -> str | None:
    control = read_id(value)
    if not control:
        return None
    if control not in known:
        raise InputError(f"{where}: {name}: got {control!r}; allowed: a prompt_id of this table, or nothing.")
    if control == prompt_id:
        raise InputError(f"{where}: {name}: got {control!r}, the row itself; allowed: the prompt_id of another row.")
    return control


def _published_rows(table: pd.DataFrame, path: Path, found: Mistakes) -> _Read:
    rows: list[Row] = []
    for own, (number, value) in enumerate(zip(table.index, table["n_control"], strict=True)):
        row: Row = {"prompt_id": str(own), "control_id": None, "neutral_control_id": None}
        with found.kept():
            row["control_id"] = _row_number(value, own, len(table), at(path, number))
        rows.append(row)
    return _Read(list(table.index), rows, records(table))


def _row_number(value: str, own: int, n_rows: int, where: str) -> str | None:
    text = whole(strip(value))
    if text.casefold() in ("", "none", "nan"):
        return None
    number = whole_number(text)
    if number is None or number >= n_rows:
        allowed = f"a row number from 0 to {n_rows - 1}, 'none' or nothing"
        raise InputError(f"{where}: n_control: got {value!r}; allowed: {allowed}.")
    if number == own:
        raise InputError(f"{where}: n_control: got {value!r}, the row itself; allowed: the number of another row.")
    return str(number)


def _paired_rows(table: pd.DataFrame, path: Path, found: Mistakes) -> _Read:
    """Make two prompts from each row. Rows with the same control share it and form one cluster."""
    numbers, rows, cells = [], [], []
    controls: dict[str, str] = {}
    seen: dict[str, int] = {}
    for place, (number, record) in enumerate(zip(table.index, records(table), strict=True)):
        prompt_id = read_id(record.get("prompt_id", "")) or str(place)
        first = seen.setdefault(prompt_id, number)
        if first != number:
            twice = f"{prompt_id!r}, which row {first} has already"
            found.append(InputError(f"{at(path, number)}: prompt_id: got {twice}; allowed: each id once."))
        control = record["control_prompt"]
        if control not in controls:
            controls[control] = f"{prompt_id}/control"
            numbers.append(number)
            rows.append({"prompt_id": controls[control], "control_id": None, "neutral_control_id": None})
            cells.append({"prompt": control, "concept": "", "category": record.get("category", "")})
        numbers.append(number)
        rows.append({"prompt_id": prompt_id, "control_id": controls[control], "neutral_control_id": None})
        cells.append({**record, "prompt": record["test_prompt"]})
    return _Read(numbers, rows, cells)


def _described(row: Row, cells: Mapping[str, str], where: str, language: str) -> Row:
    """Return a prompt's concept, group, other properties and text; ``row`` has its ids."""
    if not cells["prompt"].strip():
        raise InputError(f"{where}: prompt: got {cells['prompt']!r}; allowed: text that is not empty.")
    concept = named(cells["concept"])
    if concept is None and _is_test(row):
        raise InputError(
            f"{where}: concept: got {cells['concept']!r}; allowed: text, because the prompt has a control."
        )
    group = strip(cells.get("concept_group", ""))
    described: Row = {
        "concept": concept,
        "concept_group": group or (concept_group(concept, language) if concept else None),
        "expected": named(cells.get("expected", cells.get("expected_color", ""))),
        "category": whole(strip(cells.get("category", ""))) or None,
        "template_id": whole(strip(cells.get("template_id", ""))) or None,
        "slot": None,
        "prompt": cells["prompt"],
        "made": "yes" if strip(cells.get("made", "")).casefold() in ("yes", "true") else "no",
    }
    for key, names in RESERVED.items():
        if described[key] in names:
            raise InputError(
                f"{where}: {key}: got {described[key]!r}; allowed: a name other than {' or '.join(names)}."
            )
    return described


def _check_controlled(read: _Read, path: Path, found: Mistakes) -> None:
    """Reject concepts without a control: merged cells of a spreadsheet lose all controls but the first."""
    # Controls as written: an unknown control is reported elsewhere.
    controls = {read_id(cells.get(name, "")) for cells in read.cells for name in ("control_id", "neutral_control_id")}
    for number, row, cells in zip(*read, strict=True):
        has_control = _is_test(row) or read_id(cells.get("control_id", ""))
        if not has_control and row["prompt_id"] not in controls and named(cells["concept"]):
            concept = f"the concept {strip(cells['concept'])!r} without a control"
            found.append(
                InputError(f"{at(path, number)}: got {concept}; allowed: a control_id in this row, or no concept.")
            )


def _is_by_template(read: _Read) -> bool:
    """Return whether a table has no control at all, but a template for every concept."""
    about = [cells for cells in read.cells if named(cells["concept"])]
    names = ("control_id", "neutral_control_id")
    controlled = any(read_id(cells.get(name, "")) for cells in read.cells for name in names)
    controlled = controlled or any(map(_is_test, read.rows))
    return bool(about) and not controlled and all(strip(cells.get("template_id", "")) for cells in about)


def _is_test(row: Mapping[str, str | None]) -> bool:
    return row["control_id"] is not None or row["neutral_control_id"] is not None


# ------------------------------------------------------------------------------------------------------ warnings


def _warnings(read: _Read, described: Sequence[Row], language: str, *, by_template: bool) -> Iterable[str]:
    """Yield a warning for each allowed but probably unintended property, with its rows."""
    text_of = {row["prompt_id"]: str(row["prompt"]) for row in described}
    tests = [
        (number, row)
        for number, row in zip(read.numbers, described, strict=True)
        if _is_test(row) or (by_template and row["concept"])
    ]
    pairs = [
        (number, row, str(row["prompt"]), text_of[row[name]])
        for number, row in tests
        for name in ("control_id", "neutral_control_id")
        if row[name] is not None
    ]
    by_id = {row["prompt_id"]: row for row in described}
    used = {row[name] for _, row in tests for name in ("control_id", "neutral_control_id")}
    everything = list(zip(read.numbers, described, strict=True))
    noted = {
        ("prompt is its control's, word for word", "prompts are their control's, word for word"): [
            n for n, _, text, control in pairs if text == control
        ],
        ("prompt does not name its concept", "prompts do not name their concept"): [
            n for n, row in tests if not contains_concept(*_named_in(row), language)
        ],
        ("control is a test itself", "controls are tests themselves"): [
            n for n, row in tests if row["control_id"] and _is_test(by_id[row["control_id"]])
        ],
        ("prompt ends in white space", "prompts end in white space"): [n for n, row in everything if _is_open(row)],
        ("prompt has other line ends than its control", "prompts have other line ends than their control"): [
            n for n, _, text, control in pairs if ("\r\n" in text) != ("\r\n" in control) and "\n" in text + control
        ],
        ("concept has no control, and is no test", "concepts have no control, and are no tests"): [
            n
            for n, row in everything
            if row["concept"] and not _is_test(row) and row["prompt_id"] not in used and not by_template
        ],
        (
            "prompt was made as a partner (column made), and has no Leak-Rate",
            "prompts were made as partners (column made), and have no Leak-Rate",
        ): [n for n, row in tests if row["made"] == "yes"],
    }
    if any(row["category"] is not None for _, row in tests):
        words = (
            "prompt has no category, and counts only in `all`",
            "prompts have no category, and count only in `all`",
        )
        noted[words] = [n for n, row in tests if row["category"] is None]
    for (one, several), rows in noted.items():
        rows = list(dict.fromkeys(rows))
        if rows:
            yield f"{counted(len(rows), one, several)} (row {some(rows)})."
    if by_template:
        yield "no prompt has a control: concepts are compared within their template, and there are no Leak-Rates."


def _named_in(row: Mapping[str, str | None]) -> tuple[str, str]:
    return str(row["prompt"]), str(row["concept"])


def _is_open(row: Mapping[str, str | None]) -> bool:
    return str(row["prompt"]) != str(row["prompt"]).rstrip()
