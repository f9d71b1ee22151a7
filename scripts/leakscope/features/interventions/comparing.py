"""Effects of an edit on the whole model: each measure of the study before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from leakscope.files.names import POOLED

COLUMNS = [
    "model", "base", "dictionary", "contrast", "measure", "subset",
    "before", "before_ci_low", "before_ci_high", "after", "after_ci_low", "after_ci_high",
]  # fmt: skip
VALUES = ["value", "ci_low", "ci_high"]
TIDY = ["measure", "subset", "model", *VALUES]


def compare_edited(
    edited: Mapping[str, Mapping[str, Any]],
    match_rates: pd.DataFrame | None,
    leak_rates: pd.DataFrame | None,
    effects: pd.DataFrame | None,
    bias: pd.DataFrame | None,
) -> pd.DataFrame:
    """Return ``COLUMNS``: one row for each edited model and measure, in the order of the models and tables.

    Measures: ``match_rate`` and ``leak_rate``, in percent, pooled over a prompt set's categories, by prompt set and
    scorer; for a model edited against a contrast, ``mean_abs_gap`` of held-out items and ``cost``, the rise in
    perplexity on neutral texts in percent; each score of a benchmark, pooled over its parts and types. ``subset`` names
    the prompt set and scorer, the contrast, or the benchmark. Measures without a value have no row.

    Args:
        edited: model → ``base, dictionary, contrast, cost`` of its entry; no contrast for one of explicit features.
        match_rates: the study's, with intervals; None without any.
        leak_rates: likewise.
        effects: of all edits; None without any.
        bias: scores of benchmarks; None without any.
    """
    rates = {"match_rate": match_rates, "leak_rate": leak_rates}
    tidy = [_rates(table, measure) for measure, table in rates.items() if table is not None]
    tidy += [_bias(bias)] if bias is not None else []
    measured = pd.concat(tidy, ignore_index=True) if tidy else pd.DataFrame(columns=TIDY)
    rows = []
    for model, entry in edited.items():
        named = {"model": model, **{key: entry[key] for key in ("base", "dictionary", "contrast")}}
        sides = [measured[measured["model"] == name].drop(columns="model") for name in (entry["base"], model)]
        own = sides[0].merge(sides[1], on=["measure", "subset"], suffixes=("_before", "_after"))
        rows += [{**named, **_renamed(row)} for row in own.to_dict("records")]
        if effects is not None and entry["contrast"] is not None:
            rows += [{**named, **row} for row in _effects(effects, entry)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rates(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    pooled = table[table["category"] == POOLED]
    named = pooled.assign(measure=measure, subset=pooled["prompt_set"] + " · " + pooled["scorer"])
    return named.rename(columns={measure: "value"})[TIDY]


def _bias(table: pd.DataFrame) -> pd.DataFrame:
    pooled = table[(table["part"] == POOLED) & (table["bias_type"] == POOLED)]
    return pooled.assign(subset=pooled["benchmark"])[TIDY]


def _effects(effects: pd.DataFrame, entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the edit that was chosen on a contrast at a cost."""
    here = effects[
        (effects["dictionary"] == entry["dictionary"])
        & (effects["contrast"] == entry["contrast"])
        & (effects["split"] == "evaluation")
    ]
    before = here[here["intervention"] == "none"]
    after = here[
        (here["intervention"] == "features") & (here["target_cost"] == entry["cost"]) & _is_true(here["chosen"])
    ]
    if before.empty or after.empty:
        return []
    gaps = {f"{side}{end}": rows[column].iloc[0] for side, rows in (("before", before), ("after", after))
            for end, column in (("", "mean_abs_gap"), ("_ci_low", "ci_low"), ("_ci_high", "ci_high"))}  # fmt: skip
    shared = {"subset": entry["contrast"]}
    return [
        {**shared, "measure": "mean_abs_gap", **gaps},
        {**shared, "measure": "cost", "before": 0.0, "after": after["cost"].iloc[0]},
    ]


def _is_true(values: pd.Series) -> pd.Series:
    """Return a column of truth values of a CSV, in which some may be missing."""
    return values.astype(str) == "True"


def _renamed(row: Mapping[Any, Any]) -> dict[str, Any]:
    sides = {f"{side}{end}": row[f"{column}_{side}"] for side in ("before", "after")
             for end, column in zip(("", "_ci_low", "_ci_high"), VALUES, strict=True)}  # fmt: skip
    return {"measure": row["measure"], "subset": row["subset"], **sides}
