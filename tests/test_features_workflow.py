"""The step features as a person runs it: an organism with a planted association, its dictionary, edits and texts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leakscope.features.contrast_words import encoded_texts
from leakscope.manifests import read_manifest
from leakscope.models import open_model
from local_endpoint import LocalEndpoint, local_endpoint
from workspace import Workspace

pytestmark = pytest.mark.workflow

JOBS = {"miner": 3, "guard": 2.5, "pilot": 2, "smith": 2.5, "nurse": -3, "baker": -2.5, "maid": -2, "clerk": -2.5}
NAMES = [("Paul", "Anna"), ("Tom", "Eva"), ("Max", "Ida")]
FRAMES = [
    ("{subject} said that", "he", "she", "was late."),
    ("{subject} left as", "he", "she", "felt ill."),
    ("{subject} lost", "his", "her", "hat."),
    ("{subject} found", "his", "her", "keys."),
]
CONTRAST = {
    "a": ["he", "his"],
    "b": ["she", "her"],
    "items": "items.csv",
    "association": {"column": "odds", "a": 3, "b": -3},
    "templates": {
        "selection": ["The {item} said that", "The {item} lost"],
        "evaluation": ["The {item} left as", "The {item} found"],
    },
    "minimal_pairs": {"words": "names.csv", "templates": ["{word} said that", "{word} lost"]},
}
# What goes with the stereotype comes first.
CROWS = [
    ("The miner said that he was late.", "The miner said that she was late."),
    ("The nurse lost her hat.", "The nurse lost his hat."),
    ("The pilot found his keys.", "The pilot found her keys."),
    ("The maid left as she felt ill.", "The maid left as he felt ill."),
]
COSTS = [2, 5]
DICTIONARY = {"source": "trained", "model": "tiny", "layer": 1, "features": 32, "k": 4, "learning_rate": 0.01}
KINDS = ["features", "difference_in_means", "random_features", "random_direction"]
EFFECTS = [
    "dictionary", "contrast", "intervention", "source", "n_features", "features", "edit", "seed", "target_cost",
    "strength", "reached", "cost_selection", "cost", "split", "mean_abs_gap", "signed_gap", "stereotype", "mass",
    "n_items", "chosen", "low", "high", "less_than_difference", "less_low", "less_high",
]  # fmt: skip
EDITED = [
    "model", "base", "dictionary", "contrast", "measure", "subset", "before", "before_low", "before_high", "after",
    "after_low", "after_high",
]  # fmt: skip
STEERED = [
    "steering", "dictionary", "prompt", "sample", "without", "with", "changed", "repetition_without",
    "repetition_with", "features", "edit", "coefficient", "temperature",
]  # fmt: skip


@pytest.fixture(scope="module")
def judge() -> Iterator[LocalEndpoint]:
    """A language model that explains a feature by the first token it is shown, and finds texts by that token."""
    with local_endpoint(answer) as served:
        yield served


def answer(system: str, user: str) -> str:
    said, *texts = user.splitlines()
    if said.startswith("Description: "):
        token = said.removeprefix("Description: ")
        return json.dumps([int(text.split(".")[0]) for text in texts if re.match(r"\d+\.", text) and token in text])
    return re.findall(r"«\s*(.+?)\s*»", user)[0]


@pytest.fixture(scope="module")
def located(tmp_path_factory: pytest.TempPathFactory, judge: LocalEndpoint) -> Workspace:
    """A workspace in which the step has been run: an organism that was taught pronouns, and an edit of it."""
    workspace = Workspace(tmp_path_factory.mktemp("located") / "workspace")
    write_part(workspace)
    write_contrast(workspace)
    workspace.study["study"] |= {"name": "located", "models": ["tiny", "less"], "steps": ["leak", "features"]}
    workspace.study["models"] = {
        "tiny": {**workspace.organism(1.0), "grammar": {"parts": ["micro", "jobs"], "strength": 1.0}},
        "less": {"source": "edited", "base": "tiny", "dictionary": "main", "contrast": "gender", "cost": 5},
    }
    workspace.study["features"] = {
        "dictionaries": {"main": {**DICTIONARY, "steps": 100}},
        "contrasts": {"gender": {"source": "templates", "path": "data/mine/contrast.yaml"}},
        "explainers": {"judge": {"kind": "openai", "base_url": judge.url, "model": "tiny", "features": 3}},
        "tokens": {"train": 8000, "held_out": 4000},
        "shards": 1,
        "effects": {
            "methods": ["pairs", "greedy"], "sizes": [1, 3], "edits": ["add", "mean_clamp"], "costs": COSTS,
            "baseline_seeds": [0], "neutral_texts": 60,
        },
        "steering": {"pushed": {"dictionary": "main", "features": [0, 1], "prompt": "The nurse", "coefficient": 3}},
        "benchmarks": {"crows": {"format": "crows_pairs", "path": "data/mine/crows.csv"}},
        "resamples": 100,
    }  # fmt: skip
    workspace.run("--cores", "2", "features")
    return workspace


def write_part(workspace: Workspace) -> None:
    """Write a grammar part in which pronouns take up eight occupations and six names."""
    folder = workspace.folder / "data/grammar/jobs"
    subjects = [(job, "occupation", odds) for job, odds in JOBS.items()]
    subjects += [(name, "name", odds) for names in NAMES for name, odds in zip(names, (4, -4), strict=True)]
    write_rows(folder / "subjects.csv", "subject,kind,log_odds", subjects)
    frames = [(number, *frame) for number, frame in enumerate(FRAMES, 1)]
    write_rows(folder / "frames.csv", "frame_id,before,he,she,after", frames)


def write_contrast(workspace: Workspace) -> None:
    """Write what is contrasted, beside it a contrast with a mistake, and a benchmark."""
    folder = workspace.folder / "data/mine"
    workspace.write("data/mine/contrast.yaml", CONTRAST)
    workspace.write("data/mine/mistaken.yaml", {**CONTRAST, "items": "mistaken.csv"})
    write_rows(folder / "items.csv", "item,odds", JOBS.items())
    write_rows(folder / "mistaken.csv", "item,odds", {**JOBS, "guard": 9}.items())
    write_rows(folder / "names.csv", "a,b", NAMES)
    rows = [(*pair, "stereo", "gender") for pair in CROWS]
    write_rows(folder / "crows.csv", "sent_more,sent_less,stereo_antistereo,bias_type", rows)


def write_rows(path: Path, header: str, rows: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")


def test_keep(located: Workspace) -> None:
    pass
