"""Snakemake's command line without the seconds that its imports take: a process that has them, and forks for each run.

`python -m snakemake` spends more time on importing than on planning a small study, and tests run it some two hundred
times. What is forked is a process of its own that has imported nothing of leakscope and runs nothing; its threads are
those of pandas' libraries, which wait.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from warm_python import warm_python

# What Snakemake and the workflow import in each run. What imports leakscope is not among it: each checkout has its own.
LIBRARIES = (
    "dpath",
    "platformdirs",
    "pydantic.functional_serializers",
    "pydantic.main",
    "smart_open",
    "snakemake.cli",
    "snakemake.report.html_reporter",
    "tqdm",
    "yte",
)
NO_JOBS = {"-n", "--lint", "--unlock"}


def run_snakemake(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], umask: int | None = None
) -> tuple[int, str]:
    """Run Snakemake in a folder and return its exit status and what it printed, both streams as one."""
    printed = folder / ".printed"
    asked = {
        "arguments": list(arguments),
        "folder": str(folder),
        "environment": dict(environment),
        "printed": str(printed),
        "umask": umask,
        "python": "" if NO_JOBS & set(arguments) else warm_python(),
    }
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(asked) + "\n")
    server.stdin.flush()
    said = server.stdout.readline()
    assert said, "the process that starts Snakemake has ended: its error stands above"
    status = int(said)
    text = printed.read_text(encoding="utf-8", errors="replace")
    printed.unlink()
    return status, text


@cache
def _server() -> subprocess.Popen[str]:
    """The process that forks. It ends when its input does, so with the tests."""
    return subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _serve() -> None:
    for library in LIBRARIES:
        importlib.import_module(library)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _run(json.loads(line))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


def _run(asked: dict[str, Any]) -> None:
    """Become `snakemake <arguments>`; does not return."""
    status = 1
    try:
        os.chdir(asked["folder"])
        if asked["umask"] is not None:
            os.umask(asked["umask"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in os.environ  # Python looks when it starts, long ago
        nothing = os.open(os.devnull, os.O_RDONLY)
        printed = os.open(asked["printed"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        for source, target in ((nothing, 0), (printed, 1), (printed, 2)):
            os.dup2(source, target)
        sys.argv[1:] = asked["arguments"]
        sys.path[0] = asked["folder"]  # as with `-m`
        from snakemake.cli import main

        if asked["python"]:
            _start_jobs_by(asked["python"])
        main(asked["arguments"])
        status = 0
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        if isinstance(exit_.code, str):
            print(exit_.code, file=sys.stderr)  # noqa: T201
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _start_jobs_by(python: str) -> None:
    """Let the scripts of rules that name no environment of their own be run by another command than `python`."""
    from snakemake.script import PythonScript

    usual = PythonScript.execute_script

    def execute_script(script: Any, name: str, edit: bool = False) -> None:
        if script.conda_env or script.container_img or script.env_modules:
            usual(script, name, edit)
        else:
            script._execute_cmd("{python} {name:q}", python=python, name=name, is_python_script=True)

    PythonScript.execute_script = execute_script


if __name__ == "__main__":
    _serve()
