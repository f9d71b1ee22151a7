"""Writing files: whole or not at all, and for whom the user's umask says, as ``open()`` has it.

Some libraries write a temporary file first, which its owner alone may read, and it stays like that.
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
# `.<file>.<machine>-<process>-<random>.part`: a file that is being written, and by whom.
_PART = re.compile(r"\..*?(?:\.(?P<machine>[0-9a-f]{8})-(?P<process>[0-9]+)-[0-9a-f]{8})?\.part", re.DOTALL)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; it takes the place of ``path`` if nothing fails, else it vanishes.

    A writer that is killed leaves what it wrote; the next one in the same folder sweeps it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    # The process alone does not do: on a cluster two machines may have the same.
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
    """Remove what killed writers left in a folder: files whose process is gone, and any that a day has not changed.

    Of the processes of another machine, or container, nothing is known but that.
    """
    with os.scandir(folder) as entries:
        parts = [entry for entry in entries if entry.name.endswith(".part")]
    for entry in parts:
        # Whatever cannot be looked at or removed, by another user say, is left to others.
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
    """Return what tells apart machines, and on Linux containers, in which a number may mean another process."""
    try:
        processes = os.readlink("/proc/self/ns/pid")
    except OSError:
        processes = ""
    return hashlib.sha256(f"{socket.gethostname()} {processes}".encode()).hexdigest()[:8]


@contextmanager
def shared_like(folder: Path) -> Iterator[None]:
    """Where a group may write to ``folder``, let it read and write all that is made meanwhile, whatever the umask.

    A new folder has the setgid bit, and with it the group, of the one that it is made in: the system sees to that. The
    umask is the whole process's: other threads should make no files meanwhile.
    """
    before = os.umask(0o077)  # cannot be read without being set
    try:
        is_shared = folder.is_dir() and bool(folder.stat().st_mode & stat.S_IWGRP)
        os.umask(before & ~stat.S_IRWXG if is_shared else before)
        yield
    finally:
        os.umask(before)


def share_weights(folder: Path) -> None:
    """Give the weights that a library wrote into a folder the mode of any new file there.

    So a group whose members may write each other's files may read each other's models.
    """
    probe = folder / f".probe.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        probe.touch()
        mode = stat.S_IMODE(probe.stat().st_mode)
    finally:
        probe.unlink(missing_ok=True)
    for path in folder.glob("*.safetensors"):
        path.chmod(mode)
