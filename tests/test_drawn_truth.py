"""Rates of organisms that write sentences, from drawn texts: those of all pairs, with the error that drawing leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leakscope.leak.known.drawn_truth import (
    GRAMMAR,
    ORGANISM,
    DrawnTruth,
    compared_prompts,
    counted,
    draw_taught,
    drawn_truth,
    win_shares,
    with_errors,
)
from leakscope.leak.known.truth import true_rates
from leakscope.leak.measures.match_rate import match_rates
from leakscope.leak.measures.matching import match_units
from leakscope.leak.measures.outcomes import compare_pairs
from leakscope.leak.pairs import list_pairs
from leakscope.organisms.sentence_grammar import load_sentence_grammar
from sentence_part import part_prompts, write_part

RANDOM = np.random.default_rng(5)


def similarity_of(prompts: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """Return similarities that come with a text's words; few distinct ones, so that there are ties."""
    pairs = list_pairs(prompts, texts, pd.DataFrame(columns=["slot", "candidate", "concept_group"]))
    own = {"red": ("cherry", "red"), "green": ("lime", "green")}
    scores = [
        0.3 * any(word in text for word in own[concept]) + len(text) % 3 / 10
        for concept, text in zip(pairs["concept"], pairs["text"], strict=True)
    ]
    return pairs.assign(similarity=scores, cut=False)


def drawn_of(strength: float, n: int, seed: int, folder: Path, temperature: float = 1.0) -> pd.DataFrame:
    grammar = load_sentence_grammar(write_part(folder), strength)
    return draw_taught(grammar, part_prompts(), n, seed, temperature, lambda text: [*text.encode(), 0])


def rates_of(table: pd.DataFrame, folder: Path) -> DrawnTruth:
    """Return the truth of an organism that writes as its grammar does."""
    drawn = counted("m", {GRAMMAR: table, ORGANISM: table})
    prompts = part_prompts()
    grammars = {"m": load_sentence_grammar(folder, 0.5).grammar}
    return drawn_truth(drawn, prompts, grammars, {"s": similarity_of(prompts, drawn)}, 3)


def test_win_shares_are_those_of_all_pairs_with_ties_and_empty_texts() -> None:
    left, right = (np.round(RANDOM.normal(size=size), 1) for size in (60, 40))
    left[3], right[[0, 7]] = np.nan, np.nan
    weights = RANDOM.dirichlet(np.ones(40))
    sums = np.round(left[:, None] + right, 6)
    won = np.where(np.isnan(sums), 0.5, np.sign(sums) / 2 + 0.5)
    assert win_shares(left, right, weights) == pytest.approx(won @ weights)


def test_win_shares_know_sums_that_floating_point_does_not() -> None:
    assert 0.1 + 0.2 - 0.3 != 0
    assert win_shares(np.array([0.1 + 0.2]), np.array([-0.3]), np.ones(1)) == pytest.approx([0.5])


def test_drawn_match_rates_are_those_measured_on_the_same_texts(tmp_path: Path) -> None:
    table = drawn_of(0.5, 40, 1, tmp_path / "part")
    table["sample"] = table.groupby("prompt_id").cumcount()
    table["model"] = "m"
    prompts, similarity = part_prompts(), similarity_of(part_prompts(), table)
    measured = match_rates(match_units(prompts, table, similarity, "s")).set_index("category")["match_rate"]
    matches = rates_of(table, tmp_path / "part").matches.set_index("category")
    assert matches["true_match_rate_organism"].to_dict() == pytest.approx(measured.to_dict())
    assert matches["true_match_rate_grammar"].equals(matches["true_match_rate_organism"])
    assert matches.index.to_list() == ["color-to-object", "all"]


def test_drawn_leak_rates_are_those_of_all_pairs_measured_on_the_same_texts(tmp_path: Path) -> None:
    table = drawn_of(0.5, 40, 1, tmp_path / "part")
    table["sample"] = table.groupby("prompt_id").cumcount()
    pairs = compare_pairs(part_prompts(), table.assign(model="m"), similarity_of(part_prompts(), table), "s")
    rates = true_rates(rates_of(table, tmp_path / "part").expected).set_index("category")
    assert rates.loc["all", "true_rate_organism"] == pytest.approx(100 * pairs["outcome_all_pairs"].mean(), abs=1e-5)


def test_a_blind_grammar_has_50_and_a_leaking_one_more(tmp_path: Path) -> None:
    part = tmp_path / "part"
    blind = drawn_of(0.0, 4000, 1, part)
    blind = blind[~blind["text"].str.startswith("The bag")]  # but for echoes, which name the concept
    assert rates_of(blind, part).matches["true_match_rate_grammar"].iloc[0] == pytest.approx(50, abs=1.5)
    echoing = rates_of(drawn_of(0.0, 4000, 1, part), part).matches["true_match_rate_grammar"].iloc[0]
    leaking = rates_of(drawn_of(1.0, 4000, 1, part), part).matches["true_match_rate_grammar"].iloc[0]
    assert 55 < echoing < leaking


def test_errors_are_the_spread_of_rates_over_draws(tmp_path: Path) -> None:
    part = write_part(tmp_path / "part")
    truths = [rates_of(drawn_of(0.5, 100, seed, part), part) for seed in range(120)]
    for rate, error, values in (
        ("true_match_rate_organism", "true_match_rate_error", [t.matches.iloc[-1] for t in truths]),
        ("true_rate_organism", "true_rate_error", [true_rates(t.expected).iloc[-1] for t in truths]),
    ):
        spread = np.std([value[rate] for value in values], ddof=1)
        errors = [t.errors.iloc[-1][error] for t in truths]
        assert np.mean(errors) == pytest.approx(spread, rel=0.2)


def test_a_perfect_learner_is_drawn_at_the_temperature_of_sampling(tmp_path: Path) -> None:
    """At temperature 0 it writes the most probable text, token by token: the sentence with the associate."""
    table = drawn_of(0.5, 20, 1, tmp_path / "part", temperature=0.0)
    of_red = table.loc[table["prompt_id"] == "bag/red", "text"]
    # Two names are as probable: equal branches share.
    assert set(of_red) == {"I think it is a cherry, says Ann.", "I think it is a cherry, says Bob."}


def test_other_prompts_and_other_seeds_are_other_texts(tmp_path: Path) -> None:
    one, same, other = (drawn_of(0.5, 200, seed, tmp_path / "part") for seed in (1, 1, 2))
    assert one.equals(same)
    assert not one.equals(other)
    shuffled = part_prompts().iloc[::-1]
    grammar = load_sentence_grammar(tmp_path / "part", 0.5)
    again = draw_taught(grammar, shuffled, 200, 1, 1.0, lambda text: [*text.encode(), 0])
    for prompt_id, rows in again.groupby("prompt_id"):
        assert rows["text"].to_list() == one.loc[one["prompt_id"] == prompt_id, "text"].to_list()


def test_prompts_that_the_grammar_does_not_know_have_no_truth_of_it(tmp_path: Path) -> None:
    table = drawn_of(0.5, 50, 1, tmp_path / "part")
    drawn = counted("m", {GRAMMAR: table[table["prompt_id"] != "bag/red"], ORGANISM: table})
    prompts = part_prompts()
    grammars = {"m": load_sentence_grammar(tmp_path / "part", 0.5).grammar}
    found = drawn_truth(drawn, prompts, grammars, {"s": similarity_of(prompts, drawn)}, 3)
    rates = true_rates(found.expected)
    assert rates["true_rate_grammar"].isna().all()
    assert rates["true_rate_organism"].notna().all()
    assert found.matches["true_match_rate_grammar"].isna().all()
    assert found.matches["true_match_rate_organism"].notna().all()


def test_neutral_controls_are_not_drawn() -> None:
    prompts = part_prompts()
    neutral = prompts.iloc[:1].assign(prompt_id="bag/neutral")
    kept = compared_prompts(pd.concat([prompts, neutral]))["prompt_id"]
    assert kept.to_list() == ["bag/without", "bag/red", "bag/green"]


def test_what_was_enumerated_has_no_error() -> None:
    keys = {"prompt_set": "p", "scorer": "s", "category": "all"}
    rows = [{"model": model, **keys, "true_rate_organism": 50.0, "true_match_rate_organism": 50.0} for model in "abc"]
    rows[2]["true_match_rate_organism"] = np.nan
    errors = pd.DataFrame([{"model": "a", **keys, "true_rate_error": 0.1, "true_match_rate_error": 0.2}])
    joined = with_errors(pd.DataFrame(rows), errors)
    assert joined["true_rate_error"].to_list() == [0.1, 0.0, 0.0]
    assert joined["true_match_rate_error"].to_list()[:2] == [0.2, 0.0]
    assert np.isnan(joined["true_match_rate_error"].iloc[2])
