"""The table of features, and what is gathered from the dictionaries of a study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leakscope.errors import InputError
from leakscope.features.description.feature_table import (
    described,
    feature_table,
    gathered,
    quality_table,
    readable,
    selected_features,
)
from leakscope.features.description.polysemanticity import COLUMNS, polysemanticity

DICTIONARIES = {
    "gpt.s0": {"label": "GPT, L1", "model": "gpt", "layer": 1, "randomised": False, "seed": 0},
    "random": {"label": None, "model": "gpt", "layer": 1, "randomised": True, "seed": 1},
    "public": {"model": "other", "layer": None},
}
NAMES = list(DICTIONARIES)


def parts() -> dict[str, Any]:
    """Return the tables of a dictionary of three features, of which the last is dead; none is in order."""
    features = [2, 0, 1]
    statistics = pd.DataFrame({"feature": features, "std": [0.3, 0.1, 0.2], "skewness": 0.0})
    firing = pd.DataFrame(
        {
            "feature": features,
            "firing_rate": [0.0, 0.5, 0.25],
            "log10_rate": [-10.0, -0.3, -0.6],
            "dead": [True, False, False],
            "effective_tokens": [np.nan, 1.0, 3.0],
            "activation_kurtosis": [np.nan, 5.0, 7.0],
            "histogram": [[0, 0], [1, 2], [3, 4]],
        }
    )
    rows = [
        (feature, side, rank, f"{side}{feature}{rank}")
        for feature in (0, 1, 2)
        for side in ("promoted", "suppressed")
        for rank in (2, 1)
    ]
    counts = [(0, "explaining", 7, 1.0), (0, "scoring", 7, 1.0), (0, "scoring", 8, 1.5), (1, "scoring", 8, 2.0)]
    tokens = [(7, " cat", "explaining"), (7, " cat", "scoring"), (8, "\n", "scoring")]
    label = pd.DataFrame(
        {
            "feature": [0, 1, 2],
            "explainer": "label",
            "explanation": ["cat", 'a, "b"', None],
            "status": ["explained", "explained", "dead"],
            "detection": [0.9, 0.7, np.nan],
            "n_firing": pd.array([3, 4, None], dtype="Int64"),
        }
    )
    return {
        "statistics": statistics,
        "firing": firing,
        "promoted": pd.DataFrame(rows, columns=["feature", "side", "rank", "token"]),
        "token_counts": pd.DataFrame(counts, columns=["feature", "half", "token_id", "mass"]),
        "tokens": pd.DataFrame(tokens, columns=["token_id", "token", "half"]),
        "explanations": {"label": label, "judge": label.assign(detection=np.nan, status="not asked")},
    }


def test_what_is_known_of_a_feature_stands_in_one_row() -> None:
    table = feature_table(**parts())
    assert table["feature"].tolist() == [0, 1, 2]
    assert table["std"].tolist() == [0.1, 0.2, 0.3]
    assert table["firing_rate"].tolist() == [0.5, 0.25, 0.0]
    assert table["promoted"].tolist()[1] == ["promoted11", "promoted12"]
    assert table["suppressed"].tolist()[2] == ["suppressed21", "suppressed22"]
    # The mass of both halves: 2 on " cat", 1.5 on the line's end.
    assert table["activating"].tolist() == [[" cat", "\n"], ["\n"], []]
    assert table["explanation_label"].tolist()[:2] == ["cat", 'a, "b"']
    assert table["status_judge"].tolist() == ["not asked"] * 3
    assert table["detection_label"].tolist()[:2] == [0.9, 0.7]
    assert {"explainer", "n_firing"} & set(table) == set()


def test_a_person_reads_lists_and_no_histograms() -> None:
    shown = readable(feature_table(**parts()))
    assert "histogram" not in shown
    assert json.loads(shown["activating"][0]) == [" cat", "\n"]


@pytest.mark.parametrize("name", ["firing", "label"])
def test_tables_of_different_features_are_not_joined(name: str) -> None:
    given = parts()
    if name == "firing":
        given["firing"] = given["firing"].iloc[1:]
    else:
        given["explanations"]["label"] = given["explanations"]["label"].iloc[1:]
    with pytest.raises(InputError, match=f"got 2 in {name} and 3 in statistics"):
        feature_table(**given)


def test_dictionaries_are_described_by_what_is_known_of_them() -> None:
    table = described(DICTIONARIES, NAMES)
    assert table["label"].tolist() == ["GPT, L1", "random", "public"]
    assert table["randomised"].tolist() == [False, True, False]
    assert table["layer"].isna().tolist() == [False, False, True]
    assert table["seed"].tolist()[:2] == [0, 1]


def test_polysemanticity_is_of_features_that_fire_and_detection_of_those_interpreted() -> None:
    table = polysemanticity({name: feature_table(**parts()) for name in NAMES[:2]}, described(DICTIONARIES, NAMES[:2]))
    assert list(table) == COLUMNS
    own = table[table["dictionary"] == "gpt.s0"].set_index(["measure", table["explainer"].fillna("")[:5]])
    assert own["dead_share"].tolist() == pytest.approx([1 / 3] * 5)
    assert own.loc[("effective_tokens", ""), ["n", "low_quartile", "median", "high_quartile"]].tolist() == [
        2, 1.5, 2.0, 2.5,
    ]  # fmt: skip
    assert own.loc[("log10_rate", ""), "median"] == pytest.approx(-0.45)
    assert own.loc[("detection", "label"), ["n", "median"]].tolist() == [2, 0.8]
    assert own.loc[("detection", "judge"), "n"] == 0
    assert np.isnan(own.loc[("detection", "judge"), "median"])
    assert table["randomised"].tolist() == [False] * 5 + [True] * 5


def test_qualities_stand_below_each_other() -> None:
    qualities = {
        "gpt.s0": {"variance_unexplained": 0.1, "bar": {"dead_share": 0.6}, "interpretable": True, "layer": 1},
        "random": {"variance_unexplained": 0.2, "bar": {"dead_share": 0.6}, "interpretable": False, "failed": ["x"]},
    }
    table = quality_table(qualities, described(DICTIONARIES, NAMES[:2]))
    assert table["variance_unexplained"].tolist() == [0.1, 0.2]
    assert table["bar_dead_share"].tolist() == [0.6, 0.6]
    assert table["interpretable"].tolist() == [True, False]
    assert "failed" not in table
    assert table["layer"].tolist() == [1, 1]


def test_the_first_of_each_method_are_shown_with_their_explanation() -> None:
    rows = [("pairs", rank, rank % 2, 1 / rank, 1) for rank in range(1, 26)] + [("direct", 1, 2, 0.1, -1)]
    selection = pd.DataFrame(rows, columns=["method", "rank", "feature", "score", "sign"])
    features = {name: feature_table(**parts()) for name in NAMES}
    selections = {("gpt.s0", "gender"): selection, ("random", "gender"): selection.iloc[:1]}
    table = selected_features(selections, features, described(DICTIONARIES, NAMES))
    assert list(table)[:6] == ["dictionary", "label", "contrast", "method", "rank", "feature"]
    assert table.groupby(["dictionary", "method"]).size().to_dict() == {
        ("gpt.s0", "direct"): 1, ("gpt.s0", "pairs"): 20, ("random", "pairs"): 1,
    }  # fmt: skip
    assert table["explanation_label"].tolist()[:2] == ['a, "b"', "cat"]
    assert table["activating"].tolist()[1] == "' cat', '\\n'"
    assert {"detection_label", "explanation_judge", "detection_judge", "firing_rate"} <= set(table)


def test_a_dictionary_that_selects_nothing_leaves_the_others_alone(tmp_path: Path) -> None:
    selection = pd.DataFrame([("pairs", 1, 1, 0.123456789, 1)], columns=["method", "rank", "feature", "score", "sign"])
    features = {name: feature_table(**parts()) for name in NAMES}
    for name, table in (("some", selection), ("none", selection.iloc[:0])):
        table.to_csv(tmp_path / name, index=False)
    none = pd.read_csv(tmp_path / "none")
    table = selected_features(
        {("gpt.s0", "gender"): none, ("random", "gender"): pd.read_csv(tmp_path / "some")},
        features,
        described(DICTIONARIES, NAMES),
    )
    assert table["dictionary"].tolist() == ["random"]
    assert table["score"].dtype == "float64"
    empty = selected_features({("gpt.s0", "gender"): none}, features, described(DICTIONARIES, NAMES))
    assert len(empty) == 0
    assert list(empty) == list(table)


def test_nothing_gathers_to_a_table_with_names() -> None:
    table = gathered({}, described(DICTIONARIES, NAMES))
    assert list(table) == ["dictionary", "label", "contrast"]
    probing = pd.DataFrame({"size": [1, 2], "auc": [0.6, 0.7], "contrast": "gender"})
    table = gathered({("random", "gender"): probing}, described(DICTIONARIES, NAMES))
    assert table.to_dict("list") == {
        "dictionary": ["random"] * 2, "label": ["random"] * 2, "contrast": ["gender"] * 2,
        "size": [1, 2], "auc": [0.6, 0.7],
    }  # fmt: skip
