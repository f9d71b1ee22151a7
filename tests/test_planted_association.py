from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from leakscope.features.interventions.planted import COLUMNS, planted_associations
from leakscope.organisms.pronoun_grammar import load_pronoun_grammar


def by_item(gap: float, items: tuple[str, ...] = ("nurse", "carpenter", "wizard")) -> pd.DataFrame:
    before = pd.DataFrame({"intervention": "none", "item": items, "split": "selection", "gap": gap})
    return pd.concat([before, before.assign(intervention="features", gap=9.0)], ignore_index=True)


def test_measured_gaps_stand_beside_those_of_the_law(root: Path) -> None:
    grammar = load_pronoun_grammar(root / "data/grammar/occupations", 0.5)
    found = planted_associations({("d", "gender"): by_item(0.25)}, {"d": "m"}, {"m": grammar})
    assert list(found) == COLUMNS
    # Items that the grammar does not know have no truth.
    assert found["item"].tolist() == ["nurse", "carpenter"]
    odds = pd.read_csv(root / "data/grammar/occupations/subjects.csv").set_index("subject")["log_odds"]
    expected = [math.tanh(0.5 * odds[item] / 2) for item in found["item"]]
    assert found["true_gap"].tolist() == pytest.approx(expected)
    assert set(found["gap"]) == {0.25}


def test_dictionaries_of_one_model_have_one_row_an_item_and_models_their_own(root: Path) -> None:
    part = root / "data/grammar/occupations"
    grammars = {"m": load_pronoun_grammar(part, 0.0), "n": load_pronoun_grammar(part, 1.0)}
    pairs = {("d.s0", "gender"): by_item(0.1), ("d.s1", "gender"): by_item(0.1), ("e", "gender"): by_item(0.2)}
    found = planted_associations(pairs, {"d.s0": "m", "d.s1": "m", "e": "n"}, grammars)
    assert found.groupby("model").size().to_dict() == {"m": 2, "n": 2}
    assert found.loc[found["model"].eq("m"), "true_gap"].tolist() == [0, 0]
    assert found.loc[found["model"].eq("n"), "true_gap"].abs().min() > 0.5
    assert found.set_index("model")["gap"].groupby("model").first().to_dict() == {"m": 0.1, "n": 0.2}


def test_no_contrast_leaves_an_empty_table() -> None:
    assert list(planted_associations({}, {}, {})) == COLUMNS
