"""Small JSON records beside large files: which weights a model has, how a training went, what a job computed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

READ_AT_ONCE = 2**20


def write_manifest(manifest: Mapping[str, Any], path: Path) -> None:
    """Write a record as JSON with sorted keys, atomically."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a record."""
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return manifest


def hash_files(paths: Iterable[Path]) -> str:
    """Return one SHA-256 over the contents of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while block := stream.read(READ_AT_ONCE):
                digest.update(block)
    return digest.hexdigest()
