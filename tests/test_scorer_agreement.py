"""How far scorers agree, worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from leakscope.leak.measures.agreement import COLUMNS, scorer_agreement

NAN = np.nan
# Model, category, and by each of three scorers test's and control's similarity.
TEXTS = [
    ("m1", "k", {"a": (0.9, 0.1), "b": (0.5, 0.1), "c": (1.0, 1.0)}),  # .8, .4, 0
    ("m1", "k", {"a": (0.1, 0.5), "b": (0.2, 0.4), "c": (1.0, 1.0)}),  # -.4, -.2, 0
    ("m2", "k", {"a": (0.4, 0.2), "b": (0.1, 0.2), "c": (1.0, 1.0)}),  # .2, -.1, 0: opposite
    ("m2", "l", {"a": (NAN, 0.2), "b": (NAN, 0.2), "c": (NAN, 1.0)}),  # an empty text
]


def make_pairs(scorers: str = "abc") -> pd.DataFrame:
    rows = [
        (model, scorer, category, f"p{number}", *values[scorer], np.nan_to_num(np.sign(np.subtract(*values[scorer]))))
        for scorer in scorers
        for number, (model, category, values) in enumerate(TEXTS)
    ]
    names = ["model", "scorer", "category", "prompt_id", "similarity_test", "similarity_control", "sign"]
    table = pd.DataFrame(rows, columns=names)
    table = table.assign(
        prompt_set="set", sample=0, sample_control=0, control_kind="without", outcome=table["sign"] / 2 + 0.5
    )
    neutral = table.assign(control_kind="neutral", outcome=1 - table["outcome"], similarity_test=-1.0)
    return pd.concat([neutral, table]).sample(frac=1, random_state=0).sort_values("scorer", kind="stable")


def make_rates(**by_scorer: list[float]) -> pd.DataFrame:
    rows = [(f"m{i}", scorer, rate) for scorer, few in by_scorer.items() for i, rate in enumerate(few)]
    return pd.DataFrame(rows, columns=["model", "scorer", "match_rate"]).assign(prompt_set="set", category="all")


def test_scorers_agree_as_worked_out_by_hand() -> None:
    rates = make_rates(a=[50, 60, 70, 80], b=[50, 70, 60, 80], c=[50, 50, 50, 50])
    table = scorer_agreement(make_pairs(), rates, "match_rate").set_index(["category", "scorer_a", "scorer_b"])
    assert list(table.reset_index()[COLUMNS].columns) == COLUMNS
    pooled, lone = table.loc[("all", "a", "b")], table.loc[("l", "a", "b")]
    # Means .2 and 1/30; products .6 × 11/30, −.6 × −7/30, 0: .36. Sums of squares .72 and 186/900.
    assert pooled["correlation"] == pytest.approx(0.36 / (0.72 * 186 / 900) ** 0.5, abs=1e-6)
    assert (pooled["n_pairs"], pooled["equal_rate"], pooled["opposite_rate"]) == (4, 75, 25)
    # Of six pairs of models five are ranked alike.
    assert (pooled["n_models"], pooled["rank_tau"]) == (4, pytest.approx(4 / 6, abs=1e-6))
    # By c all differences are 0 and all models equal: no correlation, no ranking; of a, one pair ties.
    flat = table.loc[("all", "a", "c")]
    assert np.isnan(flat[["correlation", "rank_tau"]].astype(float)).all()
    assert (flat["equal_rate"], flat["opposite_rate"], flat["n_models"]) == (25, 0, 4)
    # The empty text ties by both, and there are no rates of its category.
    assert (lone["n_pairs"], lone["equal_rate"], lone["n_models"]) == (1, 100, 0)
    assert np.isnan(lone["correlation"])


def test_each_text_of_a_control_that_a_sample_meets_is_a_pair() -> None:
    rates = make_rates(a=[50, 60, 70, 80], b=[50, 70, 60, 80])
    pairs = make_pairs("ab")
    twice = pd.concat([pairs, pairs.assign(sample_control=1)])
    once, found = (scorer_agreement(table, rates, "match_rate") for table in (pairs, twice))
    assert found["n_pairs"].tolist() == (2 * once["n_pairs"]).tolist()
    pd.testing.assert_frame_equal(found.drop(columns="n_pairs"), once.drop(columns="n_pairs"))


def test_a_single_scorer_agrees_with_none() -> None:
    table = scorer_agreement(make_pairs("a"), make_rates(a=[50]), "match_rate")
    assert list(table.columns) == COLUMNS
    assert table.empty
