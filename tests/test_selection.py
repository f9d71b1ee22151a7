from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import torch

from leakscope.errors import InputError
from leakscope.features.contrasts import probing, selection
from leakscope.features.contrasts.contrast_activations import ContrastActivations
from leakscope.features.contrasts.probing import probe_concept, rank_columns
from leakscope.features.contrasts.selection import METHODS, SELECTION_COLUMNS, Contrasted, no_features, select_features
from leakscope.features.description.accuracy import balanced_accuracy
from leakscope.features.description.monosemanticity import (
    best_question,
    examples,
    grow_and_answer,
    monosemanticity,
)
from leakscope.models.editing.dictionary import Dictionary
from leakscope.statistics.logistic import fit_logistic

# What features 0 to 5 have at the first and at the last token of a text: 0 fires for side a, 1 for side b, 2 always, 3
# at the word of an item of side a, 4 in minimal pairs of side a, 5 never.
A, B = [[0, 0, 1, 5, 0, 0], [3, 0, 2, 0, 0, 0]], [[0, 0, 1, 0, 0, 0], [0, 2, 2, 0, 0, 0]]
PAIR_A, PAIR_B = [[0, 0, 1, 0, 0, 0], [1, 0, 2, 0, 4, 0]], [[0, 0, 1, 0, 0, 0], [0, 3, 2, 0, 0, 0]]
TEXTS = {
    ("item", "selection", "a"): A,
    ("item", "selection", "b"): B,
    ("item", "evaluation", "a"): A,
    ("item", "evaluation", "b"): B,
    ("pair", "selection", "a"): PAIR_A,
    ("pair", "selection", "b"): PAIR_B,
}
COPIES = 3
# Of log p_a − log p_b, at the last token of every text.
SLOPES = [[1, -2, 0.5, 0.25, 0.25, 7]]


def plain_dictionary() -> Dictionary:
    """Return a dictionary whose features are the dimensions themselves."""
    return Dictionary(torch.eye(6), torch.zeros(6), torch.eye(6), torch.zeros(6), "relu", layer=0)


def with_silent_features(number: int) -> Dictionary:
    """Return that dictionary with features before its own that never fire."""
    eye = torch.cat([torch.zeros(6, number), torch.eye(6)], dim=1)
    return Dictionary(eye, torch.zeros(6 + number), eye.T.contiguous(), torch.zeros(6), "relu", layer=0)


def contrasted(texts: dict[tuple[str, str, str], list[list[int]]] = TEXTS) -> Contrasted:
    rows = [(*key, tokens) for key, tokens in texts.items() for _ in range(COPIES)]
    table = pd.DataFrame([row[:3] for row in rows], columns=["kind", "split", "side"])
    # The texts of pairs follow each other, however rows are sorted otherwise.
    table = table.assign(row=range(len(rows)), item=[f"item {row}" for row in range(len(rows))])
    residuals = torch.tensor([token for row in rows for token in row[3]]).float()
    return Contrasted(
        plain_dictionary(),
        table,
        ContrastActivations(
            residuals,
            torch.tensor(SLOPES).float().repeat(len(rows), 1),
            torch.arange(len(rows)).repeat_interleave(2),
            torch.tensor([1, 2]).repeat(len(rows)),
            torch.tensor([False, True]).repeat(len(rows)),
            torch.tensor([[1.0, 0, 0.5, 0, 0, 9], [0, -2, 0.25, 0, 0, 9]]),
        ),
    )


EXPECTED = {
    "pairs": {4: 4, 1: -3, 0: 1},
    "groups": {0: 3, 1: -2},
    # Of each feature the set of words for which it does most.
    "direct": {1: -2, 0: 1, 2: 0.5},
    # What differs between the texts of pairs, times the slope at the last token.
    "attribution": {1: 6, 0: 1, 4: 1},
}


@pytest.mark.parametrize("method", METHODS)
def test_each_method_ranks_features_by_its_score(method: str) -> None:
    found = select_features(contrasted(), [method])
    assert list(found) == SELECTION_COLUMNS
    assert dict(zip(found["feature"], found["score"], strict=True)) == pytest.approx(EXPECTED[method])
    assert found["feature"].tolist() == list(EXPECTED[method])
    assert found["rank"].tolist() == list(range(1, len(found) + 1))


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_a_large_dictionary_is_read_at_few_tokens_at_once(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = select_features(contrasted(), METHODS)
    monkeypatch.setattr(selection, "TOKENS", at_once)
    pd.testing.assert_frame_equal(select_features(contrasted(), METHODS), expected)
    sizes = []
    encode = Dictionary.encode

    def counted(dictionary: Dictionary, residuals: torch.Tensor, features: Sequence[int] | None = None) -> torch.Tensor:
        sizes.append(len(residuals))
        return encode(dictionary, residuals, features)

    monkeypatch.setattr(Dictionary, "encode", counted)
    select_features(contrasted(), METHODS)
    probe_concept(contrasted())
    assert max(sizes) == at_once


def test_means_maxima_and_rates_are_those_over_the_tokens_that_are_given() -> None:
    mine = contrasted()
    rows = mine.rows("selection", "a")
    assert mine.maxima(mine.tokens(rows)).tolist() == [3, 0, 2, 5, 0, 0]
    assert mine.maxima(mine.ends(rows)).tolist() == [3, 0, 2, 0, 0, 0]
    assert mine.means(mine.tokens(rows)).tolist() == [1.5, 0, 1.5, 2.5, 0, 0]
    assert mine.firing_rates(mine.tokens(rows)).tolist() == [0.5, 0, 1, 0.5, 0, 0]
    assert mine.maxima(mine.tokens([])).tolist() == [0] * 6
    assert len(mine.texts("selection")) == 4 * COPIES


def test_signs_say_which_side_a_feature_goes_with() -> None:
    found = select_features(contrasted(), METHODS)
    for _, rows in found.groupby("method"):
        signs = dict(zip(rows["feature"], rows["sign"], strict=True))
        assert (signs[0], signs[1]) == (1, -1)


def test_the_evaluation_split_decides_nothing() -> None:
    other = {key: [[9, 9, 9, 9, 9, 9]] * 2 if key[1] == "evaluation" else tokens for key, tokens in TEXTS.items()}
    pd.testing.assert_frame_equal(select_features(contrasted(), METHODS), select_features(contrasted(other), METHODS))


def test_a_contrast_of_one_side_is_set_against_the_controls_of_its_pairs() -> None:
    """As that of a prompt set is: all of its items are of side a."""
    one_sided = {key: tokens for key, tokens in TEXTS.items() if key[0] == "pair" or key[2] == "a"}
    found = select_features(contrasted(one_sided), ["groups"])
    assert dict(zip(found["feature"], found["score"], strict=True)) == {0: 3, 1: -3}


def test_a_contrast_without_pairs_selects_nothing_by_pairs_and_attributes_between_groups() -> None:
    found = select_features(contrasted({key: tokens for key, tokens in TEXTS.items() if key[0] == "item"}), METHODS)
    assert set(found["method"]) == {"groups", "direct", "attribution"}
    attributed = found[found["method"] == "attribution"]
    assert dict(zip(attributed["feature"], attributed["score"], strict=True)) == {1: 4, 0: 3}


def test_nothing_selected_has_the_same_columns() -> None:
    found = select_features(contrasted(), METHODS)
    assert list(no_features()) == list(found)
    assert no_features().empty
    assert (no_features().dtypes.drop("method") == found.dtypes.drop("method")).all()


# ---- probing


def probed(found: pd.DataFrame, representation: str, n: int, measure: str) -> float:
    mine = found[found["representation"].eq(representation) & found["n"].eq(n) & found["measure"].eq(measure)]
    assert len(mine) == 1
    return float(mine["value"].iloc[0])


def test_a_feature_of_one_side_classifies_both_and_chance_does_not() -> None:
    found = probe_concept(contrasted())
    for representation, n in (("features", 1), ("features", 2), ("residual", 6)):
        assert probed(found, representation, n, "balanced_accuracy") == 1
    assert probed(found, "chance", 0, "balanced_accuracy") == 0.5
    assert probed(found, "features", 1, "tree_accuracy") == 1
    # Features 0 and 1 both tell the sides apart: with one away the other still does, with both none does.
    assert probed(found, "features", 1, "local@1") == 0
    assert probed(found, "features", 1, "local@5") == 1
    assert probed(found, "features", 1, "monosemanticity@1") == 0.5
    assert set(found["n_selection"]) == set(found["n_evaluation"]) == {2 * COPIES}


def test_accuracy_is_that_on_the_evaluation_split() -> None:
    """Where features mean the opposite of what they meant, all answers are wrong."""
    swapped = {**TEXTS, ("item", "evaluation", "a"): B, ("item", "evaluation", "b"): A}
    assert probed(probe_concept(contrasted(swapped)), "features", 1, "accuracy") == 0


def test_features_that_never_fire_change_nothing_and_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = probe_concept(contrasted())
    held = []
    rank = probing.rank_columns

    def ranked(values: probing.Floats, labels: probing.Bools) -> probing.Integers:
        held.append(values.shape[1])
        return rank(values, labels)

    monkeypatch.setattr(probing, "rank_columns", ranked)
    found = probe_concept(contrasted()._replace(dictionary=with_silent_features(40)))
    assert held == [3]  # of 46 those that fire at the end of a text for selection
    numbers = found["features"].dropna().map(lambda listed: json.dumps([number - 40 for number in json.loads(listed)]))
    pd.testing.assert_frame_equal(
        found.assign(features=found["features"].where(found["features"].isna(), numbers)), expected
    )


def test_a_split_without_one_of_the_sides_cannot_be_probed() -> None:
    with pytest.raises(InputError, match="got no text of side b for evaluation"):
        probe_concept(contrasted({key: value for key, value in TEXTS.items() if key[1:] != ("evaluation", "b")}))


def test_logistic_regression_is_where_the_loss_has_no_slope_and_counts_classes_alike() -> None:
    generator = np.random.default_rng(0)
    labels = np.array([True] * 30 + [False] * 90)
    values = generator.normal(size=(120, 3)) + labels[:, None] * [1.5, 0, 0]
    found = fit_logistic(values, labels)
    assert found.weights.argmax() == 0
    thrice = fit_logistic(np.concatenate([values[:30]] * 3 + [values[30:]]), np.array([True] * 90 + [False] * 90))
    # Three times as many of a class change the scale of values alone, not where the sides are parted.
    agree = found.says(values) == thrice.says(values)
    assert agree.mean() > 0.97
    assert balanced_accuracy(found.says(values), labels) > 0.65


def test_ranked_columns_are_those_whose_means_differ_by_spread() -> None:
    labels = np.array([True, True, False, False])
    values = np.array([[10, 1.0, 0, 5], [-10, 1.1, 0, 5], [9, 0.0, 0, 5], [-11, 0.1, 0, 5]], dtype=float)
    assert rank_columns(values, labels).tolist() == [1, 0]


# ---- the feature monosemanticity score


def bits(*columns: list[int]) -> np.ndarray:
    return np.array(columns, dtype=float).T


LABELS = np.array([True, False] * 4)
CONCEPT = [1, 0] * 4
NOISE = [1, 1, 0, 0, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("columns", "local", "overall", "score"),
    [
        # Alone: nothing else has the concept.
        ([CONCEPT, NOISE], 1, 1, 1),
        # Two features have it: without the first the second does as well.
        ([CONCEPT, NOISE, CONCEPT], 0, 1, 0.5),
    ],
)
def test_a_concept_of_one_feature_scores_higher_than_one_of_two(
    columns: list[list[int]], local: float, overall: float, score: float
) -> None:
    both = examples(bits(*columns), LABELS)
    found = monosemanticity(both, both)
    assert (found.feature, found.accuracy) == (0, 1)
    assert (found.local, found.overall, found.score) == pytest.approx((local, overall, score))


def test_what_further_features_add_counts_against_the_first() -> None:
    """A concept of two conditions: one question finds three quarters of it, a second the rest."""
    one, other = [1, 1, 0, 0] * 2, [1, 0, 1, 0] * 2
    labels = np.array([a and b for a, b in zip(one, other, strict=True)], dtype=bool)
    both = examples(bits(one, other), labels)
    found = monosemanticity(both, both)
    # Classes count alike: 1 of all with the concept, 2/3 of those without it.
    assert found.accuracy == pytest.approx(5 / 6)
    assert found.overall == pytest.approx(1 - 1 / 6)
    assert found.score == pytest.approx(5 / 6 * (found.local + 5 / 6) / 2)


def gini(values: np.ndarray, labels: np.ndarray, feature: int, threshold: float) -> float:
    weights = np.where(labels, 1 / labels.sum(), 1 / (~labels).sum())
    total = 0.0
    for side in (values[:, feature] > threshold, values[:, feature] <= threshold):
        share, positive = weights[side].sum(), weights[side & labels].sum()
        total += 0 if share == 0 else 2 * positive * (1 - positive / share)
    return total


def test_the_best_question_has_the_least_gini_impurity_of_all() -> None:
    generator = np.random.default_rng(1)
    for _ in range(10):
        values, labels = generator.integers(0, 4, size=(12, 3)).astype(float), generator.random(12) < 0.4
        labels[:2] = True, False
        found = best_question(examples(values, labels))
        least = min(
            gini(values, labels, feature, level + 0.5) for feature, level in itertools.product(range(3), range(3))
        )
        if found.feature >= 0:
            assert gini(values, labels, *found) == pytest.approx(least)
        else:
            assert least == pytest.approx(1)


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_the_best_question_is_the_same_however_many_features_are_sorted_at_once(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(2)
    values = generator.integers(0, 3, size=(14, 7)).astype(float)
    values[:, 5] = values[:, 2]  # of equal ones, that about the first
    labels = values[:, 2] + generator.random(14) > 1.3
    train = examples(values, labels)
    expected = best_question(train)
    assert expected.feature == 2
    monkeypatch.setattr("leakscope.features.description.monosemanticity.COLUMNS", at_once)
    assert best_question(train) == expected


def test_a_deep_tree_learns_what_no_single_question_tells() -> None:
    values = bits([0, 0, 1, 1, 1], [0, 1, 0, 1, 1])
    labels = np.array([False, True, True, False, False])  # either, not both
    tree = grow_and_answer(examples(values, labels), values, 2)
    assert (tree == labels).all()


def test_nothing_to_ask_about_is_no_feature() -> None:
    constant = examples(np.ones((4, 2)), np.array([True, True, False, False]))
    found = monosemanticity(constant, constant)
    assert (found.feature, found.accuracy, found.local) == (-1, 0.5, 0)
    assert (found.overall, found.score) == (1, 0.25)  # the score's chance level
