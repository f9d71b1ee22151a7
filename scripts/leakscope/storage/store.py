"""An append-only store, so that no value is computed twice; one folder per fingerprint.

A *fingerprint* is everything that determines a value except its key: for texts the weights, the decoding settings and
the seed, for embeddings the encoder. Its SHA-256 names the folder, and ``fingerprint.json`` in the folder holds it in
full. Records are lines of JSON, ``{"key": [...], "value": ..., "check": "..."}``.

* Nothing is changed in place. Each writer appends to its own file and syncs it to disk batch by batch, so a process
  killed at any moment leaves whole records and at most one incomplete line, which readers skip.
* Each record has a checksum over fingerprint, key and value; a damaged or misplaced record is ignored.
* If the folder of all stores is group-writable, so is everything in it.
* Writers append under a lock and skip keys that others have written meanwhile, so a key has one value. On file systems
  without locks, or that show other machines' files late, a key may get two values; every reader then takes the first
  in the order of file names and lines.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from leakscope.errors import InputError, counted
from leakscope.files.writing import shared_like, sweep
from leakscope.storage.manifests import write_manifest

logger = logging.getLogger(__name__)

FINGERPRINT_FILE = "fingerprint.json"
SUFFIX = ".jsonl"
CHECK_DIGITS = 16
LOCK_SECONDS, LOCK_SECONDS_LATER = 60.0, 5.0

Key = tuple[str | int, ...]


class Recalled(NamedTuple):
    """Values by key, the number of distinct keys that were computed, and the store's folder."""

    values: dict[Key, Any]
    n_computed: int
    folder: str | None

    def summary(self, total: int) -> dict[str, Any]:
        """Return the summary that a job writes along with its table.

        Of ``total`` values, ``computed`` are from this job, and ``reused`` from the store or from an equal row.
        """
        return {
            "total": total,
            "computed": self.n_computed,
            "reused": total - self.n_computed,
            "store": self.folder,
        }


def fingerprint_hash(fingerprint: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a fingerprint in hexadecimal; the order of its keys does not matter."""
    return hashlib.sha256(_canonical(fingerprint)).hexdigest()


def recall(
    store: Store | None, keys: Sequence[Key], compute: Callable[[list[Key]], Iterator[Mapping[Key, Any]]]
) -> Recalled:
    """Return the value of every key, from the store if present, else computed and stored batch by batch.

    Args:
        store: the store; None computes all values and stores none.
        keys: may repeat.
        compute: takes the missing keys, distinct and in the given order, and yields their values in batches. It is not
            called if no key is missing.
    """
    distinct = list(dict.fromkeys(keys))
    values = {} if store is None else store.read(distinct)
    missing = [key for key in distinct if key not in values]
    for batch in compute(missing) if missing else ():
        values.update(batch if store is None else store.append(batch))
    logger.info("%d values: %d in the store, %d computed", len(distinct), len(distinct) - len(missing), len(missing))
    return Recalled(values, len(missing), None if store is None else str(store.folder))


class Store:
    """The records of one fingerprint. Use one instance per process; instances are not thread-safe."""

    def __init__(self, root: Path, fingerprint: Mapping[str, Any]) -> None:
        """Open the folder ``root/<kind>/<hash>`` of a fingerprint; nothing is written before the first ``append``.

        Args:
            root: the folder of all stores.
            fingerprint: plain JSON values; ``fingerprint["kind"]`` is the kind of values.
        """
        self.fingerprint = dict(fingerprint)
        self.hash = fingerprint_hash(fingerprint)
        self.root, self.folder = root, root / str(fingerprint["kind"]) / self.hash
        self._wanted: set[Key] = set()
        self._values: dict[Key, Any] = {}
        self._read_to: dict[str, int] = {}
        self._writer: _StoreFile | None = None
        self._lock: FileLock | None = None

    def read(self, keys: Sequence[Key]) -> dict[Key, Any]:
        """Return key → value for those of ``keys`` that have a value."""
        # Earlier reads skipped lines with other keys, so files are read from the start again.
        self._wanted |= set(keys)
        self._read_to.clear()
        self._refresh()
        return {key: self._values[key] for key in keys if key in self._values}

    def append(self, records: Mapping[Key, Any]) -> dict[Key, Any]:
        """Write values to disk and return the stored values; where another writer was faster, its value is returned.

        Raises:
            InputError: the disk is full or the folder cannot be written. Earlier records are kept.
        """
        if not set(records) <= self._wanted:
            self._read_to.clear()
            self._wanted |= set(records)
        try:
            with self.locked():
                self._refresh()
                fresh = {key: value for key, value in records.items() if key not in self._values}
                if fresh:
                    lines = [self._line(key, value) for key, value in fresh.items()]
                    self._own_file().write(b"".join(lines))
                    # As they will be read: JSON turns tuples into lists.
                    self._values.update({key: json.loads(json.dumps(value)) for key, value in fresh.items()})
        except OSError as error:
            # Records after an incomplete line would be lost, so later ones go to a new file.
            self._writer = None
            raise InputError(
                f"{self.folder}: cannot be written ({os.strerror(error.errno or errno.EIO)}); make room or change its "
                "permissions and run again: finished work is kept."
            ) from error
        return {key: self._values[key] for key in records}

    def _line(self, key: Key, value: Any) -> bytes:
        record = {"key": list(key), "value": value, "check": checksum(self.hash, key, value)}
        return json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"

    def _own_file(self) -> _StoreFile:
        if self._writer is None or self._writer.is_removed():
            sweep(self.folder)
            self._write_fingerprint()
            self._writer = _StoreFile(self.folder)
        return self._writer

    def _write_fingerprint(self) -> None:
        path = self.folder / FINGERPRINT_FILE
        if not path.exists():
            write_manifest(self.fingerprint, path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of this fingerprint, if the file system has locks, so that no other writer appends.

        If the folder of all stores is group-writable, so are files created in the context.
        """
        with shared_like(self.root):
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._turn():
                yield

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._lock is None:
            self._lock = FileLock(self.folder / ".lock", timeout=LOCK_SECONDS)
        try:
            self._lock.acquire()
        except (Timeout, NotImplementedError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                raise
            # Without a lock nothing is lost: at worst a key is written twice.
            logger.warning("%s: continues without a lock (%s)", self.folder, error)
            self._lock.timeout = LOCK_SECONDS_LATER
            yield
            return
        try:
            yield
        finally:
            self._lock.release()

    def _refresh(self) -> None:
        """Read records appended since the last call. Of several values of a key the first one is kept."""
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            if self._writer is None or path.name != self._writer.path.name:
                self._take_in(path)

    def _take_in(self, path: Path) -> None:
        n_damaged = 0
        for line in whole_lines(path, self._read_to.get(path.name, 0)):
            self._read_to[path.name] = self._read_to.get(path.name, 0) + len(line)
            record = parse_record(self.hash, line)
            if record is None:
                n_damaged += 1
            elif record[0] in self._wanted:
                self._values.setdefault(*record)
        if n_damaged:
            damaged = counted(n_damaged, "damaged record; its value is", "damaged records; their values are")
            logger.warning("%s: skipped %s computed again", path, damaged)


@contextmanager
def turn(root: Path, name: str) -> Iterator[None]:
    """Hold a named lock in the folder of all stores, after waiting for it; no lock if the file system has none."""
    lock = FileLock(root / f"{name}.lock")
    try:
        with shared_like(root):
            lock.acquire()
    except (NotImplementedError, OSError) as error:
        logger.warning("%s: continues without a lock (%s)", lock.lock_file, error)
    try:
        yield
    finally:
        lock.release()


class _StoreFile:
    """The file of one writer, which is appended to and never reopened."""

    def __init__(self, folder: Path) -> None:
        # The name starts with the time, so that names sort by the start of their writers.
        name = f"{time.time_ns():020d}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        self.path = folder / name
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)

    def write(self, data: bytes) -> None:
        """Append all of ``data`` and wait until it is on disk."""
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]
        os.fsync(self._descriptor)

    def is_removed(self) -> bool:
        """Return whether the file was removed or compacted; new records in it would be lost."""
        return os.fstat(self._descriptor).st_nlink == 0

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


def whole_lines(path: Path, start: int = 0) -> Iterator[bytes]:
    """Yield the complete lines of a file from byte ``start`` on; skip a last line that is incomplete or being written.

    Anything other than a regular file has no lines.

    Raises:
        InputError: the file cannot be read.
    """
    if not path.is_file():
        return
    try:
        stream = path.open("rb")
    except FileNotFoundError:  # compacted (see ``upkeep.compact``) since it was listed
        return
    except OSError as error:
        raise InputError(f"{path}: got {error.strerror}; allowed: a readable file.") from error
    with stream:
        stream.seek(start)
        yield from itertools.takewhile(lambda line: line.endswith(b"\n"), stream)


def parse_record(hash_of_fingerprint: str, line: bytes) -> tuple[Key, Any] | None:
    """Return key and value of a line, or None if it is damaged or belongs to another fingerprint."""
    try:
        record = json.loads(line.decode("utf-8", "surrogatepass"))
        key, value, check = tuple(record["key"]), record["value"], record["check"]
        return (key, value) if check == checksum(hash_of_fingerprint, key, value) and is_key(key) else None
    except (ValueError, KeyError, TypeError, RecursionError):  # RecursionError: brackets nested too deep
        return None


def is_key(key: tuple[Any, ...]) -> bool:
    """Return whether a record's key is valid; parts that are lists could not be looked up."""
    return all(isinstance(part, str | int) for part in key)


def checksum(hash_of_fingerprint: str, key: Key, value: Any) -> str:
    """Return the first digits of the SHA-256 of fingerprint, key and value."""
    return hashlib.sha256(_canonical([hash_of_fingerprint, list(key), value])).hexdigest()[:CHECK_DIGITS]


def _canonical(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")
