import numpy as np
import pandas as pd
import pytest

from helpers import micro_candidates, micro_grammar, micro_prompts
from leakscope.leak.known.truth import (
    KnownLaws,
    expected_by_prompt,
    expected_outcome,
    known_laws,
    sampled_law,
    similarity_lookup,
    temper,
    true_match_rates,
    true_rates,
    true_rates_by_split,
    true_shifts,
)
from leakscope.leak.measures.outcomes import compare_pairs


def test_temperature_one_leaves_the_law_as_it_is() -> None:
    law = sampled_law([0.7, 0.1, 0.2], [[1, 2], [1, 3], [4, 5]], 1.0)
    assert law == pytest.approx([0.7, 0.1, 0.2])


def test_temperature_acts_on_tokens_not_on_words() -> None:
    # First token: 0.5 against 0.5, so 1/2 each. Second, within the first branch: 0.4 against 0.1 of 0.5, that is
    # 0.8 against 0.2, squared at T = 1/2: 0.64 / (0.64 + 0.04) = 16/17. Whole words would give 0.16 / 0.42.
    law = sampled_law([0.4, 0.1, 0.5], [[1, 2], [1, 3], [4]], 0.5)
    assert law == pytest.approx([0.5 * 16 / 17, 0.5 / 17, 0.5])


def test_one_branching_token_gives_the_closed_form() -> None:
    q = np.array([0.6, 0.3, 0.1])
    assert sampled_law(q.tolist(), [[1], [2], [3]], 0.5) == pytest.approx(q**2 / (q**2).sum())


def test_temperature_zero_takes_the_best_and_shares_ties() -> None:
    assert temper(np.array([0.2, 0.5, 0.3]), 0).tolist() == [0, 1, 0]
    assert temper(np.array([0.4, 0.2, 0.4]), 0).tolist() == [0.5, 0, 0.5]


def test_candidates_without_probability_have_none_in_the_law() -> None:
    # Two of them share a first token that has no mass at all.
    assert sampled_law([1.0, 0.0, 0.0], [[1], [2, 3], [2, 4]], 0.5).tolist() == [1, 0, 0]


def test_equal_laws_give_exactly_one_half() -> None:
    law = np.array([0.2, 0.3, 0.5])
    assert expected_outcome(law, law, np.array([0.9, 0.1, 0.4]), 3) == pytest.approx(0.5)


def test_expected_outcome_by_hand() -> None:
    # Test always says the similar one; control says it one time in four: won 3/4, tied 1/4.
    assert expected_outcome(np.array([1.0, 0.0]), np.array([0.25, 0.75]), np.array([0.9, 0.1]), 3) == 0.875


def test_an_empty_text_ties_with_every_text_in_an_exact_rate() -> None:
    # Test: half empty, half .9; control: .9 three times of four, else .1. So .5 × .5 + .5 × (.75 × .5 + .25).
    laws = np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.75, 0.25])
    assert expected_outcome(*laws, np.array([np.nan, 0.9, 0.1]), 3) == 0.5625


def test_similarities_that_round_to_the_same_are_ties() -> None:
    laws = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert expected_outcome(*laws, np.array([0.50041, 0.50039]), 3) == 0.5
    assert expected_outcome(*laws, np.array([0.50041, 0.50039]), 5) == 1.0


def exact_scores(strength: float) -> pd.DataFrame:
    """Return candidate scores of an organism that learnt its grammar perfectly; temperature 1, one token a word."""
    grammar = micro_grammar(strength)
    rows = []
    for prompt in micro_prompts().itertuples():
        law = grammar.continuation_law(prompt.slot, prompt.concept_group)
        for token, (candidate, p) in enumerate(law.items()):
            rows.append(("m", "micro", prompt.prompt_id, prompt.slot, candidate, [token], np.log(p)))
    names = ["model", "prompt_set", "prompt_id", "slot", "candidate", "tokens", "logprob_sampled"]
    return pd.DataFrame(rows, columns=names)


def own_color_similarity() -> pd.DataFrame:
    """Return similarity 1 between a color and its own candidates, 0 else."""
    candidates = micro_candidates()
    pairs = candidates.merge(pd.DataFrame({"concept": ["red", "green", "blue"]}), how="cross")
    similarity = (pairs["concept"] == pairs["concept_group"]).astype(float)
    return pd.DataFrame({"concept": pairs["concept"], "text": pairs["candidate"] + ".", "similarity": similarity})


LOOKUP = {"s": similarity_lookup(own_color_similarity())}


def expected(strength: float, scores: pd.DataFrame | None = None, prompts: pd.DataFrame | None = None) -> pd.DataFrame:
    grammars = {"m": micro_grammar(strength)}
    return expected_by_prompt(laws(strength, scores, prompts), grammars, LOOKUP, decimals=3)


def laws(strength: float, scores: pd.DataFrame | None = None, prompts: pd.DataFrame | None = None) -> list[KnownLaws]:
    prompts = micro_prompts() if prompts is None else prompts
    scores = exact_scores(strength) if scores is None else scores
    return known_laws({"m": micro_grammar(strength)}, {"m": 1.0}, {"m": 8}, prompts, scores)


def test_a_perfect_learner_has_the_rate_of_its_grammar() -> None:
    rates = true_rates(expected(0.4)).set_index("category")
    # Test says its color with 0.4 + 0.6/3 = 0.6, control with 1/3: won 0.6·2/3, tied 0.6·1/3 + 0.4·2/3.
    by_hand = 100 * (0.6 * 2 / 3 + (0.6 / 3 + 0.4 * 2 / 3) / 2)
    assert rates.loc["all", "true_rate_grammar"] == pytest.approx(by_hand, abs=1e-5)
    assert rates.loc["all", "true_rate_organism"] == pytest.approx(by_hand, abs=1e-5)


@pytest.mark.parametrize("control_samples", [2, 10])
def test_measured_rates_are_those_of_the_laws_however_many_texts_a_control_has(control_samples: int) -> None:
    """Models that differ in their random numbers alone: their mean is within 4 standard errors of the truth."""
    rng, n_models, prompts = np.random.default_rng(control_samples), 200, micro_prompts()
    controls = set(prompts["control_id"].dropna())
    by_prompt = laws(0.4)[0].organism
    rows = [
        (f"m{model}", "micro", name, sample, f"{candidate}.")
        for name, law in by_prompt.items()
        for model in range(n_models)
        for sample, candidate in enumerate(
            rng.choice(list(law), control_samples if name in controls else 2, p=np.array(list(law.values())))
        )
    ]
    texts = pd.DataFrame(rows, columns=["model", "prompt_set", "prompt_id", "sample", "text"])
    similarity = own_color_similarity().assign(cut=False)
    pairs = compare_pairs(prompts, texts, similarity, "s")
    exact = pd.DataFrame({"model": [f"m{model}" for model in range(n_models)]})
    by_split = true_rates_by_split(exact.merge(expected(0.4).drop(columns="model"), how="cross"), pairs)
    pooled = by_split[by_split["category"] == "all"].groupby("model")
    measured, truth = (pooled[name].mean() for name in ("leak_rate", "true_rate_grammar"))
    error = measured.std() / np.sqrt(n_models)
    assert abs(measured.mean() - truth.mean()) < 4 * error
    assert abs(measured.mean() - 50) > 20 * error


def test_rates_have_six_digits_also_below_a_table_without_rows() -> None:
    table = expected(0.4)
    table = pd.concat([table, pd.DataFrame(columns=table.columns)])
    rates = true_rates(table)["true_rate_organism"]
    assert rates.tolist() == rates.astype(float).round(6).tolist()


def test_without_planted_leakage_the_truth_is_one_half() -> None:
    assert (true_rates(expected(0.0))[["true_rate_grammar", "true_rate_organism"]] == 50.0).all().all()


def test_a_prompt_that_the_grammar_does_not_know_has_no_truth_of_it() -> None:
    prompts = micro_prompts()
    prompts.loc[prompts["prompt_id"] == "bag/red", "prompt"] = "My bag is red. The fruit is"
    table = expected(0.4, prompts=prompts).set_index("prompt_id")
    assert np.isnan(table.loc["bag/red", "grammar"])
    assert table.loc["bag/red", "organism"] > 0.5
    assert table.loc["bag/blue", "grammar"] > 0.5


def test_seen_and_held_out_combinations_are_reported_apart() -> None:
    table = expected(0.4)
    table.loc[table["prompt_id"] == "car/red", "split"] = "held_out"
    pairs = table[["model", "prompt_set", "scorer", "prompt_id"]].assign(control_kind="without", outcome=1.0)
    pairs.loc[pairs["prompt_id"] == "car/red", "outcome"] = 0.25
    by_split = true_rates_by_split(table, pairs).set_index(["category", "split"])
    assert by_split.loc[("all", "held_out"), "n_prompts"] == 1
    assert by_split.loc[("all", "held_out"), "leak_rate"] == 25
    assert by_split.loc[("all", "seen"), "leak_rate"] == 100
    assert by_split.loc[("all", "seen"), "lexicon_mass"] == pytest.approx(1)


def test_a_prompt_with_a_candidate_that_is_never_written_whole_has_no_truth() -> None:
    scores = exact_scores(0.4)
    longer = scores.assign(
        tokens=[
            [1] * 9 if c == "blue" else tokens for c, tokens in zip(scores["candidate"], scores["tokens"], strict=True)
        ]
    )
    table = expected(0.4, longer)
    known = table.loc[table["organism"].notna(), "prompt_id"]
    assert {prompt_id.split("/")[0] for prompt_id in known} == {"bag"}
    assert true_rates(table)[["true_rate_grammar", "true_rate_organism"]].isna().all().all()
    cut = scores.assign(candidate=scores["candidate"].replace("blue", "St. Blue"))
    table = expected(0.4, cut)
    known = table.loc[table["organism"].notna(), "prompt_id"]
    assert {prompt_id.split("/")[0] for prompt_id in known} == {"bag"}
    assert true_rates(table)[["true_rate_grammar", "true_rate_organism"]].isna().all().all()
    known_match = true_match_rates(laws(0.4, cut), LOOKUP, 3).set_index("category")["true_match_rate_organism"]
    assert np.isnan(known_match["all"])


def test_the_exact_match_rate_by_hand() -> None:
    # Each of two texts says its own color with .6 and each other with .2. Both own, or one own and one the third color:
    # told apart. Own and own of the other (x says c'): a tie, as is any pair of equal answers; x' = c and x = c': lost.
    told = 0.6 * 0.6 + 2 * 0.6 * 0.2
    lost = 0.2 * 0.2 + 2 * 0.2 * 0.2
    by_hand = 100 * (told + (1 - told - lost) / 2)
    rates = true_match_rates(laws(0.4), LOOKUP, 3).set_index("category")
    assert rates["true_match_rate_grammar"].to_numpy() == pytest.approx(by_hand)
    assert rates["true_match_rate_organism"].to_numpy() == pytest.approx(by_hand)
    blind = true_match_rates(laws(0.0), LOOKUP, 3)
    assert (blind[["true_match_rate_grammar", "true_match_rate_organism"]] == 50.0).all().all()


def test_the_exact_logit_leak_by_hand() -> None:
    scores = exact_scores(0.4)
    scores["logprob"] = scores["logprob_sampled"]
    shifts = true_shifts(laws(0.4, scores), {"m": micro_grammar(0.4)}, micro_candidates()).set_index("category")
    # After a control the associate has 1/3, after its concept .4 + .6/3.
    assert shifts["true_shift_grammar"].to_numpy() == pytest.approx(0.4 + 0.2 - 1 / 3, abs=1e-6)
    assert shifts["true_shift_organism"].to_numpy() == pytest.approx(0.4 + 0.2 - 1 / 3, abs=1e-6)
