"""The tables of Leak-Rates, from pairs whose rates are fractions worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from leakscope.errors import InputError
from leakscope.leak.measures.leak_rate import (
    ESTIMATORS,
    KEYS,
    RATES,
    SPECIFIC,
    estimators,
    leak_rates,
    leak_rates_by_concept,
    leak_rates_by_control,
    leak_rates_by_template,
    specific_leakage,
)
from leakscope.statistics.intervals import cluster_interval


def pairs_of(outcomes: list[float], **columns: object) -> pd.DataFrame:
    """Return pairs with these outcomes; every other column is constant unless given."""
    n = len(outcomes)
    table = pd.DataFrame(
        {
            "model": "m",
            "prompt_set": "set",
            "scorer": "s",
            "category": "k",
            "template_id": "t",
            "cluster": [f"c{i % 3}" for i in range(n)],
            "concept": "lemon yellow",
            "concept_group": "yellow",
            "prompt_id": [f"p{i // 2}" for i in range(n)],
            "control_kind": "without",
            "sample": [i % 2 for i in range(n)],
            "text_test": [f"text {i}" for i in range(n)],
            "similarity_test": 0.5,
            "similarity_control": 0.5,
            "outcome": outcomes,
            "outcome_all_pairs": outcomes,
            "swapped_outcome": 0.5,
            "repetition": False,
            "echo": False,
            "cut": False,
        }
    )
    return table.assign(**columns)


def row_of(table: pd.DataFrame, category: str = "k", model: str = "m") -> pd.Series:
    found = table[(table["category"] == category) & (table["model"] == model)]
    assert len(found) == 1
    return found.iloc[0]


def test_leak_rates_are_the_fractions_worked_out_by_hand() -> None:
    pairs = pairs_of([1, 1, 0.5, 0, 1, 0.5], repetition=[True, False, False, False, True, False])
    table = leak_rates(pairs)
    assert list(table.columns) == KEYS + RATES
    row = row_of(table)
    assert (row["n_prompts"], row["n_pairs"]) == (3, 6)
    assert row["leak_rate"] == 66.666667  # 4 of 6, 6 digits
    assert row["leak_rate_without_repetition"] == 50  # 1, .5, 0, .5
    assert row["repetition_rate"] == 33.333333
    assert row["tie_rate"] == 33.333333


def test_empty_texts_are_counted_by_their_side() -> None:
    nan = np.nan
    pairs = pairs_of([0.5, 0.5, 0.5, 1], similarity_test=[nan, nan, nan, 0.5], similarity_control=[nan, 0.5, 0.5, 0.5])
    row = row_of(leak_rates(pairs))
    assert (row["empty_rate"], row["empty_rate_control"], row["tie_rate"]) == (75, 25, 75)


def test_leak_rate_has_the_interval_of_its_clusters() -> None:
    pairs = pairs_of([1, 1, 0.5, 0, 1, 0.5, 1, 1])
    row = row_of(leak_rates(pairs, 0.9))
    expected = cluster_interval(100 * pairs["outcome"], pairs["cluster"], 0.9)
    assert (row["ci_low"], row["ci_high"]) == (round(expected.low, 6), round(expected.high, 6))


def test_all_categories_have_an_interval_stratified_by_them() -> None:
    pairs = pairs_of([1, 1, 1, 0.5, 0, 0, 0, 0.5], category=["k"] * 4 + ["l"] * 4, cluster=[*"aabbccdd"])
    pairs = pairs.assign(swapped_outcome=[0.5] * 4 + [0.25] * 4)
    row = row_of(leak_rates(pairs), "all")
    expected = cluster_interval(100 * pairs["outcome"], pairs["cluster"], strata=pairs["category"])
    assert (row["ci_low"], row["ci_high"]) == (round(expected.low, 6), round(expected.high, 6))
    assert expected.high + 10 < cluster_interval(100 * pairs["outcome"], pairs["cluster"]).high
    difference = 100 * (pairs["outcome"] - pairs["swapped_outcome"])
    specific = cluster_interval(difference, pairs["cluster"], bounds=(-100, 100), strata=pairs["category"])
    found = row_of(specific_leakage(pairs), "all")
    assert (found["ci_low"], found["ci_high"]) == (round(specific.low, 6), round(specific.high, 6))


def test_leak_rate_without_repetition_is_nan_where_all_repeat() -> None:
    row = row_of(leak_rates(pairs_of([1, 1], repetition=True)))
    assert np.isnan(row["leak_rate_without_repetition"])
    assert row["repetition_rate"] == 100


def test_pairs_with_an_echo_are_counted_and_left_out_of_a_rate_of_their_own() -> None:
    row = row_of(leak_rates(pairs_of([1, 1, 0.5, 0], echo=[True, False, False, False])))
    assert (row["leak_rate"], row["leak_rate_without_echo"], row["echo_rate"]) == (62.5, 50, 25)
    assert row["leak_rate_without_repetition"] == 62.5
    assert np.isnan(row_of(leak_rates(pairs_of([1, 1], echo=True)))["leak_rate_without_echo"])


def test_leak_rates_have_no_row_without_pairs() -> None:
    table = leak_rates(pairs_of([]))
    assert list(table.columns) == KEYS + RATES
    assert table.empty


def test_all_pools_pairs_and_does_not_average_categories() -> None:
    pairs = pairs_of([1, 1, 1, 1, 1, 1, 0, 0], category=["a"] * 6 + ["b"] * 2)
    table = leak_rates(pairs).set_index("category")
    assert table["leak_rate"].to_dict() == {"a": 100, "b": 0, "all": 75}
    assert table["n_prompts"].to_dict() == {"a": 3, "b": 1, "all": 4}


def test_prompts_without_category_have_one_row() -> None:
    table = leak_rates(pairs_of([1, 0], category=None))
    assert table["category"].tolist() == ["all"]
    assert table["leak_rate"].tolist() == [50]


def test_a_category_called_all_is_an_error() -> None:
    with pytest.raises(InputError, match="^category: got 'all'"):
        leak_rates(pairs_of([1, 0], category="all"))


def test_rows_are_ordered_by_first_appearance_and_all_last() -> None:
    pairs = pd.concat([pairs_of([1, 0], model=model, category=k) for model in ("z", "a") for k in ("y", "b")])
    table = leak_rates(pairs)
    found = list(zip(table["model"], table["category"], strict=True))
    assert found == [("z", "y"), ("z", "b"), ("z", "all"), ("a", "y"), ("a", "b"), ("a", "all")]


def test_leak_rates_leave_out_the_neutral_control() -> None:
    pairs = pairs_of([1, 1, 0, 0], control_kind=["without", "without", "neutral", "neutral"])
    assert row_of(leak_rates(pairs))["leak_rate"] == 100
    table = leak_rates_by_control(pairs)
    assert list(table.columns) == [*KEYS, "control_kind", *RATES]
    rates = table[table["category"] == "k"].set_index("control_kind")["leak_rate"]
    assert rates.to_dict() == {"without": 100, "neutral": 0}


def test_specific_leakage_is_the_rate_less_the_swapped_rate() -> None:
    pairs = pairs_of([1, 0.5, 1, 0], swapped_outcome=[0.5, 0.25, 0, 0.25])
    table = specific_leakage(pairs)
    assert list(table.columns) == KEYS + SPECIFIC
    row = row_of(table)
    assert (row["leak_rate"], row["swapped_rate"], row["specific"]) == (62.5, 25, 37.5)
    expected = cluster_interval([50, 25, 100, -25], pairs["cluster"], bounds=(-100, 100))
    assert (row["ci_low"], row["ci_high"]) == (round(expected.low, 6), round(expected.high, 6))


def test_specific_leakage_can_be_negative() -> None:
    row = row_of(specific_leakage(pairs_of([0, 0, 0.5, 0], swapped_outcome=[1, 1, 1, 0.5])))
    assert row["specific"] == -75
    assert -100 <= row["ci_low"] <= -75 <= row["ci_high"] <= 100


def test_specific_leakage_leaves_out_pairs_without_other_concepts() -> None:
    row = row_of(specific_leakage(pairs_of([1, 0, 0, 0], swapped_outcome=[0.25, 0.25, np.nan, np.nan])))
    assert (row["leak_rate"], row["swapped_rate"], row["specific"]) == (50, 25, 25)


def test_specific_leakage_is_nan_where_no_pair_has_other_concepts() -> None:
    row = row_of(specific_leakage(pairs_of([1, 0], swapped_outcome=np.nan)))
    assert row[SPECIFIC].isna().all()


def test_leak_rates_by_concept_count_pairs_of_each_concept() -> None:
    table = leak_rates_by_concept(pairs_of([1, 0, 1], concept=["gold", "lemon", "gold"]))
    assert list(table.columns) == [*KEYS, "concept_group", "concept", "n_pairs", "leak_rate"]
    rows = table[table["category"] == "k"].set_index("concept")
    assert rows["n_pairs"].to_dict() == {"gold": 2, "lemon": 1}
    assert rows["leak_rate"].to_dict() == {"gold": 100, "lemon": 0}


def test_leak_rates_by_template_count_distinct_texts() -> None:
    pairs = pairs_of([1, 0, 1, 1], template_id=["t", "t", "u", None], text_test=["same", "same", "x", "y"])
    table = leak_rates_by_template(pairs)
    assert list(table.columns) == [*KEYS, "template_id", "n_pairs", "leak_rate", "distinct_texts"]
    rows = table[table["category"] == "k"].set_index("template_id")
    assert rows["distinct_texts"].to_dict() == {"t": 1, "u": 1}
    assert rows["leak_rate"].to_dict() == {"t": 50, "u": 100}


def test_estimators_stand_side_by_side() -> None:
    table = estimators(pairs_of([1, 0, 1, 0.5], outcome_all_pairs=[0.9, 0.2, 0.8, 0.5]))
    assert list(table.columns) == [*KEYS, "control_kind", *ESTIMATORS]
    row = row_of(table)
    assert (row["position_wise"], row["all_pairs"]) == (62.5, 60)
    assert row["position_wise_ci_low"] <= 62.5 <= row["position_wise_ci_high"]
    assert row["all_pairs_ci_low"] <= 60 <= row["all_pairs_ci_high"]
