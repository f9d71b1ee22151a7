"""Users' own scores of generator and validator, with their items."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from leakscope.errors import InputError, Mistakes
from leakscope.files.reading import read_json
from leakscope.files.tables import read_first_rows
from leakscope.validate.scoring.score_columns import FORM_COLUMNS, SCORE_COLUMNS
from leakscope.validate.tasks.form_names import IMPORTED
from leakscope.validate.tasks.items import ITEM_COLUMNS, UNKNOWN, item_table, read_label
from leakscope.validate.tasks.readers import read_records, records_of

IMPORTED_COLUMNS = ["item_id", "question", "candidate", "positive", "cluster", "l_g", "l_v"]
GENERATOR, VALIDATOR = "generator-log-prob", "discriminator-log-prob"
NOUNS = ("noun1", "noun2")
KEYS = (*NOUNS, "taxonomic", GENERATOR, VALIDATOR)


def import_scores(path: Path) -> pd.DataFrame:
    """Return ``IMPORTED_COLUMNS``, log-odds in nats, from a JSON list of objects or a table with the columns ``KEYS``.

    Both scores are natural log-probabilities: of the candidate after the generator prompt, and of Yes after the
    validator prompt; ``l_g`` and ``l_v`` are log p − log(1−p).

    Raises:
        InputError: the file has another format, a key is missing, a noun is not a text, a label is neither yes nor no,
            a score is not a number below 0 (log-odds would be infinite), or a pair is repeated.

    Source: Rodriguez et al. 2025 (arXiv 2504.11381): log-odds of generator and validator.
    """
    rows = _read_json(path) if path.suffix.lower() == ".json" else read_records(path, KEYS)
    items, scores = _scored_items(rows, path)
    table = item_table(items, str(path))
    odds = log_odds(np.array(scores))
    return table.assign(l_g=odds[:, 0], l_v=odds[:, 1])[IMPORTED_COLUMNS]


def check_scores(path: Path, *, rows: int) -> None:
    """Check the first items of a file of scores before any job starts.

    Raises:
        InputError: as ``import_scores``, for single items.
    """
    if path.suffix.lower() == ".json":
        _scored_items(_read_json(path)[:rows], path)
        return
    table = read_first_rows(path, rows)
    if table is not None:
        _scored_items(records_of(table, path, KEYS), path)


def _scored_items(rows: Sequence[Mapping[str, str]], path: Path) -> tuple[list[dict[str, object]], list[list[float]]]:
    """Return items, and their log-probabilities by generator and validator, in nats."""
    items: list[dict[str, object]] = []
    scores: list[list[float]] = []
    found = Mistakes()
    for i, row in enumerate(rows, 1):
        where = f"{path}, item {i}"
        question, candidate = row["noun1"].strip(), row["noun2"].strip()
        item: dict[str, object] = {"item_id": f"{question}/{candidate}", "question": question, "candidate": candidate}
        with found.kept():
            item["positive"] = read_label(row["taxonomic"], f"{where}: key 'taxonomic'")
        items.append(item | {"cluster": question, "distance": UNKNOWN})
        logprobs = []
        for key in (GENERATOR, VALIDATOR):
            with found.kept():
                logprobs.append(_logprob(row[key], f"{where}: key {key!r}"))
        scores.append(logprobs)
    found.end()
    return items, scores


def imported_items(scores: pd.DataFrame) -> pd.DataFrame:
    """Return ``items.ITEM_COLUMNS`` of imported scores.

    Args:
        scores: from ``import_scores``.
    """
    return scores.assign(distance=UNKNOWN).astype({"distance": "str"})[ITEM_COLUMNS]


def imported_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Return ``SCORE_COLUMNS`` of imported scores, with one form of generator and validator.

    Args:
        scores: from ``import_scores``.
    """
    kinds = [
        pd.DataFrame({"item_id": scores["item_id"], "kind": kind, "log_odds": scores[column]})
        for kind, column in (("generator", "l_g"), ("validator", "l_v"))
    ]
    table = pd.concat(kinds, ignore_index=True).assign(form_id=IMPORTED, style=IMPORTED)
    numbers = {column: "Int64" if column == "tokens" else "float64" for column in SCORE_COLUMNS[len(FORM_COLUMNS) :]}
    return table.reindex(columns=SCORE_COLUMNS).astype(numbers)


def log_odds(logprobs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return log p − log(1−p) from log-probabilities below 0, in nats, accurate for p near 0 and near 1."""
    return logprobs - log1mexp(logprobs)


def log1mexp(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return log(1 − exp(x)) for x below 0.

    Source: Mächler 2012, "Accurately computing log(1 − exp(−|a|))": each of two formulas where it is accurate.
    """
    near_zero = x > -math.log(2)
    # Both formulas are evaluated everywhere; where a formula is not used, its argument is replaced by a safe value.
    return np.where(
        near_zero,
        np.log(-np.expm1(np.where(near_zero, x, -1.0))),
        np.log1p(-np.exp(np.where(near_zero, -1.0, x))),
    )


def _read_json(path: Path) -> list[dict[str, str]]:
    """Return the objects of a JSON list, the values of ``KEYS`` as text."""
    content = read_json(path, "a list of objects")
    if not isinstance(content, list) or not content:
        raise InputError(f"{path}: got a JSON {type(content).__name__}; allowed: a list with at least one object.")
    found = Mistakes()
    for i, entry in enumerate(content, 1):
        missing = [key for key in KEYS if not isinstance(entry, dict) or key not in entry]
        if missing:
            allowed = f"all of {', '.join(KEYS)}"
            found.append(InputError(f"{path}, item {i}: got no key {missing[0]!r}; allowed: {allowed}."))
        for key in NOUNS:
            if key not in missing and not isinstance(entry[key], str):
                shown = json.dumps(entry[key])
                found.append(InputError(f"{path}, item {i}: key {key!r}: got {shown}; allowed: text."))
    found.end()
    return [{key: str(entry[key]) for key in KEYS} for entry in content]


def _logprob(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not -math.inf < value < 0:
        raise InputError(f"{where}: got {text!r}; allowed: a log-probability, a finite number below 0.")
    return value
