"""The judgement of the instrument sees a bias of two points, and calls none where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from leakscope.leak.known.calibration import calibration

N_ORGANISMS, CATEGORIES, SCORERS = 18, ("a", "b", "all"), ("one", "two")
NOISE = 1.5  # points: of a cell, from ten samples a prompt
HALF = 8.0  # points: half of an interval for other templates


def simulated(rng: np.random.Generator, bias: float = 0.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return measured match rates of a study of organisms, and the true ones."""
    names = ["prompt_set", "scorer", "category"]
    cells = pd.MultiIndex.from_product([["p"], SCORERS, CATEGORIES], names=names).to_frame(index=False)
    table = pd.DataFrame({"model": [f"m{i}" for i in range(N_ORGANISMS)]}).merge(cells, how="cross")
    true = rng.uniform(50, 90, len(table))
    rate = true + bias + rng.normal(0, NOISE, len(table))
    truth = table.assign(true_match_rate_organism=true, true_match_rate_error=0.1)
    return table.assign(match_rate=rate, ci_low=rate - HALF, ci_high=rate + HALF), truth


def pooled(measured: pd.DataFrame, truth: pd.DataFrame, seeds: dict[str, int] | None = None) -> pd.Series:
    seeds = seeds or {model: number for number, model in enumerate(measured["model"].unique())}
    return calibration({"match_rate": measured}, truth, seeds).iloc[-1]


def test_a_bias_of_two_points_is_seen_although_nearly_every_interval_holds_the_truth() -> None:
    rng = np.random.default_rng(1)
    for bias in (2.0, -2.0):
        rows = [pooled(*simulated(rng, bias)) for _ in range(50)]
        assert all(row["inside"] >= 0.93 for row in rows)
        assert all(row["ci_low"] > 0 if bias > 0 else row["ci_high"] < 0 for row in rows)


def test_where_there_is_no_bias_none_is_called_in_95_of_100_studies() -> None:
    rng = np.random.default_rng(2)
    rows = [pooled(*simulated(rng)) for _ in range(600)]
    held = np.mean([row["ci_low"] <= 0 <= row["ci_high"] for row in rows])
    assert held == pytest.approx(0.95, abs=0.027)  # three Monte-Carlo errors


def test_mean_error_and_share_inside_by_hand() -> None:
    keys = {"prompt_set": "p", "scorer": "s", "category": "all"}
    measured = pd.DataFrame(
        [
            {"model": "a", **keys, "match_rate": 60.0, "ci_low": 55.0, "ci_high": 65.0},
            {"model": "b", **keys, "match_rate": 73.0, "ci_low": 71.0, "ci_high": 75.0},
            {"model": "c", **keys, "match_rate": np.nan, "ci_low": np.nan, "ci_high": np.nan},
        ]
    )
    truth = measured[["model", *keys]].assign(true_match_rate_organism=[59.0, 70.0, 50.0], true_match_rate_error=0.2)
    row = calibration({"match_rate": measured}, truth, {"a": 0, "b": 1}).iloc[0]
    # Errors 1 and 3: mean 2, standard error 1, t(1) at .975 is 12.7062.
    assert row["mean_error"] == 2
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-4)
    assert (row["n_organisms"], row["n_intervals"], row["inside"]) == (2, 2, 0.5)
    assert row["largest_error_share"] == pytest.approx(0.2 / 4)


def test_organisms_that_share_the_seed_of_their_texts_are_one_cluster() -> None:
    measured, truth = simulated(np.random.default_rng(3))
    one = pooled(measured, truth, {model: 7 for model in measured["model"]})
    assert one["n_seeds"] == 1
    assert np.isnan(one["ci_low"])
    assert np.isnan(one["ci_high"])
    two = pooled(measured, truth, {model: number % 2 for number, model in enumerate(measured["model"].unique())})
    assert two["n_seeds"] == 2
    assert two["ci_low"] < two["mean_error"] < two["ci_high"]


def test_rows_are_cells_and_then_what_pools_them() -> None:
    measured, truth = simulated(np.random.default_rng(4))
    seeds = {model: number for number, model in enumerate(measured["model"].unique())}
    table = calibration({"match_rate": measured}, truth, seeds)
    assert len(table) == len(SCORERS) * len(CATEGORIES) + 1
    assert table.iloc[-1][["prompt_set", "scorer", "category"]].to_list() == ["all"] * 3
    assert table.iloc[-1]["n_intervals"] == len(measured)
    mine = measured[(measured["scorer"] == "one") & (measured["category"] == "a")]
    true = truth.loc[mine.index, "true_match_rate_organism"]
    first = table.iloc[0]
    assert first["mean_error"] == pytest.approx((mine["match_rate"] - true).mean(), abs=1e-6)
