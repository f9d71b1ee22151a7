"""Which GPUs a job sees: a lock for each device, and no device without its lock."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leakscope.errors import InputError
from leakscope.jobs import devices
from leakscope.jobs.devices import VISIBLE, claimed_devices, visible_devices


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs that no tool knows of, and an environment that is as it was afterwards."""
    monkeypatch.setenv(VISIBLE, "0,1")
    monkeypatch.setattr(devices, "_uuids", list)
    monkeypatch.setattr(devices, "SECONDS_BETWEEN_LOOKS", 0.02)


def test_jobs_at_the_same_time_get_distinct_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with claimed_devices(1, tmp_path) as first:
        assert (first, os.environ[VISIBLE]) == (["0"], "0")
        monkeypatch.setenv(VISIBLE, "0,1")
        with claimed_devices(1, tmp_path) as second:
            assert (second, os.environ[VISIBLE]) == (["1"], "1")


def test_a_device_is_free_again_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        monkeypatch.setenv(VISIBLE, "0")
        with claimed_devices(1, tmp_path) as mine:
            assert mine == ["0"]


def test_a_job_without_gpus_sees_none(tmp_path: Path) -> None:
    with claimed_devices(0, tmp_path) as mine:
        assert (mine, os.environ[VISIBLE]) == ([], "")
    assert not list(tmp_path.iterdir())


def test_a_machine_without_gpus_computes_on_its_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "")
    with claimed_devices(1, tmp_path) as mine:
        assert mine == []


def test_fewer_gpus_than_asked_for_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"needs 3 GPUs: got 2 \(0, 1\); allowed: .*gpu_memory_gb"), claimed_devices(3):
        pass


@pytest.mark.parametrize(
    ("named", "seen"),
    [
        ("2,3", ["2", "3"]),
        ("GPU-a, GPU-b", ["GPU-a", "GPU-b"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1,-1,0", ["1"]),
    ],
)
def test_what_the_environment_allows_is_what_may_be_taken(
    monkeypatch: pytest.MonkeyPatch, named: str, seen: list[str]
) -> None:
    monkeypatch.setenv(VISIBLE, named)
    assert visible_devices() == seen


def test_without_a_word_in_the_environment_all_gpus_may_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VISIBLE)
    monkeypatch.setattr(devices, "_uuids", lambda: ["GPU-a", "GPU-b"])
    assert visible_devices() == ["GPU-a", "GPU-b"]
    monkeypatch.setattr(devices, "_uuids", list)
    assert visible_devices() == [str(i) for i in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


def test_a_number_and_a_uuid_of_one_device_are_one_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_uuids", lambda: ["GPU-a", "GPU-b"])
    with claimed_devices(1, tmp_path) as by_number:
        assert by_number == ["0"]
        monkeypatch.delenv(VISIBLE)
        with claimed_devices(1, tmp_path) as by_uuid:
            assert by_uuid == ["GPU-b"]


def test_without_uuids_a_clusters_jobs_have_locks_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a job sees only its own device, each is called 0."""
    for job in ("7", "8"):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        monkeypatch.setenv(VISIBLE, "0")
        with claimed_devices(1, tmp_path):
            monkeypatch.setenv("SLURM_JOB_ID", "9")
            monkeypatch.setenv(VISIBLE, "0")
            with claimed_devices(1, tmp_path) as mine:
                assert mine == ["0"]


def hold(folder: Path, count: int, seconds: float, spans: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    os.environ[VISIBLE] = "0,1"
    with claimed_devices(count, folder) as mine:
        begun = time.monotonic()
        time.sleep(seconds)
        spans.put((begun, time.monotonic(), mine))


def test_many_jobs_on_two_devices_never_overlap_on_one(tmp_path: Path) -> None:
    spans: multiprocessing.Queue = multiprocessing.get_context("fork").Queue()  # type: ignore[type-arg]
    jobs = [
        multiprocessing.get_context("fork").Process(target=hold, args=(tmp_path, count, 0.1, spans))
        for count in (1, 2, 1, 1, 2, 1)
    ]
    for job in jobs:
        job.start()
    found = [spans.get(timeout=30) for _ in jobs]
    for job in jobs:
        job.join()
    assert sorted(len(mine) for *_, mine in found) == [1, 1, 1, 1, 2, 2]
    for i, (begun, ended, mine) in enumerate(found):
        for other_begun, other_ended, others in found[i + 1 :]:
            if max(begun, other_begun) < min(ended, other_ended):
                assert not set(mine) & set(others)


def test_a_killed_job_leaves_its_device_free(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from leakscope.jobs.devices import claimed_devices\n"
        "with claimed_devices(2, Path(sys.argv[1])): print('has them', flush=True); time.sleep(60)"
    )
    job = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert job.stdout is not None
    assert job.stdout.readline() == "has them\n"
    job.kill()
    job.wait()
    job.stdout.close()
    with claimed_devices(2, tmp_path) as mine:
        assert mine == ["0", "1"]
