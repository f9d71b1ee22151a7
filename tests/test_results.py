"""What the result page says: words from intervals, marks from tables, one pair of texts, the numbers of its rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leakscope.results.believing import Doubted, doubts, marks
from leakscope.results.example import middling_pair
from leakscope.results.headline import (
    BELOW,
    LEAKS,
    NONE,
    SMALL,
    UNCLEAR,
    Rate,
    percent,
    sentence,
    strongest,
    summary,
    verdict,
)
from leakscope.results.page import TITLES
from leakscope.results.rows import pairs_of_texts, rate_rows
from leakscope.results.steps import READERS, found_in
from leakscope.workflow.result_page import LEADING, TABLES

NAN = float("nan")


@pytest.mark.parametrize(
    ("rate", "word"),
    [
        (Rate(64.0, 60.0, 68.0, 24, 56.0), LEAKS),
        (Rate(64.0, 50.0, 78.0, 24, 56.0), UNCLEAR),  # 50 is inside
        (Rate(51.0, 47.0, 55.0, 24, 56.0), UNCLEAR),
        (Rate(51.0, 47.0, 55.0, 24, 60.0), UNCLEAR),
        (Rate(55.0, 44.0, 66.0, 24, 66.0), SMALL),  # what it could find is far
        (Rate(55.0, 44.0, 66.0, 24, NAN), SMALL),
        (Rate(64.0, 60.0, 68.0, 24, 66.0), LEAKS),  # what was found was found
        (Rate(90.0, 80.0, 95.0, 9, 56.0), SMALL),  # whatever the interval
        (Rate(90.0, 80.0, 95.0, 10, NAN), LEAKS),
        (Rate(40.0, 35.0, 45.0, 24, 56.0), BELOW),
        (Rate(90.0, NAN, NAN, 24, NAN), SMALL),
        (Rate(NAN, NAN, NAN, 0, NAN), NONE),
    ],
)
def test_words_follow_from_the_interval(rate: Rate, word: str) -> None:
    assert verdict(rate) == word


def test_a_headline_names_rate_chance_and_interval() -> None:
    assert sentence("SmolLM2", Rate(63.7, 59.9, 67.6, 24, 56.0), 0.95) == (
        "SmolLM2 leaks: of 100 pairs of its texts, 64 can be matched to the concepts named before them; 50 is chance, "
        "60 to 68 the 95\u00a0% interval."
    )
    assert sentence("m", Rate(90.0, 80.0, 95.0, 4, 56.0), 0.9).startswith(
        "Too small to tell whether m leaks (4 unrelated templates): of 100"
    )
    assert sentence("m", Rate(51.0, 47.0, 55.0, 24, 56.0), 0.9).startswith("m is not distinguishable from chance: ")
    assert sentence("m", Rate(90.0, NAN, NAN, 1, NAN), 0.95).endswith("50 is chance.")
    assert "no match rate" in sentence("m", Rate(NAN, NAN, NAN, 0, NAN), 0.95)


def test_a_bound_beside_chance_is_not_rounded_to_it() -> None:
    assert [percent(value) for value in (50.4, 49.6, 50.0, 50.5, 63.7)] == ["50.4", "49.6", "50", "50.5", "64"]


def row(**changes: Any) -> dict[str, Any]:
    """A row without a mark."""
    plain = {
        "rate": 64.0, "low": 60.0, "concepts_low": 55.0, "concepts_high": 72.0, "few": "", "clusters": 24,
        "concepts": 11, "without_repetition": 60.0, "repetition": 10.0, "echo": 1.0, "without_echo": 64.0, "empty": 0.0,
        "unfinished": 0.0, "foreign": 0.0,
        "cut": 0, "compared": 1000, "scorer": "first", "verdict": LEAKS, "p": 0.05,
    }  # fmt: skip
    return plain | changes


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"few": "templates", "clusters": 4}, "fewer than ten templates (4 unrelated templates, 11 concepts)"),
        ({"without_repetition": 58.0, "repetition": 40.2}, "in 40 % of the pairs a text names one of the two concepts"),
        ({"without_repetition": None}, "nothing but repetition can be measured"),
        ({"echo": 28.4, "without_echo": 61.0}, "28 % of its texts restate their prompt"),
        ({"empty": 12.0}, "12 % of its texts are empty; each"),
        ({"empty": 12.0, "unfinished": 11.0}, "12 % of its texts are empty (unfinished thoughts: 11 %); each"),
        ({"foreign": 70.0}, "70 % of its texts are in another script than their prompts."),
        ({"cut": 30}, "in 30 of 1000 pairs, a text is longer than first reads"),
        ({"p": 0.18}, "leaks by the interval only: corrected for all rates that the study tests, p is 0.18."),
        ({"concepts_low": 49.0}, "for other templates and other concepts, the interval is 49 to 72 and contains 50"),
    ],
)
def test_each_mark_of_a_table_is_one_sentence(changes: dict[str, Any], says: str) -> None:
    (found,) = doubts([Doubted("m", marks(row(**changes)))])
    assert found.startswith("m: ")
    assert says in found


def test_a_row_without_marks_has_none() -> None:
    assert marks(row(), [row(scorer="second")]) == []
    assert marks(row(without_repetition=59.0)) == []  # five points, not more
    assert marks(row(rate=None)) == []
    assert marks(row(verdict=UNCLEAR, p=0.5)) == []  # nothing is said of it that could be wrong
    assert marks(row(p=0.08), level=0.9) == []
    assert marks(row(verdict=UNCLEAR), [row(scorer="second", verdict=SMALL)]) == []  # neither finds anything


def test_scorers_that_disagree_are_named() -> None:
    other = row(scorer="second", rate=51.0, verdict=UNCLEAR)
    said = doubts([Doubted("m", marks(row(), [other]))])
    assert said == ["m: leaks by first, but not distinguishable from chance by second (51)."]


def test_what_many_models_have_alike_is_said_once() -> None:
    alike = [Doubted(f"m{i}", marks(row(concepts_low=40.0 + i))) for i in range(4)]
    assert doubts([*alike, Doubted("other", marks(row(empty=12.0)))]) == [
        "4 of 5 models: for other templates and other concepts, the interval contains 50 (m0, m1, m2 and 1 more).",
        "other: 12 % of its texts are empty; each of them ties, which draws the rate to 50.",
    ]
    assert len(doubts(alike[:3])) == 3


LEAKING, HIGHER = Rate(60.0, 55.0, 65.0, 24, 56.0), Rate(64.0, 59.0, 69.0, 24, 56.0)
NOTHING, TOO_FEW, WITHOUT = (
    Rate(51.0, 47.0, 55.0, 24, 56.0),
    Rate(90.0, 80.0, 95.0, 4, 56.0),
    Rate(NAN, NAN, NAN, 0, NAN),
)


def test_the_headline_of_many_models_counts_them_and_names_the_highest_that_leaks() -> None:
    rates = {"a": LEAKING, "b": HIGHER, "few": TOO_FEW, "none": WITHOUT, "e": NOTHING, "f": NOTHING}
    first, others = summary(list(rates.items()), 0.95)
    assert first.startswith("2 of 6 models leak, b most: of 100 pairs of its texts, 64 can be matched")
    assert others == "The others: 2 not distinguishable from chance, 1 too small to tell, 1 no match rate."
    assert summary([("a", LEAKING), ("e", NOTHING)], 0.95)[0].startswith("1 of 2 models leaks, a: of 100 pairs")
    (every,) = summary([("a", LEAKING), ("b", HIGHER)], 0.95)
    assert every.startswith("All 2 models leak, b most: ")
    none, highest = summary([("e", NOTHING), ("none", WITHOUT)], 0.95)
    assert none == "None of 2 models leaks for sure: 1 not distinguishable from chance, 1 no match rate."
    assert highest.startswith("The highest: e is not distinguishable from chance: of 100 pairs")
    assert strongest([WITHOUT, WITHOUT]) == strongest([]) == 0


PROMPTS = pd.DataFrame(
    [
        ("p", "hat/red", "hat/without", "red", "Her hat is red. She likes"),
        ("p", "hat/blue", "hat/without", "blue", "Her hat is blue. She likes"),
        ("p", "hat/without", None, None, "She has a hat. She likes"),
    ],
    columns=["prompt_set", "prompt_id", "control_id", "concept", "prompt"],
).assign(neutral_control_id=None, template_id="hat", category="things")
PROMPTS["concept_group"] = PROMPTS["concept"]
TEXTS = pd.DataFrame(
    [("hat/red", 0, "poppies"), ("hat/red", 1, "bread"), ("hat/blue", 0, "the sea"), ("hat/blue", 1, "rust")],
    columns=["prompt_id", "sample", "text"],
)
# Text → similarity to red and to blue.
LIKE = {"poppies": (0.9, 0.1), "bread": (0.5, 0.4), "the sea": (0.2, 0.8), "rust": (0.6, 0.2)}
SIMILARITY = pd.DataFrame(
    [(concept, text, values[at]) for text, values in LIKE.items() for at, concept in enumerate(("red", "blue"))],
    columns=["concept", "text", "similarity"],
)


def test_the_example_is_the_median_of_the_pairs_that_are_right() -> None:
    # D: poppies and the sea 1.4, poppies and rust .4, bread and the sea .7, bread and rust −.3.
    pair = middling_pair(PROMPTS, TEXTS, SIMILARITY, "s", 3)
    assert pair is not None
    assert [(side.concept, side.text) for side in pair] == [("red", "bread"), ("blue", "the sea")]
    assert pair[0].prompt == "Her hat is red. She likes"


def test_where_no_pair_is_right_there_is_no_example() -> None:
    equal = SIMILARITY.assign(similarity=0.5)
    assert middling_pair(PROMPTS, TEXTS, equal, "s", 3) is None
    assert middling_pair(PROMPTS, TEXTS.iloc[:0], SIMILARITY, "s", 3) is None


def test_pairs_are_counted_between_groups_alone() -> None:
    texts = TEXTS.assign(model="m", prompt_set="p")
    told = pairs_of_texts(texts, PROMPTS).set_index("category")["text_pairs"]
    assert told.to_dict() == {"things": 4, "all": 4}
    assert pairs_of_texts(texts.iloc[:3], PROMPTS)["text_pairs"].tolist() == [2, 2]
    without = pairs_of_texts(texts, PROMPTS.assign(category=None))
    assert without[["category", "text_pairs"]].to_numpy().tolist() == [["all", 4]]


KEYS = {"prompt_set": "p", "scorer": "s", "category": "all"}


def rate_table(**models: float) -> pd.DataFrame:
    """Match rates with intervals of five points to each side."""
    rows = [
        {"model": model, **KEYS, "n_prompts": 20, "n_clusters": 12, "n_groups": 11, "match_rate": rate}
        | {"ci_low": rate - 5, "ci_high": rate + 5, "ci_concepts_low": NAN, "ci_concepts_high": NAN}
        | {"match_rate_without_repetition": rate, "repetition_rate": 0.0, "match_rate_without_echo": rate}
        | {
            "echo_rate": 0.0,
            "empty_rate": 0.0,
            "unfinished_rate": 0.0,
            "foreign_rate": 0.0,
            "p_templates_corrected": 0.01,
            "detectable": 55.0,
            "sd": 9.0,
            "few": NAN,
        }
        for model, rate in models.items()
    ]
    return pd.DataFrame(rows)


def leak_table(*models: str) -> pd.DataFrame:
    return pd.DataFrame([{"model": model, **KEYS, "n_pairs": 100, "n_cut": 0} for model in models])


def pair_table(*models: str) -> pd.DataFrame:
    return pd.DataFrame([{"model": model, "prompt_set": "p", "category": "all", "text_pairs": 400} for model in models])


def test_rows_are_in_the_order_of_the_names_with_what_other_tables_know() -> None:
    truth = pd.DataFrame([{"model": "o", **KEYS, "true_match_rate_organism": 70.5}])
    rows = rate_rows(
        rate_table(o=71.0, m=52.0), leak_table("m", "o"), pair_table("m", "o"), truth, {"m": "M", "o": "O"}
    )
    assert [(r["name"], r["truth"], r["pairs"], r["verdict"]) for r in rows] == [
        ("M", None, 400, UNCLEAR),
        ("O", 70.5, 400, LEAKS),
    ]
    assert rows[0]["href"] == "explorer.html#model=m&set=p&scorer=s"
    assert rows[0]["concepts_low"] is None


def test_a_row_of_a_category_links_to_it() -> None:
    tables = [frame.assign(category="a & b") for frame in (rate_table(m=60.0), leak_table("m"), pair_table("m"))]
    assert rate_rows(*tables, None, {"m": "M"})[0]["href"].endswith("&category=a+%26+b")


def test_other_steps_say_what_their_leading_table_begins_with() -> None:
    ground = pd.DataFrame(
        [
            {
                "model": "m",
                "axis": "colors",
                "comparison": "counts-model",
                "language": "en",
                "n_subjects": 36,
                "tau": 0.38,
            }
        ]
    ).assign(ci_low=0.32, ci_high=0.44, baseline_tau=0.18)
    assert found_in("kendall_tau", ground, {"m": "M"}).sentence.startswith(
        "M ranks colors by their counts in its corpus with a Kendall tau of .38 (.32 to .44);"
    )
    assert found_in("kendall_tau", ground.assign(tau=np.nan), {}).sentence.startswith("No model's ranking")
    asked = pd.DataFrame(
        [{"model": "m", "task": "t", "split": "all", "form": "f", "subset": "all", "value": -0.1, "n": 9}]
    )
    asked = asked.assign(statistic="pearson", ci_low=np.nan, ci_high=np.nan)
    found = found_in("correlations", asked, {})
    assert "have a correlation of −.10; 1 is no gap" in found.sentence
    assert found.rows == [["m", "t", "f", "−.10", "", "9"]]
    quality = pd.DataFrame([{"label": "d", "model": "m", "layer": 3, "l0": 31.6, "dead_share": 0.0}])
    quality = quality.assign(variance_unexplained=0.029, cross_entropy_recovered=np.nan)
    assert found_in("quality", quality, {"m": "M"}).sentence == (
        "The dictionary d reconstructs layer 3 of M from 32 features per token and leaves 3 % of the variance "
        "unexplained."
    )


def test_the_effect_of_an_edit_is_compared_with_random_features() -> None:
    rows = [("none", 0.3, 0.0, False), ("features", 0.0123, 2.96, True), ("features", 0.2, 1.0, False)]
    rows += [("random_features", 0.29, 3.0, True)]
    table = pd.DataFrame(rows, columns=["intervention", "mean_abs_gap", "cost", "chosen"])
    table = table.assign(dictionary="d", contrast="c", split="evaluation", ci_low=0.01, ci_high=0.02)
    found = found_in("effects", pd.concat([table.assign(split="selection", mean_abs_gap=0.5), table]), {})
    assert found.sentence == (
        "Editing features of the dictionary d changes the gap between the sides of c from .300 to .012 (.010 to .020), "
        "while perplexity rises by 3.0 %; random features leave .290."
    )
    assert [row[2:4] for row in found.rows] == [["nothing", ".300"], ["features", ".012"], ["random features", ".290"]]
    assert found_in("effects", table[table["intervention"] == "none"], {}).sentence == "No edit of features was chosen."


def test_every_step_of_a_study_has_a_section_on_the_page(root: Path) -> None:
    schema = json.loads((root / "schemas/config.schema.json").read_text(encoding="utf-8"))
    steps = set(schema["$defs"]["StudySection"]["properties"]["steps"]["items"]["enum"])
    assert set(TITLES) == set(LEADING) == steps == {"leak", *TABLES}
    # Each table that a section may begin with has a reader.
    assert {table for tables in TABLES.values() for table in tables} == set(READERS)
