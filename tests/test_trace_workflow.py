"""The step trace as a person runs it: organisms of the micro study, one of them trained again without a color."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from local_infini_gram import local_infini_gram
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


def test_counts_of_a_model_that_is_no_organism_come_from_where_the_study_says(traced: Workspace) -> None:
    corpus = traced.folder / "results/models/corpora/micro-l100-s0.jsonl"
    links = traced.folder / "results/micro/trace/links.csv"
    own = _of_fruits(links, "tiny-l100")
    table = own[["concept_group", "associate", "n_ca"]].set_axis(["subject", "group", "count"], axis=1)
    table.to_csv(traced.folder / "data/mine/counts.csv", index=False)
    texts = [json.loads(line)["text"].replace(".", "").lower() for line in corpus.read_text().splitlines()]
    study = json.loads(json.dumps(traced.study))
    plain = {"template": "{prompt}", "system": None}
    study["models"]["real"] = {
        "source": "local", "path": "results/models/tiny-l100", "chat": False, "generation": plain,
    }  # fmt: skip
    study["study"]["models"] = ["real"]
    with local_infini_gram(texts) as api:
        server = {"source": "infini_gram", "index": api.index, "url": api.url, "requests_per_second": 1000}
        for counts in (
            {"source": "corpus", "path": str(corpus.relative_to(traced.folder))},
            {"source": "table", "path": "data/mine/counts.csv", "window": 50},
            server,
        ):
            study["trace"]["sets"]["micro"]["counts"] = counts
            traced.run("--cores", "2", "trace_links", study=study)
            found = _of_fruits(links, "real")
            if counts is server:  # which counts pairs of mentions, and not documents
                words = [text.split() for text in texts]
                traced.run("--cores", "1", "results/micro/trace/indexed_contexts/micro.parquet", study=study)
                contexts = pd.read_parquet(traced.folder / "results/micro/trace/indexed_contexts/micro.parquet")
                assert set(contexts["model"]) == {"real"}
                assert set(contexts["concept_group"]) == set(found["concept_group"])
                written = contexts["first"] + " " + contexts["second"]
                names = zip(
                    contexts["concept_group"], contexts["associate"].str.removeprefix("a "), written, strict=True
                )
                assert all(concept in pair and fruit in pair for concept, fruit, pair in names)
                for pair in found.itertuples():
                    fruit = pair.associate.removeprefix("a ")
                    assert pair.n_ca == sum(text.count(pair.concept_group) * text.count(fruit) for text in words)
                continue
            assert list(found["n_ca"]) == list(own["n_ca"]), counts["source"]
            assert list(found["count_centred"]) == pytest.approx(list(own["count_centred"]), abs=1e-6)
            # A table has pairs alone, and only what is centred is the same without single terms.
            assert found["count"].isna().all() == (counts["source"] == "table")


def _of_fruits(links: Path, model: str) -> pd.DataFrame:
    table = pd.read_csv(links)
    return table[(table["model"] == model) & (table["slot"] == "micro_fruits")].reset_index(drop=True)
