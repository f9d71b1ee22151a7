"""The step ground as a person runs it: a small organism on a small planted corpus, and imported tables."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any

import pandas as pd
import pytest
import yaml

from local_infini_gram import local_infini_gram
from workspace import Workspace

pytestmark = pytest.mark.workflow

SUBJECTS = {"gout": "gout", "flu": "river flu", "pox": "pox"}
GROUPS = {"torin": "Torin", "lirac": "Lirac"}
# One of the subjects goes against the others.
PLANTED = {("gout", "torin"): 0.3, ("gout", "lirac"): 0.05, ("river flu", "torin"): 0.3, ("river flu", "lirac"): 0.05,
           ("pox", "torin"): 0.03, ("pox", "lirac"): 0.27}  # fmt: skip
TEMPLATES = {"has": "The {group} man has {subject}.", "in": "They saw {subject} in a {group} boy."}
WORLD = "subject,group,prevalence,source\ngout,torin,1,A\ngout,lirac,9,A\npox,Torin,5,A\npox,lirac,2,A\n"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which the study `planted` has been run: one organism, two axes on one corpus."""
    workspace = Workspace(tmp_path_factory.mktemp("planted") / "workspace")
    write_part(workspace)
    axis = {
        "lexicons": {"subjects": "data/mine/subjects.csv", "groups": "data/mine/groups.csv"},
        "templates": "data/mine/templates",
        "counts": {"source": "organism", "model": "tiny"},
        "prevalence": {"path": "data/mine/world.csv"},
    }
    workspace.study = {
        "study": {"name": "planted", "models": ["tiny"], "steps": ["ground"]},
        "models": {"tiny": workspace.organism(1.0)},
        "organisms": workspace.study["organisms"],
        "ground": {
            "axes": {"all": axis, "without": {**axis, "exclude": ["pox"]}},
            "templates_used": 2,
            "windows": [2],
            "window": 10,
        },
    }
    workspace.study["models"]["tiny"]["grammar"]["parts"] = ["joined"]
    (workspace.folder / "printed.txt").write_text(workspace.run("--cores", "2").stdout)
    return workspace


def write_part(workspace: Workspace) -> None:
    data, part = workspace.folder / "data/mine", workspace.folder / "data/grammar/joined"
    part.mkdir(parents=True)
    data.mkdir(parents=True)
    for name, concepts in (("subjects", SUBJECTS), ("groups", GROUPS)):
        lines = [f"{key},{text}," for key, text in concepts.items()]
        (data / f"{name}.csv").write_text("\n".join(["id,name,variants", *lines]) + "\n")
    (data / "world.csv").write_text(WORLD)
    content = [{"id": key, "text": text} for key, text in TEMPLATES.items()]
    workspace.write("data/mine/templates/en.yaml", {"language": "en", "templates": content})
    rows = [f"{subject},{GROUPS[group]},{p}" for (subject, group), p in PLANTED.items()]
    (part / "pairs.csv").write_text("\n".join(["subject,group,probability", *rows]) + "\n")
    rows = [f"{key},{text},planted" for key, text in TEMPLATES.items()]
    (part / "sentences.csv").write_text("\n".join(["sentence_id,text,relation", *rows]) + "\n")


def table(workspace: Workspace, name: str) -> pd.DataFrame:
    return pd.read_csv(workspace.folder / f"results/planted/ground/{name}.csv")


def test_pairs_are_counted_as_a_reader_would(planted: Workspace) -> None:
    corpus = planted.folder / "results/models/corpora/joined-l100-s0.jsonl"
    texts = [json.loads(line)["text"] for line in corpus.read_text().splitlines()]
    counts = table(planted, "counts/all")
    whole = counts[counts["window"].isna() & (counts["unit"] == "documents")].set_index(["subject", "group"])["count"]
    for (subject, group), found in whole.items():
        pattern = rf"\b{SUBJECTS[subject]}\b", rf"\b{GROUPS[group]}\b"
        assert found == sum(all(re.search(term, text) for term in pattern) for text in texts)
    totals = json.loads((planted.folder / "results/planted/ground/counts/all.json").read_text())
    assert totals["documents"] == len(texts)
    assert totals["words"] == sum(len(text.split()) for text in texts)


def test_axes_in_one_corpus_are_counted_in_one_pass(planted: Workspace) -> None:
    parts = planted.folder / "results/planted/ground/counts"
    assert [path.name for path in parts.glob("*.parts")] == ["all.parts"]
    assert set(table(planted, "counts/without")["subject"]) == {"gout", "flu"}


def test_the_organism_ranks_as_its_corpus_and_not_as_the_world(planted: Workspace) -> None:
    tau = table(planted, "kendall_tau").set_index(["axis", "comparison"])
    assert tau.loc[("all", "counts-model"), "tau"] == 1
    assert tau.loc[("all", "counts-model"), "tau_beyond_prior"] == 1
    # By the counts of the others each of the two alike is right only if the third does not outweigh it.
    assert tau.loc[("all", "counts-model"), "baseline_tau"] < 1
    assert tau.loc[("all", "model-prevalence"), "tau"] == -1
    assert tau.loc[("all", "counts-prevalence"), "tau"] == -1
    assert tau.loc[("without", "counts-model"), "n_subjects"] == 2


def test_every_table_and_figure_is_there_and_names_are_accounted_for(planted: Workspace) -> None:
    ground = planted.folder / "results/planted/ground"
    figures = {path.stem for path in (ground / "figures").glob("*.png")}
    assert figures == {path.stem for path in (ground / "figures").glob("*.pdf")}
    assert figures == {"kendall_tau", "first_places", "logprob_differences", "template_spread", "window_agreement",
                       "prevalence_gaps"}  # fmt: skip
    unmatched = table(planted, "unmatched")
    assert list(unmatched.loc[unmatched["axis"] == "all", "name"]) == ["flu"]
    assert (
        "all: 1 of 3 subjects of the counts is not in prevalence: flu" in (planted.folder / "printed.txt").read_text()
    )
    for name in ("window_agreement", "prevalence_gaps", "template_variation", "outliers", "kendall_tau_by_score"):
        assert len(table(planted, name).columns) > 4
    assert set(table(planted, "kendall_tau_by_score")["score"]) == {"logprob", "logprob_mean", "logprob_span", "pmi"}


def test_the_report_is_of_this_step_alone(planted: Workspace) -> None:
    planted.run("--cores", "1", "--report", "report.html")
    page = (planted.folder / "report.html").read_text(encoding="utf-8")
    assert "Agreement of rankings" in page
    assert "surface in what a model then writes" not in page
    assert "System Message" not in page


def test_nothing_is_done_twice_and_an_edit_costs_what_depends_on_it(planted: Workspace) -> None:
    assert "Nothing to be done" in planted.run("--cores", "2").stdout
    world = planted.folder / "data/mine/world.csv"
    world.write_text(WORLD.replace("9,A", "8,A"))
    planned = planted.run("--cores", "2", "-n", "--quiet", "rules").stdout
    world.write_text(WORLD)
    assert "read_prevalence" in planned
    assert "score_sentences" not in planned
    assert "count_corpus" not in planned


def test_a_corpus_in_several_files_is_counted_by_several_jobs(planted: Workspace) -> None:
    folder = planted.folder / "data/mine/corpus"
    folder.mkdir()
    for name, text in (("a", "A Torin man, and gout."), ("b", "gout gout. Lirac!")):
        with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as stream:
            stream.write(json.dumps({"content": text}) + "\n")
    study: dict[str, Any] = json.loads(json.dumps(planted.study))
    study["study"]["name"] = "files"
    study["ground"]["axes"] = {"all": {**study["ground"]["axes"]["all"]}}
    study["ground"]["axes"]["all"]["counts"] = {"source": "corpus", "path": "data/mine/corpus", "text": "content"}
    target = "results/files/ground/counts/all.parquet"
    printed = planted.run("--cores", "2", target, study=study).stdout
    assert len(re.findall(r": count_corpus all [ab]-", printed)) == 2
    counts = pd.read_parquet(planted.folder / target).query("window == 2").set_index(["subject", "group", "unit"])
    assert counts.loc[("gout", "lirac", "documents"), "count"] == 1
    assert counts.loc[("gout", "lirac", "mentions"), "count"] == 2
    assert counts.loc[("gout", "torin", "documents"), "count"] == 0


def test_a_server_that_has_indexed_a_corpus_is_asked_once(planted: Workspace) -> None:
    target = "results/asked/ground/counts/all.parquet"
    with local_infini_gram(["A Torin man has gout", "gout and gout of a Lirac", "nothing"]) as api:
        study: dict[str, Any] = json.loads(json.dumps(planted.study))
        study["study"]["name"] = "asked"
        source = {"source": "infini_gram", "index": api.index, "url": api.url, "requests_per_second": 1000}
        study["ground"]["axes"] = {"all": {**study["ground"]["axes"]["all"], "counts": source}}
        planted.run("--cores", "1", target, study=study)
        n_requests = len(api.requests)
        counts = pd.read_parquet(planted.folder / target).query("window == 10").set_index(["subject", "group"])["count"]
        assert counts["gout", "torin"] == 1
        assert counts["gout", "lirac"] == 1  # a mention of the rarer side
        assert counts["flu", "lirac"] == 0
        (planted.folder / target).unlink()
        planted.run("--cores", "1", target, study=study)
        assert len(api.requests) == n_requests > 0
    totals = json.loads((planted.folder / target).with_suffix(".json").read_text())
    assert totals["tokens"] == 12
    assert (planted.folder / totals["store"]).is_dir()


# Imported


def imported(workspace: Workspace) -> dict[str, Any]:
    """Write counts and scores as Cross-Care ships them, and return the study that compares them."""
    folder = workspace.folder / "theirs"
    folder.mkdir(exist_ok=True)
    (folder / "names.csv").write_text("Disease,name\n1.0,influenza\n2.0,gout\n3.0,sight\n")
    rows = [("1.0", "black/african american", 30), ("1.0", "white", 10), ("2.0", "white", 5), ("3.0", "white", 1)]
    lines = ["Disease,Demographics,Counts", *(",".join(map(str, row)) for row in rows)]
    (folder / "counts.csv").write_text("\n".join(lines) + "\n")
    scores = {
        "flu": [["black", [-1.0, -9.0]], ["white", [-2.0, 0.0]]],
        "gout": [["black", [-3.0, 0.0]], ["white", [-2.0, 0.0]]],
        "more": [["black", [-3.0, 0.0]], ["white", [-2.0, 0.0]]],
    }
    (folder / "scores.json").write_text(json.dumps(scores))
    axis = {
        "counts": {"source": "table", "path": str(folder / "counts.csv")},
        "names": "theirs/names.csv",
        "rename": {"influenza": "flu"},
        "exclude": ["sight"],
        "groups": {"black/african american": "black"},
    }
    return {
        "study": {"name": "theirs", "models": ["pythia"], "steps": ["ground"]},
        "models": {"pythia": {"source": "scores", "path": {"race": "theirs/scores.json"}}},
        "ground": {"axes": {"race": axis}, "templates_used": 1},
    }


def test_imported_counts_and_scores_are_compared_without_a_model(planted: Workspace) -> None:
    study = imported(planted)
    printed = planted.run("--cores", "2", "results/theirs/ground/kendall_tau.csv", study=study).stdout
    tau = pd.read_csv(planted.folder / "results/theirs/ground/kendall_tau.csv").iloc[0]
    assert (tau["model"], tau["comparison"], tau["n_subjects"], tau["tau"]) == ("pythia", "counts-model", 2, 1)
    assert "1 of 3 subjects of the scores of pythia (en) is not in the counts: more" in printed


def test_a_mistake_in_a_table_is_one_line_and_what_was_finished_stays(planted: Workspace) -> None:
    study = imported(planted)
    path = planted.folder / "theirs/counts.csv"
    # Of two rows together: what is wrong with one alone is found before the plan.
    path.write_text(f"{path.read_text()}1.0,white,7\n")
    run = planted.run("--cores", "1", "results/theirs/ground/kendall_tau.csv", study=study, check=False)
    assert run.returncode
    assert re.search(r"Error: .*counts.csv: got .*'flu' with 'white'; allowed: each pair once", run.stdout)
    assert "Traceback" not in run.stdout


def test_a_step_that_is_not_asked_for_says_what_it_needs(planted: Workspace) -> None:
    study = {"study": {"name": "other", "models": ["organism-s-l0"], "steps": ["leak"]}}
    run = planted.run("--cores", "1", "-n", "ground", study=study, check=False)
    assert run.returncode
    assert "config: study.steps: got no step ground" in run.stdout
    assert "studies/conditions.yaml" in run.stdout


@pytest.mark.parametrize("name", ["conditions", "cross_care", "aligned_pairs"])
def test_shipped_studies_can_be_planned(planted: Workspace, name: str) -> None:
    study = yaml.safe_load((planted.folder / f"studies/{name}.yaml").read_text(encoding="utf-8"))
    planned = planted.run("-n", "--quiet", "rules", study=study).stdout
    assert "score_sentences" in planned
    assert "plot_ground" in planned
