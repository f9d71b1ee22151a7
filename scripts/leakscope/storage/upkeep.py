"""Maintenance of the stores: listing their contents and users, pruning unused folders, compacting files."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from leakscope.errors import InputError
from leakscope.files.writing import replacing
from leakscope.storage.manifests import read_manifest
from leakscope.storage.store import (
    FINGERPRINT_FILE,
    SUFFIX,
    Key,
    Store,
    fingerprint_hash,
    parse_record,
    whole_lines,
)

DAY = 86400.0
NO_FINGERPRINT = f"no valid {FINGERPRINT_FILE}"
# Folders of job summaries: one per model and prompt set, axis, task or benchmark; and one per model, scorer, judge or
# explainer.
OF_MODELS = (
    "generations",
    "candidates",
    "ground/scores",
    *(f"validate/{table}" for table in ("scores", "ranks", "completions", "layers", "lens")),
    "features/bias",
)
OF_ONE = (
    *("similarity", "rating/judged", "ground/counts", "validate/perplexity"),
    *("features/steering", "features/dictionaries/*/explanations"),
)
# Sorts before every writer's file, whose name starts with a time.
COMPACTED = f"{0:020d}-compacted{SUFFIX}"


class Contents(NamedTuple):
    """Content of one fingerprint's folder; ``fingerprint`` is None where its file is missing or does not match."""

    folder: Path
    fingerprint: dict[str, Any] | None
    n_values: int
    n_damaged: int
    n_files: int
    n_bytes: int
    last_written: float
    users: list[str]

    def age_days(self, now: float) -> float:
        """Return the days since the last write."""
        return (now - self.last_written) / DAY


def survey(store: Path, results: Iterable[Path]) -> list[Contents]:
    """Return the content of every folder of a store, sorted by kind, then by the last write.

    ``users`` are the jobs whose summary names the folder, as ``<study>/<model or scorer>``.

    Args:
        store: the folder of all stores.
        results: folders of the studies to search for users.
    """
    users = _users(results)
    # Also found by their records, because a fingerprint's file may be lost.
    files = [path for name in (FINGERPRINT_FILE, f"*{SUFFIX}") for path in store.glob(f"*/*/{name}")]
    folders = sorted({path.parent for path in files if path.is_file()})
    contents = [_contents(folder, users.get(folder.name, [])) for folder in folders]
    return sorted(contents, key=lambda stored: (stored.folder.parent.name, stored.last_written, stored.folder.name))


def overview(contents: list[Contents]) -> pd.DataFrame:
    """Return a table of the store's folders for users, one row per folder."""
    rows = [
        (
            stored.folder.parent.name,
            stored.folder.name[:12],
            stored.n_values,
            stored.n_damaged,
            stored.n_files,
            round(stored.n_bytes / 1e6, 2),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(stored.last_written)),
            _settings_label(stored.fingerprint) if stored.fingerprint else NO_FINGERPRINT,
            ", ".join(stored.users) or "-",
        )
        for stored in contents
    ]
    names = ["kind", "fingerprint", "values", "damaged", "files", "megabytes", "written", "settings", "used_by"]
    return pd.DataFrame(rows, columns=names)


def prunable(contents: list[Contents], older_than_days: float, now: float) -> list[Contents]:
    """Return the folders that no study uses and that were last written at least ``older_than_days`` days ago."""
    return [stored for stored in contents if not stored.users and stored.age_days(now) >= older_than_days]


def prune(contents: list[Contents]) -> None:
    """Delete folders with all their content."""
    for stored in contents:
        shutil.rmtree(stored.folder)


def compact(stored: Contents) -> None:
    """Merge all files of a folder into one, without damaged records and repeated keys.

    Writers wait meanwhile and then start a new file. On file systems without locks, do not compact while a job writes
    to the folder: its new records would be lost. A folder without a fingerprint is left unchanged; the next job that
    adds a value restores the fingerprint.
    """
    if stored.fingerprint is None:
        return
    with Store(stored.folder.parents[1], stored.fingerprint).locked():
        _compact(stored)


def _compact(stored: Contents) -> None:
    whole = stored.folder / COMPACTED
    for left in stored.folder.glob(f".{COMPACTED}.*"):  # by one that was killed
        left.unlink()
    files = sorted(stored.folder.glob(f"*{SUFFIX}"))
    seen = set()
    with replacing(whole) as part, part.open("wb") as stream:
        for path in files:
            for line in whole_lines(path):
                record = parse_record(stored.folder.name, line)
                if record is not None and record[0] not in seen:
                    seen.add(record[0])
                    stream.write(line)
        stream.flush()
        os.fsync(stream.fileno())
    for path in files:
        if path != whole:
            path.unlink()


def _contents(folder: Path, users: list[str]) -> Contents:
    files = sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file())
    keys: set[Key | None] = set()
    n_damaged = 0
    for line in (line for path in files for line in whole_lines(path)):
        record = parse_record(folder.name, line)
        n_damaged += record is None
        keys.add(record[0] if record is not None else None)
    stats = [path.stat() for path in files]
    last_written = max((stat.st_mtime for stat in stats), default=folder.stat().st_mtime)
    n_bytes, n_values = sum(stat.st_size for stat in stats), len(keys - {None})
    return Contents(folder, _fingerprint(folder), n_values, n_damaged, len(files), n_bytes, last_written, users)


def _fingerprint(folder: Path) -> dict[str, Any] | None:
    """Return the fingerprint in a folder's file; None where it is missing or does not match the folder's name."""
    try:
        found = read_manifest(folder / FINGERPRINT_FILE)
    except InputError:
        return None
    return found if fingerprint_hash(found) == folder.name else None


def used_folders(study: Path) -> list[Path]:
    """Return the store folders named in the summaries of a study's results, sorted by kind and hash."""
    named = {folder for path, _ in _summaries(study.parent, study.name) for folder in _named_folders(path)}
    return sorted(map(Path, named), key=lambda folder: folder.parts[-2:])


def _users(results: Iterable[Path]) -> dict[str, list[str]]:
    """Return fingerprint → its users, ``<study>/<model or scorer>``, whose summaries name it."""
    users: dict[str, list[str]] = {}
    for path, user in (summary for folder in results for summary in _summaries(folder)):
        for folder in _named_folders(path):
            known = users.setdefault(Path(folder).name, [])
            if user not in known:
                known.append(user)
    return users


def _named_folders(summary: Path) -> list[str]:
    named = read_manifest(summary).get("store") or []
    # A user's own file in that folder may contain anything.
    folders = named if isinstance(named, list) else [named]
    return [folder for folder in folders if isinstance(folder, str)]


def _summaries(results: Path, study: str = "*") -> list[tuple[Path, str]]:
    """Return all job summaries in a folder of studies, or of one study, with their users."""
    summaries = [(path, path.parent.name) for kind in OF_MODELS for path in results.glob(f"{study}/{kind}/*/*.json")]
    summaries += [(path, path.stem) for kind in OF_ONE for path in results.glob(f"{study}/{kind}/*.json")]
    return [(path, f"{path.relative_to(results).parts[0]}/{name}") for path, name in sorted(summaries)]


def _settings_label(fingerprint: Mapping[str, Any]) -> str:
    """Return a few words that distinguish fingerprints of one model."""
    if fingerprint["kind"] in ("embeddings", "labels"):
        return " ".join(str(fingerprint[key]) for key in ("of", "num_layers") if key in fingerprint)
    if fingerprint["kind"] == "ngram_counts":
        return f"{fingerprint['index']} clauses up to {fingerprint['max_clause_freq']}"
    if fingerprint["kind"] == "log_odds":
        return f"{fingerprint['of']} {fingerprint['model'].get('dtype', '')}"
    if fingerprint["kind"] in ("chat", "served"):
        return f"{fingerprint['model']} T={fingerprint['temperature']:g} {fingerprint['max_tokens']} tokens"
    if fingerprint["kind"] == "served_logprobs":
        return str(fingerprint["model"])
    if fingerprint["kind"] in ("sentences", "sentences_within_word"):
        return str(fingerprint["model"].get("dtype", ""))
    decoding = fingerprint["decoding"]
    words = [f"T={decoding['temperature']:g}", str(fingerprint["model"].get("dtype", ""))]
    words += (
        [f"seed={fingerprint['seed']}", f"{fingerprint['limits']['max_new_tokens']} tokens"]
        if fingerprint["kind"] == "texts"
        else []
    )
    return " ".join(words)
