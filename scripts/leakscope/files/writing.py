"""Atomic writing of files, with the permissions of the user's umask, as with ``open()``.

Some libraries write through a temporary file that only its owner may read, and keep these permissions.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DAY_SECONDS = 86_400.0
# `.<file>.<machine>-<process>-<random>.part`: a file that is being written, and its writer.
_PART = re.compile(r"\..*?(?:\.(?P<machine>[0-9a-f]{8})-(?P<process>[0-9]+)-[0-9a-f]{8})?\.part", re.DOTALL)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder to write to; it replaces ``path`` on success, else it is removed.

    A killed writer leaves its temporary file; the next writer in the folder removes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    # The process id is not enough: two machines of a cluster may use the same one.
    part = path.with_name(f".{path.name}.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        part.touch()
        mode = stat.S_IMODE(part.stat().st_mode)
        yield part
        part.chmod(mode)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove temporary files of killed writers from a folder: their process is gone, or they are a day old.

    Processes of other machines or containers cannot be checked; for their files only the age counts.
    """
    with os.scandir(folder) as entries:
        parts = [entry for entry in entries if entry.name.endswith(".part")]
    for entry in parts:
        # Files that cannot be read or removed, for example another user's, are skipped.
        with suppress(OSError):
            if _is_left(entry):
                os.unlink(entry.path)


def _is_left(entry: os.DirEntry[str]) -> bool:
    found = _PART.fullmatch(entry.name)
    if found is None or not entry.is_file(follow_symlinks=False):
        return False
    if time.time() - entry.stat(follow_symlinks=False).st_mtime > DAY_SECONDS:
        return True
    return found["machine"] == _machine() and not _is_running(int(found["process"]))


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True


def _machine() -> str:
    """Return an id of the machine and, on Linux, of the container: each has its own process ids."""
    try:
        processes = os.readlink("/proc/self/ns/pid")
    except OSError:
        processes = ""
    return hashlib.sha256(f"{socket.gethostname()} {processes}".encode()).hexdigest()[:8]


@contextmanager
def shared_like(folder: Path) -> Iterator[None]:
    """Make files created in the context group-writable if ``folder`` is group-writable, whatever the umask.

    The system passes on the setgid bit, and with it the group, to new folders. The umask belongs to the whole process,
    so other threads must not create files meanwhile.
    """
    before = os.umask(0o077)  # the umask can only be read by setting it
    try:
        is_shared = folder.is_dir() and bool(folder.stat().st_mode & stat.S_IWGRP)
        os.umask(before & ~stat.S_IRWXG if is_shared else before)
        yield
    finally:
        os.umask(before)


def share_weights(folder: Path) -> None:
    """Give the weights that a library wrote to a folder the permissions of a new file there.

    So members of a group that shares files can read each other's models.
    """
    probe = folder / f".probe.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        probe.touch()
        mode = stat.S_IMODE(probe.stat().st_mode)
    finally:
        probe.unlink(missing_ok=True)
    for path in folder.glob("*.safetensors"):
        path.chmod(mode)
