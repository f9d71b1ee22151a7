"""A job that is forked is given what Python would give it, and what cannot be given to it is run by Python."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from warm_python import command, start

# What a script sees of where and how it runs; `colorsys` is imported by what forks.
LOOK = """
import json, os, random, sys
import numpy as np
import mine
seen = {
    "name": __name__, "argv": sys.argv, "folder": os.getcwd(), "input": sys.stdin.read(), "mine": mine.VALUE,
    "word": os.environ.get("WORD"), "hash_seed": os.environ.get("PYTHONHASHSEED"), "hash": hash("a bag"),
    "warm": "colorsys" in sys.modules, "umask": os.umask(0),
    "drawn": [random.random(), np.random.rand()],
}
print("said", file=sys.stderr)
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def warm() -> str:
    return command(start("1", ["colorsys"]))


def run(python: str, folder: Path, source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "a script.py").write_text(source)
    (folder / "library").mkdir(exist_ok=True)
    (folder / "library/mine.py").write_text("VALUE = 7")
    told: Mapping[str, str] = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder / "library")}
    line = f"{python} {shlex.quote(str(folder / 'a script.py'))}"
    how: dict[str, Any] = {"input": "given", "capture_output": True, "text": True, "umask": 0o027}
    return subprocess.run(["bash", "-c", line], cwd=folder, env={**told, "HF_HUB_OFFLINE": "1", **environment}, **how)


def test_a_job_sees_what_python_would_show_it(warm: str, tmp_path: Path) -> None:
    done = run(warm, tmp_path, LOOK, WORD="a word")
    assert (done.returncode, done.stderr) == (0, "said\n")
    seen = json.loads(done.stdout)
    again, other = (json.loads(run(python, tmp_path, LOOK).stdout) for python in (warm, command(start("2", []))))
    assert seen == {
        **{"name": "__main__", "argv": [str(tmp_path / "a script.py")], "folder": str(tmp_path), "input": "given"},
        **{
            "mine": 7,
            "umask": 0o027,
            "word": "a word",
            "hash_seed": None,
            "hash": again["hash"],
            "warm": True,
            "drawn": seen["drawn"],
        },
    }
    # Nothing that one job is told reaches the next; what is drawn without a seed differs, and so do hashes elsewhere.
    assert again["word"] is None
    assert not set(seen["drawn"]) & set(again["drawn"])
    assert other["hash"] != seen["hash"]


@pytest.mark.parametrize(
    ("source", "status", "said"),
    [
        ("raise SystemExit('no bag')", 1, "no bag\n"),
        ("raise SystemExit(3)", 3, ""),
        ("import atexit, sys; atexit.register(print, 'at last', file=sys.stderr); raise SystemExit", 0, "at last\n"),
        ("import os; os.kill(os.getpid(), 9)", 137, ""),
    ],
)
def test_a_job_ends_as_its_script_does(warm: str, tmp_path: Path, source: str, status: int, said: str) -> None:
    done = run(warm, tmp_path, source)
    assert (done.returncode, done.stderr) == (status, said)


def test_a_mistake_is_a_traceback(warm: str, tmp_path: Path) -> None:
    done = run(warm, tmp_path, "1 / 0")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize("name", ["HF_ENDPOINT", "CUDA_VISIBLE_DEVICES", "PYTHONHASHSEED"])
def test_where_libraries_would_be_imported_otherwise_python_runs_the_job(warm: str, tmp_path: Path, name: str) -> None:
    seen = json.loads(run(warm, tmp_path, LOOK, **{name: "0"}).stdout)
    assert not seen["warm"]
    assert (seen["mine"], seen["argv"]) == (7, [str(tmp_path / "a script.py")])
