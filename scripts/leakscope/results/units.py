"""Outcomes by unit without texts: what a card keeps of a model, and what two results are paired by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import pandas as pd

from leakscope.leak.measures.match_rate import unit_values
from leakscope.results.card_file import CardUnits

DIGITS = 16
COLUMNS = ["prompt_set", "scorer", "category", "unit", "cluster", "n_groups", "match"]


def outcomes(units: pd.DataFrame, model: str) -> pd.DataFrame:
    """Return a model's outcomes, ``COLUMNS``, one row a unit with partners; sentences as digests.

    A table of prompts may be private, and a card is to be sent. Prompt sets with the same hash have the same digests.

    Args:
        units: as ``matching.match_units`` returns them, of any models.
        model: whose.
    """
    values = unit_values(units[units["model"] == model])
    values = values.assign(unit=values["unit"].map(digest), cluster=values["cluster"].map(digest))
    return values[COLUMNS].reset_index(drop=True).astype({"category": "str"})


def digest(text: str) -> str:
    """Return a name for a text that does not show it."""
    return hashlib.sha256(str(text).encode()).hexdigest()[:DIGITS]


def as_lists(table: pd.DataFrame) -> list[CardUnits]:
    """Return outcomes as a card holds them: an entry a prompt set and scorer."""
    found = []
    for (prompt_set, scorer), rows in table.groupby(["prompt_set", "scorer"], sort=False):
        columns: dict[str, list[Any]] = {name: rows[name].tolist() for name in COLUMNS[2:]}
        columns["category"] = [name if isinstance(name, str) else None for name in columns["category"]]
        found.append(CardUnits(prompt_set=str(prompt_set), scorer=str(scorer), **columns))
    return found


def as_table(units: Iterable[CardUnits]) -> pd.DataFrame:
    """Return the outcomes of a card as ``outcomes`` returns them."""
    parts = [pd.DataFrame(each.model_dump()) for each in units]
    table = pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)
    return table.astype({"category": "str"})
