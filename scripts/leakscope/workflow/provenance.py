"""Provenance: everything needed to reproduce the results, in one file next to them.

A successful run with at least one job writes it. It is no rule's output: it records time, machine and commit, and a
rule with these would rerun whenever one of them changes.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from leakscope.errors import InputError
from leakscope.jobs.usage import Usage, read_usage, seconds_of_process
from leakscope.storage.manifests import read_manifest, write_manifest
from leakscope.storage.store import FINGERPRINT_FILE
from leakscope.storage.upkeep import used_folders
from leakscope.workflow.study import Study
from leakscope.workflow.surroundings import sha256_of, shown_command, shown_value, surroundings

PROVENANCE = "provenance.json"
# Keys of a run, and keys that mostly stay the same in the next run.
OF_A_RUN, AROUND = ("command", "started", "ended", "jobs"), ("leakscope", "python", "packages", "machine")


class PlannedJob(NamedTuple):
    """A job of a study.

    rule: its name.
    logs: its log files.
    ran: whether this run ran it.
    """

    rule: str
    logs: tuple[str, ...]
    ran: bool


def write_provenance(study: Study, folder: Path, jobs: Iterable[PlannedJob], resolved: Callable[[str], str]) -> None:
    """Write ``provenance.json`` of this process's run; its earlier content becomes earlier runs.

    Args:
        study: of the run.
        folder: of the study's results.
        jobs: all that the run planned.
        resolved: replaces the pathvar, such as ``<models>``, at the beginning of a path.
    """
    planned, now = list(jobs), time.time()
    prompts = {name: Path(resolved(f"<results>/prompts/{name}.csv")) for name in study.prompt_sets}
    this = {
        "study": study.name,
        "command": shown_command(sys.argv),
        "started": _time(now - seconds_of_process()),
        "ended": _time(now),
        "jobs": dict(Counter(job.rule for job in planned if job.ran)),
        **surroundings(),
        "configuration": shown_value(study.config),
        "models": {name: shown_value(_model(study, name, resolved)) for name in study.entries},
        "prompt_sets": {name: {"sha256": sha256_of(path)} for name, path in prompts.items()},
        "scorers": {name: _encoder(name, resolved) for name in study.hub_scorers},
        "stored": _stored(folder),
        "rules": _times(planned),
    }
    write_manifest({**this, "earlier": _earlier(_before(folder / PROVENANCE), this)}, folder / PROVENANCE)


def _before(path: Path) -> dict[str, Any]:
    try:
        return read_manifest(path)
    except InputError:  # missing or edited
        return {}


def _earlier(before: Mapping[str, Any], this: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the runs before this one, oldest first; keys missing in one are as in the next."""
    if not all(key in before for key in OF_A_RUN):
        return []
    last = {key: before[key] for key in OF_A_RUN}
    last |= {key: before[key] for key in AROUND if key in before and before[key] != this[key]}
    return [*before.get("earlier", []), last]


def _model(study: Study, name: str, resolved: Callable[[str], str]) -> Mapping[str, Any]:
    """Return a model's manifest; for imported texts or scores, the hash of each file; behind a server, the server's
    description of itself on the first prompt set, axis or task."""
    entry = study.entries[name]
    if name in study.of_source("generations") or name in study.of_source("scores"):
        paths = entry["path"] if isinstance(entry["path"], dict) else {"all": entry["path"]}
        return {"source": entry["source"], "sha256": {key: sha256_of(Path(path)) for key, path in paths.items()}}
    if name in study.served:
        return {"source": entry["source"], **_answered(study, name, resolved)}
    try:
        return read_manifest(Path(resolved(study.manifest(name))))
    except InputError:  # no job has needed the model
        return {"source": entry["source"]}


def _encoder(scorer: str, resolved: Callable[[str], str]) -> Mapping[str, Any]:
    """Return an encoder's commit on the hub; empty before its download."""
    try:
        return {"commit": read_manifest(Path(resolved(f"<models>/encoders/{scorer}.json"))).get("commit")}
    except InputError:
        return {}


def _answered(study: Study, name: str, resolved: Callable[[str], str]) -> dict[str, Any]:
    """Return the models and versions that answered, as the server says; empty before it has answered."""
    of_texts = [f"<results>/generations/{name}/{prompt_set}.json" for prompt_set in study.prompt_sets]
    of_scores = [
        *(f"<ground>/scores/{name}/{axis}.json" for axis in study.config["ground"]["axes"]),
        *(f"<validate>/scores/{name}/{task}.json" for task in study.config["validate"]["tasks"]),
    ]
    paths = filter(Path.is_file, map(Path, map(resolved, of_texts + of_scores)))
    return next(({"answered_by": read_manifest(path).get("answered_by")} for path in paths), {})


def _stored(folder: Path) -> dict[str, Any]:
    """Return ``<kind>/<hash>`` of stored values' fingerprints → the fields that identify encoder or code."""
    found = {}
    for stored in used_folders(folder):
        try:
            fingerprint = read_manifest(stored / FINGERPRINT_FILE)
        except InputError:
            fingerprint = {}
        kept = ("code_sha256", "encoder_sha256", "revision")
        found["/".join(stored.parts[-2:])] = {key: fingerprint[key] for key in kept if key in fingerprint}
    return found


def _times(jobs: Iterable[PlannedJob]) -> dict[str, Any]:
    """Return rule → number of jobs with resources in their logs, total seconds and maximum memory."""
    taken = defaultdict[str, list[Usage]](list)
    for job in jobs:
        logs = [Path(log) for log in job.logs if Path(log).is_file()]
        said = [read_usage(log.read_text(encoding="utf-8", errors="replace")) for log in logs]
        taken[job.rule] += [usage for usage in said if usage]
    return {
        rule: {
            "jobs": len(each),
            "seconds": round(sum(usage.seconds for usage in each), 1),
            "cpu_seconds": round(sum(usage.cpu_seconds for usage in each), 1),
            "memory_mb": max(usage.memory_mb for usage in each),
        }
        for rule, each in sorted(taken.items())
        if each
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
