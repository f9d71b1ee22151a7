"""Effect and cost of tuning to close the gap: each tuned model compared with its base."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from leakscope.files.names import POOLED
from leakscope.files.tables import read_csv
from leakscope.statistics.jackknife import Deletions, Floats, ValueInterval, t_interval
from leakscope.storage.manifests import read_manifest
from leakscope.validate.discrimination import affirmed_rightly
from leakscope.validate.gap import pearson
from leakscope.validate.paired import ALL, main_form, new_items, questions_of, subsets_of
from leakscope.validate.tasks.splits import TEST, TRAIN

COLUMNS = [
    "base", "model", "method", "split", "part", "subset", "pearson_before", "pearson_after",
    "closed", "closed_ci_low", "closed_ci_high", "validator_accuracy_before", "validator_accuracy_after",
    "generator_accuracy_before", "generator_accuracy_after", "perplexity_before", "perplexity_after", "perplexity_rise",
    "match_rate_before", "match_rate_after", "leak_rate_before", "leak_rate_after", "n",
]  # fmt: skip


class TunedModel(TypedDict):
    """A tuned model, its base, and the method, task and split of its training."""

    model: str
    base: str
    method: str
    task: str
    split: str


def closing(
    tuned: Sequence[TunedModel],
    pairs: pd.DataFrame,
    parts: pd.DataFrame,
    ranks: pd.DataFrame,
    perplexity: Mapping[str, float],
    match_rates: Mapping[str, float],
    leak_rates: Mapping[str, float],
    level: float,
) -> pd.DataFrame:
    """Return ``COLUMNS``: values before and after tuning, for train and test part of the model's split and each subset.

        closed = (r_after − r_before) / (1 − r_before)

    with Pearson correlations r: 1 if the gap is closed, below 0 if it grew. Its interval generalises to new items; the
    items are the same before and after. All values are for the task's main form. ``generator_accuracy`` is accuracy@1
    over the part's questions (subset ``all`` only); ``perplexity_rise``, match rates and Leak-Rates are in percent.

    Args:
        tuned: models, in the order of rows.
        pairs: from ``paired.read_pairs``, for tuned models and their bases.
        parts: from ``paired.read_parts``.
        ranks: ``model, task`` and ``discrimination.RANK_COLUMNS``.
        perplexity: model → perplexity on neutral text, or NaN.
        match_rates: model → match rate, or NaN.
        leak_rates: model → Leak-Rate, or NaN.
        level: nominal coverage of the intervals, 0 to 1.

    Source: share of the gap closed, Rodriguez et al. 2025 (arXiv 2504.11381).
    """
    main = main_form(pairs)
    rows = []
    for entry in tuned:
        sides = (entry["base"], entry["model"])
        cost = [values.get(model, np.nan) for values in (perplexity, match_rates, leak_rates) for model in sides]
        costs = (cost[0], cost[1], 100 * (cost[1] / cost[0] - 1), *cost[2:])
        tables = [_rows_of(main, model, entry["task"]).set_index("item_id") for model in sides]
        ranked = [_rows_of(ranks, model, entry["task"]) for model in sides]
        for part in (TRAIN, TEST):
            name = f"{entry['split']}-{part}"
            chosen = parts.loc[(parts["task"] == entry["task"]) & (parts["split"] == name), "item_id"]
            before, after = (table.loc[chosen] for table in tables)
            first = [_accuracy_at_1(questions_of(table, before)) for table in ranked]
            for subset, rows_before in subsets_of(before):
                gap = _before_and_after(rows_before, after.loc[rows_before.index], level)
                keys = (*sides, entry["method"], entry["split"], part, subset)
                accuracy = first if subset == ALL else (np.nan, np.nan)
                rows.append((*keys, *gap, *accuracy, *costs, len(rows_before)))
    return pd.DataFrame(rows, columns=COLUMNS)


def read_perplexity(paths: Sequence[str], models: Sequence[str]) -> dict[str, float]:
    """Return model → perplexity, in the order of models; NaN where there was no neutral text."""
    perplexities = [read_manifest(Path(path))["perplexity"] for path in paths]
    return {
        model: math.nan if value is None else float(value) for model, value in zip(models, perplexities, strict=True)
    }


def read_rates(paths: Sequence[str], rate: str, weight: str) -> dict[str, float]:
    """Return model → rate, in percent, by the first scorer, over all categories, pooled over prompt sets.

    Args:
        paths: path of the study's table of rates; empty if there is none.
        rate: the column with the rate.
        weight: the column with a prompt set's weight.
    """
    if not paths:
        return {}
    table = read_csv(paths[0])
    pooled = table[(table["category"] == POOLED) & (table["scorer"] == table["scorer"].iloc[0])].dropna(subset=rate)
    sums = pooled.assign(total=pooled[rate] * pooled[weight]).groupby("model")[["total", weight]].sum()
    return {str(model): float(value) for model, value in (sums["total"] / sums[weight]).items()}


def share_closed(before: ArrayLike, after: ArrayLike) -> Floats:
    """Return the share of the gap 1 − r that training closed; NaN where there was no gap.

    Args:
        before: correlations, any shape.
        after: correlations, same shape.
    """
    gap = 1 - np.asarray(before, dtype=float)
    gap = np.where(gap > 0, gap, np.nan)
    closed: Floats = (gap - (1 - np.asarray(after, dtype=float))) / gap
    return closed


def closed_interval(before: Floats, after: Floats, deletions: Deletions, level: float) -> ValueInterval:
    """Return the share closed with an interval computed for log((1 − r_before) / (1 − r_after)) and transformed back.

    On that scale, as with Fisher's z, the jackknife variance depends little on r, and no limit exceeds 1. The limits
    are NaN where either correlation is 1.

    Args:
        before: correlation in each sample, (samples,).
        after: correlation in each sample, (samples,).
        deletions: the samples.
        level: nominal coverage, 0 to 1.
    """
    closed = share_closed(before, after)
    with np.errstate(divide="ignore"):
        interval = t_interval(-np.log1p(-closed), deletions, level)
    return ValueInterval(float(closed[0]), -math.expm1(-interval.low), -math.expm1(-interval.high))


def _before_and_after(before: pd.DataFrame, after: pd.DataFrame, level: float) -> tuple[float, ...]:
    """Return both correlations, the share closed with its interval, and both validator accuracies."""
    deletions = new_items(before)
    r = [pearson(rows["l_g"].to_numpy(float), rows["l_v"].to_numpy(float), deletions) for rows in (before, after)]
    closed = closed_interval(r[0], r[1], deletions, level)
    accuracy = [
        float(affirmed_rightly(rows["l_v"], rows["positive"]).mean()) if len(rows) else np.nan
        for rows in (before, after)
    ]
    return (float(r[0][0]), float(r[1][0]), *closed, *accuracy)


def _rows_of(table: pd.DataFrame, model: str, task: str) -> pd.DataFrame:
    rows: pd.DataFrame = table[(table["model"] == model) & (table["task"] == task)]
    return rows


def _accuracy_at_1(ranked: pd.DataFrame) -> float:
    return float((ranked["rank"].astype(float) <= 1).mean()) if len(ranked) else np.nan
