"""The listing of a pack, ``pack.json``, against which its files are checked before any of them is written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from leakscope.errors import InputError
from leakscope.files.reading import in_one_line, parse_json
from leakscope.packing.contents import MODELS, STORE
from leakscope.packing.records import MADE, Record

LISTING, FORMAT = "pack.json", 1
ALLOWED = "a zip that `make pack` wrote"
# As `typed.values.StudyName`.
_STUDY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_STORED = re.compile(rf"{STORE}\w+/[0-9a-f]{{64}}/(?:fingerprint\.json|[\w-]+\.jsonl)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f]")
# Fields that Snakemake compares, with their types; all are optional. Other fields of a record are dropped.
_FIELDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("rule", "shellcmd", "code", "conda_env", "container_img_url", "software_stack_hash"), (str,)),
    **dict.fromkeys(("input", "log", "params"), (list,)),
    **dict.fromkeys(("record_format_version", "job_hash"), (int,)),
    **dict.fromkeys(("starttime", "endtime"), (int, float)),
    "input_checksums": (dict,),
}


class PackedFile(NamedTuple):
    """A file in a pack: its size in bytes, its SHA-256, and its rank by the time of its last write."""

    n_bytes: int
    sha256: str
    order: int


class Listing(NamedTuple):
    """The content of a pack.

    study: name of the study.
    files: name → file.
    records: output → Snakemake's record of it, including outputs that are not in the pack.
    inputs: input file outside of results/ → its SHA-256.
    """

    study: str
    files: Mapping[str, PackedFile]
    records: Mapping[str, Record]
    inputs: Mapping[str, str]

    def text(self) -> str:
        """Return the listing as JSON, as stored in a pack."""
        content = {
            "format": FORMAT,
            "study": self.study,
            "files": {name: file._asdict() for name, file in self.files.items()},
            "records": self.records,
            "inputs": self.inputs,
        }
        return json.dumps(content, indent=1, sort_keys=True) + "\n"


def read_listing(text: str, where: str) -> Listing:
    """Return the validated listing of a pack.

    Args:
        text: content of ``pack.json``.
        where: the pack's path, for errors.

    Raises:
        InputError: the listing has another format, or names a file that might be outside of the study's results,
            results/models/ and results/store/.
    """
    content = parse_json(text, f"{where}, {LISTING}", ALLOWED)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{where}, {LISTING}: got the format {found!r}; allowed: {FORMAT}, this version's format.")
    with in_one_line(f"{where}, {LISTING}", ALLOWED):
        study = content["study"]
        if not _STUDY.fullmatch(study) or f"{MADE}{study}/" in (MODELS, STORE):
            raise InputError(f"{where}, {LISTING}: got the study {study!r}; allowed: the name of a study.")
        files = {check_name(name, study, where): _file(said) for name, said in content["files"].items()}
        if not any(name.startswith(f"{MADE}{study}/") for name in files):
            raise ValueError(f"no file of the study {study!r}")
        made = {check_name(name, study, where): _record(said) for name, said in content["records"].items()}
        inputs = {name: _matching(_SHA256, said) for name, said in content["inputs"].items()}
        return Listing(study, files, made, inputs)


def check_name(name: str, study: str, where: str) -> str:
    """Return the name of a file in a pack unchanged if it is safe to write.

    Raises:
        InputError: the name leads, or might lead, outside of the folders of a pack.
    """
    inside = name.startswith((f"{MADE}{study}/", MODELS)) or _STORED.fullmatch(name)
    if not inside or _UNSAFE.search(name) or any(part in ("", ".", "..") for part in name.split("/")):
        allowed = f"names below {MADE}{study}/, {MODELS} and {STORE}, without `..`"
        raise InputError(f"{where}: got the name {name!r}; allowed: {allowed}.")
    return name


def _file(said: Mapping[str, Any]) -> PackedFile:
    n_bytes, order = said["n_bytes"], said["order"]
    if type(n_bytes) is not int or type(order) is not int or min(n_bytes, order) < 0:
        raise ValueError(f"{n_bytes!r} bytes at place {order!r}")
    return PackedFile(n_bytes, _matching(_SHA256, said["sha256"]), order)


def _record(said: Mapping[str, Any]) -> Record:
    """Return the fields of a record that Snakemake compares; check their types, on which Snakemake would fail."""
    record = {key: said[key] for key in _FIELDS if said.get(key) is not None}
    for key, value in record.items():
        entries = value if isinstance(value, list) else [*value, *value.values()] if isinstance(value, dict) else []
        if type(value) not in _FIELDS[key] or not all(isinstance(entry, str) for entry in entries):
            raise ValueError(f"a record with {key} {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"a record with {key} {value!r}")
    return {**record, "incomplete": False}


def _matching(pattern: re.Pattern[str], value: str) -> str:
    if not pattern.fullmatch(value):
        raise ValueError(f"{value!r}")
    return value
