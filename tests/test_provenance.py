"""What provenance.json says of a study: all that it takes to get its results again, and nothing of who ran it."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from leakscope.files import portable as places
from leakscope.jobs.usage import Usage, read_usage, usage
from leakscope.workflow import surroundings
from leakscope.workflow.provenance import PlannedJob, _earlier, _times
from leakscope.workflow.surroundings import shown_command, shown_value
from workspace import Workspace

SECRET = "c4ught-in-the-act-99"
RULES = {"train_organism": 2, "generate": 2, "score_similarity": 2, "plot_leak": 1, "write_explorer": 1}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is taken for the checkout, and another one to work in."""
    folder, home, elsewhere = tmp_path / "home/eve/leakscope", tmp_path / "home/eve", tmp_path / "elsewhere"
    for path in (folder, elsewhere):
        path.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(elsewhere)
    for module in (places, surroundings):
        monkeypatch.setattr(module, "CHECKOUT", folder)
    return folder


def test_a_command_line_is_shown_without_secrets_and_without_folders_of_the_machine(checkout: Path) -> None:
    given = [
        "/usr/lib/snakemake/__main__.py",
        "--configfile",
        f"{checkout}/studies/x.yaml",
        f"--directory={checkout.parent}/my results",
        "--profile=/data/eve/profile",
        "--some-plugin-token",
        SECRET,
        f"--api-key={SECRET}",
        f"server.password={SECRET}",
        f"x={{secret: {SECRET}, other: '{SECRET}', a_token: '{SECRET}'}}",
        f"https://eve:{SECRET}@example.org/v1",
        "generation={template: '/no_think {prompt}'}",
    ]
    shown = shown_command(given)
    assert shown == [
        "snakemake",
        "--configfile",
        "<checkout>/studies/x.yaml",
        "--directory=~/my results",
        "--profile=…/profile",
        "--some-plugin-token",
        "***",
        "--api-key=***",
        "server.password=***",
        f"x={{secret: ***, other: '{SECRET}', a_token: '***'}}",
        "https://***@example.org/v1",
        "generation={template: '/no_think {prompt}'}",
    ]


def test_a_configuration_keeps_texts_and_loses_secrets_and_folders(checkout: Path) -> None:
    (checkout / "data").mkdir()
    config = {"path": f"{checkout}/data/x.csv", "template": "/no_think {prompt}", "api_key": SECRET, "max_tokens": 5}
    shown = {"path": "<checkout>/data/x.csv", "template": "/no_think {prompt}", "api_key": "***", "max_tokens": 5}
    assert shown_value({"models": [config]}) == {"models": [shown]}
    assert shown_value(f"{checkout.parents[2]}/elsewhere/own.csv") == "own.csv"


def test_an_earlier_run_says_what_was_otherwise_then() -> None:
    around = {"leakscope": {"commit": "b"}, "python": "3.11.2", "packages": {"numpy": "2"}, "machine": {"cpus": 2}}
    run = {"command": ["snakemake"], "started": "s", "ended": "e", "jobs": {"generate": 1}}
    first = {**run, **around, "leakscope": {"commit": "a"}, "configuration": {}, "earlier": [{"started": "0"}]}
    assert _earlier(first, {**run, **around}) == [{"started": "0"}, {**run, "leakscope": {"commit": "a"}}]
    assert _earlier({"written": "by somebody"}, {**run, **around}) == []


def test_what_rules_took_is_the_sum_over_their_jobs_by_their_logs(tmp_path: Path) -> None:
    logs = []
    for number, said in enumerate(
        ("took 1.5 s, 1.0 s of CPU, 1,200 MB of memory, 9 MB of GPU 0", "took 2.0 s, 4.0 s of CPU, 90 MB of memory")
    ):
        logs.append(tmp_path / f"{number}.log")
        logs[-1].write_text(f"2026-11-30 07:00:00,000 INFO x: took his time\n2026-11-30 07:00:01,000 INFO x: {said}\n")
    jobs = [PlannedJob("generate", (str(log),), ran=True) for log in (*logs, tmp_path / "none.log")]
    taken = {"jobs": 2, "seconds": 3.5, "cpu_seconds": 5.0, "memory_mb": 1200}
    assert _times([*jobs, PlannedJob("plot", (), ran=False)]) == {"generate": taken}


def test_a_log_is_read_as_a_job_writes_it() -> None:
    said = read_usage(f"begun\n{usage()}\n")
    assert isinstance(said, Usage)
    assert said.seconds > 0
    assert said.memory_mb > 1
    assert read_usage("took a while") is None


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_is_that_of_the_checkout_and_of_no_repository_around_it(checkout: Path) -> None:
    nothing = {"commit": None, "changed": None}
    assert surroundings._commit() == nothing
    git(checkout.parent, "init", "-q")
    assert surroundings._commit() == nothing
    git(checkout, "init", "-q")
    (checkout / "a").write_text("1")
    git(checkout, "add", "a")
    git(checkout, "commit", "-q", "-m", "a")
    head = git(checkout, "rev-parse", "HEAD")
    (checkout / "my.csv").touch()
    assert surroundings._commit() == {"commit": head, "changed": False}
    (checkout / "a").write_text("2")
    assert surroundings._commit() == {"commit": head, "changed": True}


def test_without_git_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(checkout, "init", "-q")
    monkeypatch.setenv("PATH", str(checkout))
    assert surroundings._commit() == {"commit": None, "changed": None}


def read(workspace: Workspace) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((workspace.folder / "results/micro/provenance.json").read_text("utf-8"))
    return content


@pytest.mark.workflow
def test_all_that_it_takes_to_run_a_study_again_is_named(finished: Workspace, root: Path) -> None:
    found = read(finished)
    assert found["command"][1:] == ["--configfile", "study.yaml", "--cores", "2"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["started"])
    assert found["started"] < found["ended"]
    assert {rule: found["jobs"][rule] for rule in RULES} == RULES
    assert {rule: found["rules"][rule]["jobs"] for rule in RULES} == RULES
    assert found["leakscope"] == {"version": "0.1.0", "commit": None, "changed": None}
    pinned = dict(line.split("==") for line in (root / "constraints.txt").read_text().splitlines() if "==" in line)
    assert set(found["packages"]) <= set(pinned)
    assert {"torch", "transformers", "snakemake", "numpy"} <= set(found["packages"])
    assert found["machine"]["cpus"] >= 1
    config = found["configuration"]
    assert config["study"]["models"] == ["tiny-l0", "tiny-l100"]
    assert config["models"]["tiny-l100"]["generation"]["samples"] == 3
    manifests = {
        name: json.loads((finished.folder / f"results/models/{name}/model.json").read_text())
        for name in config["models"]
    }
    assert found["models"] == manifests
    (encoder,) = (stored for name, stored in found["stored"].items() if name.startswith("embeddings/"))
    assert len(encoder["encoder_sha256"]) == 64
    assert len(found["prompt_sets"]["micro"]["sha256"]) == 64
    assert found["earlier"] == []


@pytest.mark.workflow
def test_a_run_is_written_down_if_a_job_ran_and_says_nothing_of_who_ran_it(finished: Workspace, tmp_path: Path) -> None:
    workspace = finished.copy(tmp_path / "workspace")
    path = workspace.folder / "results/micro/provenance.json"
    before = path.read_bytes()
    assert "Nothing to be done" in workspace.run("--cores", "2").stdout
    assert path.read_bytes() == before

    workspace.environment["MY_TOKEN"] = SECRET
    workspace.study["models"]["tiny-l0"]["label"] = f"with {SECRET}"
    workspace.run("--cores", "2", "results/micro/figures/match_rates.pdf")
    found = read(workspace)
    assert found["jobs"] == {"plot_leak": 1}
    assert found["configuration"]["models"]["tiny-l0"]["label"] == "with ***"
    assert [run["jobs"]["generate"] for run in found["earlier"]] == [2]
    assert "packages" not in found["earlier"][0]
    for word in (SECRET, str(tmp_path), str(Path.home()), socket.gethostname()):
        assert not re.search(
            rf"(?<!\w){re.escape(word)}(?!\w)" if word.isalnum() else re.escape(word), path.read_text("utf-8")
        ), word
