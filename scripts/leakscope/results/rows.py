"""The rows of the page's table and figure: match rates with all related values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pandas as pd

from leakscope.files.names import POOLED
from leakscope.leak.pairs import tests_by_unit
from leakscope.results.headline import Rate, verdict

KEYS = ["model", "prompt_set", "scorer", "category"]
# Name in a row → column of `match_rates.csv`.
COLUMNS = {
    "rate": "match_rate",
    "low": "ci_low",
    "high": "ci_high",
    "concepts_low": "ci_concepts_low",
    "concepts_high": "ci_concepts_high",
    "without_repetition": "match_rate_without_repetition",
    "repetition": "repetition_rate",
    "without_echo": "match_rate_without_echo",
    "echo": "echo_rate",
    "empty": "empty_rate",
    "unfinished": "unfinished_rate",
    "foreign": "foreign_rate",
    "p": "p_templates_corrected",
    "detectable": "detectable",
    "sd": "sd",
}
COUNTS = {"prompts": "n_prompts", "clusters": "n_clusters", "concepts": "n_groups"}


def rate_rows(
    rates: pd.DataFrame,
    leak_rates: pd.DataFrame,
    pairs: pd.DataFrame,
    truth: pd.DataFrame | None,
    names: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Return one row per model, prompt set, scorer and category, ready for JSON (None for NaN), in percent.

    Args:
        rates: ``match_rates.csv``.
        leak_rates: ``leak_rates.csv``, for the number of texts that a scorer cuts.
        pairs: of ``pairs_of_texts``.
        truth: ``truth.csv``, where organisms are measured.
        names: model → display name, in the order of the rows.
    """
    table = rates.merge(leak_rates[[*KEYS, "n_pairs", "n_cut"]], on=KEYS, how="left")
    table = table.merge(pairs, on=["model", "prompt_set", "category"], how="left")
    exact = pd.DataFrame(columns=[*KEYS, "true_match_rate_organism"]) if truth is None else truth
    table = table.merge(exact[[*KEYS, "true_match_rate_organism"]], on=KEYS, how="left")
    order = {model: place for place, model in enumerate(names)}
    table = table.sort_values("model", key=lambda models: models.map(order), kind="stable")
    return [_row(cells, names) for cells in table.to_dict("records")]


def rate_of(row: Mapping[str, Any]) -> Rate:
    """Return the match rate of a row of ``rate_rows``."""
    value, low, high, detectable = (
        float("nan") if row[name] is None else row[name] for name in ("rate", "low", "high", "detectable")
    )
    return Rate(value, low, high, row["clusters"], detectable)


def pairs_of_texts(texts: pd.DataFrame, prompts: pd.DataFrame) -> pd.DataFrame:
    """Return ``model, prompt_set, category, text_pairs``: the number of pairs of texts behind a match rate.

    A unit has (n² − Σ n_g²) / 2 pairs of texts written after concepts of two groups.

    Args:
        texts: ``model, prompt_set, prompt_id, sample`` of one scorer, as ``matching.match_texts`` returns them.
        prompts: the prompts tables of all sets.
    """
    units = pd.concat([tests_by_unit(of_set) for _, of_set in prompts.groupby("prompt_set", sort=False)])
    units = units[["prompt_set", "prompt_id", "category", "unit", "concept_group"]]
    told = texts[["model", "prompt_set", "prompt_id", "sample"]].merge(units, on=["prompt_set", "prompt_id"])
    by = ["model", "prompt_set", "category", "unit"]
    groups = told.groupby([*by, "concept_group"], sort=False, dropna=False).size()
    grouped = groups.groupby(by, sort=False, dropna=False)
    of_unit = ((grouped.sum() ** 2 - (groups**2).groupby(by, sort=False, dropna=False).sum()) // 2).reset_index(
        name="text_pairs"
    )
    of_category = of_unit.dropna(subset="category").groupby(by[:3], sort=False)["text_pairs"].sum().reset_index()
    pooled = of_unit.groupby(by[:2], sort=False)["text_pairs"].sum().reset_index().assign(category=POOLED)
    return pd.concat([of_category, pooled], ignore_index=True)


def _row(cells: Mapping[Any, Any], names: Mapping[str, str]) -> dict[str, Any]:
    row = {name: cells[name] for name in KEYS}
    row |= {name: _number(cells[column]) for name, column in COLUMNS.items()}
    row |= {name: int(cells[column]) for name, column in COUNTS.items()}
    row |= {name: _count(cells[column]) for name, column in COUNTED.items()}
    few = cells["few"]
    rate = Rate(*(cells[column] for column in ("match_rate", "ci_low", "ci_high", "n_clusters", "detectable")))
    return row | {
        "name": names[cells["model"]],
        "few": few if isinstance(few, str) else "",
        "truth": _number(cells["true_match_rate_organism"]),
        "verdict": verdict(rate),
        "href": _address(cells),
    }


COUNTED = {"compared": "n_pairs", "cut": "n_cut", "pairs": "text_pairs"}


def _address(cells: Mapping[Any, Any]) -> str:
    """Return the address of a row's texts in the explorer."""
    asked = {"model": cells["model"], "set": cells["prompt_set"], "scorer": cells["scorer"]}
    if cells["category"] != POOLED:
        asked["category"] = cells["category"]
    return f"explorer.html#{urlencode(asked)}"


def _number(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else round(float(value), 6)


def _count(value: Any) -> int:
    return 0 if math.isnan(value) else int(value)
