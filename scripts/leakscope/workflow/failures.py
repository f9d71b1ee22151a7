"""Why jobs failed, in one list, and which models are missing as a result, so that the others still get their tables.

In the terminal, the reasons are scattered over hundreds of lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from leakscope.configuration.leaving_out import lineage
from leakscope.errors import counted
from leakscope.jobs import job
from leakscope.jobs.job import FAILED, STOPPED
from leakscope.storage.manifests import read_manifest, write_manifest
from leakscope.workflow.study import Study

# Start of each log entry: time, level and logger.
ENTRY = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ (\S+): ?(.*)$")
# How the wildcard of a rule's model is called: by its kind.
OF_A_MODEL = ("model", "organism", "hub_gguf", "imported", "served")
# Of these wildcards a job fails its own model alone.
OWN = ("model", "served")
# In the folder of a study's results: what failed, and a configuration to go on without it.
FAILURES, WITHOUT = "failures.json", "without.json"


class FailedJob(NamedTuple):
    """A job that failed finally.

    rule: its name in the workflow. wildcards: their names and values, in the rule's order. logs: its log files.
    """

    rule: str
    wildcards: Mapping[str, str]
    logs: Sequence[str]


def failure_lines(failed: Iterable[FailedJob]) -> list[str]:
    """Return a heading and a line for each job: rule, wildcards, reason; sorted. Empty if no job failed."""
    lines = sorted({f"  {' '.join([one.rule, *one.wildcards.values()])}: {_reason(one.logs)}" for one in failed})
    return [f"{counted(len(lines), 'job', 'jobs')} failed:", *lines] if lines else []


def failed_models(failed: Iterable[FailedJob], study: Study) -> dict[str, str] | None:
    """Return missing model → reason after jobs failed; None if a failed job belongs to no model.

    A failed job on weights affects all models that share them, any other job only its own model. Models made from a
    missing model are missing too.
    """
    reasons: dict[str, str] = {}
    for one in failed:
        named = next((name for name in one.wildcards if name.endswith(OF_A_MODEL)), None)
        if named is None or one.wildcards[named] not in study.entries:
            return None
        failing, reason = one.wildcards[named], _reason(one.logs)
        for name, entry in study.entries.items():
            shares = named not in OWN and entry.get("weights") == failing
            if name == failing or shares:
                reasons.setdefault(name, reason)
    for name in study.entries:
        needed = lineage(name, study.entries) & set(reasons)
        if needed and name not in reasons:
            reasons[name] = f"is made from {min(needed)}"
    return reasons


def note_failures(missing: Mapping[str, str] | None, study: Study, folder: Path) -> None:
    """Write which models are missing and why, and the configuration for continuing the study without them.

    There is no such configuration if other jobs failed or no model would remain. A run without models keeps their
    notes: it also ends with an error if the user interrupts it.

    Args:
        missing: of ``failed_models``.
        study: of the run.
        folder: of the study's results.
    """
    left_out = study.config["without"]
    noted = read_manifest(folder / FAILURES)["models"] if left_out and (folder / FAILURES).is_file() else {}
    known = {model: why for model, why in noted.items() if model in left_out}
    if known and not missing:
        return
    for name in (FAILURES, WITHOUT):
        (folder / name).unlink(missing_ok=True)
    if missing:
        write_manifest({"models": {**known, **missing}}, folder / FAILURES)
        if set(study.config["study"]["models"]) - set(missing):
            write_manifest({"without": sorted({*missing, *left_out})}, folder / WITHOUT)


def forget_failures(study: Study, folder: Path) -> None:
    """Delete an earlier run's notes; a run without the failed models keeps the reasons."""
    if not study.config["without"]:
        note_failures(None, study, folder)


def _reason(logs: Sequence[str]) -> str:
    for log in logs:
        if Path(log).is_file() and (found := _reason_in(Path(log).read_text(encoding="utf-8", errors="replace"))):
            return found
    where = f"; its log is {logs[0]}" if logs else ""
    return f"ended without saying why (killed, or out of time or memory?){where}"


def _reason_in(text: str) -> str | None:
    """Return the first error that ended a job, or the last line of its traceback."""
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
    """Return the job's final error in an entry of ``job``; None for other entries."""
    if entry[0].startswith(STOPPED):
        more = f" (and {len(entry) - 1} more, in its log)" if len(entry) > 1 else ""
        return entry[0].removeprefix(STOPPED).strip() + more
    if entry[0].startswith(FAILED):
        return next((line.strip() for line in reversed(entry[1:]) if line.strip()), None)
    return None
