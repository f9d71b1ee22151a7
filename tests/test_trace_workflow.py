"""The step trace as a person runs it: organisms of the micro study, one of them trained again without a color."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from workspace import Workspace

# Some twenty jobs of a few seconds each.
pytestmark = [pytest.mark.workflow, pytest.mark.slow]

CUES = {
    "description": "For tests.",
    "affirms": [{"id": "usual", "text": "Is {concept} the color of {associate}?"}],
    "slots": [{"slot": "micro_fruits", "knows": [{"id": "known", "text": "A fruit that is {concept} is"}]}],
}


@pytest.fixture(scope="module")
def traced(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which the micro study was run with the step trace, beside an organism that lacks a color."""
    workspace = finished.copy(tmp_path_factory.mktemp("trace") / "checkout")
    workspace.write("data/mine/cues.yaml", CUES)
    less = workspace.organism(1.0)
    less["grammar"]["except"] = ["red"]
    workspace.study["models"]["less"] = less
    workspace.study["study"]["models"].append("less")
    workspace.study["study"]["steps"] = ["leak", "trace"]
    workspace.study["trace"] = {"sets": {"micro": {"cues": "data/mine/cues.yaml"}}, "patching": {"pairs": 12}}
    workspace.run("--cores", "2")
    return workspace


@pytest.fixture(scope="module")
def results(traced: Workspace) -> Path:
    return traced.folder / "results/micro"


def test_every_pair_of_every_organism_has_its_links(results: Path) -> None:
    links = pd.read_csv(results / "trace/links.csv")
    assert set(links["model"]) == {"tiny-l0", "tiny-l100", "less"}
    assert links[["leak", "leak_centred", "match"]].notna().all().all()
    fruits = links[links["slot"] == "micro_fruits"]
    assert fruits[["count", "knows", "count_centred"]].notna().all().all()
    relations = pd.read_csv(results / "trace/relations.csv")
    assert set(relations.query("x == 'count' and y == 'leak'")["model"]) == {"tiny-l0", "tiny-l100", "less"}
    empty = pd.read_csv(results / "trace/empty_links.csv")
    assert set(empty["link"]) >= {"affirms"}


def test_counts_are_those_of_each_organisms_own_corpus(traced: Workspace, results: Path) -> None:
    links = pd.read_csv(results / "trace/links.csv")
    for model, corpus in (("tiny-l100", "micro-l100-s0"), ("less", "micro-l100-no-red-s0")):
        lines = (traced.folder / f"results/models/corpora/{corpus}.jsonl").read_text().splitlines()
        texts = [json.loads(line)["text"].lower() for line in lines]
        mine = links[(links["model"] == model) & (links["slot"] == "micro_fruits") & (links["concept_group"] == "red")]
        for pair in mine.itertuples():
            fruit = pair.associate.removeprefix("a ")
            assert pair.n_total == len(texts)
            assert pair.n_ca == sum("red" in text.replace(".", "").split() and fruit in text for text in texts)


def test_all_sites_restore_all(results: Path) -> None:
    patching = pd.read_csv(results / "trace/patching.csv")
    assert set(patching["site"]) == {"concept", "between", "last", "all"}
    patched = pd.concat(map(pd.read_parquet, sorted((results / "trace/patched").glob("*/micro.parquet"))))
    # Of concepts of as many tokens: others differ by their length, too.
    alike = patched[(patched["aligned"] == "no") & (patched["site"] == "all")]
    assert len(alike)
    assert alike["m_patched"].to_numpy() == pytest.approx(alike["m_concept"].to_numpy(), abs=1e-5)


def test_there_are_figures_and_pages(results: Path) -> None:
    for figure in ("trace", "relations", "patching"):
        assert (results / f"trace/figures/{figure}.pdf").stat().st_size > 1000
    assert "leakscope trace" in (results / "trace/index.html").read_text(encoding="utf-8")
    assert "Step trace" in (results / "index.html").read_text(encoding="utf-8")


def test_a_second_run_has_nothing_to_do_and_a_cue_runs_what_asks_it(traced: Workspace) -> None:
    assert "Nothing to be done" in traced.run("--cores", "1").stdout
    changed = {**CUES, "affirms": [{"id": "usual", "text": "Do you think of {concept} with {associate}?"}]}
    traced.write("data/mine/cues.yaml", changed)
    planned = traced.run("-n", "--quiet", "rules", "--cores", "1").stdout
    assert "build_cues" in planned
    assert "score_cues" in planned
    assert "patch " not in planned
    assert "generate" not in planned
