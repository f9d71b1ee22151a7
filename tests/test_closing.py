"""What training achieved: the share of the gap closed, and what it cost, before and after."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from leakscope.leak.measures.leak_rate import KEYS
from leakscope.statistics.jackknife import leave_out
from leakscope.validate.closing import (
    COLUMNS,
    TunedModel,
    closed_interval,
    closing,
    read_perplexity,
    read_rates,
    share_closed,
)

LEVEL = 0.95
N = 60
TUNED: list[TunedModel] = [{"model": "b.ranking", "base": "b", "method": "ranking", "task": "t", "split": "random"}]
PARTS = pd.DataFrame(
    {
        "task": "t",
        "split": ["random-train"] * 20 + ["random-test"] * 40,
        "item_id": [f"q{i // 2}/{i % 2}" for i in range(N)],
    }
)


def pairs_of(model: str, l_g: np.ndarray, l_v: np.ndarray, form: str = "plain/g/v") -> pd.DataFrame:
    numbers = np.arange(N)
    return pd.DataFrame(
        {
            "model": model, "task": "t", "form": form, "item_id": [f"q{i // 2}/{i % 2}" for i in numbers],
            "question": [f"q{i // 2}" for i in numbers], "candidate": [f"c{i % 7}" for i in numbers],
            "positive": numbers % 2 == 0, "cluster": [f"q{i // 2}" for i in numbers], "l_g": l_g, "l_v": l_v,
        }
    )  # fmt: skip


def ranks_of(model: str, rank: list[int]) -> pd.DataFrame:
    questions = [f"q{i}" for i in range(N // 2)]
    return pd.DataFrame({"model": model, "task": "t", "question": questions, "cluster": questions, "rank": rank})


@pytest.fixture(scope="module")
def scores() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    l_g = rng.normal(size=N)
    return {"l_g": l_g, "before": l_g + 2 * rng.normal(size=N), "after": l_g + 0.5 * rng.normal(size=N)}


@pytest.fixture(scope="module")
def table(scores: dict[str, np.ndarray]) -> pd.DataFrame:
    pairs = [
        pairs_of("b", scores["l_g"], scores["before"]),
        pairs_of("b", scores["l_g"], -scores["before"], "plain/g2/v2"),
        # The order of items is no model's own.
        pairs_of("b.ranking", scores["l_g"], scores["after"])[::-1],
    ]
    ranks = [ranks_of("b", [2] * 20 + [1] * 10), ranks_of("b.ranking", [1] * 30)]
    costs = {"b": 20.0, "b.ranking": 25.0}, {"b": 60.0, "b.ranking": 55.0}, {"b": 50.0}
    return closing(TUNED, pd.concat(pairs), PARTS, pd.concat(ranks), *costs, LEVEL)


def test_there_is_a_row_for_each_part_and_subset(table: pd.DataFrame) -> None:
    assert list(table) == COLUMNS
    assert table[["part", "subset", "n"]].to_numpy().tolist() == [
        [part, subset, n if subset == "all" else n // 2]
        for part, n in (("train", 20), ("test", 40))
        for subset in ("all", "positive", "negative")
    ]
    assert (table[["base", "model", "method", "split"]] == ["b", "b.ranking", "ranking", "random"]).all(axis=None)


def test_correlations_and_the_share_closed_are_those_of_the_part(
    table: pd.DataFrame, scores: dict[str, np.ndarray]
) -> None:
    chosen = np.arange(20, N, 2)
    row = table[(table["part"] == "test") & (table["subset"] == "positive")].iloc[0]
    before, after = (np.corrcoef(scores["l_g"][chosen], scores[side][chosen])[0, 1] for side in ("before", "after"))
    assert (row["pearson_before"], row["pearson_after"]) == pytest.approx((before, after))
    assert row["closed"] == pytest.approx((after - before) / (1 - before))
    assert row["closed_ci_low"] < row["closed"] < row["closed_ci_high"] <= 1
    assert row["validator_accuracy_after"] == pytest.approx((scores["after"][chosen] > 0).mean())


def test_costs_and_accuracies_stand_beside_it(table: pd.DataFrame) -> None:
    assert table["perplexity_rise"].tolist() == pytest.approx([25.0] * 6)
    assert table[["match_rate_before", "match_rate_after"]].to_numpy().tolist() == [[60.0, 55.0]] * 6
    assert table["leak_rate_before"].tolist() == [50.0] * 6
    assert table["leak_rate_after"].isna().all()
    overall = table[table["subset"] == "all"]
    assert overall["generator_accuracy_before"].tolist() == [0.0, 0.5]
    assert overall["generator_accuracy_after"].tolist() == [1.0, 1.0]
    assert table.loc[table["subset"] != "all", "generator_accuracy_after"].isna().all()


def test_a_model_that_did_not_change_has_closed_nothing_and_no_interval(scores: dict[str, np.ndarray]) -> None:
    pairs = pd.concat([pairs_of(model, scores["l_g"], scores["before"]) for model in ("b", "b.ranking")])
    ranks = ranks_of("b", [1] * 30).iloc[:0]
    table = closing(TUNED, pairs, PARTS, ranks, {}, {}, {}, LEVEL)
    assert (table["closed"] == 0).all()
    unknown = [
        "closed_ci_low",
        "closed_ci_high",
        "generator_accuracy_before",
        "perplexity_before",
        "perplexity_rise",
        "match_rate_before",
        "leak_rate_before",
    ]
    assert table[unknown].isna().all(axis=None)


def test_the_share_closed_is_of_the_gap() -> None:
    found = share_closed([0.5, 0.5, -1.0, 1.0, np.nan], [0.75, 0.0, 1.0, 1.0, 0.5])
    np.testing.assert_allclose(found, [0.5, -1.0, 1.0, np.nan, np.nan])


def test_the_interval_of_the_share_closed_is_that_of_the_ratio_of_gaps_on_a_log_scale() -> None:
    before, after = np.array([0.5, 0.4, 0.6, 0.5]), np.array([0.8, 0.8, 0.7, 0.9])
    found = closed_interval(before, after, leave_out([1, 2, 3]), 0.9)
    logs = np.log((1 - before) / (1 - after))
    half = stats.t.ppf(0.95, 2) * np.sqrt(2 / 3 * ((logs[1:] - logs[1:].mean()) ** 2).sum())
    expected = 1 - np.exp(-logs[0] + np.array([half, -half]))
    assert found == pytest.approx((0.6, *expected))
    assert np.isnan(closed_interval(before, np.array([0.8, 1.0, 0.7, 0.9]), leave_out([1, 2, 3]), 0.9)[1:]).all()


def test_rates_are_of_the_first_scorer_over_all_pairs(tmp_path: Path) -> None:
    rows = [
        ("b", "colors", "sbert", "fruit", 1, 10.0),
        ("b", "colors", "sbert", "all", 30, 60.0),
        ("b", "colors", "bert", "all", 30, 0.0),
        ("b", "jobs", "sbert", "all", 10, 80.0),
        ("NA", "colors", "sbert", "all", 30, 40.0),
        ("007", "colors", "sbert", "all", 30, 30.0),
    ]
    pd.DataFrame(rows, columns=[*KEYS, "n_pairs", "leak_rate"]).to_csv(tmp_path / "leak_rates.csv", index=False)
    assert read_rates([str(tmp_path / "leak_rates.csv")], "leak_rate", "n_pairs") == {
        "b": 65.0,
        "NA": 40.0,
        "007": 30.0,
    }
    assert read_rates([], "leak_rate", "n_pairs") == {}


def test_perplexities_are_read_by_model(tmp_path: Path) -> None:
    for name, value in (("a", 12.5), ("b", 3)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"perplexity": value, "texts": 4}), encoding="utf-8")
    paths = [str(tmp_path / f"{name}.json") for name in ("a", "b")]
    assert read_perplexity(paths, ["a", "b"]) == {"a": 12.5, "b": 3.0}


def test_without_neutral_text_there_is_no_perplexity(tmp_path: Path) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, value in zip(paths, ("null", "12.5"), strict=True):
        path.write_text(f'{{"perplexity": {value}}}', encoding="utf-8")
    found = read_perplexity([str(path) for path in paths], ["a", "b"])
    assert math.isnan(found["a"])
    assert found["b"] == 12.5
