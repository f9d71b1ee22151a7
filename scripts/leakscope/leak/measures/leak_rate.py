"""Leak-Rates from pairs: by category, control, concept and template, with intervals and diagnostics.

Leak-Rate = 100 × mean outcome. All functions take the pairs of any number of models, prompt sets and scorers. Tables
have one row per category and one row ``all`` that pools their pairs (only ``all`` if prompts have no category). Order:
models, prompt sets, scorers and categories as they first appear, ``all`` last. Rates are in percent, 6 digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from pandas.api.typing import DataFrameGroupBy

from leakscope.errors import InputError
from leakscope.files.names import POOLED
from leakscope.statistics.intervals import ClusterInterval, cluster_interval

ROUNDING = 6
KEYS = ["model", "prompt_set", "scorer", "category"]
RATES = [
    "n_prompts",
    "n_pairs",
    "n_clusters",
    "leak_rate",
    "ci_low",
    "ci_high",
    "leak_rate_without_repetition",
    "repetition_rate",
    "leak_rate_without_echo",
    "echo_rate",
    "tie_rate",
    "empty_rate",
    "empty_rate_control",
    "n_cut",
]
SPECIFIC = ["leak_rate", "swapped_rate", "specific", "ci_low", "ci_high"]
ESTIMATORS = ["position_wise", "position_wise_ci_low", "position_wise_ci_high"] + [
    "all_pairs",
    "all_pairs_ci_low",
    "all_pairs_ci_high",
]


def leak_rates(pairs: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Return Leak-Rates against the control without the clause, paired by position.

    ``leak_rate_without_repetition`` leaves out pairs in which either text contains the concept (NaN if none remains);
    ``repetition_rate`` is the share of these pairs. ``leak_rate_without_echo`` and ``echo_rate`` do the same for pairs
    in which either text restates the test's prompt or the control. ``tie_rate`` is the share of pairs with outcome 0.5,
    ``empty_rate`` and ``empty_rate_control`` the shares with an empty test text and an empty control text. ``n_cut``
    counts pairs with a text longer than the scorer reads.

    Args:
        pairs: as ``outcomes.compare_pairs`` returns them.
        level: of the intervals, 0 to 1.

    Returns:
        ``KEYS`` and ``RATES``; no row without pairs.
    """
    return _table(_without(pairs), KEYS, RATES, lambda rows: _rates(rows, level))


def leak_rates_by_control(pairs: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Return Leak-Rates as ``leak_rates`` does, for each kind of control: ``KEYS``, ``control_kind``, ``RATES``."""
    return _table(pairs, [*KEYS, "control_kind"], RATES, lambda rows: _rates(rows, level))


def specific_leakage(pairs: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Return the Leak-Rate minus the rate of *other* concepts with the same texts.

        specific = 100 × mean(outcome − swapped_outcome)

    A Leak-Rate of 50 means no leakage only if the clause has no other effect; the swapped rate contains such effects,
    so the difference removes them.

    Args:
        pairs: as ``outcomes.compare_pairs`` returns them; pairs without other concepts are left out.
        level: of the interval of the paired difference.

    Returns:
        ``KEYS`` and ``SPECIFIC``, both rates from the same pairs; NaN if no pair has other concepts.
    """
    return _table(_without(pairs), KEYS, SPECIFIC, lambda rows: _specific(rows[rows["swapped_outcome"].notna()], level))


def leak_rates_by_concept(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return Leak-Rates against the control without the clause by ``concept_group`` and ``concept``."""
    return _counts_and_rates(_without(pairs), [*KEYS, "concept_group", "concept"])


def leak_rates_by_template(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return Leak-Rates by ``template_id`` with the number of distinct texts of the template's test prompts.

    A model that ignores the prompt has one distinct text. Pairs without template are left out.
    """
    rows = _without(pairs)
    rows = rows[rows["template_id"].notna()]
    return _counts_and_rates(rows, [*KEYS, "template_id"], distinct_texts=("text_test", "nunique"))


def estimators(pairs: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Return the Leak-Rate by two estimators of the same expectation, for each kind of control.

    ``position_wise`` compares a test's sample with the control's sample of the same number, ``all_pairs`` with every
    sample of the control. Samples of the same number are independent, so ``all_pairs`` has slightly less noise.
    """

    def both(rows: pd.DataFrame) -> tuple[float, ...]:
        found = (_interval(rows, 100 * rows[name], level) for name in ("outcome", "outcome_all_pairs"))
        return tuple(value for interval in found for value in interval[:3])

    return _table(pairs, [*KEYS, "control_kind"], ESTIMATORS, both)


def by_category(pairs: pd.DataFrame, keys: Sequence[str]) -> DataFrameGroupBy[Any, Any]:
    """Group pairs by ``keys``, in order of first appearance, after adding the pooled category ``all``.

    ``own_category`` keeps each row's original category: the strata of ``all``.

    Raises:
        InputError: a category is called ``all`` itself.
    """
    if (pairs["category"] == POOLED).any():
        raise InputError(
            f"category: got {POOLED!r}, which is the name of all categories pooled; allowed: another name."
        )
    # Encoded once, before the rows are doubled: pandas is slow to look up texts in categories.
    pairs = pairs.assign(**{key: _as_they_come(pairs[key]) for key in keys})
    named = pairs["category"].cat.add_categories(POOLED)
    pooled = pd.Series(POOLED, pairs.index, named.dtype)
    pairs = pairs.assign(own_category=pairs["category"])
    rows = pd.concat([pairs.assign(category=named)[named.notna()], pairs.assign(category=pooled)], ignore_index=True)
    return rows.groupby(list(keys), observed=True, sort=True, dropna=False)


def _as_they_come(column: pd.Series) -> pd.Categorical[Any]:
    """Return a column as categories in order of first appearance."""
    codes, names = pd.factorize(column)
    return pd.Categorical.from_codes(codes, names)


def _table(
    pairs: pd.DataFrame,
    keys: Sequence[str],
    names: Sequence[str],
    summary: Callable[[pd.DataFrame], tuple[float, ...]],
) -> pd.DataFrame:
    """Return one row per group: its keys and the ``summary`` of its pairs."""
    rows = [(*key, *summary(group)) for key, group in by_category(pairs, keys)]
    return pd.DataFrame(rows, columns=[*keys, *names]).round(ROUNDING)


def _counts_and_rates(pairs: pd.DataFrame, keys: Sequence[str], **more: tuple[str, str]) -> pd.DataFrame:
    """Return one row per group: its keys, ``n_pairs``, ``leak_rate`` and the named aggregations ``more``."""
    groups = by_category(pairs, keys)
    table = groups.agg(n_pairs=("outcome", "size"), leak_rate=("outcome", "mean"), **more).reset_index()
    texts = {key: pairs[key].dtype for key in keys}
    return table.assign(leak_rate=100 * table["leak_rate"]).astype(texts).round(ROUNDING)


def _without(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs[pairs["control_kind"] == "without"]


def _interval(rows: pd.DataFrame, values: pd.Series, level: float, lowest: float = 0.0) -> ClusterInterval:
    cluster, category = rows["cluster"].to_numpy(), rows["own_category"].to_numpy()
    return cluster_interval(values.to_numpy(), cluster, level, bounds=(lowest, 100.0), strata=category)


def _rates(rows: pd.DataFrame, level: float) -> tuple[float, ...]:
    rate = _interval(rows, 100 * rows["outcome"], level)
    repeats, echoes = rows["repetition"].astype(bool), rows["echo"].astype(bool)
    return (
        rows["prompt_id"].nunique(),
        rate.n,
        rate.n_clusters,
        rate.mean,
        rate.low,
        rate.high,
        100 * float(rows.loc[~repeats, "outcome"].mean()),
        100 * float(repeats.mean()),
        100 * float(rows.loc[~echoes, "outcome"].mean()),
        100 * float(echoes.mean()),
        100 * float((rows["outcome"] == 0.5).mean()),
        100 * float(rows["similarity_test"].isna().mean()),
        100 * float(rows["similarity_control"].isna().mean()),
        int(rows["cut"].sum()),
    )


def _specific(rows: pd.DataFrame, level: float) -> tuple[float, ...]:
    difference = _interval(rows, 100 * (rows["outcome"] - rows["swapped_outcome"]), level, lowest=-100.0)
    rates = 100 * rows[["outcome", "swapped_outcome"]].mean()
    return (rates["outcome"], rates["swapped_outcome"], difference.mean, difference.low, difference.high)
