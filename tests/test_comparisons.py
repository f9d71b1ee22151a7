"""Paired comparisons of models: permutation p-values against brute force, Holm by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from leakscope.errors import InputError
from leakscope.leak.measures.comparisons import COLUMNS, compare_models
from leakscope.leak.measures.families import check_primary, in_primary
from leakscope.leak.measures.matching import VALUES
from leakscope.statistics.permutations import benjamini_yekutieli, holm, sign_flip_p, smallest_p


def pairs_of(outcomes: dict[str, list[float]], n_clusters: int = 4, **columns: object) -> pd.DataFrame:
    """Return pairs of models on the same prompts, one sample each, clusters in turn."""
    tables = [
        pd.DataFrame(
            {
                "model": model,
                "prompt_set": "set",
                "scorer": "s",
                "category": "k",
                "cluster": [f"c{i % n_clusters}" for i in range(len(values))],
                "prompt_id": [f"p{i}" for i in range(len(values))],
                "sample": 0,
                "control_kind": "without",
                "outcome": values,
            }
        )
        for model, values in outcomes.items()
    ]
    return pd.concat(tables, ignore_index=True).assign(**columns)


def units_of(matches: dict[str, list[float]], n_groups: list[int]) -> pd.DataFrame:
    """Return units of models, each a cluster of its own with concepts that match equally often."""
    rows = [
        (model, f"u{place}", f"g{group}", match)
        for model, values in matches.items()
        for place, match in enumerate(values)
        for group in range(n_groups[place])
    ]
    table = pd.DataFrame(rows, columns=["model", "unit", "concept_group", "match"])
    size = table["unit"].map({f"u{place}": n for place, n in enumerate(n_groups)})
    names = {"prompt_set": "set", "scorer": "s", "category": "k", **dict.fromkeys(VALUES, 0.0)}
    return table.assign(**names | {"match": table["match"]}, n_groups=size, cluster=table["unit"])


def compared(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the comparisons of Leak-Rates alone."""
    table = compare_models(units_of({}, []), pairs)
    assert set(table["measure"]) <= {"leak_rate"}
    return table


def test_match_rates_are_compared_first_units_weighing_as_many_groups() -> None:
    units = units_of({"a": [1.0, 0.5, 1.0], "b": [0.5, 0.5, 0.0]}, [2, 3, 5])
    table = compare_models(units, pairs_of({"a": [1, 0, 1], "b": [1, 0, 1]}, n_clusters=3))
    assert table["measure"].tolist() == ["match_rate"] * 2 + ["leak_rate"] * 2
    first = table.iloc[0]
    assert (first["model_a"], first["model_b"], first["n_clusters"]) == ("a", "b", 3)
    assert first["difference"] == 100 * (2 * 0.5 + 3 * 0 + 5 * 1.0) / 10
    # Of eight sign patterns of (1, 0, 5), the four whose large parts agree reach the observed sum.
    assert first["p_value"] == 0.5
    assert table.loc[table["measure"] == "leak_rate", "difference"].tolist() == [0, 0]


def brute_force(sums: list[float]) -> float:
    observed = abs(sum(sums))
    patterns = list(product((-1, 1), repeat=len(sums)))
    return sum(abs(np.dot(pattern, sums)) >= observed - 1e-9 for pattern in patterns) / len(patterns)


@pytest.mark.parametrize("sums", [[1, 1, 1, 1], [3, -1, 0.5, 2, 0], [0, 0, 0], [2.5], [1, -1]])
def test_exact_p_value_equals_brute_force(sums: list[float]) -> None:
    assert sign_flip_p(np.array(sums)).item() == pytest.approx(brute_force(sums))


def test_four_clusters_cannot_fall_below_an_eighth() -> None:
    assert sign_flip_p(np.ones(4)).item() == 0.125
    assert smallest_p(4) == 0.125


def test_random_patterns_are_near_the_exact_value_and_repeatable() -> None:
    sums = np.array([3, 1, 2, -1, 2, 0.5, 1, -2, 1, 1.5])
    exact = sign_flip_p(sums).item()
    random = sign_flip_p(sums, permutations=1000, seed=3).item()
    assert random == pytest.approx(exact, abs=0.04)
    assert random != exact
    assert random == sign_flip_p(sums, permutations=1000, seed=3).item()


def test_random_patterns_count_the_observed_one() -> None:
    p = sign_flip_p(np.ones(40), permutations=99).item()
    assert p == 0.01
    assert smallest_p(40, 99) == 0.01


def test_p_values_of_a_block_equal_those_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = np.random.default_rng(0).integers(-3, 4, (5, 7)).astype(float)
    together = sign_flip_p(sums)
    monkeypatch.setattr("leakscope.statistics.permutations.BLOCK", 20)
    np.testing.assert_allclose(sign_flip_p(sums), together)
    np.testing.assert_allclose([sign_flip_p(row).item() for row in sums], together)


def test_smallest_p_without_clusters_is_nan() -> None:
    assert np.isnan(smallest_p(0))


def test_holm_is_what_is_worked_out_by_hand() -> None:
    # .01 × 4, .02 × 3, .04 × 2 and at least the one before, .03 × ... in order of size: .01 .02 .03 .04
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03, 0.02])), [0.06, 0.04, 0.06, 0.06])


def test_holm_does_not_exceed_one_and_leaves_nan_out() -> None:
    np.testing.assert_allclose(holm(np.array([0.9, np.nan, 0.02])), [0.9, np.nan, 0.04])
    np.testing.assert_allclose(holm(np.array([0.6, 0.7])), [1, 1])


def test_difference_and_p_value_are_those_worked_out_by_hand() -> None:
    pairs = pairs_of({"a": [1, 1, 1, 1, 1, 0.5, 1, 1], "b": [0, 0.5, 0, 0, 0.5, 0, 0.5, 0]})
    table = compared(pairs)
    assert list(table.columns) == COLUMNS
    row = table[table["category"] == "k"].iloc[0]
    assert (row["model_a"], row["model_b"], row["n_clusters"]) == ("a", "b", 4)
    assert row["difference"] == 75  # 7.5/8 − 1.5/8
    assert row["ci_low"] < 75 < row["ci_high"]
    assert row["p_value"] == row["p_smallest"] == 0.125
    h = 2 * np.arcsin(np.sqrt(7.5 / 8)) - 2 * np.arcsin(np.sqrt(1.5 / 8))
    assert row["effect_size"] == round(h, 6)


def three_models() -> pd.DataFrame:
    """Return units of three models on eight clusters and two scorers, each model above the next in every unit."""
    units = units_of({"a": [1.0] * 8, "b": [0.6] * 8, "c": [0.5] * 8}, [2] * 8)
    return pd.concat([units, units.assign(scorer="other")])


def test_holm_corrects_match_rates_of_all_categories_by_the_first_scorer_and_the_rest_stands_together() -> None:
    pairs = pairs_of({"a": [1.0] * 8, "b": [0.6] * 8, "c": [0.5] * 8}, n_clusters=8)
    table = compare_models(three_models(), pairs)
    smallest = 2 / 2**8
    assert (table["p_value"] == smallest).all()
    primary = table["family"] == "primary"
    chosen = table[["measure", "category", "scorer"]].eq(["match_rate", "all", "s"]).all(axis=1)
    assert (primary == chosen).all()
    assert primary.sum() == 3
    np.testing.assert_allclose(table.loc[primary, "p_corrected"], 3 * smallest)
    # 3 pairs × (2 scorers × 2 categories + 2 categories of Leak-Rates), less the three: all are of the largest rank
    rest = 3 * 6 - 3
    assert (~primary).sum() == rest
    harmonic = sum(1 / rank for rank in range(1, rest + 1))
    np.testing.assert_allclose(table.loc[~primary, "p_corrected"], harmonic * smallest)
    np.testing.assert_allclose(table["p_corrected"], table["p_corrected_smallest"])


def test_a_study_names_its_primary_family() -> None:
    chosen = {"scorer": ["other"], "category": ["k"], "model": ["a", "c"], "prompt_set": ["set"]}
    table = compare_models(three_models(), pairs_of({"a": []}), primary=chosen)
    primary = table[table["family"] == "primary"]
    assert primary[["scorer", "category", "model_a", "model_b"]].to_numpy().tolist() == [["other", "k", "a", "c"]]
    assert primary["p_corrected"].tolist() == primary["p_value"].tolist()


def test_a_primary_family_without_tests_is_one_line() -> None:
    table = compare_models(three_models(), pairs_of({"a": []})).assign(model="a")
    table = pd.concat([table, table[table["category"] == "all"].assign(prompt_set="plain")])
    chosen = {"category": ["all", "k"], "model": ["a"], "prompt_set": ["set"], "scorer": ["s"]}
    check_primary(table, chosen)
    with pytest.raises(InputError, match=r"^leak.primary.categories: got 'K'; allowed: all, k. Did you mean 'k'\?$"):
        check_primary(table, chosen | {"category": ["K"]})
    with pytest.raises(InputError, match=r"^leak.primary.categories: got k; allowed: all, the categories of plain.$"):
        check_primary(table, chosen | {"category": ["k"], "prompt_set": ["plain"]})
    check_primary(table, chosen | {"model": []})  # all of its models failed: nothing is primary
    assert not in_primary(table, chosen | {"model": []}).any()


def test_benjamini_and_yekutieli_is_what_is_worked_out_by_hand() -> None:
    # 1 + 1/2 + 1/3 = 11/6: .01 · 3 · 11/6 / 1 = .055, .03 · 3 · 11/6 / 2 = .0825, .04 · 11/6 = .0733: the least beyond
    p = benjamini_yekutieli(np.array([0.04, np.nan, 0.01, 0.03]))
    np.testing.assert_allclose(p, [0.22 / 3, np.nan, 0.055, 0.22 / 3])


def test_a_difference_in_two_categories_is_judged_within_them() -> None:
    """Categories differ by 80 points, clusters within them by 10: only these are what other templates would change."""
    units = units_of({"a": [0.9, 0.8, 0.9, 0.1, 0.0, 0.1], "b": [0.0] * 6}, [2] * 6)
    category = units["unit"].map(dict(zip(["u0", "u1", "u2", "u3", "u4", "u5"], "xxxyyy", strict=True)))
    by_stratum = compare_models(units.assign(category=category), pairs_of({"a": []}))
    one = compare_models(units, pairs_of({"a": []}))
    of_all = [table.loc[table["category"] == "all"].iloc[0] for table in (by_stratum, one)]
    assert of_all[0]["difference"] == of_all[1]["difference"]
    assert of_all[0]["ci_high"] - of_all[0]["ci_low"] < (of_all[1]["ci_high"] - of_all[1]["ci_low"]) / 3


def test_models_are_matched_by_prompt_and_sample() -> None:
    pairs = pairs_of({"a": [1, 0, 1, 0], "b": [0, 1, 0, 1]})
    row = compared(pairs[(pairs["model"] == "a") | pairs["prompt_id"].isin(["p0", "p2"])]).iloc[0]
    assert (row["difference"], row["n_clusters"], row["p_smallest"]) == (100, 2, 0.5)
    shuffled = compared(pairs.sample(frac=1, random_state=1).sort_values("model", kind="stable"))
    pd.testing.assert_frame_equal(shuffled, compared(pairs))


def test_a_sample_counts_with_its_mean_over_the_texts_of_the_control() -> None:
    """Of two models that have three texts after a control and one, no text is left out and none weighs more."""
    one = pairs_of({"b": [0, 1, 0, 1]}).assign(sample_control=0)
    three = [pairs_of({"a": values}) for values in ([1, 0, 1, 1], [1, 0.5, 1, 0], [0, 0.5, 1, 0.5])]
    many = pd.concat([table.assign(sample_control=k) for k, table in enumerate(three)])
    means = pairs_of({"a": [2 / 3, 1 / 3, 1, 0.5], "b": [0, 1, 0, 1]})
    pd.testing.assert_frame_equal(compared(pd.concat([many, one])), compared(means))


def test_only_the_control_without_the_clause_is_compared() -> None:
    pairs = pairs_of({"a": [1, 1], "b": [0, 0]})
    neutral = pairs.assign(control_kind="neutral", outcome=0.5)
    pd.testing.assert_frame_equal(compared(pd.concat([pairs, neutral])), compared(pairs))


def test_models_without_a_common_prompt_have_nan() -> None:
    pairs = pairs_of({"a": [1, 1], "b": [0, 0]})
    pairs.loc[pairs["model"] == "b", "prompt_id"] = ["q0", "q1"]
    row = compared(pairs).iloc[0]
    assert row["n_clusters"] == 0
    assert row.loc["difference":"p_smallest"].isna().all()
    assert row[["p_corrected", "p_corrected_smallest"]].isna().all()


def test_a_model_is_not_compared_where_it_has_no_pairs() -> None:
    pairs = pairs_of({"a": [1, 1], "b": [0, 0]})
    table = compared(pd.concat([pairs, pairs[pairs["model"] == "a"].assign(scorer="other")]))
    assert set(table["scorer"]) == {"s"}


def test_one_model_has_nothing_to_compare() -> None:
    table = compared(pairs_of({"a": [1, 0]}))
    assert list(table.columns) == COLUMNS
    assert table.empty
    assert compared(pairs_of({"a": []})).empty
