import numpy as np
import pandas as pd
import pytest

from helpers import COLORS, micro_candidates, micro_prompts
from leakscope.leak.measures.logit_leak import logit_leak, prompt_shifts
from leakscope.statistics.intervals import cluster_interval


def scores(law_test: dict[int, float], mass: float = 1.0) -> pd.DataFrame:
    """Return scores in which test prompts give their own color's candidate ``law_test[0]``, others the rest evenly."""
    own = law_test[0]
    rows = []
    for prompt in micro_prompts().itertuples():
        slot = micro_candidates().query("slot == @prompt.slot")
        for candidate, group in zip(slot["candidate"], slot["concept_group"], strict=True):
            p = 1 / 3 if prompt.concept_group is None else own if group == prompt.concept_group else (1 - own) / 2
            rows.append(("m", prompt.prompt_id, candidate, np.log(mass * p)))
    return pd.DataFrame(rows, columns=["model", "prompt_id", "candidate", "logprob"])


def test_the_shift_is_that_of_the_associates_probability() -> None:
    table = logit_leak(prompt_shifts(micro_prompts(), micro_candidates(), scores({0: 0.6})), 0.95)
    row = table[table["category"] == "all"].iloc[0]
    assert row["n_prompts"] == 2 * len(COLORS)
    assert row["probability_test"] == pytest.approx(0.6, abs=1e-6)
    assert row["probability_control"] == pytest.approx(1 / 3, abs=1e-6)
    assert row["probability_shift"] == pytest.approx(0.6 - 1 / 3, abs=1e-6)
    assert row["log_odds_shift"] == pytest.approx(np.log(0.6 / 0.4) - np.log(0.5), abs=1e-6)


def test_probabilities_are_renormalised_over_the_lexicon() -> None:
    whole, part = (
        logit_leak(prompt_shifts(micro_prompts(), micro_candidates(), scores({0: 0.6}, mass)), 0.95)
        for mass in (1.0, 1e-30)
    )
    pd.testing.assert_frame_equal(whole, part)


def test_no_shift_is_zero() -> None:
    table = logit_leak(prompt_shifts(micro_prompts(), micro_candidates(), scores({0: 1 / 3})), 0.95)
    assert table[["probability_shift", "log_odds_shift"]].abs().max().max() < 1e-6


def test_prompts_without_an_associate_in_their_slot_are_left_out() -> None:
    prompts = micro_prompts()
    prompts.loc[prompts["concept"] == "red", "concept_group"] = "mauve"
    shifts = prompt_shifts(prompts, micro_candidates(), scores({0: 0.6}))
    assert set(shifts["prompt_id"]) == {f"{t}/{c}" for t in ("bag", "car") for c in ("green", "blue")}


def test_prompts_without_slots_have_no_logit_leak() -> None:
    prompts = micro_prompts().assign(slot=None)
    table = logit_leak(prompt_shifts(prompts, micro_candidates(), scores({0: 0.6})), 0.95)
    assert table.empty


def test_templates_that_share_a_control_are_one_cluster() -> None:
    prompts = micro_prompts()
    assert set(prompt_shifts(prompts, micro_candidates(), scores({0: 0.6}))["cluster"]) == {"bag", "car"}
    prompts["prompt"] = "The same beginning"
    assert set(prompt_shifts(prompts, micro_candidates(), scores({0: 0.6}))["cluster"]) == {"bag"}


def test_all_categories_have_intervals_stratified_by_them_and_long_on_the_long_side() -> None:
    """Twelve templates, of which one shifts by far more than the others."""
    rng = np.random.default_rng(0)
    odds = np.concatenate([rng.normal(0, 0.1, 6), rng.normal(2, 0.1, 5), [4.0]])
    shifts = pd.DataFrame({"model": "m", "prompt_set": "s", "category": ["k"] * 6 + ["l"] * 6, "cluster": range(12)})
    control = pd.Series(-1.0, shifts.index)
    shifts = shifts.assign(log_odds_test=control + odds, log_odds_control=control, probability_control=0.2)
    shifts = shifts.assign(probability_test=1 / (1 + np.exp(-shifts["log_odds_test"])))
    row = logit_leak(shifts, 0.95).set_index("category").loc["all"]
    infinite = (-np.inf, np.inf)
    expected = cluster_interval(odds, range(12), bounds=infinite, strata=shifts["category"])
    assert (row["log_odds_ci_low"], row["log_odds_ci_high"]) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert expected.high - expected.mean > 1.3 * (expected.mean - expected.low)
    assert row["n_clusters"] == 12
    difference = shifts["probability_test"] - shifts["probability_control"]
    probability = cluster_interval(difference, range(12), bounds=infinite, strata=shifts["category"])
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((probability.low, probability.high), abs=1e-6)
