"""Why jobs failed, in one list: of forty models, reasons are scattered over hundreds of lines of the terminal."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from leakscope.errors import counted
from leakscope.jobs import job
from leakscope.jobs.job import FAILED, STOPPED
from leakscope.storage.manifests import read_manifest, write_manifest

# With what each entry of a log begins: its time, level and logger.
ENTRY = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ (\S+): ?(.*)$")


# How the wildcard of a rule's model is called: by its kind.
OF_A_MODEL = ("model", "organism", "hub_gguf", "imported")


class FailedJob(NamedTuple):
    """A job that failed, and was not tried again.

    rule: its name in the workflow.
    wildcards: their names and values, in the rule's order.
    logs: its log files.
    """

    rule: str
    wildcards: Mapping[str, str]
    logs: Sequence[str]


def failure_lines(failed: Iterable[FailedJob]) -> list[str]:
    """Return a heading and a line for each job: rule, wildcards, reason; sorted. Nothing where no job failed."""
    lines = sorted({f"  {' '.join([one.rule, *one.wildcards.values()])}: {_reason(one.logs)}" for one in failed})
    return [f"{counted(len(lines), 'job', 'jobs')} failed:", *lines] if lines else []


def failed_models(failed: Iterable[FailedJob], models: Collection[str]) -> dict[str, str] | None:
    """Return model → why the study has to go on without it; None where a job failed that is no model's.

    Args:
        failed: jobs.
        models: names of the study's models, and of those that these are made from.
    """
    reasons: dict[str, str] = {}
    for one in failed:
        named = [one.wildcards[name] for name in one.wildcards if name.endswith(OF_A_MODEL)]
        if not named or named[0] not in models:
            return None
        reasons.setdefault(named[0], _reason(one.logs))
    return reasons


def note_failures(models: Mapping[str, str] | None, path: Path) -> None:
    """Write model → why it failed; where that is not what failed, nothing is left of an earlier run."""
    path.unlink(missing_ok=True)
    if models:
        write_manifest({"models": dict(models)}, path)


def noted_failures(path: Path) -> dict[str, str]:
    """Return what ``note_failures`` wrote; nothing where it wrote nothing."""
    noted: dict[str, str] = read_manifest(path)["models"] if path.is_file() else {}
    return noted


def _reason(logs: Sequence[str]) -> str:
    for log in logs:
        if Path(log).is_file() and (found := _reason_in(Path(log).read_text(encoding="utf-8", errors="replace"))):
            return found
    where = f"; its log is {logs[0]}" if logs else ""
    return f"ended without saying why (killed, or out of time or memory?){where}"


def _reason_in(text: str) -> str | None:
    """Return the first of the mistakes that ended a job, or the last line of its traceback."""
    logger, entry = "", list[str]()
    reason = None
    for line in [*text.splitlines(), None]:
        begins = None if line is None else ENTRY.match(line)
        if line is not None and not begins:
            entry.append(line)
            continue
        reason = (_said(entry) if logger == job.__name__ else None) or reason
        if begins:
            logger, entry = begins[1], [begins[2]]
    return reason


def _said(entry: Sequence[str]) -> str | None:
    """Return what an entry of ``job`` says of the job's end; None for any other."""
    if entry[0].startswith(STOPPED):
        more = f" (and {len(entry) - 1} more, in its log)" if len(entry) > 1 else ""
        return entry[0].removeprefix(STOPPED).strip() + more
    if entry[0].startswith(FAILED):
        return next((line.strip() for line in reversed(entry[1:]) if line.strip()), None)
    return None
