"""Accuracies, ROC-AUC, ranks and consistency: worked by hand, and against every pair written out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakscope.statistics.intervals import cluster_interval
from leakscope.statistics.jackknife import leave_out
from leakscope.validate.discrimination import COLUMNS, answer_accuracy, roc_auc
from leakscope.validate.paired import PART_COLUMNS

LEVEL = 0.9
NO_PARTS = pd.DataFrame(columns=PART_COLUMNS)


def pairs_table(form: str = "plain/g/v", p_yes_no: float = 0.5) -> pd.DataFrame:
    """Four questions with a right and a wrong candidate; the validator errs on the right one of ``d``."""
    rows = [
        (f"{question}/{candidate}", question, candidate, candidate == "r", question.lower(), l_g, l_v)
        for question, l_gs, l_vs in (
            ("A", (1.0, 0.0), (2.0, -1.0)),
            ("b", (0.0, 0.0), (1.0, -2.0)),
            ("c", (3.0, 2.0), (3.0, -3.0)),
            ("d", (-1.0, 4.0), (-1.0, 0.0)),
        )
        for candidate, l_g, l_v in zip("rw", l_gs, l_vs, strict=True)
    ]
    names = ["item_id", "question", "candidate", "positive", "cluster", "l_g", "l_v"]
    table = pd.DataFrame(rows, columns=names)
    return table.assign(model="m", task="t", form=form, distance="none", l_g_first=np.nan, p_yes_no=p_yes_no)


def question_table(**values: list[object]) -> pd.DataFrame:
    names = ["A", "b", "c", "d"]
    return pd.DataFrame({"model": "m", "task": "t", "question": names, "cluster": names, **values})


RANKS = question_table(rank=[1, 2, 6, 1], n_candidates=[6, 6, 6, 6])
COMPLETIONS = question_table(affirmed=[True, False, True, True])


def values_of(table: pd.DataFrame, split: str = "all") -> dict[str, float]:
    return table[table["split"] == split].set_index("statistic")["value"].to_dict()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=1, max_size=12))
def test_the_area_is_the_share_of_pairs_won(rows: list[tuple[int, bool, int]]) -> None:
    scores, positive, clusters = (np.array(column) for column in zip(*rows, strict=True))
    deletions = leave_out(clusters)
    kept = [np.ones(len(scores), dtype=bool), *(deletions.codes[0] != i for i in range(deletions.sizes[0]))]
    for value, there in zip(roc_auc(scores * 0.1, positive, deletions), kept, strict=True):
        ups, downs = (scores[there & chosen] for chosen in (positive, ~positive))
        won = [(up > down) + (up == down) / 2 for up in ups for down in downs]
        assert value == pytest.approx(np.mean(won) if won else np.nan, nan_ok=True)


def test_statistics_worked_by_hand() -> None:
    table = answer_accuracy(pairs_table(), NO_PARTS, RANKS, COMPLETIONS, {}, LEVEL)
    assert list(table) == COLUMNS
    # l_V 0 is not above 0, so the wrong candidate of d is denied. Right candidates' l_G 1, 0, 3, −1 against 0, 0, 2, 4
    # win 2, 1, 3 and 0 of 4; l_V 2, 1, 3, −1 against −1, −2, −3, 0 win 4, 4, 4 and 2.5.
    assert values_of(table) == pytest.approx(
        {
            "validator_accuracy": 7 / 8,
            "validator_auc": 14.5 / 16,
            "generator_auc": 6 / 16,
            "yes_no_mass": 0.5,
            "accuracy_at_1": 2 / 4,
            "accuracy_at_5": 3 / 4,
            "mrr": (1 + 1 / 2 + 1 / 6 + 1) / 4,
            "consistency": 3 / 4,
            "consistency_chance": 3 / 8,
        }
    )
    sizes = table.set_index("statistic")["n"]
    assert (sizes["validator_auc"], sizes["mrr"]) == (8, 4)
    assert ((table["ci_low"] >= 0) & (table["ci_low"] < table["value"])).all()
    assert ((table["value"] < table["ci_high"]) & (table["ci_high"] <= 1)).all()


def test_shares_of_questions_have_the_interval_of_clusters() -> None:
    table = answer_accuracy(pairs_table(), NO_PARTS, RANKS, COMPLETIONS, {}, LEVEL).set_index("statistic")
    for name, values in (("consistency", [1, 0, 1, 1]), ("mrr", [1, 1 / 2, 1 / 6, 1]), ("accuracy_at_5", [1, 1, 0, 1])):
        expected = cluster_interval(values, range(4), LEVEL, (0, 1))
        found = table.loc[name, ["value", "ci_low", "ci_high"]].tolist()
        assert found == pytest.approx([expected.mean, expected.low, expected.high]), name


def test_never_wrong_is_not_known_for_certain() -> None:
    pairs = pairs_table().assign(l_v=lambda rows: np.where(rows["positive"], 1.0, -1.0))
    found = answer_accuracy(pairs, NO_PARTS, RANKS, COMPLETIONS, {}, LEVEL).set_index("statistic")
    for name in ("validator_accuracy", "validator_auc"):
        # Four clusters: 1 − .05^(1/4), the exact binomial limit.
        assert found.loc[name, ["value", "ci_low", "ci_high"]].tolist() == pytest.approx([1, 0.05**0.25, 1]), name


def test_what_counts_questions_is_of_the_main_form_alone() -> None:
    both = pd.concat([pairs_table("plain/g/v"), pairs_table("plain/g2/v2")])
    table = answer_accuracy(both, NO_PARTS, RANKS, COMPLETIONS, {}, LEVEL)
    by_form = {form: set(rows["statistic"]) for form, rows in table.groupby("form")}
    of_questions = {"accuracy_at_1", "accuracy_at_5", "mrr", "consistency", "consistency_chance"}
    assert by_form["plain/g/v"] - by_form["plain/g2/v2"] == of_questions


def test_a_place_among_the_first_k_is_of_questions_that_have_more_candidates() -> None:
    few = question_table(rank=[1, 2, 6, 1], n_candidates=[5, 5, 6, 2])
    found = answer_accuracy(pairs_table(), NO_PARTS, few, COMPLETIONS, {}, LEVEL).set_index("statistic")
    assert found.loc[["accuracy_at_1", "accuracy_at_5"], ["value", "n"]].to_numpy().tolist() == [[0.5, 4], [0, 1]]
    none = answer_accuracy(pairs_table(), NO_PARTS, few.assign(n_candidates=5), COMPLETIONS, {}, LEVEL)
    row = none.set_index("statistic").loc["accuracy_at_5"]
    assert np.isnan(row[["value", "ci_low", "ci_high"]].to_numpy(dtype=float)).all()
    assert row["n"] == 0


@pytest.mark.parametrize(("yes", "chance"), [(-1.0, 0.0), (1.0, 1.0)])
def test_a_validator_that_always_says_the_same_is_as_consistent_as_chance(yes: float, chance: float) -> None:
    completions = question_table(affirmed=[yes > 0] * 4)
    table = answer_accuracy(pairs_table().assign(l_v=yes), NO_PARTS, RANKS, completions, {}, LEVEL)
    found = values_of(table)
    assert found["consistency"] == found["consistency_chance"] == chance


def test_what_a_model_does_not_have_has_no_row() -> None:
    other = RANKS.assign(model="other")
    table = answer_accuracy(pairs_table(p_yes_no=np.nan), NO_PARTS, other, COMPLETIONS.iloc[:0], {}, LEVEL)
    assert table["statistic"].tolist() == ["validator_accuracy", "validator_auc", "generator_auc"]


def test_a_part_has_the_questions_whose_right_candidate_is_in_it() -> None:
    # The wrong candidate of d is trained on, too, but its right one is not.
    trained, tested = ["A/r", "A/w", "b/r", "d/w"], ["b/w", "c/r", "c/w", "d/r"]
    parts = pd.concat(
        [pd.DataFrame({"task": "t", "split": f"random-{side}", "item_id": ids})
         for side, ids in (("train", trained), ("test", tested))]
    )  # fmt: skip
    table = answer_accuracy(pairs_table(), parts, RANKS.assign(question=["a", "B", "C", "D"]), COMPLETIONS, {}, LEVEL)
    train, test = values_of(table, "random-train"), values_of(table, "random-test")
    assert (train["accuracy_at_1"], train["consistency"]) == (0.5, 0.5)
    assert (test["accuracy_at_1"], test["consistency"]) == (0.5, 1.0)
    assert (train["validator_accuracy"], test["validator_accuracy"]) == (1.0, 0.75)


def test_one_kind_alone_has_no_area_but_an_accuracy() -> None:
    pairs = pairs_table()
    table = answer_accuracy(pairs[pairs["positive"]], NO_PARTS, RANKS, COMPLETIONS, {}, LEVEL)
    found = table.set_index("statistic")
    assert np.isnan(found.loc[["validator_auc", "generator_auc"], ["value", "ci_low", "ci_high"]].to_numpy()).all()
    assert found.loc["validator_accuracy", "value"] == 0.75
