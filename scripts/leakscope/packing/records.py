"""Snakemake's records of outputs: the inputs, parameters and checksums that an output was made with.

A record is a JSON file, ``.snakemake/metadata/<the output's path in URL-safe base64>``; if that name is too long, its
beginning is split into folders that start with ``@`` (``snakemake.persistence.file``, version 9.27). From the records
Snakemake knows that nothing is to be done, so a pack contains them.
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
# Prefix of files made by the workflow; these paths are the same on every machine.
MADE = "results/"
# Prefixes of the checkout's own files, whatever the working directory (`own` in rules/common.smk).
CHECKOUTS = ("scripts/", "report/")
# Has no meaning on another machine.
OF_CLUSTER = "external_jobid"
LONGEST_NAME = 255
LONGEST_PATH = 1000

Record = Mapping[str, Any]


def read_records(folder: Path = METADATA) -> dict[str, Record]:
    """Return output → its record; unreadable records are skipped, as in Snakemake."""
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
    """Write the record of an output to Snakemake's folder."""
    # Without the second folder, Snakemake treats the first one as from an old version.
    for folder in (METADATA, INCOMPLETE):
        folder.mkdir(parents=True, exist_ok=True)
    longest = (os.pathconf(METADATA, "PC_NAME_MAX") or LONGEST_NAME) - 1
    coded = urlsafe_b64encode(name.encode()).decode()
    parts = [coded[at : at + longest] for at in range(0, len(coded), longest)]
    write_manifest(record, METADATA.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1]))


def portable_record(record: Record) -> Record:
    """Return a record without paths of this machine; paths in the checkout become relative."""
    said = {key: value for key, value in record.items() if value is not None and key != OF_CLUSTER}
    return _changed(said, _portable_path, lambda text: hide(_portable_path(text)))


def local_record(record: Record) -> Record:
    """Return a portable record with paths as Snakemake would write them in this working directory."""
    return _changed(record, local_path, _local_parameter)


def local_path(path: str) -> str:
    """Return a portable path as rules would write it in this working directory."""
    if path.startswith(f"{HOME}/"):
        return os.path.expanduser(path)
    if path.startswith(CHECKOUTS):
        return own(path)
    return path if path.startswith(MADE) or os.path.isabs(path) else found(path)


def _portable_path(text: str) -> str:
    return portable(text).replace(f"{OWN}/", "")


def _changed(record: Record, path: Callable[[str], str], parameter: Callable[[str], str]) -> Record:
    """Return a record with ``path`` applied to its inputs and ``parameter`` to its parameters."""
    changed = dict(record)
    for key, change in (("input", path), ("params", parameter)):
        if changed.get(key) is not None:
            changed[key] = sorted(map(change, changed[key]))
    checksums = changed.get("input_checksums") or {}
    return {**changed, "input_checksums": {path(name): checksum for name, checksum in checksums.items()}}


def _local_parameter(text: str) -> str:
    """Return the repr of a parameter with its paths made local."""
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
