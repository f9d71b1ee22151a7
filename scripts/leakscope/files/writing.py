"""Writing files: whole or not at all, and for whom the user's umask says, as ``open()`` has it.

Some libraries write a temporary file first, which its owner alone may read, and it stays like that.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; it takes the place of ``path`` if nothing fails, else it vanishes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # No process id: on a cluster two machines may have the same.
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.touch()
        mode = stat.S_IMODE(part.stat().st_mode)
        yield part
        part.chmod(mode)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


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
    probe = folder / f".{os.getpid()}.part"
    try:
        probe.touch()
        mode = stat.S_IMODE(probe.stat().st_mode)
    finally:
        probe.unlink(missing_ok=True)
    for path in folder.glob("*.safetensors"):
        path.chmod(mode)
