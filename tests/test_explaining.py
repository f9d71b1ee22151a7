"""Labels of tokens and their scores against a count token by token; prompts, and what is read from answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leakscope.features.description.accuracy import balanced_accuracy
from leakscope.features.description.detection import (
    detection_prompt,
    explanation_prompt,
    read_detection,
    read_explanation,
    shuffled,
)
from leakscope.features.description.explaining import (
    COLUMNS,
    count_statuses,
    explain_locally,
    score_labels,
    token_labels,
)

WORDS = [" the", " cat", " Cat", " dog", " sat", "\n"]
HALVES = ("explaining", "scoring")


class Text:
    """Random documents of six tokens, and the activations of features on them."""

    def __init__(self, n_features: int = 6, n_tokens: int = 900, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.ids = rng.choice(len(WORDS), n_tokens, p=[0.4, 0.15, 0.05, 0.15, 0.15, 0.1])
        self.documents = np.arange(n_tokens) // 9
        self.half = np.where(self.documents % 3 == 0, *reversed(HALVES))
        favourite = np.arange(n_features) % len(WORDS)
        likely = np.where(self.ids[:, None] == favourite, 0.9, 0.05)
        self.activations = rng.exponential(size=(n_tokens, n_features)) * (rng.random(likely.shape) < likely)

    def token_counts(self) -> pd.DataFrame:
        frame = pd.DataFrame(self.activations).melt(var_name="feature", value_name="mass", ignore_index=False)
        frame = frame[frame["mass"] > 0].assign(n_firing=1)
        frame = frame.assign(token_id=self.ids[frame.index], half=self.half[frame.index])
        return frame.groupby(["feature", "half", "token_id"], as_index=False)[["n_firing", "mass"]].sum()

    def tokens(self) -> pd.DataFrame:
        frame = pd.DataFrame({"token_id": self.ids, "half": self.half, "document": self.documents})
        counts = frame.groupby(["token_id", "half"])["document"].agg(n="size", n_documents="nunique").reset_index()
        return counts.assign(token=[WORDS[i] for i in counts["token_id"]])

    def firing(self) -> pd.DataFrame:
        n_firing = (self.activations > 0).sum(axis=0)
        features = np.arange(self.activations.shape[1])
        return pd.DataFrame({"feature": features, "firing_rate": n_firing / len(self.ids), "dead": n_firing == 0})


def explain(text: Text, n_tokens: int = 2, interpretable: bool = True) -> pd.DataFrame:
    return explain_locally(
        text.firing(), text.token_counts(), text.tokens(), "label", n_tokens=n_tokens, interpretable=interpretable
    )


@pytest.mark.parametrize("n_tokens", [1, 2, 5])
def test_a_label_is_scored_as_a_count_token_by_token_scores_it(n_tokens: int) -> None:
    text = Text()
    labels = token_labels(text.token_counts(), text.tokens(), n_tokens)
    table = explain(text, n_tokens)
    assert list(table) == COLUMNS
    assert set(table["status"]) == {"explained"}
    scoring = text.half == "scoring"
    for row in table.itertuples():
        named = labels.loc[labels["feature"] == row.feature, "token_id"]
        assert 0 < len(named) <= n_tokens
        said, fires = np.isin(text.ids[scoring], named), text.activations[scoring, row.feature] > 0
        assert row.detection == pytest.approx((said[fires].mean() + (~said[~fires]).mean()) / 2, abs=1e-12)
        assert row.detection == pytest.approx(balanced_accuracy(said, fires), abs=1e-12)
        assert (row.n_firing, row.n_silent) == (fires.sum(), (~fires).sum())


def test_a_label_names_the_tokens_with_most_mass_and_rarer_ones_with_less() -> None:
    counts = pd.DataFrame(
        [(0, 0, 10.0), (0, 1, 6.0), (0, 3, 1.0), (1, 3, 2.0), (1, 4, 2.0)], columns=["feature", "token_id", "mass"]
    ).assign(half="explaining", n_firing=1)
    tokens = pd.DataFrame({"token_id": [0, 1, 3, 4], "n_documents": [99, 9, 9, 9]}).assign(half="explaining", n=100)
    labels = token_labels(counts, tokens, 2)
    # Token 0 is everywhere: 10 · 1 against 6 · (ln(100 / 10) + 1) = 19.8. Equal weights: the smaller number first.
    assert 6 * (math.log(10) + 1) > 10
    assert labels.to_numpy().tolist() == [[0, 1], [0, 0], [1, 3], [1, 4]]


def test_labels_are_made_from_one_half_and_scored_on_the_other() -> None:
    text = Text()
    counts, tokens = text.token_counts(), text.tokens()
    labels = token_labels(counts, tokens, 2)
    other = counts["half"] == "scoring"
    changed = counts.assign(mass=counts["mass"].where(~other, 1e6), n_firing=counts["n_firing"].where(~other, 1))
    pd.testing.assert_frame_equal(token_labels(changed, tokens, 2), labels)
    assert not score_labels(labels, changed, tokens).equals(score_labels(labels, counts, tokens))
    pd.testing.assert_frame_equal(
        score_labels(labels, counts.assign(mass=counts["mass"].where(other, 1e6)), tokens),
        score_labels(labels, counts, tokens),
    )


def test_texts_of_labels_are_for_a_person() -> None:
    text = Text()
    text.activations[text.half == "explaining", 0] += 0.01
    table = explain(text, n_tokens=6)
    # "cat" and "Cat" are two; a line's end is shown; no text stands twice, and none with its space.
    assert set(table["explanation"][0].split(", ")) == {"the", "cat", "Cat", "dog", "sat", repr("\n")}
    assert [label.split(", ")[0] for label in explain(text)["explanation"]][:5] == ["the", "cat", "Cat", "dog", "sat"]


def test_statuses_say_why_there_is_no_explanation() -> None:
    text = Text(n_features=5)
    explaining, scoring = text.half == "explaining", text.half == "scoring"
    text.activations[:, 0] = 0
    text.activations[scoring, 1] = 0
    text.activations[explaining, 2] = 0
    text.activations[:, 3] = 1.0
    table = explain(text)
    assert table["status"].tolist() == ["dead", "silent", "silent", "silent", "explained"]
    unexplained = table[table["status"] != "explained"]
    assert unexplained[["explanation", "detection", "n_firing", "n_silent"]].isna().all(axis=None)
    assert count_statuses(table) == {"dead": 1, "explained": 1, "silent": 3}
    below = explain(text, interpretable=False)
    assert below["status"].tolist() == ["dead", *["below the bar"] * 4]
    assert below["explanation"].isna().all()
    pd.testing.assert_series_equal(below.dtypes, table.dtypes)


def contexts(*rows: tuple[Sequence[str], Sequence[float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["tokens", "activations"])


def test_the_explainer_sees_where_a_feature_fires() -> None:
    top = contexts(([" the", " black", " cat", " sat"], [0, 2.0, 3.0, 0]), (["A", "\n", " cat"], [0, 0.5, 0]))
    prompt = explanation_prompt(top, contexts(([" a", " dog"], [0, 0.1])))
    assert "1.  the« black cat» sat" in prompt.user
    assert "2. A«⏎» cat" in prompt.user
    assert "1.  a« dog»" in prompt.user.split("Excerpts of any activity:")[1]
    assert "any activity" not in explanation_prompt(top, contexts()).user


def test_the_test_shows_no_marks_and_an_order_of_chance() -> None:
    firing = contexts(*[([f" f{i}"], [1.0]) for i in range(6)])
    silent = contexts(*[([f" s{i}"], [0.0]) for i in range(4)])
    texts, fires = shuffled(firing, silent, seed=0, feature=3)
    assert sorted(texts) == sorted([*(f" f{i}" for i in range(6)), *(f" s{i}" for i in range(4))])
    assert [text.startswith(" f") for text in texts] == fires != sorted(fires, reverse=True)
    assert shuffled(firing, silent, seed=0, feature=3) == (texts, fires)
    assert shuffled(firing, silent, seed=0, feature=4) != (texts, fires) != shuffled(firing, silent, seed=1, feature=3)
    prompt = detection_prompt("cats", texts)
    assert prompt.user.startswith(f"Description: cats\n\nExcerpts:\n1. {texts[0]}\n2. {texts[1]}")
    assert "«" not in prompt.user


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("cats and dogs", "cats and dogs"),
        ('  Explanation: "cats" \n', "cats"),
        ("**Description:** cats", "cats"),
        ("<think>hm\n\nwell</think>\ncats", "cats"),
        ("<think>hm, never ending", None),
        ("Sure!\n\ncats", None),
        ("", None),
        ('""', None),
    ],
)
def test_an_explanation_is_one_line(answer: str, expected: str | None) -> None:
    assert read_explanation(answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("[1, 3]", [1, 3]),
        ("[]", []),
        ("```json\n[2]\n```", [2]),
        ("As in [1], the answer is [2,3].", [2, 3]),
        ("<think>[1]</think>[2]", [2]),
        ("[3, 3]", [3]),
        ("[0]", None),
        ("[4]", None),
        ("[1,]", None),
        ("[1, 2", None),
        ("1, 2", None),
        ('["1"]', None),
        ("none of them", None),
    ],
)
def test_a_detection_is_a_list_of_numbers(answer: str, expected: list[int] | None) -> None:
    said: Any = None if expected is None else [number in expected for number in (1, 2, 3)]
    assert read_detection(answer, 3) == said


def test_balanced_accuracy_is_a_half_by_guessing_whatever_the_numbers() -> None:
    fires = [True] * 2 + [False] * 8
    assert balanced_accuracy([True] * 10, fires) == balanced_accuracy([False] * 10, fires) == 0.5
    assert balanced_accuracy(fires, fires) == 1
    assert balanced_accuracy([True, False, *[False] * 6, True, True], fires) == (0.5 + 0.75) / 2
