"""Mitigations as a person runs them: tried on organisms of the micro study, and one of them a model like any other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from workspace import Workspace

# Some forty jobs of a few seconds each.
pytestmark = [pytest.mark.workflow, pytest.mark.slow]

USE = {
    "description": "For tests.",
    "forms": [
        {
            "id": "fruit",
            "text": "What is {concept} is",
            "control": "It is",
            "answers": {"red": "red", "green": "green", "blue": "blue"},
        }
    ],
}


@pytest.fixture(scope="module")
def mitigated(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which the micro study was run with three mitigations, two of which became models."""
    workspace = finished.copy(tmp_path_factory.mktemp("mitigations") / "checkout")
    workspace.write("data/mine/use.yaml", USE)
    study = workspace.study
    study["study"]["steps"] = ["leak", "trace"]
    for name, mitigation in (("kept", "attention"), ("tuned", "small-lora")):
        study["models"][name] = {"source": "mitigated", "base": "tiny-l100", "mitigation": mitigation, "cost": 50}
        study["study"]["models"].append(name)
    study["mitigations"] = {"small-lora": {"kind": "tuning", "steps": 10, "batch_size": 4}}
    study["trace"] = {
        "sets": {"micro": {"use": "data/mine/use.yaml"}},
        "patching": {"pairs": 6},
        "mitigations": ["prompt-ignore", "attention", "small-lora"],
        "mitigating": {"costs": [10, 50], "shares": [0.5]},
    }
    workspace.run("--cores", "2")
    return workspace


@pytest.fixture(scope="module")
def results(mitigated: Workspace) -> Path:
    return mitigated.folder / "results/micro"


def test_everything_is_tried_on_the_organisms_and_nothing_on_what_is_mitigated(results: Path) -> None:
    table = pd.read_csv(results / "trace/mitigations.csv", keep_default_na=False)
    assert set(table["model"]) == {"tiny-l0", "tiny-l100"}
    assert set(table["mitigation"]) == {"none", "prompt-ignore", "attention", "small-lora"}
    assert set(table["split"]) == {"selection", "evaluation"}


def test_what_was_chosen_is_a_model_whose_texts_and_links_are_measured(results: Path) -> None:
    for name, mitigation in (("kept", "attention"), ("tuned", "small-lora")):
        manifest = json.loads((results / f"trace/mitigated/{name}/model.json").read_text())
        chosen = json.loads((results / f"trace/mitigations/tiny-l100/micro/{mitigation}.json").read_text())["chosen"]
        assert manifest == chosen["50"]["manifest"]
    rates = pd.read_csv(results / "match_rates.csv")
    assert {"kept", "tuned"} <= set(rates["model"])
    links = pd.read_csv(results / "trace/links.csv")
    base, kept = (links[links["model"] == name].reset_index(drop=True) for name in ("tiny-l100", "kept"))
    assert base["removed"].tolist() == kept["leak"].tolist()
    assert set(base["removed_by"]) == {"kept"}
    empty = pd.read_csv(results / "trace/empty_links.csv").query("link == 'removed'")
    assert set(empty["model"]) == {"tiny-l0", "kept", "tuned"}
    assert set(pd.read_csv(results / "trace/patching.csv")["model"]) == {"tiny-l0", "tiny-l100"}


def test_there_are_the_figure_and_the_section_of_the_page(results: Path) -> None:
    assert (results / "trace/figures/frontier.pdf").stat().st_size > 1000
    assert ">Mitigations</h2>" in (results / "trace/index.html").read_text(encoding="utf-8")


def test_a_second_run_has_nothing_to_do_and_one_more_cost_asks_models_again(mitigated: Workspace) -> None:
    assert "Nothing to be done" in mitigated.run("--cores", "1").stdout
    mitigated.study["trace"]["mitigating"]["kept"] = 0.5
    planned = mitigated.run("-n", "--quiet", "rules", "--cores", "1").stdout
    assert "mitigate " in planned
    # What was chosen may be another: models with it, and no others.
    counts = dict(re.findall(r"^(\w+) +(\d+)$", planned, re.MULTILINE))
    assert (counts["make_mitigated"], counts["generate"], counts["read_layers"]) == ("2", "2", "2")
    assert "train_organism" not in counts
