"""A disk that is full while texts are written: a small file system of its own, mounted for one run alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workspace import Workspace

pytestmark = pytest.mark.workflow

TEXTS = "results/micro/generations/tiny-l0/micro.parquet"
# In a name space of its own an ordinary user may mount, and nobody else sees it.
ALONE = ("unshare", "--map-root-user", "--mount", "sh", "-c")
MOUNT = "mount -t tmpfs -o size={size} tmpfs results/store"


def can_mount(folder: Path) -> bool:
    (folder / "results/store").mkdir(parents=True)
    try:
        return subprocess.run([*ALONE, MOUNT.format(size="64k")], cwd=folder, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_store_goes_on_from_there(finished: Workspace, tmp_path: Path) -> None:
    if not can_mount(tmp_path / "trial"):
        pytest.skip("no file system can be mounted here (unshare --map-root-user --mount)")
    workspace = finished.copy(tmp_path / "checkout", without=("results/store", TEXTS))
    workspace.study["models"]["tiny-l0"]["generation"] |= {"samples": 400, "batch_size": 2}
    workspace.write("study.yaml", workspace.study)
    store, saved = workspace.folder / "results/store", workspace.folder / "saved"
    store.mkdir()
    snakemake = f"{sys.executable} -m snakemake --configfile study.yaml --cores 2 {TEXTS}"
    script = f"{MOUNT.format(size='256k')} && {{ {snakemake}; cp -r results/store saved; }}"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(workspace.folder / ".cache")}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [*ALONE, script],
        cwd=workspace.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("Error: ")]
    assert len(said) == 1, done.stdout[-3000:]
    assert "No space left on device" in said[0]
    assert "run again: finished work is kept" in said[0]
    assert not (workspace.folder / TEXTS).exists()
    # Room is made.
    shutil.rmtree(store)
    shutil.move(saved, store)
    workspace.run("--cores", "2", TEXTS)
    summary = json.loads((workspace.folder / TEXTS).with_suffix(".json").read_text(encoding="utf-8"))
    assert 0 < summary["reused"] < summary["total"]
