"""The same study on a cluster: a real SLURM of one node, the real plugin, and ``profiles/slurm`` as it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import psutil
import pytest

from one_node_slurm import GPUS, OneNodeSlurm, wait_until, why_not
from workspace import Workspace

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]

# Only the waiting is shortened.
ON_SLURM = (
    "--workflow-profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "10",
)  # fmt: skip
# Without it the plugin waits ten seconds longer after every look that finds no job finished.
LOOKS_EVERY_SECOND = """\
from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

Executor.next_seconds_between_status_checks = property(lambda executor: 1, lambda executor, seconds: None)
main()
"""
GPU_MODELS = ("big-a", "big-b")
TEXTS = "results/micro/generations/tiny-l0/micro.parquet"
N_PROMPTS, LONG_SAMPLES = 18, 6000  # written in about six seconds


@pytest.fixture(scope="module")
def cluster(root: Path) -> Iterator[OneNodeSlurm]:
    # Not in pytest's own folder: the names of sockets must be short.
    folder = root / ".pytest" / f"slurm-{os.getpid()}"
    reason = why_not(folder)
    if reason:
        pytest.skip(reason)
    slurm = OneNodeSlurm(folder)
    try:
        slurm.up()
        yield slurm
    finally:
        slurm.down()


@pytest.fixture(scope="module")
def local(finished: Workspace, cluster: OneNodeSlurm, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One organism of the micro study, with two models that ask for a GPU, as run on this machine alone."""
    workspace = finished.copy(tmp_path_factory.mktemp("local") / "checkout")
    shutil.copytree(workspace.folder / "results/models/tiny-l0", workspace.folder / "models/big")
    workspace.study["models"] |= {
        "big-a": {"source": "local", "path": "models/big", "generation": {"system": None, "template": "{prompt}"}},
        "big-b": {"extends": "big-a", "generation": {"temperature": 0.7}},
    }
    workspace.study["study"] |= {"models": ["tiny-l0", *GPU_MODELS], "scorers": ["lexical"]}
    # As many threads as the jobs get on the cluster: they decide last bits.
    workspace.run("--cores", "8", "results/micro/leak_rates.csv")
    return workspace


def on_cluster(workspace: Workspace, cluster: OneNodeSlurm, folder: Path, *, results: bool) -> Workspace:
    """Return a copy of a checkout, with its results or without, whose runs find the cluster's commands."""
    copied = workspace.copy(folder, without=() if results else ("results", ".snakemake"))
    copied.snakemake = ("-c", LOOKS_EVERY_SECOND)
    copied.environment = {"PATH": f"{cluster.path}:{Path('/usr/bin')}:/bin"}
    return copied


@pytest.fixture(scope="module")
def remote(local: Workspace, cluster: OneNodeSlurm, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The same study, from nothing, on the cluster."""
    workspace = on_cluster(local, cluster, tmp_path_factory.mktemp("remote") / "checkout", results=False)
    workspace.run(*ON_SLURM, "--jobs", "4", "results/micro/leak_rates.csv")
    return workspace


def test_the_cluster_gives_the_bytes_that_this_machine_gives(local: Workspace, remote: Workspace) -> None:
    assert rates(remote) == rates(local)
    assert len(rates(local).splitlines()) > 5


def test_only_jobs_that_let_a_large_model_generate_ask_for_gpus(remote: Workspace, cluster: OneNodeSlurm) -> None:
    asked = {job["Comment"] for job in of_run(cluster, remote) if "gpu" in job.get("TresPerJob", "")}
    assert asked == {f"rule_generate_wildcards_{model}_micro" for model in GPU_MODELS}


def test_no_two_gpu_jobs_share_a_device(remote: Workspace, cluster: OneNodeSlurm) -> None:
    records = {job["Comment"]: job for job in of_run(cluster, remote)}
    spans = {}
    for model in GPU_MODELS:
        job = records[f"rule_generate_wildcards_{model}_micro"]
        log = (remote.folder / f"results/micro/logs/generate/{model}/micro.log").read_text(encoding="utf-8")
        (seen,) = re.findall(r"GPUs of this job: (.+)", log)
        spans[model] = (job["StartTime"], job["EndTime"], seen)
    assert {seen for *_, seen in spans.values()} <= {str(number) for number in range(GPUS)}
    together = [
        (one, other) for one, other in combinations(spans.values(), 2) if max(one[0], other[0]) < min(one[1], other[1])
    ]
    assert together, "jobs ran one after another: nothing was tested"
    assert all(one[2] != other[2] for one, other in together)
    log = (remote.folder / "results/micro/logs/generate/tiny-l0/micro.log").read_text(encoding="utf-8")
    assert "GPUs of this job: none" in log


@pytest.fixture(scope="module")
def long(local: Workspace) -> tuple[dict[str, Any], bytes]:
    """A study whose texts take long enough to be interrupted, and its texts as written in peace."""
    calm = local.copy(local.folder.parent / "calm", without=("results/store",))
    calm.study["models"]["tiny-l0"]["generation"] = {"samples": LONG_SAMPLES, "batch_size": 2}
    calm.run("--cores", "2", TEXTS)
    return calm.study, (calm.folder / TEXTS).read_bytes()


def empty_store(local: Workspace, cluster: OneNodeSlurm, folder: Path) -> Workspace:
    """Return a copy of the local run, of which nothing is in the store, to generate in on the cluster."""
    copied = on_cluster(local, cluster, folder, results=True)
    shutil.rmtree(copied.folder / "results/store")
    return copied


@pytest.fixture(scope="module")
def node_death(
    local: Workspace,
    cluster: OneNodeSlurm,
    long: tuple[dict[str, Any], bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Workspace, subprocess.Popen[str]]:
    """A run whose node died and came back. SLURM lets its job wait for two minutes, in which other tests run."""
    workspace = empty_store(local, cluster, tmp_path_factory.mktemp("death") / "checkout")
    process = workspace.start(*ON_SLURM, TEXTS, study=long[0])
    job_that_writes(workspace, cluster)
    cluster.kill_node()
    wait_until(lambda: cluster.node_state().startswith("down"), "SLURM to notice")
    cluster.start_node()
    return workspace, process


@pytest.fixture
def workspace(local: Workspace, cluster: OneNodeSlurm, node_death: object, tmp_path: Path) -> Workspace:
    """A checkout to interrupt a run in; the node has died before and will not again."""
    return empty_store(local, cluster, tmp_path / "checkout")


def test_a_cancelled_job_is_submitted_again_and_goes_on(
    workspace: Workspace, cluster: OneNodeSlurm, long: tuple[dict[str, Any], bytes]
) -> None:
    study, expected = long
    process = workspace.start(*ON_SLURM, TEXTS, study=study)
    cluster.command("scancel", job_that_writes(workspace, cluster)["JobId"])
    finish(process)
    first, second = of_run(cluster, workspace)
    assert (first["JobState"], second["JobState"]) == ("CANCELLED", "COMPLETED")
    assert_resumed(workspace, expected)
    assert n_reused(workspace) < N_PROMPTS * LONG_SAMPLES


def test_a_job_out_of_memory_is_submitted_again_with_more(workspace: Workspace, cluster: OneNodeSlurm) -> None:
    (workspace.folder / TEXTS).unlink()
    # The process takes about 450 MB, and Snakemake around it 200.
    workspace.run(*ON_SLURM, "--set-resources", "generate:mem_mb=300*3**(attempt-1)", "--", TEXTS)
    first, second = of_run(cluster, workspace)
    # The step that ran out of memory was killed; the job around it then failed.
    assert (first["JobState"], first["MinMemoryNode"]) == ("FAILED", "300M")
    assert f"StepId={first['JobId']}.0 exceeded memory limit" in slurm_log(workspace, first)
    assert (second["JobState"], second["MinMemoryNode"]) == ("COMPLETED", "900M")


def test_a_submitting_process_that_dies_loses_nothing(
    workspace: Workspace, cluster: OneNodeSlurm, long: tuple[dict[str, Any], bytes]
) -> None:
    study, expected = long
    process = workspace.start(*ON_SLURM, TEXTS, study=study)
    job_that_writes(workspace, cluster)
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        one.kill()
    process.communicate()
    workspace.run("--unlock", study=study)
    # The job that was left behind still runs and writes into the same store.
    workspace.run(*ON_SLURM, TEXTS, study=study)
    assert_resumed(workspace, expected)


@pytest.mark.slow
def test_job_arrays_run_where_the_profile_asks_for_them(
    workspace: Workspace, cluster: OneNodeSlurm, root: Path
) -> None:
    profile = "profiles/slurm/profile.v9+.yaml"
    text = (root / profile).read_text(encoding="utf-8").replace("\njobs: 500\n", "\n")
    (workspace.folder / profile).write_text(re.sub(r"^#(?=jobs|max-jobs|slurm-array)", "", text, flags=re.M), "utf-8")
    workspace.study["study"]["models"] = ["tiny-l0", "tiny-l100"]
    corpora = [f"results/models/corpora/micro-l{percent}-s0.jsonl" for percent in (0, 100)]
    workspace.run(*ON_SLURM, "--forcerun", "write_corpus", "--", *corpora)
    jobs = of_run(cluster, workspace)
    assert [job["JobState"] for job in jobs] == ["COMPLETED"] * 2
    assert len({job["ArrayJobId"] for job in jobs}) == 1
    assert {job["ArrayTaskId"] for job in jobs} == {"1", "2"}


def test_a_node_that_dies_loses_nothing(
    node_death: tuple[Workspace, subprocess.Popen[str]], cluster: OneNodeSlurm, long: tuple[dict[str, Any], bytes]
) -> None:
    workspace, process = node_death
    finish(process)
    (job,) = of_run(cluster, workspace)
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")
    assert_resumed(workspace, long[1])
    assert n_reused(workspace) < N_PROMPTS * LONG_SAMPLES


def rates(workspace: Workspace) -> bytes:
    return (workspace.folder / "results/micro/leak_rates.csv").read_bytes()


def of_run(cluster: OneNodeSlurm, workspace: Workspace) -> list[dict[str, str]]:
    """Return SLURM's records of the jobs that a checkout submitted."""
    return [job for job in cluster.jobs() if job["WorkDir"] == str(workspace.folder)]


def slurm_log(workspace: Workspace, job: dict[str, str]) -> str:
    """Return what SLURM and a failed job wrote to the terminal they did not have."""
    (path,) = (workspace.folder / ".snakemake/slurm_logs").rglob(f"{job['JobId']}.log")
    return path.read_text(encoding="utf-8")


def job_that_writes(workspace: Workspace, cluster: OneNodeSlurm) -> dict[str, str]:
    """Wait until some texts are in the store; return the record of the job that writes them."""
    store = workspace.folder / "results/store/texts"
    wait_until(lambda: any(path.read_bytes() for path in store.rglob("*.jsonl")), "the first texts")
    (job,) = [job for job in of_run(cluster, workspace) if job["JobState"] == "RUNNING"]
    return job


def finish(process: subprocess.Popen[str]) -> None:
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0, printed[-6000:]


def assert_resumed(workspace: Workspace, expected: bytes) -> None:
    """Some texts were taken from the interrupted job, and all are what they are without interruption."""
    assert n_reused(workspace) > 0
    assert (workspace.folder / TEXTS).read_bytes() == expected


def n_reused(workspace: Workspace) -> int:
    """Return how many texts the last job took from the store."""
    summary = json.loads((workspace.folder / TEXTS).with_suffix(".json").read_text(encoding="utf-8"))
    assert summary["total"] == N_PROMPTS * LONG_SAMPLES
    return int(summary["reused"])
