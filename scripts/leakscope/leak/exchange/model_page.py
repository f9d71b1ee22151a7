"""Match rates in the two forms in which a model's page on the hub holds evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from huggingface_hub import EvalResult, EvalResultEntry, eval_result_entries_to_yaml
from huggingface_hub.repocard_data import eval_results_to_model_index

# Of the hub, the one of models that write texts.
TASK = "text-generation"
METRIC = "match_rate"
# What a data set of prompts is called here; the hub shows such a result once prompts are there under an owner's name.
DATASET = "leakscope/{prompt_set}"
DECIMALS = 2


def model_index(
    rates: pd.DataFrame, name: str, hashes: Mapping[str, str], level: float, made_by: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the block ``model-index`` of a model page's metadata: a metric for each prompt set and scorer.

    Args:
        rates: rows of ``match_rates.csv`` of one model.
        name: of the model.
        hashes: prompt set → SHA-256 of its prompts, the data's revision.
        level: of the intervals.
        made_by: version and commit of leakscope.
    """
    results = [
        EvalResult(
            task_type=TASK,
            dataset_type=DATASET.format(prompt_set=row["prompt_set"]),
            dataset_name=f"leakscope {row['prompt_set']}",
            dataset_revision=hashes[row["prompt_set"]],
            metric_type=METRIC,
            metric_name=f"Match rate, percent (50: chance), {row['scorer']}",
            metric_value=round(row["match_rate"], DECIMALS),
            metric_args={"scorer": row["scorer"], "level": level, **_interval(row), "leakscope": dict(made_by)},
        )
        for row in _whole(rates)
    ]
    return {"model-index": eval_results_to_model_index(name, results)}


def eval_results(
    rates: pd.DataFrame, hashes: Mapping[str, str], level: float, made_by: Mapping[str, Any], date: str
) -> list[dict[str, Any]]:
    """Return the content of a file in ``.eval_results/``, with arguments as those of ``model_index``.

    The form has a value without an interval, so the notes say it.

    Args:
        rates: as there.
        hashes: as there.
        level: as there.
        made_by: as there.
        date: of the rates, in ISO form.
    """
    entries = [
        EvalResultEntry(
            dataset_id=DATASET.format(prompt_set=row["prompt_set"]),
            task_id=f"{METRIC}_{row['scorer']}",
            value=round(row["match_rate"], DECIMALS),
            dataset_revision=hashes[row["prompt_set"]],
            date=date,
            notes=_notes(row, level, made_by),
        )
        for row in _whole(rates)
    ]
    content: list[dict[str, Any]] = eval_result_entries_to_yaml(entries)
    return content


def _whole(rates: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows over all categories that have a rate."""
    kept = rates[(rates["category"] == "all") & rates["match_rate"].notna()]
    return [{str(key): value for key, value in row.items()} for row in kept.to_dict("records")]


def _interval(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an interval as plain numbers, None where there is none, and of how many clusters it is."""
    ends = {key: None if pd.isna(row[key]) else round(float(row[key]), DECIMALS) for key in ("ci_low", "ci_high")}
    return {**ends, "n_clusters": int(row["n_clusters"])}


def _notes(row: Mapping[str, Any], level: float, made_by: Mapping[str, Any]) -> str:
    of = _interval(row)
    interval = "no interval" if of["ci_low"] is None else f"{100 * level:g}% interval {of['ci_low']} to {of['ci_high']}"
    version = f"leakscope {made_by['version']}, commit {made_by['commit'] or 'unknown'}"
    return f"percent, 50 is chance; {interval}, {of['n_clusters']} clusters; scorer {row['scorer']}; {version}"
