"""Prompts and generations from tables that a person brings, in long form or in the form of the published files.

Long form: a row names its control by id. Published form: a row names its control by row number (``n_control``, from 0)
and holds its own generations (``generation_1..k``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from leakscope.errors import InputError
from leakscope.files.names import NOT_GROUPS, POOLED
from leakscope.files.tables import read_table
from leakscope.leak.prompts import GROUP_NAMES, PROMPT_COLUMNS, text_table
from leakscope.similarity.concepts import concept_group

LONG_FORM = ("prompt_id", "control_id", "concept", "prompt")
PUBLISHED_FORM = ("prompt", "n_control", "concept")
LONG_TEXTS = ("prompt_id", "sample", "text")
GENERATION_COLUMNS = ["model", "prompt_set", "prompt_id", "sample", "text"]

_GENERATION = re.compile(r"generation_(\d+)")
_SHOWN = 3


class Imported(NamedTuple):
    """Generations (one row each) and what a person should know about how they were joined."""

    generations: pd.DataFrame
    warnings: list[str]


def import_prompts(path: Path, prompt_set: str, sheet: str | None = None) -> pd.DataFrame:
    """Return the prompts of a table, one row each in its order, with the columns of ``build_prompts``.

    A prompt's text is kept as written; spaces of any kind round a concept or id are stripped, and 1.0 is read as 1 in
    an id. A row without a control is not a test; in the published form its id is its row number.

    Raises:
        InputError: a column is missing, an id stands twice or does not exist, a prompt or concept is empty, no row is
            a test.
    """
    table = read_table(path, sheet)
    columns = {str(name) for name in table}
    if columns.issuperset(LONG_FORM):
        rows = _long_rows(table, path)
    elif columns.issuperset(PUBLISHED_FORM):
        rows = _published_rows(table, path)
    else:
        allowed = f"{', '.join(LONG_FORM)} (long form) or {', '.join(PUBLISHED_FORM)} (published form)"
        raise _other_columns(path, table, allowed)
    described = [{**row, **_described(row, record, path)} for row, record in zip(rows, _records(table), strict=True)]
    if not any(_is_test(row) for row in described):
        raise InputError(f"{path}: got no prompt with a control; allowed: at least one.")
    return text_table([{"prompt_set": prompt_set, **row} for row in described], PROMPT_COLUMNS)


def import_generations(
    path: Path,
    prompts: pd.DataFrame,
    model: str,
    prompt_set: str,
    samples: int | None,
    prompts_path: Path,
    sheet: str | None = None,
) -> Imported:
    """Return what a table holds after each prompt, texts exactly as written, in the order of the prompts.

    Long form (``prompt_id, sample, text``; of a table with a column ``model`` or ``prompt_set`` only those rows) and
    wide form (``generation_1..k``) with a ``prompt_id`` are joined by id, the published form by row number.

    Args:
        prompts: as ``import_prompts`` or ``build_prompts`` returns them.
        samples: how many samples of each prompt to keep, the first ones; all if None.
        prompts_path: where the prompts come from, for messages.

    Raises:
        InputError: a column, prompt or sample is missing or stands twice, or the number of rows differs.
    """
    table = read_table(path, sheet)
    columns = {str(name) for name in table}
    wide = sorted(filter(_GENERATION.fullmatch, columns), key=lambda name: int(name.removeprefix("generation_")))
    if columns.issuperset(LONG_TEXTS):
        table = _only(_only(table, "model", model, path), "prompt_set", prompt_set, path)
        found, texts = _long_texts(table, path)
    elif wide and "prompt_id" in columns and ("n_control" not in columns or "control_id" in columns):
        found, texts = _by_id(table, path), _wide_texts(table, wide)
    elif wide and "prompt" in columns:
        found, texts = _by_row(table, prompts, path, prompts_path), _wide_texts(table, wide)
    else:
        allowed = f"{', '.join(LONG_TEXTS)} (long form) or generation_1, generation_2, ... with prompt_id or prompt"
        raise _other_columns(path, table, allowed)
    kept = _kept_samples(found, texts, prompts["prompt_id"], samples, path)
    rows = [(model, prompt_set, prompt_id, k, text) for prompt_id, row in kept.items() for k, text in enumerate(row)]
    generations = pd.DataFrame(rows, columns=GENERATION_COLUMNS)
    generations = generations.astype({name: "int64" if name == "sample" else "str" for name in GENERATION_COLUMNS})
    warnings = [_unknown(found, prompts, path, prompts_path), _differing(found, table, prompts, path, prompts_path)]
    return Imported(generations, [warning for warning in warnings if warning])


# ------------------------------------------------------------------------------------------------------- prompts


Row = dict[str, str | None]


def _long_rows(table: pd.DataFrame, path: Path) -> list[Row]:
    ids = [_id(value) for value in table["prompt_id"]]
    numbers: dict[str, int] = {}
    for number, prompt_id in enumerate(ids):
        if not prompt_id:
            raise InputError(f"{_at(path, number)}: prompt_id: got {prompt_id!r}; allowed: an id.")
        first = numbers.setdefault(prompt_id, number)
        if first != number:
            found = f"{prompt_id!r}, which row {first} has already"
            raise InputError(f"{_at(path, number)}: prompt_id: got {found}; allowed: each id once.")
    return [
        {
            "prompt_id": prompt_id,
            **{
                name: _control_id(record.get(name, ""), name, prompt_id, numbers, _at(path, numbers[prompt_id]))
                for name in ("control_id", "neutral_control_id")
            },
        }
        for prompt_id, record in zip(ids, _records(table), strict=True)
    ]


def _control_id(value: str, name: str, prompt_id: str, known: Mapping[str, int], where: str) -> str | None:
    control = _id(value)
    if not control:
        return None
    if control not in known:
        raise InputError(f"{where}: {name}: got {control!r}; allowed: a prompt_id of this table, or nothing.")
    if control == prompt_id:
        raise InputError(f"{where}: {name}: got {control!r}, the row itself; allowed: the prompt_id of another row.")
    return control


def _published_rows(table: pd.DataFrame, path: Path) -> list[Row]:
    return [
        {
            "prompt_id": str(number),
            "control_id": _row_number(value, number, len(table), _at(path, number)),
            "neutral_control_id": None,
        }
        for number, value in enumerate(table["n_control"])
    ]


def _row_number(value: str, own: int, n_rows: int, where: str) -> str | None:
    text = _whole(_strip(value))
    if text.casefold() in ("", "none", "nan"):
        return None
    if not re.fullmatch(r"[0-9]+", text) or int(text) >= n_rows:
        allowed = f"a row number from 0 to {n_rows - 1}, 'none' or nothing"
        raise InputError(f"{where}: n_control: got {value!r}; allowed: {allowed}.")
    if int(text) == own:
        raise InputError(f"{where}: n_control: got {value!r}, the row itself; allowed: the number of another row.")
    return str(int(text))


def _described(row: Row, record: Mapping[str, str], path: Path) -> Row:
    """Return what a prompt is about, its text and its group; ``row`` holds its ids."""
    where = f"{path}: prompt {row['prompt_id']!r}"
    if not record["prompt"].strip():
        raise InputError(f"{where}: prompt: got {record['prompt']!r}; allowed: text that is not empty.")
    concept = _named(record["concept"])
    if concept is None and _is_test(row):
        raise InputError(f"{where}: concept: got {record['concept']!r}; allowed: text, as the prompt has a control.")
    group = _strip(record.get("concept_group", "")) or (concept_group(concept) if concept else None)
    if group in NOT_GROUPS and _is_test(row):
        raise InputError(f"{where}: concept_group: got {group!r}; allowed: {GROUP_NAMES}.")
    category = _whole(_strip(record.get("category", ""))) or None
    if category == POOLED:
        raise InputError(f"{where}: category: got {POOLED!r}; allowed: a name that does not stand for all of them.")
    return {
        "concept": concept,
        "concept_group": group,
        "expected": _named(record.get("expected", record.get("expected_color", ""))),
        "category": category,
        "template_id": _whole(_strip(record.get("template_id", ""))) or None,
        "slot": None,
        "prompt": record["prompt"],
    }


def _is_test(row: Mapping[str, str | None]) -> bool:
    return row["control_id"] is not None or row["neutral_control_id"] is not None


# --------------------------------------------------------------------------------------------------- generations


def _only(table: pd.DataFrame, column: str, name: str, path: Path) -> pd.DataFrame:
    if column not in table:
        return table
    kept = table[table[column] == name]
    if kept.empty:
        raise InputError(f"{path}: column {column!r}: got {', '.join(table[column].unique())}; allowed: {name}.")
    return kept


def _long_texts(table: pd.DataFrame, path: Path) -> tuple[list[str], list[dict[int, str]]]:
    """Return the id of every row, and beside it a mapping of its one sample number to its text."""
    ids = [_id(value) for value in table["prompt_id"]]
    numbers = [_whole(_strip(value)) for value in table["sample"]]
    seen: set[tuple[str, str]] = set()
    for row, key in zip(table.index, zip(ids, numbers, strict=True), strict=True):
        if not re.fullmatch(r"[0-9]+", key[1]):
            raise InputError(f"{_at(path, row)}: sample: got {key[1]!r}; allowed: a whole number from 0.")
        if key in seen:
            raise InputError(f"{_at(path, row)}: got sample {key[1]} of prompt {key[0]!r} twice; allowed: each once.")
        seen.add(key)
    return ids, [{int(number): text} for number, text in zip(numbers, table["text"], strict=True)]


def _wide_texts(table: pd.DataFrame, columns: list[str]) -> list[dict[int, str]]:
    return [dict(enumerate(row)) for row in table[columns].to_numpy().tolist()]


def _by_row(table: pd.DataFrame, prompts: pd.DataFrame, path: Path, prompts_path: Path) -> list[str]:
    if len(table) != len(prompts):
        allowed = f"{len(prompts)}, as in {prompts_path} (they are joined by row number)"
        raise InputError(f"{path}: got {len(table)} rows; allowed: {allowed}.")
    return [str(prompt_id) for prompt_id in prompts["prompt_id"]]


def _by_id(table: pd.DataFrame, path: Path) -> list[str]:
    ids = [_id(value) for value in table["prompt_id"]]
    seen: set[str] = set()
    for row, prompt_id in enumerate(ids):
        if prompt_id in seen:
            raise InputError(f"{_at(path, row)}: prompt_id: got {prompt_id!r} twice; allowed: each id once.")
        seen.add(prompt_id)
    return ids


def _kept_samples(
    found: Sequence[str], texts: Sequence[dict[int, str]], wanted: Iterable[str], samples: int | None, path: Path
) -> dict[str, list[str]]:
    """Return the texts of every wanted prompt, samples 0 to k − 1, k the same for all."""
    by_prompt: dict[str, dict[int, str]] = {}
    for prompt_id, some in zip(found, texts, strict=True):
        by_prompt.setdefault(prompt_id, {}).update(some)
    wanted = list(wanted)
    missing = [prompt_id for prompt_id in wanted if prompt_id not in by_prompt]
    if missing:
        listed = ", ".join(map(repr, missing[:_SHOWN]))
        raise InputError(f"{path}: got no text for {len(missing)} prompts ({listed}); allowed: none without texts.")
    k = samples or max(len(by_prompt[prompt_id]) for prompt_id in wanted)
    for prompt_id in wanted:
        absent = next((i for i in range(k) if i not in by_prompt[prompt_id]), None)
        if absent is not None:
            there = (
                f"{len(by_prompt[prompt_id])} of the {k} samples of prompt {prompt_id!r} (number {absent} is missing)"
            )
            raise InputError(f"{path}: got {there}; allowed: samples 0 to {k - 1} of every prompt.")
    return {prompt_id: [by_prompt[prompt_id][i] for i in range(k)] for prompt_id in wanted}


def _unknown(found: Sequence[str], prompts: pd.DataFrame, path: Path, prompts_path: Path) -> str | None:
    unknown = list(dict.fromkeys(found).keys() - set(prompts["prompt_id"]))
    if not unknown:
        return None
    listed = ", ".join(map(repr, sorted(unknown)[:_SHOWN]))
    return f"{path}: {len(unknown)} prompt ids that {prompts_path} does not have were left out ({listed})."


def _differing(
    found: Sequence[str], table: pd.DataFrame, prompts: pd.DataFrame, path: Path, prompts_path: Path
) -> str | None:
    """Return one line on the rows whose prompt is not, letter by letter, the prompt that they are joined to."""
    if "prompt" not in table:
        return None
    known = dict(zip(prompts["prompt_id"], prompts["prompt"], strict=True))
    differing = [
        f"row {row}: {text!r}, not {known[prompt_id]!r}"
        for row, prompt_id, text in zip(table.index, found, table["prompt"], strict=True)
        if known.get(prompt_id, text) != text
    ]
    if not differing:
        return None
    more = f"; and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    shown = "; ".join(differing[:_SHOWN])
    return f"{path}: {len(differing)} of {len(table)} rows have another prompt than {prompts_path}: {shown}{more}."


# --------------------------------------------------------------------------------------------------------- cells


def _other_columns(path: Path, table: pd.DataFrame, allowed: str) -> InputError:
    return InputError(f"{path}: got the columns {', '.join(map(str, table))}; allowed: a table that has {allowed}.")


def _records(table: pd.DataFrame) -> list[dict[str, str]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.to_numpy().tolist()]


def _at(path: Path, row: int) -> str:
    return f"{path}, row {row} (from 0)"


def _strip(value: str) -> str:
    """Strip spaces of any kind, no-break ones and those without width included."""
    return value.strip().strip("\u200b\ufeff\u2060").strip()


def _whole(value: str) -> str:
    """Return ``1`` for ``1.0``: a column of whole numbers with gaps is written so."""
    return re.sub(r"^(-?[0-9]+)\.0+$", r"\1", value)


def _id(value: str) -> str:
    return _whole(_strip(value))


def _named(value: str) -> str | None:
    """Return the stripped text, None where it is empty or says "none"."""
    text = _strip(value)
    return None if text.casefold() in ("", "none") else text
