"""The sample of the match test: it stands for the match rate, in every design, and an edit changes little of it."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations, product
from statistics import fmean, stdev

import pandas as pd
import pytest

from leakscope.leak import pairs
from leakscope.leak.measures.match_rate import match_rates
from leakscope.leak.measures.matching import match_units
from leakscope.leak.rating.answers import by_similarity
from leakscope.leak.rating.items import (
    ID_PATTERN,
    ITEM_COLUMNS,
    SampledText,
    SampledUnit,
    Side,
    comparable_units,
    drawn_sides,
    sample_items,
)
from leakscope.leak.rating.summary import rating_table
from leakscope.statistics.seeding import seeded_hash
from test_match_rate import Row, generations_of, prompts_of, similarity_of

COLORS = ["red", "green", "blue", "gray", "pink"]
# Units of five, three and two groups, one group with two shades, numbers of texts from one to four, and one alone.
UNEVEN = [
    *(Row("a", "hat", "The hat is old.", color, color, 1 + place % 4) for place, color in enumerate(COLORS)),
    Row("a", "hat", "The hat is old.", "ruby red", "red", 3),
    *(Row("a", "box", "The box is old.", color, color, 2) for color in COLORS[:3]),
    *(Row("b", "car", "The car is old.", color, color, 2) for color in COLORS[3:]),
    Row("b", "bus", "The bus is old.", "red", "red", 2),
]


def texts_of(tests: list[Row], kinds: int = 7) -> list[list[str]]:
    """Return some texts after each test, of a few kinds; one of them is empty."""
    names = ["", *(f"text {number}" for number in range(1, kinds))]
    return [
        [names[seeded_hash(number, test.concept, str(test.control)) % kinds] for number in range(test.n_texts)]
        for test in tests
    ]


def study(tests: list[Row], **models: list[list[str]]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return prompts, generations and similarities; these have ties."""
    prompts = prompts_of(tests)
    generations = generations_of(prompts, models or {"m": texts_of(tests)}, ["a control's text"])
    concepts, texts = {test.concept for test in tests}, set(generations["text"])
    similarity = {(c, t): seeded_hash(1, c, t) % 5 / 4 for c, t in product(concepts, texts)}
    return prompts, generations, similarity_of(similarity)


def units_of(n: int) -> list[Row]:
    return [Row("a", f"t{i}", f"Thing {i} is old.", color, color, 3) for i in range(n) for color in COLORS]


def told_apart(one: Side, other: Side, similarity: dict[tuple[str, str], float]) -> float:
    """Return the outcome of a comparison from its definition."""
    if not (one.written.text and other.written.text):
        return 0.5
    own = similarity[one.concept, one.written.text] + similarity[other.concept, other.written.text]
    crossed = similarity[one.concept, other.written.text] + similarity[other.concept, one.written.text]
    return 0.5 if own == crossed else float(own > crossed)


def units_with_texts(tests: list[Row]) -> list[SampledUnit]:
    prompts, generations, _ = study(tests)
    return comparable_units(
        pairs.tests_by_unit(prompts).merge(generations[["prompt_id", "sample", "text"]], on="prompt_id")
    )


@pytest.mark.parametrize("n_items", [1, 4, 40])
def test_the_mean_over_many_samples_is_the_match_rate(n_items: int) -> None:
    prompts, generations, similarity = study(UNEVEN)
    rate = match_rates(match_units(prompts, generations, similarity, "s"), permutations=2, name_permutations=1)
    true = rate.loc[rate["category"] == "all", "match_rate"].item()
    known = dict(
        zip(zip(similarity["concept"], similarity["text"], strict=True), similarity["similarity"], strict=True)
    )
    units = units_with_texts(UNEVEN)
    found = [
        100 * fmean(told_apart(*sides, known) for _, sides in drawn_sides(units, n_items, seed, "set"))
        for seed in range(1200 if n_items < 40 else 300)
    ]
    error = stdev(found) / math.sqrt(len(found))
    assert error < 1.5
    assert abs(fmean(found) - true) < 3 * error


def test_a_sample_says_of_a_scorer_what_its_weights_and_outcomes_do() -> None:
    prompts, generations, similarity = study(UNEVEN)
    items = sample_items(prompts, generations, 40, 0)
    known = dict(
        zip(zip(similarity["concept"], similarity["text"], strict=True), similarity["similarity"], strict=True)
    )
    answers = by_similarity(items, similarity, "s", 3)
    sides = [
        [Side("", item[f"concept_{i}"], SampledText("", "", item[f"text_{i}"])) for i in (1, 2)]
        for item in items.to_dict("records")
    ]
    assert answers["outcome"].tolist() == [told_apart(*two, known) for two in sides]
    assert set(answers["outcome"]) == {0.0, 0.5, 1.0}
    rate = rating_table(items, answers, 0.95).set_index("rater").loc["s"]
    assert rate["match_rate"] == pytest.approx(100 * float((items["weight"] * answers["outcome"]).sum()))
    assert rate["undecided_rate"] == pytest.approx(100 * (answers["outcome"] == 0.5).mean())


def test_each_comparison_has_its_share_of_items() -> None:
    """Expected numbers, against the weights of the match rate written out."""
    expected: Counter[tuple[str, ...]] = Counter()
    by_unit = {unit: [row for row in UNEVEN if row.unit == unit] for unit in dict.fromkeys(row.unit for row in UNEVEN)}
    sizes = {unit: len({row.group for row in rows}) for unit, rows in by_unit.items()}
    total = sum(size for size in sizes.values() if size > 1)
    for unit, rows in by_unit.items():
        shades = Counter(row.group for row in rows)
        for one, other in combinations(rows, 2):
            if one.group != other.group:
                share = sizes[unit] / total / math.comb(sizes[unit], 2) / shades[one.group] / shades[other.group]
                expected[(unit[1], *sorted([one.concept, other.concept]))] += share
    assert sum(expected.values()) == pytest.approx(1)
    drawn: Counter[tuple[str, ...]] = Counter()
    n_seeds, units = 1500, units_with_texts(UNEVEN)
    for seed in range(n_seeds):
        for unit, sides in drawn_sides(units, 3, seed, "set"):
            drawn[(unit.unit, *sorted(side.concept for side in sides))] += 1
    assert set(drawn) == set(expected)
    for pair, share in expected.items():
        assert abs(drawn[pair] / 3 / n_seeds - share) < 4 * math.sqrt(share / 3 / n_seeds), pair


def test_units_and_pairs_of_groups_have_nearly_equal_numbers() -> None:
    prompts, generations, _ = study(units_of(24))
    for seed in range(5):
        items = sample_items(prompts, generations, 100, seed)
        assert len(items) == 100
        assert set(items["unit"].value_counts()) == {4, 5}
        numbers = Counter(map(frozenset, items[["group_1", "group_2"]].to_numpy().tolist())).values()
        assert len(numbers) == 10
        # Drawn independently, the numbers of ten pairs would differ by about ten.
        assert max(numbers) - min(numbers) <= 4


def test_texts_belong_to_their_concepts_and_sides_are_drawn() -> None:
    prompts, generations, _ = study(UNEVEN)
    items = sample_items(prompts, generations, 60, 0)
    written = generations.merge(prompts, on=["prompt_id", "prompt_set"])
    known = set(zip(written["concept"], written["text"], strict=True))
    assert list(items) == ITEM_COLUMNS
    for side in "12":
        assert set(zip(items[f"concept_{side}"], items[f"text_{side}"], strict=True)) <= known
    assert (items["group_1"] != items["group_2"]).all()
    assert 0.25 < (items["concept_1"] < items["concept_2"]).mean() < 0.75
    assert items["item_id"].is_unique
    assert all(ID_PATTERN.fullmatch(name) for name in items["item_id"])
    assert "The bus is old." not in set(items["unit"])


def test_more_items_than_comparisons_are_all_comparisons_by_their_weight() -> None:
    tests = [Row("a", "t", "It is old.", color, color, 2) for color in COLORS[:2]]
    prompts, generations, _ = study(tests, m=[["one", "two"], ["three", "four"]])
    items = sample_items(prompts, generations, 4, 0)
    assert sorted(map(sorted, items[["text_1", "text_2"]].to_numpy().tolist())) == [
        ["four", "one"], ["four", "two"], ["one", "three"], ["three", "two"],
    ]  # fmt: skip
    more = sample_items(prompts, generations, 8, 0)
    assert more["weight"].tolist() == [0.25] * 4
    assert set(more["item_id"]) == set(items["item_id"])


def test_an_edited_prompt_changes_the_items_of_its_unit_alone() -> None:
    tests = units_of(24)
    edited = [row._replace(control="Thing 7 is new.") if row.template == "t7" else row for row in tests]
    before = sample_items(*study(tests)[:2], 100, 3)
    after = sample_items(*study(edited)[:2], 100, 3)
    kept = set(before["item_id"]) & set(after["item_id"])
    assert kept == set(before.loc[before["cluster"] != "t7", "item_id"])
    assert len(kept) >= 95


def test_a_further_prompt_leaves_most_items_of_the_others() -> None:
    before = sample_items(*study(units_of(24))[:2], 100, 3)
    after = sample_items(*study(units_of(25))[:2], 100, 3)
    assert len(set(before["item_id"]) & set(after["item_id"])) > 50
    another = sample_items(*study(units_of(24))[:2], 100, 4)
    assert len(set(before["item_id"]) & set(another["item_id"])) < 15


def test_models_are_compared_on_the_same_concepts() -> None:
    tests = units_of(6)
    one, other = texts_of(tests), [[f"{text}!" for text in texts] for texts in texts_of(tests)]
    items = sample_items(*study(tests, one=one, other=other)[:2], 20, 0)
    concepts = [
        sorted(map(sorted, rows[["concept_1", "concept_2"]].to_numpy().tolist())) for _, rows in items.groupby("model")
    ]
    assert concepts[0] == concepts[1]
    assert items["item_id"].is_unique


def test_without_two_concepts_there_is_nothing_to_ask() -> None:
    prompts, generations, similarity = study([Row("a", "t", "It is old.", "red", "red", 2)])
    items = sample_items(prompts, generations, 10, 0)
    assert list(items) == ITEM_COLUMNS
    assert items.empty
    answers = by_similarity(items, similarity, "s", 3)
    assert rating_table(items, answers, 0.95).empty
