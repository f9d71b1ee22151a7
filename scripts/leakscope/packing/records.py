"""What Snakemake keeps of each output: the inputs, parameters and contents that it was made with.

A record is a file of JSON, ``.snakemake/metadata/<the output's path in URL-safe base64>``; where that is longer than a
file name may be, folders that begin with ``@`` hold its beginning (``snakemake.persistence.file``, version 9.27). By
its records Snakemake knows that nothing is to be done, so they go where results go.
"""

from __future__ import annotations

import ast
import binascii
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from leakscope.errors import InputError
from leakscope.files.finding import found, own
from leakscope.files.portable import HOME, OWN, portable
from leakscope.files.reading import read_object
from leakscope.jobs.redaction import hide
from leakscope.storage.manifests import write_manifest

METADATA, INCOMPLETE = Path(".snakemake/metadata"), Path(".snakemake/incomplete")
# What begins so is made by the workflow: such a path is the same everywhere.
MADE = "results/"
# Files that are the checkout's, whatever lies in the working directory (`own` in rules/common.smk).
CHECKOUTS = ("scripts/", "report/")
# Means nothing elsewhere.
OF_CLUSTER = "external_jobid"
LONGEST_NAME = 255
LONGEST_PATH = 1000

Record = Mapping[str, Any]


def read_records(folder: Path = METADATA) -> dict[str, Record]:
    """Return output → its record; what cannot be read is left out, as Snakemake does."""
    records: dict[str, Record] = {}
    for path in (path for path in folder.rglob("*") if path.is_file()):
        parts = path.relative_to(folder).parts
        try:
            name = urlsafe_b64decode("".join(part.removeprefix("@") for part in parts)).decode()
            records[name] = read_object(path, "a record of Snakemake")
        except (InputError, binascii.Error, UnicodeDecodeError):
            continue
    return records


def write_record(name: str, record: Record) -> None:
    """Write the record of an output, where Snakemake looks for it."""
    # Where the second is missing, Snakemake takes the first for one of an old version.
    for folder in (METADATA, INCOMPLETE):
        folder.mkdir(parents=True, exist_ok=True)
    longest = (os.pathconf(METADATA, "PC_NAME_MAX") or LONGEST_NAME) - 1
    coded = urlsafe_b64encode(name.encode()).decode()
    parts = [coded[at : at + longest] for at in range(0, len(coded), longest)]
    write_manifest(record, METADATA.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1]))


def portable_record(record: Record) -> Record:
    """Return a record whose paths say nothing of this machine: those of the checkout are relative to it."""
    said = {key: value for key, value in record.items() if value is not None and key != OF_CLUSTER}
    return _changed(said, _portable_path, lambda text: hide(_portable_path(text)))


def local_record(record: Record) -> Record:
    """Return a record that was made portable as Snakemake would write it in this working directory."""
    return _changed(record, local_path, _local_parameter)


def local_path(path: str) -> str:
    """Return where a portable path leads to from this working directory, as rules would name it."""
    if path.startswith(f"{HOME}/"):
        return os.path.expanduser(path)
    if path.startswith(CHECKOUTS):
        return own(path)
    return path if path.startswith(MADE) or os.path.isabs(path) else found(path)


def _portable_path(text: str) -> str:
    return portable(text).replace(f"{OWN}/", "")


def _changed(record: Record, path: Callable[[str], str], parameter: Callable[[str], str]) -> Record:
    """Return a record with its inputs and parameters changed."""
    changed = dict(record)
    for key, change in (("input", path), ("params", parameter)):
        if changed.get(key) is not None:
            changed[key] = sorted(map(change, changed[key]))
    checksums = changed.get("input_checksums") or {}
    return {**changed, "input_checksums": {path(name): checksum for name, checksum in checksums.items()}}


def _local_parameter(text: str) -> str:
    """Return a parameter, as Python would write it, with the paths in it that lead elsewhere here."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    changed = _local_value(value)
    return text if changed == value else repr(changed)


def _local_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _local_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_local_value, value))
    is_path = isinstance(value, str) and "/" in value and len(value) <= LONGEST_PATH and "\n" not in value
    return local_path(value) if is_path else value
