"""The files of a study's pack, and their names in the pack."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from leakscope.packing.records import INCOMPLETE, MADE, Record, read_records
from leakscope.storage.store import FINGERPRINT_FILE, SUFFIX
from leakscope.storage.upkeep import used_folders

MODELS, STORE = f"{MADE}models/", f"{MADE}store/"
# Activations, tuned weights and dictionaries among a study's own files. The results derived from them are in tables.
HEAVY = ".safetensors"
# Logs reveal the machine's folders and user.
LEFT_OUT = ("logs",)
# Start of the name of a store's file: the start time of its writer. The rest names the writer's machine.
_BEGUN = re.compile(r"\d{20}-")


def study_files(study: str) -> dict[str, Path]:
    """Return name → path of a study's own results, without logs and unfinished outputs."""
    folder = Path(MADE, study)
    unfinished = set(read_records(INCOMPLETE))
    files: dict[str, Path] = {}
    for here, folders, names in os.walk(folder):
        inside = Path(here)
        left_out = LEFT_OUT if inside == folder else ()
        folders[:] = sorted(name for name in folders if name not in left_out)
        paths = {(inside / name).as_posix(): inside / name for name in names if not name.startswith(".")}
        files |= {name: path for name, path in paths.items() if path.is_file() and name not in unfinished}
    return files


def behind(names: Iterable[str], records: Mapping[str, Record]) -> set[str]:
    """Return the outputs, all files that they were made from, directly or not, and the other outputs of these jobs."""
    of_job = defaultdict[tuple[str, ...], list[str]](list)
    for name, record in records.items():
        of_job[_job(record)].append(name)
    seen, waiting = set[str](), list(names)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            if name in records:
                waiting += [*(records[name].get("input") or []), *of_job[_job(records[name])]]
    return seen


def model_files(made_from: Iterable[str]) -> dict[str, Path]:
    """Return name → path of the existing files in results/models/."""
    return {name: Path(name) for name in made_from if name.startswith(MODELS) and Path(name).is_file()}


def stored_files(study: str) -> dict[str, Path]:
    """Return name → path of the stored values that a study uses; names depend on the content, not on the machine."""
    files = {}
    for folder in (folder for folder in used_folders(Path(MADE, study)) if folder.is_dir()):
        inside = f"{STORE}{'/'.join(folder.parts[-2:])}/"
        if (folder / FINGERPRINT_FILE).is_file():
            files[f"{inside}{FINGERPRINT_FILE}"] = folder / FINGERPRINT_FILE
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            begun = _BEGUN.match(path.name)
            files[f"{inside}{begun[0] if begun else ''}{sha256(path)[:16]}{SUFFIX}"] = path
    return files


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _job(record: Record) -> tuple[str, ...]:
    """Return a key that is shared by all outputs of a job."""
    return (str(record.get("rule")), *map(str, record.get("log") or []))
