"""The profiles: what they share, and what each asks a scheduler for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from one_node_slurm import COMMANDS
from rule_texts import rule_files, rules
from workspace import Workspace

SHARED = ("rerun-triggers", "printshellcmds", "show-failed-logs", "keep-going", "rerun-incomplete")
GPU_RULES = ("generate",)
MODELS = {
    "small": {"source": "hub", "id": "someone/small", "parameters": 500_000_000},
    "large": {"source": "hub", "id": "someone/large", "parameters": 72_000_000_000},
}


def profile(root: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((root / f"profiles/{name}/profile.v9+.yaml").read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("name", ["slurm", "local-gpu"])
def test_profiles_repeat_what_the_default_one_sets(root: Path, name: str) -> None:
    default, other = profile(root, "default"), profile(root, name)
    assert {key: other[key] for key in SHARED} == {key: default[key] for key in SHARED}
    assert set(default) == {*SHARED, "default-resources", "resources"}
    # A cluster's own come behind those that all share.
    defaults = default["default-resources"]
    assert other["default-resources"][: len(defaults)] == defaults


def test_retries_stand_in_the_profile_alone(root: Path) -> None:
    """In a rule they multiply, and run inside the same allocation."""
    assert profile(root, "slurm")["retries"] > 0
    for path in rule_files(root):
        assert set(re.findall(r"retries: *(\d+)", path.read_text(encoding="utf-8"))) <= {"0"}, path


def uncommented(root: Path) -> dict[str, Any]:
    """The SLURM profile with every line that a user may uncomment."""
    text = (root / "profiles/slurm/profile.v9+.yaml").read_text(encoding="utf-8")
    filled = text.replace("\n#  - ", "\n  - ")
    content: dict[str, Any] = yaml.safe_load(re.sub(r"^#(?=[a-z-]+:)", "", filled, flags=re.MULTILINE))
    return content


def test_what_a_user_may_uncomment_is_what_snakemake_and_the_plugin_know(root: Path) -> None:
    content = uncommented(root)
    assert content["default-resources"][3:] == ["nodes=1", "slurm_account=my_account", "slurm_partition=my_partition"]
    known = subprocess.run([sys.executable, "-m", "snakemake", "--help"], capture_output=True, text=True).stdout
    assert all(re.search(rf"--{key}[\s,]", known) for key in content)


def test_rules_for_job_arrays_have_jobs_that_are_alike(root: Path) -> None:
    """All jobs of an array get the resources of the first."""
    texts = {rule.name: rule.text for rule in rules(root)}
    for name in uncommented(root)["slurm-array-jobs"].split(", "):
        assert "    resources:\n" not in texts[name], name
        assert set(re.findall(r"^    threads: (.*)$", texts[name], flags=re.M)) <= {"1"}, name


@pytest.fixture(scope="module")
def submitted(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """What the real plugin tells ``sbatch`` for each model's jobs, by rule and model: a stand-in writes it down."""
    written = ("results/micro/generations", "results/micro/candidates")
    workspace = finished.copy(tmp_path_factory.mktemp("profiles") / "checkout", without=written)
    workspace.study["models"] |= MODELS
    workspace.study["study"]["models"] += list(MODELS)
    names = workspace.study["study"]["models"]
    for name in MODELS:
        workspace.write(f"results/models/{name}/model.json", {})
    commands = workspace.folder / "bin"
    commands.mkdir()
    calls = workspace.folder / "calls"
    # All that the plugin may call, so that neither a SLURM that is here nor one that is not makes a difference.
    answers = {"sbatch": f'printf "%s\\n" "$*" >> {calls}; exit 1', "sinfo": "echo 'main*'"}
    for name in COMMANDS:
        (commands / name).write_text(f"#!/bin/sh\n{answers.get(name, 'true')}\n", encoding="utf-8")
        (commands / name).chmod(0o755)
    workspace.environment = {"PATH": f"{commands}:{os.environ['PATH']}"}
    targets = [f"results/micro/{kind}/{name}/micro.parquet" for kind in ("generations", "candidates") for name in names]
    workspace.run("--workflow-profile", "profiles/slurm", "--retries", "0", *targets, check=False)
    found = re.findall(r"^(.*--comment rule_(\w+)_wildcards_(\S+)_micro .*)$", calls.read_text(encoding="utf-8"), re.M)
    return {(rule, model): call.partition("--wrap")[0] for call, rule, model in found}


@pytest.mark.workflow
@pytest.mark.parametrize("rule", GPU_RULES)
@pytest.mark.parametrize(
    ("model", "gpus", "mem_mb", "minutes"),
    [("small", 1, 5500, 65), ("large", 3, 220_000, 780), ("tiny-l0", 0, 4000, 60)],
)
def test_jobs_ask_for_what_their_model_needs(
    submitted: dict[tuple[str, str], str], rule: str, model: str, gpus: int, mem_mb: int, minutes: int
) -> None:
    call = submitted[rule, model]
    assert f"--mem {mem_mb} " in call
    assert f"-t {minutes} " in call
    assert "--nodes=1 " in call
    assert re.findall(r"--gpus=(\d+)", call) == ([str(gpus)] if gpus else [])
    assert f"--cpus-per-task={8 if gpus else 1} " in call


@pytest.mark.workflow
def test_a_model_that_gets_fewer_gpus_than_it_needs_is_named(tmp_path: Path) -> None:
    """Snakemake gives a job no more than the profile has, and says nothing."""
    workspace = Workspace(tmp_path)
    workspace.study["models"] |= MODELS
    workspace.study["study"]["models"] += list(MODELS)
    said = [line for line in workspace.run("-n").stdout.splitlines() if "GPUs of 80 GB" in line]
    assert said == [
        "large needs 3 GPUs of 80 GB and gets 1: raise `gpu` in the profile, or `gpu_memory_gb`, or quantise it."
    ]
    assert "GPUs of 80 GB" not in workspace.run("-n", "--workflow-profile", "profiles/slurm").stdout


@pytest.mark.workflow
def test_forty_models_ten_prompt_sets_and_four_scorers_are_planned(tmp_path: Path) -> None:
    """How long it takes stands in docs/performance.md."""
    workspace = Workspace(tmp_path)
    models, sets = [f"model-{i}" for i in range(40)], [f"set-{i}" for i in range(10)]
    for name in sets:
        shutil.copytree(tmp_path / "data/prompt_sets/colors", tmp_path / "data/prompt_sets" / name)
    study = {
        "study": {
            "name": "large",
            "models": models,
            "prompt_sets": sets,
            "scorers": ["sbert-minilm", "bertscore-minilm", "bertscore-distilbert", "lexical"],
            "steps": ["leak"],
        },
        "models": {name: {"source": "hub", "id": f"someone/{name}", "parameters": 10**9} for name in models},
        "prompt_sets": {name: {"source": "templates", "path": f"data/prompt_sets/{name}"} for name in sets},
    }
    printed = workspace.run("--workflow-profile", "profiles/slurm", "-n", study=study).stdout
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", printed, flags=re.M))
    assert (jobs["generate"], jobs["score_similarity"], jobs["compare_pairs"]) == ("400", "4", "10")
