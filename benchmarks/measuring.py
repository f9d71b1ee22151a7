"""What the benchmarks of the engine share: a process of its own for everything that is measured, and plain tables.

The program that a person starts imports neither torch nor transformers. That matters: on Linux the peak memory of a
process begins with what its parent held when it started it.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

ROOT = Path(__file__).resolve().parents[1]
RESULT = "RESULT "
TOLD_OF_A_FAILURE = 1500  # characters
BEARABLE = 0.05  # share of all cores

sys.path.insert(0, str(ROOT / "scripts"))

Item = TypeVar("Item")


class WorkerError(SystemExit):
    """A process that was to measure something failed; ends the program with what that process wrote last."""


class Timed(NamedTuple):
    """What a call returned, how long it took, and the share of all cores that other processes took meanwhile."""

    result: Any
    seconds: float
    others: float


def in_own_process(
    worker: str, arguments: Mapping[str, Any], *, threads: int, python: str | Path = sys.executable
) -> dict[str, Any]:
    """Return what a function returned in a process of its own.

    Args:
        worker: ``module:function`` of this folder; returns a mapping that JSON can hold.
        arguments: by name; what JSON can hold.
        threads: of the matrix products.
        python: the interpreter.

    Raises:
        WorkerError: it failed.
    """
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    settings = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [str(python), str(Path(__file__).resolve()), *worker.split(":")],
        input=json.dumps(dict(arguments)),
        capture_output=True,
        text=True,
        env={**os.environ, **limits, **settings},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(RESULT)]
    if done.returncode or not lines:
        raise WorkerError(f"{worker}: exit status {done.returncode}\n{done.stderr[-TOLD_OF_A_FAILURE:]}")
    result: dict[str, Any] = json.loads(lines[-1].removeprefix(RESULT))
    return result


def work(module: str, function: str) -> None:
    """Call a worker with the arguments that stand in standard input, and write what it returns as the last line."""
    result = getattr(importlib.import_module(module), function)(**json.load(sys.stdin))
    sys.stdout.write(f"\n{RESULT}{json.dumps(result)}\n")


def timed(function: Callable[[], Any]) -> Timed:
    """Call a function and say how long it took."""
    everyone, mine, start = _busy_seconds(), time.process_time(), time.perf_counter()
    result = function()
    seconds = time.perf_counter() - start
    others = _busy_seconds() - everyone - (time.process_time() - mine)
    return Timed(result, seconds, max(0.0, others) / (seconds * (os.cpu_count() or 1)))


def disturbed(shares: Mapping[str, float]) -> list[str]:
    """Return a warning where other processes took more of the machine than a comparison bears, by what was measured."""
    told = [f"{100 * share:.0f} % during {name}" for name, share in shares.items() if share > BEARABLE]
    return [f"Not to be quoted: other processes took the machine, {', '.join(told)}."] if told else []


def peak_mb() -> float:
    """Return the most memory that this process has held so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def spread(items: Sequence[Item], n: int) -> list[Item]:
    """Return ``n`` items at even distances, all of them if there are no more."""
    return [items[i * len(items) // n] for i in range(n)] if n < len(items) else list(items)


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """Return a line that says on what was measured."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {n_cores()} cores"


def say(text: str = "") -> None:
    """Write a line of the result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Write a line about what is going on, apart from the result."""
    sys.stderr.write(f"... {text}\n")
    sys.stderr.flush()


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool) -> str:
    """Return a table as plain text or Markdown: the first column flush left, numbers flush right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        padded[0] = cells[0].ljust(widths[0])
        return f"| {' | '.join(padded)} |" if markdown else "  ".join(padded).rstrip()

    rule = ["-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    return "\n".join([line(header), *([line(rule)] if markdown else []), *map(line, rows)])


def _busy_seconds() -> float:
    """Return the CPU seconds of all processes and of the hypervisor since the machine started, 0 where unknown."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system, _idle, _wait, *interrupts_and_steal = map(int, stat.read_text().split("\n")[0].split()[1:9])
    return (user + nice + system + sum(interrupts_and_steal)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    work(*sys.argv[1:])
