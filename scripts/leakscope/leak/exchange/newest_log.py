"""Which file of a folder of logs holds the texts of a prompt set: the newest one of its task."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from leakscope.errors import InputError

TASK = "leakscope_{prompt_set}"
# Names that an error lists.
SHOWN = 5
_TIME = r"\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d[^_]*"
# lm-eval: samples_<task>_<time>.jsonl; inspect_ai: <time>_<task>_<id>.eval; one of ours: <prompt set>.eval.
_NAMES = (
    re.compile(rf"samples_(?P<task>.+)_(?P<time>{_TIME})\.jsonl"),
    re.compile(rf"(?P<time>{_TIME})_(?P<task>.+)_[^_]+\.(eval|json)"),
    re.compile(r"(?P<task>.+)\.eval"),
)


def newest_log(path: Path, prompt_set: str) -> Path:
    """Return the newest log of a prompt set in a folder and the folders inside it; a file's path as it is.

    A log is of the prompt set if its task is called like the set, or as the task that leakscope exports; where no task
    is, all logs must be of one task. Newest is the time in the name, since copies have a date of their own.

    Raises:
        InputError: the folder holds no log, logs of several tasks of which none is the set's, or several newest ones.
    """
    if not path.is_dir():
        return path
    logs = [log for pattern in ("*.jsonl", "*.eval", "*.json") for log in path.rglob(pattern) if _named(log)]
    of_task: dict[str, list[Path]] = {}
    for log in logs:
        of_task.setdefault(_named(log)["task"].replace("-", "_"), []).append(log)
    own = [name.replace("-", "_") for name in (TASK.format(prompt_set=prompt_set), prompt_set)]
    found = [log for name in own for log in of_task.get(name, [])] or (logs if len(of_task) == 1 else [])
    if not found:
        raise InputError(f"{path}: got {_listed(list(of_task))}; allowed: {_allowed(prompt_set)}.")
    times = [_named(log).get("time", "") for log in found]
    newest = [log for log, time in zip(found, times, strict=True) if time == max(times)]
    if len(newest) > 1:
        shown = _some([str(log.relative_to(path)) for log in newest])
        raise InputError(f"{path}: got {len(newest)} logs of the same time ({shown}); allowed: the path of one file.")
    return newest[0]


def _named(log: Path) -> dict[str, str]:
    """Return task and time that a file's name says; nothing where it is no log's."""
    match = next((found for name in _NAMES if (found := name.fullmatch(log.name))), None)
    return match.groupdict() if match else {}


def _listed(tasks: Sequence[str]) -> str:
    if not tasks:
        return "a folder without logs (samples_*.jsonl, *.eval)"
    return f"logs of several tasks ({_some(tasks)})"


def _some(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _allowed(prompt_set: str) -> str:
    return f"a folder with logs of {TASK.format(prompt_set=prompt_set)}, of one task alone, or the path of one file"
