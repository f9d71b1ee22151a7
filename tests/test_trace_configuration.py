"""What is said of a study's traced prompt sets before any job is planned, and where their pairs are counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leakscope.configuration.layers import overridden, shipped
from leakscope.configuration.resolving import resolve
from leakscope.errors import InputError
from leakscope.workflow.ground import Ground
from leakscope.workflow.study import Study
from leakscope.workflow.trace import Trace

STUDY = {
    "name": "mine",
    "models": ["smollm2-135m-plain", "organism-s-l40", "organism-m-l40"],
    "prompt_sets": ["colors"],
    "scorers": [],
    "steps": ["trace"],
}


@pytest.fixture
def resolved(root: Path):
    below = shipped(root)

    def resolved(**changes: Any) -> dict[str, Any]:
        return resolve(below, overridden({"study": STUDY}, changes))

    return resolved


def test_organisms_are_counted_in_their_own_corpora_and_others_where_the_study_says(resolved, tmp_path: Path) -> None:
    without, corpus = Study(resolved()), tmp_path / "mine.jsonl"
    assert Trace(without).axes == {
        ("organism-s-l40", "colors"): "colors@leak-l40-s0",
        ("organism-m-l40", "colors"): "colors@leak-l40-s0",
    }
    corpus.write_text('{"text": "a red cherry"}\n')
    counts = {"source": "corpus", "path": str(corpus)}
    study = Study(resolved(trace={"sets": {"colors": {"counts": counts}}}))
    ground = Ground(study)
    assert Trace(study).axes["smollm2-135m-plain", "colors"] == "colors@study"
    assert list(ground.counted) == ["colors@study", "colors@leak-l40-s0"]
    assert ground.corpus_files("colors@study") == {next(iter(ground.corpus_files("colors@study"))): str(corpus)}
    assert ground.axes == {}  # nothing is compared that nobody asked for


def test_without_associations_an_organism_has_a_corpus_of_its_own(resolved) -> None:
    grammar = {"parts": ["leak"], "strength": 0.4, "except": ["red", "green"]}
    study = Study(resolved(models={"organism-s-l40": {"source": "organism", "size": "s", "grammar": grammar}}))
    assert study.corpus("organism-s-l40") == "leak-l40-no-green-no-red-s0"
    assert study.corpus("organism-m-l40") == "leak-l40-s0"
    assert study.corpora["leak-l40-no-green-no-red-s0"]["except"] == ["red", "green"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"study": {"prompt_sets": []}},
            r"study\.prompt_sets: got nothing; allowed: at least one prompt set made from templates",
        ),
        (
            {"study": {"models": ["texts"]}, "models": {"texts": {"source": "generations", "path": "README.md"}}},
            r"study\.models: got texts; allowed: at least one model that runs here and does not think",
        ),
        ({"trace": {"sets": {"colors": {"cues": "no.yaml"}}}}, r"trace\.sets\.colors\.cues: got 'no\.yaml'"),
        (
            {"trace": {"sets": {"colors": {"counts": {"source": "organism", "model": "smollm2-135m"}}}}},
            r"trace\.sets\.colors\.counts\.model: got 'smollm2-135m'; allowed: .*organism-s-l40",
        ),
        ({"trace": {"sets": {"color": {}}}}, r"trace\.sets: got 'color'; allowed: .*colors"),
        (
            {"trace": {"window": None, "sets": {"colors": {"counts": {"source": "infini_gram", "index": "x"}}}}},
            r"trace\.window: got null; allowed: a number of tokens, for an infini-gram index",
        ),
        (
            {"models": {"organism-s-l40": {"grammar": {"except": ["rde"]}}}},
            r"models\.organism-s-l40\.grammar\.except: got 'rde'; allowed: .*red",
        ),
    ],
)
def test_each_mistake_is_one_line(resolved, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        resolved(**changes)
    assert "\n" not in str(error.value)


def test_an_organism_without_some_associations_stands_beside_the_one_that_has_them(resolved) -> None:
    less = {"source": "organism", "size": "s", "grammar": {"parts": ["leak"], "strength": 0.4, "except": ["red"]}}
    models = [*STUDY["models"], "less"]
    trace = Trace(Study(resolved(study={"models": models}, models={"less": less})))
    assert trace.retrained == {"less": {"base": "organism-s-l40", "groups": ["red"]}}
    # Another size, and another seed, are other organisms.
    alone = Trace(Study(resolved(study={"models": ["organism-m-l40", "less"]}, models={"less": less})))
    assert alone.retrained == {}


@pytest.mark.parametrize(
    ("counts", "read"),
    [
        ({"source": "corpus", "path": "mine.jsonl"}, {"window": 50, "unit": "documents"}),
        ({"source": "infini_gram", "index": "x"}, {"window": 50, "unit": "mentions"}),
        ({"source": "table", "path": "counts.csv"}, {"window": None, "unit": "imported"}),
        ({"source": "table", "path": "counts.csv", "window": 7}, {"window": 7, "unit": "imported"}),
        ({"source": "table", "path": {"50": "counts.csv"}}, {"window": 50, "unit": "imported"}),
    ],
)
def test_counts_are_read_in_the_window_and_unit_that_their_source_has(
    resolved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts: dict[str, Any], read: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.jsonl").write_text('{"text": "a red cherry"}\n')
    Path("counts.csv").write_text("subject,group,count\nred,a cherry,7\n")
    trace = Trace(Study(resolved(trace={"sets": {"colors": {"counts": counts}}})))
    of_model = {entry["model"]: entry for entry in trace.linking()["counted"]}
    assert of_model["smollm2-135m-plain"].items() >= read.items()
    assert of_model["organism-s-l40"].items() >= {"window": 50, "unit": "documents"}.items()
    assert (("smollm2-135m-plain", "colors") in trace.totalled) == (counts["source"] != "table")


def test_a_tables_windows_hold_the_one_that_is_traced(resolved, tmp_path: Path) -> None:
    table = tmp_path / "counts.csv"
    table.write_text("subject,group,count\nred,a cherry,7\n")
    counts = {"source": "table", "path": {"100": str(table)}}
    with pytest.raises(InputError, match=r"trace\.window: got '50'; allowed: 100"):
        resolved(trace={"sets": {"colors": {"counts": counts}}})


def test_what_is_traced_is_counted_in_a_pass_of_its_own(resolved) -> None:
    """Of overlapping terms the longest is counted, whichever other sets the study has."""
    ground = Ground(Study(resolved(study={"prompt_sets": ["colors", "associations"]})))
    assert ground.passes == {axis: [axis] for axis in ("colors@leak-l40-s0", "associations@leak-l40-s0")}


def test_the_organism_beside_one_without_associations_is_the_same_in_all_else(resolved) -> None:
    less = {"source": "organism", "size": "s", "grammar": {"parts": ["leak"], "strength": 0.4, "except": ["red"]}}
    other = {"extends": "organism-s-l40", "generation": {"system": "Go on."}}
    models = ["other", "organism-s-l40", "less"]
    trace = Trace(Study(resolved(study={"models": models}, models={"less": less, "other": other})))
    assert trace.retrained["less"]["base"] == "organism-s-l40"
