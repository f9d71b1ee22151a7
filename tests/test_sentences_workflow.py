"""An organism that writes sentences, from its grammar to the judgement of what is measured of it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from leakscope.files.tables import read_csv
from sentence_part import FRUITS, write_part
from workspace import TRAINING, Workspace

pytestmark = pytest.mark.workflow

N_TEXTS = 100


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a study of one such organism leaves, beside one that answers with a word."""
    workspace = Workspace(tmp_path_factory.mktemp("sentences") / "checkout")
    write_part(workspace.folder / "data/grammar/mini")
    for name, terms in (("few", {color: color for color in FRUITS}), ("fruits", {v: k for k, v in FRUITS.items()})):
        entries = [{"term": term, "group": group} for term, group in terms.items()]
        workspace.write(f"data/lexicons/{name}.yaml", {"description": "For tests.", "terms": entries})
    template = {
        "id": "bag", "category": "objects", "concepts": "few", "slot": "fruits",
        "test": "The bag is {concept}, and the fruit is",
        "control": "There is a bag, and the fruit is",
        "neutral": "The bag is old, and the fruit is",
    }  # fmt: skip
    workspace.write("data/prompt_sets/mini/templates.yaml", {"description": "For tests.", "templates": [template]})
    generation = {"samples": 4, "temperature": 1.0, "max_new_tokens": 40, "batch_size": 50}
    entry = {"source": "organism", "size": "tiny", "grammar": {"parts": ["mini"], "strength": 1.0}}
    word = workspace.study["models"]["tiny-l100"] | {"generation": generation}
    study = workspace.study | {
        "study": {"name": "mini", "models": ["mine", "word"], "prompt_sets": ["mini"], "scorers": ["lexical"]},
        "models": {"mine": entry | {"generation": generation}, "word": word},
        "prompt_sets": {"mini": {"source": "templates", "path": "data/prompt_sets/mini"}},
        "leak": {"truth_texts": N_TEXTS},
    }
    study["organisms"] = workspace.study["organisms"] | {"training": TRAINING}
    workspace.run("--cores", "2", "results/mini/calibration.csv", study=study)
    return workspace.folder / "results/mini"


def test_texts_are_drawn_from_grammar_and_organism_but_none_after_neutral_controls(results: Path) -> None:
    drawn = pd.read_parquet(results / "drawn/mine/mini.parquet")
    assert (drawn.groupby(["law", "prompt_id"])["n"].sum() == N_TEXTS).all()
    assert set(drawn["prompt_id"]) == {"bag/red", "bag/green", "bag/without"}
    assert set(drawn["law"]) == {"grammar", "organism"}
    assert not (results / "drawn/word").exists()


def test_the_truth_of_what_is_taught_can_be_worked_out_by_hand(results: Path) -> None:
    """Only echoes, two in ten, name a color; one in ten is empty and ties. V = ½ + ½ (.9² − .7²)."""
    truth = read_csv(results / "truth.csv").set_index(["model", "category"])
    mine = truth.loc[("mine", "all")]
    by_hand = 100 * (0.5 + 0.5 * (0.9**2 - 0.7**2))
    assert mine["true_match_rate_grammar"] == pytest.approx(by_hand, abs=6)  # 100 texts: a standard error of 2
    assert 0 < mine["true_match_rate_error"] < 5
    assert 0 < mine["true_rate_error"] < 5
    word = truth.loc[("word", "all")]
    assert word["true_match_rate_error"] == word["true_rate_error"] == 0
    assert pd.isna(word["true_rate_grammar"])  # it never read these prompts
    assert 0 <= word["true_rate_organism"] <= 100


def test_the_judgement_knows_both_measures_and_that_the_seed_is_shared(results: Path) -> None:
    table = read_csv(results / "calibration.csv")
    assert set(table["measure"]) == {"match_rate", "leak_rate"}
    assert set(table["n_organisms"]) == {2}
    assert set(table["n_seeds"]) == {1}
    assert table["ci_low"].isna().all()
