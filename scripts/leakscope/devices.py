"""Which GPUs a job computes on: Snakemake counts devices, but says to no job which ones are its own.

A job takes a lock for each device it asks for and sees no other. So jobs of one machine never share a device, whichever
checkout or user started them; where all are taken, it waits. On a cluster the scheduler has chosen already, and its
choice is what a job finds free.
"""

from __future__ import annotations

import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from leakscope.errors import InputError

logger = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"
SECONDS_BETWEEN_LOOKS = 1.0


@contextmanager
def claimed_devices(count: int, locks: Path | None = None) -> Iterator[list[str]]:
    """Let this process see ``count`` GPUs that no other job has, and yield what ``CUDA_VISIBLE_DEVICES`` calls them.

    With 0 it sees none. On a machine without GPUs nothing is claimed, and the model runs on the CPU. To be entered
    before torch first asks for devices. They are free again when the block, or the process, ends.

    Args:
        count: GPUs that the job asked for.
        locks: folder of the lock files, one a device; by default one that all users of the machine share.

    Raises:
        InputError: the machine, or the scheduler's share of it, has fewer GPUs.
    """
    names = visible_devices() if count else []
    if count and names and len(names) < count:
        raise InputError(
            f"the job needs {count} GPUs: got {len(names)} ({', '.join(names)}); allowed: a machine with as many, "
            "`quantization` or `dtype` for the model, or a larger `gpu_memory_gb` if its GPUs have more memory."
        )
    with ExitStack() as held:
        mine = _claim(names, count, locks or Path(tempfile.gettempdir()) / "leakscope-gpus", held) if names else []
        os.environ[VISIBLE] = ",".join(mine)
        logger.info("GPUs of this job: %s", ", ".join(mine) or "none")
        yield mine


def visible_devices() -> list[str]:
    """Return the GPUs that this process may use: those in ``CUDA_VISIBLE_DEVICES``, else all by their UUIDs."""
    named = os.environ.get(VISIBLE)
    if named is None:
        return _uuids() or [str(number) for number in range(_count())]
    names = [name.strip() for name in named.split(",")]
    # CUDA ends the list at the first entry that is no device; schedulers write "NoDevFiles" or "-1" for none.
    return names[: next((i for i, name in enumerate(names) if name in ("", "-1", "NoDevFiles")), len(names))]


def _claim(names: Sequence[str], count: int, locks: Path, held: ExitStack) -> list[str]:
    """Take ``count`` locks at once or none, until it succeeds: who waits keeps nothing from others."""
    locks.mkdir(parents=True, exist_ok=True)
    _open_to_all(locks)
    uuids = _uuids()
    waiting = False
    while True:
        with ExitStack() as attempt:
            mine: list[str] = []
            for name in names:
                if len(mine) == count:
                    break
                # One device may be called by its number here and by its UUID there: the lock is that of the UUID.
                known = uuids[int(name)] if name.isdecimal() and int(name) < len(uuids) else name
                lock = FileLock(locks / f"{known.replace('/', '_')}.lock", timeout=0, mode=0o666)
                try:
                    attempt.enter_context(lock)
                except Timeout:
                    continue
                mine.append(name)
            if len(mine) == count:
                held.push(attempt.pop_all())
                return mine
        if not waiting:
            logger.warning("waits for %d of the GPUs %s: others compute on them", count, ", ".join(names))
            waiting = True
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _uuids() -> list[str]:
    """Return the UUIDs of NVIDIA's GPUs in the order of their numbers; empty where the driver's tool is missing."""
    query = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        printed = subprocess.run(query, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in printed.splitlines() if line.startswith("GPU-")]


def _count() -> int:
    # Imported here: jobs that ask for no device need no torch.
    import torch

    return torch.cuda.device_count()


def _open_to_all(folder: Path) -> None:
    # Without the sticky bit: with it, Linux keeps users from opening each other's files.
    with suppress(PermissionError):  # another user made it
        folder.chmod(0o777)
