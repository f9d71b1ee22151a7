"""The sample of the match test: it stands for the match rate, in every design, and an edit changes little of it."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations, product
from statistics import fmean, stdev

import pandas as pd
import pytest

from leakscope.leak.measures.match_rate import match_rates
from leakscope.leak.measures.matching import match_units
from leakscope.leak.rating.answers import by_similarity
from leakscope.leak.rating.items import ID_PATTERN, ITEM_COLUMNS, sample_items
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


@pytest.mark.parametrize("n_items", [1, 4, 40])
def test_the_mean_over_many_samples_is_the_match_rate(n_items: int) -> None:
    prompts, generations, similarity = study(UNEVEN)
    rate = match_rates(match_units(prompts, generations, similarity, "s"), permutations=2, name_permutations=1)
    true = rate.loc[rate["category"] == "all", "match_rate"].item()
    found = []
    for seed in range(500):
        items = sample_items(prompts, generations, n_items, seed)
        outcome = by_similarity(items, similarity, "s", 3)["outcome"]
        assert items["weight"].sum() == pytest.approx(1)
        found.append(100 * float((items["weight"] * outcome).sum()))
    error = stdev(found) / math.sqrt(len(found))
    assert error < 2.5
    assert abs(fmean(found) - true) < 3 * error
    # What other weights would give is told apart from it: 40 items see each of the ten pairs of the largest unit twice.
    evenly = match_units(prompts, generations, similarity, "s").groupby("unit")["match"].mean()
    assert n_items < 40 or abs(100 * evenly.mean() - true) > 3 * error


def test_each_comparison_has_its_share_of_items() -> None:
    """Expected numbers, against the weights of the match rate written out."""
    prompts, generations, _ = study(UNEVEN)
    expected: Counter[tuple[str, ...]] = Counter()
    by_unit = {unit: [row for row in UNEVEN if row.unit == unit] for unit in dict.fromkeys(row.unit for row in UNEVEN)}
    sizes = {unit: len({row.group for row in rows}) for unit, rows in by_unit.items()}
    total = sum(size for size in sizes.values() if size > 1)
    for unit, rows in by_unit.items():
        shades = Counter(row.group for row in rows)
        for one, other in combinations(rows, 2):
            if one.group != other.group:
                pairs = math.comb(sizes[unit], 2)
                share = sizes[unit] / total / pairs / shades[one.group] / shades[other.group]
                expected[(unit[1], *sorted([one.concept, other.concept]))] += share
    assert sum(expected.values()) == pytest.approx(1)
    drawn: Counter[tuple[str, ...]] = Counter()
    n_seeds = 1500
    for seed in range(n_seeds):
        for item in sample_items(prompts, generations, 3, seed).to_dict("records"):
            drawn[(item["unit"], *sorted([item["concept_1"], item["concept_2"]]))] += item["weight"]
    assert set(drawn) == set(expected)
    for pair, share in expected.items():
        assert abs(drawn[pair] / n_seeds - share) < 4 * math.sqrt(share / 3 / n_seeds), pair


def test_units_and_pairs_of_groups_have_nearly_equal_numbers() -> None:
    prompts, generations, _ = study(units_of(24))
    for seed in range(5):
        items = sample_items(prompts, generations, 100, seed)
        assert len(items) == 100
        assert set(items["unit"].value_counts()) == {4, 5}
        pairs = items[["group_1", "group_2"]].apply(lambda row: "/".join(sorted(row)), axis=1).value_counts()
        assert len(pairs) == 10
        # Drawn independently, the numbers of ten pairs would differ by about ten.
        assert pairs.max() - pairs.min() <= 4


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
    pairs = [
        sorted(map(sorted, rows[["concept_1", "concept_2"]].to_numpy().tolist())) for _, rows in items.groupby("model")
    ]
    assert pairs[0] == pairs[1]
    assert items["item_id"].is_unique


def test_without_two_concepts_there_is_nothing_to_ask() -> None:
    prompts, generations, similarity = study([Row("a", "t", "It is old.", "red", "red", 2)])
    items = sample_items(prompts, generations, 10, 0)
    assert list(items) == ITEM_COLUMNS
    assert items.empty
    answers = by_similarity(items, similarity, "s", 3)
    assert rating_table(items, answers, 0.95).empty
