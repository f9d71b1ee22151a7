"""Pairs, what has to be scored for them, and which concepts texts name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from leakscope.errors import InputError
from leakscope.languages.mentions import contains_concept
from leakscope.leak import pairs as prompt_pairs
from leakscope.leak.measures.leak_rate import estimators, leak_rates, leak_rates_by_control
from leakscope.leak.measures.outcomes import PAIR_COLUMNS, compare_pairs
from leakscope.leak.named_concepts import MATRIX_COLUMNS, concept_matrix
from leakscope.leak.pairs import list_pairs
from leakscope.similarity.concepts import concept_group

PROMPT_COLUMNS = ["prompt_id", "control_id", "neutral_control_id", "concept", "concept_group", "category"]
NO_CANDIDATES = pd.DataFrame({"slot": [], "candidate": [], "concept_group": []}, dtype=str)


def prompts_of(*rows: tuple[object, ...], template_id: object = None, slot: object = None) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=PROMPT_COLUMNS, dtype=object)
    return table.assign(prompt_set="set", expected=None, template_id=template_id, slot=slot, prompt="A prompt")


def generations_of(texts: dict[str, list[str]], model: str = "m") -> pd.DataFrame:
    rows = [("set", model, name, k, text) for name, found in texts.items() for k, text in enumerate(found)]
    return pd.DataFrame(rows, columns=["prompt_set", "model", "prompt_id", "sample", "text"])


def similarity_of(values: dict[tuple[str, str], float]) -> pd.DataFrame:
    rows = [(concept, text, value) for (concept, text), value in values.items()]
    return pd.DataFrame(rows, columns=["concept", "text", "similarity"]).assign(cut=False)


@pytest.fixture
def two_colors() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Two concepts of one category share a control; three samples, similarities worked out by hand."""
    prompts = prompts_of(
        ("c", None, None, None, None, "colors"),
        ("y", "c", None, "lemon yellow", "yellow", "colors"),
        ("r", "c", None, "red", "red", "colors"),
    )
    generations = generations_of({"c": ["sky", "sun", "tea"], "y": ["sun", "sun", "sky"], "r": ["Red!", "tea", "tea"]})
    similarity = similarity_of(
        {
            ("lemon yellow", "sky"): 0.1,
            ("lemon yellow", "sun"): 0.7,
            ("lemon yellow", "tea"): 0.1004,
            ("lemon yellow", "Red!"): 0.2,
            ("red", "sky"): 0.2,
            ("red", "sun"): 0.3,
            ("red", "tea"): 0.25,
            ("red", "Red!"): 0.9,
        }
    )
    return prompts, generations, similarity


def test_outcomes_are_those_worked_out_by_hand(two_colors: tuple[pd.DataFrame, ...]) -> None:
    pairs = compare_pairs(*two_colors, scorer="s")
    assert list(pairs.columns) == PAIR_COLUMNS
    assert pairs["prompt_id"].tolist() == ["y"] * 3 + ["r"] * 3
    assert pairs["sample"].tolist() == [0, 1, 2] * 2
    # yellow: .7 > .1, .7 = .7, .1 = .1 (.1004 rounds to .1); red: .9 > .2, .25 < .3, .25 = .25
    assert pairs["outcome"].tolist() == [1, 0.5, 0.5, 1, 0, 0.5]
    # yellow against the control's .1, .7, .1; red against .2, .3, .25
    assert pairs["outcome_all_pairs"].tolist() == pytest.approx([2.5 / 3, 2.5 / 3, 1 / 3, 1, 0.5, 0.5])
    # the same texts scored against the other: red .3 > .2, .3 = .3, .2 < .25; yellow .2 > .1, .1 < .7, .1 = .1
    assert pairs["swapped_outcome"].tolist() == [1, 0.5, 0, 1, 0, 0.5]
    assert pairs["repetition"].tolist() == [False, False, False, True, False, False]
    assert pairs["identical"].tolist() == [False, True, False, False, False, True]
    assert pairs["similarity_control"].tolist() == [0.1, 0.7, 0.1, 0.2, 0.3, 0.25]


def test_a_pair_is_cut_where_one_of_its_texts_is(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, similarity = two_colors
    similarity["cut"] = similarity["text"] == "tea"
    # The control's third text; of red the second and the third.
    pairs = compare_pairs(prompts, generations, similarity, scorer="s")
    assert pairs["cut"].tolist() == [False, False, True, False, True, True]
    rates = leak_rates(pairs)
    assert rates[["category", "n_cut"]].to_numpy().tolist() == [["colors", 3], ["all", 3]]


def test_an_empty_text_ties_with_every_text_under_every_concept(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, similarity = two_colors
    generations["text"] = generations["text"].replace({"sky": "", "tea": " \n"})
    similarity["text"] = similarity["text"].replace({"sky": "", "tea": " \n"})
    similarity.loc[similarity["text"].str.strip() == "", "similarity"] = np.nan
    pairs = compare_pairs(prompts, generations, similarity, scorer="s")
    # Controls "", sun, " \n"; of yellow sun, sun, "": only the second pair has two texts. Of red Red!, " \n", " \n".
    assert pairs["outcome"].tolist() == [0.5] * 6
    assert pairs["swapped_outcome"].tolist() == [0.5] * 6
    # sun against "", sun, " \n"; red's Red! .9 against sun's .3.
    assert pairs["outcome_all_pairs"].tolist() == pytest.approx([0.5, 0.5, 0.5, 2 / 3, 0.5, 0.5])
    assert pairs["similarity_test"].isna().tolist() == [False, False, True, False, True, True]
    assert leak_rates(pairs).loc[0, ["empty_rate", "empty_rate_control"]].round(1).tolist() == [50, 66.7]


def test_a_text_that_says_something_must_have_a_similarity(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, similarity = two_colors
    similarity.loc[similarity["text"] == "sun", "similarity"] = np.nan
    with pytest.raises(InputError, match="none for concept 'lemon yellow' and text 'sun'"):
        compare_pairs(prompts, generations, similarity, scorer="s")


def test_each_text_is_held_against_its_own_prompt_and_its_models_template(
    two_colors: tuple[pd.DataFrame, ...],
) -> None:
    prompts, generations, similarity = two_colors
    prompts["prompt"] = ["The door is shut. It is", "The door is lemon yellow. It is", "The door is red. It is"]
    # Restates the control, and yellow with another colour; of red, four of five words are its prompt's.
    renamed = {"sky": "The door is shut", "tea": "Your answer:"}
    generations["text"] = generations["text"].replace(renamed)
    similarity["text"] = similarity["text"].replace(renamed)
    pairs = compare_pairs(prompts, generations, similarity, scorer="s", closings={"m": "Your answer:"})
    assert pairs["echo_test"].tolist() == ["", "", "prompt", "", "template", "template"]
    assert pairs["echo_control"].tolist() == ["prompt", "", "template"] * 2
    assert pairs["echo"].tolist() == [True, False, True, True, True, True]
    pairs = compare_pairs(prompts, generations, similarity, scorer="s", closings={"other": "Your answer:"})
    assert pairs["echo_test"].tolist() == ["", "", "prompt", "", "", ""]


def test_similarities_that_differ_after_rounding_do_not_tie(two_colors: tuple[pd.DataFrame, ...]) -> None:
    pairs = compare_pairs(*two_colors, scorer="s", decimals=4)
    assert pairs["outcome"].tolist()[2] == 0  # .1 < .1004


def naive_pairs(
    prompts: pd.DataFrame, generations: pd.DataFrame, similarity: pd.DataFrame, decimals: int
) -> pd.DataFrame:
    """The definition in plain loops."""
    known = {(c, t): round(s, decimals) for c, t, s, _ in similarity.itertuples(index=False)}
    texts = {(g.model, g.prompt_id, g.sample): g.text for g in generations.itertuples()}
    counts = generations.groupby(["model", "prompt_id"]).size()

    def win(concept: str, test: str, control: str) -> float:
        a, b = known[concept, test], known[concept, control]
        return 1.0 if a > b else 0.5 if a == b else 0.0

    rows = []
    for model in generations["model"].unique():
        for kind, column in (("without", "control_id"), ("neutral", "neutral_control_id")):
            for p in prompts[prompts[column].notna()].to_dict("records"):
                others = {
                    (q["concept"], q["concept_group"])
                    for q in prompts.to_dict("records")
                    if (q["control_id"] or q["neutral_control_id"])
                    and q["category"] == p["category"]
                    and q["concept_group"] != p["concept_group"]
                }
                n, of_control = counts[model, p["prompt_id"]], counts[model, p[column]]
                if kind == "neutral":
                    n = of_control = min(n, of_control)
                for k in range(n):
                    test = texts[model, p["prompt_id"], k]
                    everyone = [win(p["concept"], test, texts[model, p[column], j]) for j in range(of_control)]
                    for j in range(k, of_control, n):
                        control = texts[model, p[column], j]
                        swapped = [win(concept, test, control) for concept, _ in others]
                        row = (model, kind, p["prompt_id"], k, j, win(p["concept"], test, control))
                        both = (known[p["concept"], test], known[p["concept"], control])
                        named = contains_concept(test, p["concept"]) or contains_concept(control, p["concept"])
                        means = (np.mean(everyone), np.mean(swapped) if swapped else np.nan)
                        rows.append((*row, *means, *both, named, test, control))
    return pd.DataFrame(rows, columns=NAIVE)


NAIVE = ["model", "control_kind", "prompt_id", "sample", "sample_control", "outcome", "outcome_all_pairs"]
NAIVE += ["swapped_outcome", "similarity_test", "similarity_control", "repetition", "text_test", "text_control"]


def random_study(
    seed: int, samples: Callable[[str], int]
) -> tuple[pd.DataFrame, pd.DataFrame, dict[tuple[str, str], float]]:
    """Return prompts of two categories, texts of two models, and similarities of which many tie.

    In the category a some tests have a neutral control, too; a prompt has as many texts as ``samples`` says of its id.
    """
    rng = np.random.default_rng(seed)
    concepts = [(f"{shade} {color}", color) for color in ("red", "blue", "green") for shade in ("light", "dark")]
    rows: list[tuple[object, ...]] = [(f"{c}/{kind}", None, None, None, None, c) for c in "ab" for kind in "wn"]
    for category, chosen in (("a", concepts), ("b", concepts[:2])):
        for concept, group in chosen:
            neutral = f"{category}/n" if rng.random() < 0.7 else None
            rows.append((f"{category}/{concept}", f"{category}/w", neutral, concept, group, category))
    prompts = prompts_of(*rows)
    words = [*(f"word {i}" for i in range(8)), "light red"]
    names = prompts["prompt_id"].tolist()
    generations = pd.concat(
        [
            generations_of({name: rng.choice(words, samples(name)).tolist() for name in names}, model)
            for model in ("m1", "m2")
        ]
    ).sample(frac=1, random_state=seed)
    values = {(concept, word): float(rng.uniform(0, 0.006)) for concept, _ in concepts for word in words}
    return prompts, generations, values


@pytest.mark.parametrize("samples", [{}, {"w": 12}, {"w": 12, "n": 8}], ids=["equal", "controls", "both controls"])
@pytest.mark.parametrize("seed", range(3))
def test_pairs_and_their_rates_equal_plain_loops(seed: int, samples: dict[str, int]) -> None:
    """Of neutral controls the first samples count alone: a prompt that is both kinds of control has more."""
    prompts, generations, values = random_study(seed, lambda name: samples.get(name.split("/")[1], 4))
    expected = naive_pairs(prompts, generations, similarity_of(values), 3)
    keys = NAIVE[:5]
    pairs = compare_pairs(prompts, generations, similarity_of(values), "s")
    found, expected = pairs[NAIVE].sort_values(keys, ignore_index=True), expected.sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-12)
    assert pairs["swapped_outcome"].isna().sum() == (pairs["category"] == "b").sum()  # both concepts are red
    for row in leak_rates_by_control(pairs).query("category == 'all'").to_dict("records"):
        mine = expected[(expected["model"] == row["model"]) & (expected["control_kind"] == row["control_kind"])]
        assert (row["n_pairs"], row["n_prompts"]) == (len(mine), mine["prompt_id"].nunique())
        for name, share in (
            ("leak_rate", mine["outcome"].mean()),
            ("tie_rate", (mine["outcome"] == 0.5).mean()),
            ("repetition_rate", mine["repetition"].mean()),
            ("leak_rate_without_repetition", mine.loc[~mine["repetition"], "outcome"].mean()),
        ):
            assert row[name] == pytest.approx(100 * share, abs=1e-6), name
    for row in estimators(pairs).query("category == 'all'").to_dict("records"):
        mine = expected[(expected["model"] == row["model"]) & (expected["control_kind"] == row["control_kind"])]
        assert row["all_pairs"] == pytest.approx(100 * mine["outcome_all_pairs"].mean(), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_equal_numbers_of_samples_are_paired_by_position_as_ever(seed: int) -> None:
    """A join of tests and controls by sample, in the order of prompts, is all that was done before."""
    prompts, generations, values = random_study(seed, lambda _: 4)
    pairs = compare_pairs(prompts, generations, similarity_of(values), "s")
    tests = prompt_pairs.tested_rows(prompts)
    tests["row"] = range(len(tests))
    joined = tests.merge(generations.drop(columns="prompt_set"), on="prompt_id").merge(
        generations[["model", "prompt_id", "sample", "text"]].rename(columns={"prompt_id": "control_id"}),
        on=["model", "control_id", "sample"],
        suffixes=("_test", "_control"),
    )
    joined["model"] = pd.Categorical(joined["model"], generations["model"].unique())
    joined = joined.sort_values(["model", "row", "sample"], ignore_index=True).astype({"model": str})
    columns = ["model", "prompt_id", "control_id", "control_kind", "sample", "text_test", "text_control", "cluster"]
    pd.testing.assert_frame_equal(pairs[columns], joined[columns], check_dtype=False)
    assert pairs["sample_control"].equals(pairs["sample"])


def test_each_text_of_a_control_meets_one_text_of_a_test(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, similarity = two_colors
    texts = {"c": ["sky", "sun", "tea", "tea", "sky", "Red!"], "y": ["sun", "sky"], "r": ["Red!", "tea"]}
    pairs = compare_pairs(prompts, generations_of(texts), similarity, "s")
    assert pairs["sample"].tolist() == [0, 0, 0, 1, 1, 1] * 2
    assert pairs["sample_control"].tolist() == [0, 2, 4, 1, 3, 5] * 2
    assert pairs["text_control"].tolist() == ["sky", "tea", "sky", "sun", "tea", "Red!"] * 2
    # yellow: .7 > .1 three times; .1 < .7, .1 = .1, .1 < .2; red: .9 > .2, .25, .2; .25 < .3, .25 = .25, .25 < .9
    assert pairs["outcome"].tolist() == [1, 1, 1, 0, 0.5, 0] * 2
    # sun against .1, .7, .1, .1, .1, .2; sky .1 against the same; Red! and tea against .2, .3, .25, .25, .2, .9
    everyone = [5.5 / 6] * 3 + [2 / 6] * 3 + [5.5 / 6] * 3 + [3 / 6] * 3
    assert pairs["outcome_all_pairs"].tolist() == pytest.approx(everyone)


def test_a_control_that_is_a_test_itself_has_more_texts_as_both() -> None:
    """Every test prompt has as many rows, whichever it is: none weighs more."""
    prompts = prompts_of(
        ("c", None, None, None, None, "k"), ("n", None, None, None, None, "k"),
        ("y", "c", "n", "yellow", "yellow", "k"), ("r", "y", "n", "red", "red", "k"),
    )  # fmt: skip
    words = ["sky", "sun", "tea", "red!", "bee", "fly"]
    generations = generations_of({"c": words, "y": words[::-1], "r": words[:2], "n": words[2:4]})
    values = {(concept, word): place / 10 for concept in ("yellow", "red") for place, word in enumerate(words)}
    pairs = compare_pairs(prompts, generations, similarity_of(values), "s")
    assert pairs.groupby(["control_kind", "prompt_id"]).size().to_dict() == {
        ("without", "y"): 6, ("without", "r"): 6, ("neutral", "y"): 2, ("neutral", "r"): 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ({"c": 5, "y": 2}, "'y' has 2 samples, its control 'c' has 5; allowed: as many for both, or a multiple"),
        ({"c": 2, "y": 4}, "'y' has 4 samples, its control 'c' has 2; allowed: as many for both, or a multiple"),
        ({"c": 0, "y": 2}, "'c' has no sample; allowed: at least one"),
    ],
)
def test_a_number_that_is_no_multiple_names_model_and_prompt(numbers: dict[str, int], found: str) -> None:
    prompts = prompts_of(("c", None, None, None, None, "k"), ("y", "c", None, "yellow", "yellow", "k"))
    generations = generations_of({name: ["sky"] * n for name, n in numbers.items()})
    with pytest.raises(InputError, match=f"^generations of m: prompt {found}"):
        compare_pairs(prompts, generations, similarity_of({("yellow", "sky"): 0.5}), "s")


def test_samples_of_another_number_are_counted_from_0() -> None:
    prompts = prompts_of(("c", None, None, None, None, "k"), ("y", "c", None, "yellow", "yellow", "k"))
    generations = generations_of({"c": ["sky"] * 4, "y": ["sky"] * 2})
    generations.loc[generations["prompt_id"] == "c", "sample"] += 1
    with pytest.raises(InputError, match="'y' has 2 samples, its control 'c' has 4; allowed: .* numbered from 0"):
        compare_pairs(prompts, generations, similarity_of({("yellow", "sky"): 0.5}), "s")


def test_swapped_outcome_does_not_depend_on_how_pairs_are_cut_into_blocks(
    two_colors: tuple[pd.DataFrame, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compare_pairs(*two_colors, scorer="s")
    monkeypatch.setattr("leakscope.leak.measures.outcomes.CELLS", 4)  # two concepts: blocks of two pairs
    pd.testing.assert_frame_equal(compare_pairs(*two_colors, scorer="s"), whole)


def test_prompts_without_control_are_not_counted(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, similarity = two_colors
    prompts.loc[prompts["prompt_id"] == "r", "control_id"] = None
    pairs = compare_pairs(prompts, generations, similarity, "s")
    assert set(pairs["prompt_id"]) == {"y"}
    assert pairs["swapped_outcome"].isna().all()  # red is no longer a concept of the category


def test_prompts_without_category_are_one_category(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, similarity = two_colors
    pairs = compare_pairs(prompts.assign(category=None), generations, similarity, "s")
    assert pairs["category"].isna().all()
    assert pairs["swapped_outcome"].tolist() == [1, 0.5, 0, 1, 0, 0.5]


def test_no_generations_give_no_pairs(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, similarity = two_colors
    pairs = compare_pairs(prompts, generations.head(0), similarity, "s")
    assert list(pairs.columns) == PAIR_COLUMNS
    assert pairs.empty


def test_no_test_prompts_give_no_pairs(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, similarity = two_colors
    assert compare_pairs(prompts.head(1), generations, similarity, "s").empty


def test_clusters_are_templates_or_else_controls(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, similarity = two_colors
    assert set(compare_pairs(prompts, generations, similarity, "s")["cluster"]) == {"c"}
    pairs = compare_pairs(prompts.assign(template_id="t"), generations, similarity, "s")
    assert set(pairs["cluster"]) == {"t"}


def test_templates_that_share_a_control_are_one_cluster(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, similarity = two_colors
    pairs = compare_pairs(prompts.assign(template_id=[None, "t1", "t2"]), generations, similarity, "s")
    assert pairs["template_id"].tolist() == ["t1"] * 3 + ["t2"] * 3
    assert set(pairs["cluster"]) == {"t1"}


def test_a_missing_generation_names_model_and_prompt(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, similarity = two_colors
    for name in ("r", "c"):
        with pytest.raises(InputError, match=f"^generations of m: prompt '{name}' has no sample"):
            compare_pairs(prompts, generations[generations["prompt_id"] != name], similarity, "s")


def test_unequal_numbers_of_samples_name_model_and_prompt(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, similarity = two_colors
    short = generations[(generations["prompt_id"] != "r") | (generations["sample"] < 2)]
    with pytest.raises(InputError, match="^generations of m: prompt 'r' has 2 samples, its control 'c' has 3; allowed"):
        compare_pairs(prompts, short, similarity, "s")


def test_other_sample_numbers_than_the_control_are_an_error(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, similarity = two_colors
    generations.loc[generations["prompt_id"] == "r", "sample"] += 1
    with pytest.raises(InputError, match="^generations of m: prompt 'r' has sample 3, its control 'c' has not"):
        compare_pairs(prompts, generations, similarity, "s")


def test_a_sample_that_is_there_twice_is_an_error(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, similarity = two_colors
    with pytest.raises(InputError, match="^generations of m: prompt 'y' has sample 1 twice"):
        compare_pairs(prompts, pd.concat([generations, generations.iloc[[4]]]), similarity, "s")


def test_a_missing_similarity_names_concept_and_text(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, similarity = two_colors
    missing = similarity[(similarity["concept"] != "red") | (similarity["text"] != "tea")]
    with pytest.raises(InputError, match="^similarity by s: got none for concept 'red' and text 'tea'; allowed"):
        compare_pairs(prompts, generations, missing, "s")


def test_listed_pairs_are_exactly_what_is_needed(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, similarity = two_colors
    pairs = list_pairs(prompts, generations, NO_CANDIDATES)
    assert list(pairs.columns) == ["concept", "text", "languages"]
    assert set(pairs["languages"]) == {"en"}
    assert set(map(tuple, pairs[["concept", "text"]].to_numpy())) == set(
        zip(similarity["concept"], similarity["text"], strict=True)
    )
    assert len(pairs) == len(similarity)


def test_listed_pairs_stay_within_prompt_set_and_category(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, _ = two_colors
    other = prompts.assign(prompt_set="other", concept="bee")
    more = generations.assign(prompt_set="other", text="buzz")
    pairs = list_pairs(pd.concat([prompts, other]), pd.concat([generations, more]), NO_CANDIDATES)
    assert set(pairs.loc[pairs["concept"] == "bee", "text"]) == {"buzz"}
    assert "buzz" not in set(pairs.loc[pairs["concept"] != "bee", "text"])


def test_listed_pairs_hold_the_candidates_of_the_slots_used(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, _ = two_colors
    candidates = pd.DataFrame(
        {"slot": ["foods", "birds"], "candidate": ["a lime", "a crow"], "concept_group": ["green", "black"]}
    )
    texts = set(list_pairs(prompts.assign(slot="foods"), generations, candidates)["text"])
    assert "a lime." in texts
    assert "a crow." not in texts


def test_listed_pairs_of_nothing_are_none(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, _ = two_colors
    assert list_pairs(prompts.head(1), generations, NO_CANDIDATES).empty
    assert list_pairs(prompts.head(0), generations, NO_CANDIDATES).columns.tolist() == ["concept", "text", "languages"]


@pytest.mark.parametrize(
    ("text", "concept", "expected"),
    [
        ("It is a RED car.", "red", True),
        ("It bored me", "red", False),
        ("infrared", "red", False),
        ("golden yellow.", "Golden Yellow", True),
        ("golden, yellow", "golden yellow", False),
        ("C++ is here", "c++", True),
        ("STRASSE", "straße", True),
        ("", "red", False),
    ],
)
def test_contains_concept_means_whole_words_in_any_case(text: str, concept: str, expected: bool) -> None:
    assert contains_concept(text, concept) is expected


@pytest.mark.parametrize(
    ("concept", "language", "group"),
    [
        ("Lemon Yellow", "en", "yellow"),
        ("red ", "en", "red"),
        ("", "en", ""),
        ("Hellgelb gold", "de", "gold"),
        ("Bleu  clair", "fr", "bleu clair"),
        ("vert clair", "fr", "vert clair"),
        ("azul claro", "es", "azul claro"),
        ("biru muda", "id", "biru muda"),
        ("ہلکا نیلا", "ur", "نیلا"),
        ("연한 파란색", "ko", "파란색"),
        ("lemon yellow", "xx", "lemon yellow"),
    ],
)
def test_a_group_is_the_last_word_where_that_is_the_head_of_a_name(concept: str, language: str, group: str) -> None:
    assert concept_group(concept, language) == group


def test_a_pair_of_two_languages_is_listed_once_with_both(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, _ = two_colors
    german = prompts.assign(prompt_set="other", language="de", concept_language="de")
    more = generations.assign(prompt_set="other")
    alone = list_pairs(german, more, NO_CANDIDATES)
    both = list_pairs(
        pd.concat([prompts.assign(language="en", concept_language="en"), german]),
        pd.concat([generations, more]),
        NO_CANDIDATES,
    )
    assert set(alone["languages"]) == {"de"}
    assert set(both["languages"]) == {"en de"}
    assert len(both) == len(alone)


def test_concept_matrix_counts_the_groups_of_candidates() -> None:
    prompts = prompts_of(
        ("c", None, None, None, None, "k"),
        ("y", "c", None, "lemon yellow", "yellow", "k"),
        ("r", "c", None, "crimson", "red", "k"),
        slot="things",
    )
    candidates = pd.DataFrame(
        {
            "slot": "things",
            "candidate": ["a lemon", "a rose", "an apple", "a lemon tree"],
            "concept_group": ["yellow", "red", "red", "green"],
        }
    )
    texts = {
        "c": ["a rose"] * 4,
        "y": ["The LEMON.", "a rose, an apple", "a lemon and a rose", "a lemon tree"],
        "r": ["a rose", "roses", "nothing", "a rose"],
    }
    table = concept_matrix(prompts, candidates, generations_of(texts))
    assert list(table.columns) == MATRIX_COLUMNS
    found = {(row.concept_group, row.generated_group): (row.n, row.share) for row in table.itertuples()}
    assert found == {
        ("yellow", "yellow"): (1, 25.0),
        ("yellow", "red"): (1, 25.0),
        ("yellow", "green"): (1, 25.0),
        ("yellow", "several"): (1, 25.0),
        ("red", "red"): (3, 75.0),  # "roses", too
        ("red", "none"): (1, 25.0),
    }


def test_concept_matrix_without_slots_looks_for_the_groups_themselves(
    two_colors: tuple[pd.DataFrame, ...],
) -> None:
    prompts, generations, _ = two_colors
    table = concept_matrix(prompts.assign(category=None), NO_CANDIDATES, generations)
    found = {(row.category, row.concept_group, row.generated_group): row.n for row in table.itertuples()}
    assert found == {("all", "yellow", "none"): 3, ("all", "red", "red"): 1, ("all", "red", "none"): 2}


def test_concept_matrix_of_nothing_is_empty(two_colors: tuple[pd.DataFrame, ...]) -> None:
    prompts, generations, _ = two_colors
    table = concept_matrix(prompts, NO_CANDIDATES, generations.head(0))
    assert list(table.columns) == MATRIX_COLUMNS
    assert table.empty


def test_controls_of_one_sentence_are_one_cluster_whatever_they_are_called() -> None:
    """a and b are said twice the same, so t1, t2 and the prompt without template are one cluster; t3 is its own."""
    tests = [(f"{c}{k}", c, None, f"{c}{k}", f"{c}{k}", "colors") for c in "abcd" for k in (1, 2)]
    prompts = prompts_of(*((c, None, None, None, None, "colors") for c in "abcd"), *tests)
    prompts["template_id"] = [None] * 4 + ["t1", "t2", None, None, "t3", "t3", None, None]
    prompts["prompt"] = ["He eats", "He eats", "She eats", "They eat"] + [f"A dog. {n}" for n in range(8)]
    assert prompt_pairs.tested_rows(prompts)["cluster"].tolist() == ["t1"] * 4 + ["t3"] * 2 + ["d"] * 2
    assert prompt_pairs.tests_by_unit(prompts)["cluster"].tolist() == ["t1"] * 4 + ["t3"] * 2 + ["They eat"] * 2
