"""Assigning GPUs to jobs: Snakemake counts devices, but does not tell a job which ones to use.

A job locks each of its devices and sees no others. So jobs on one machine never share a device, whichever checkout or
user started them; a job waits while all devices are taken. On a cluster, a job chooses among the scheduler's devices.
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
    """Restrict this process to ``count`` GPUs that no other job uses, and yield their ``CUDA_VISIBLE_DEVICES`` names.

    With 0, all GPUs are hidden. If no GPU is found, nothing is locked or hidden. Enter the context before torch first
    queries devices. The GPUs are released when the context or the process ends.

    Args:
        count: GPUs requested by the job.
        locks: folder of the lock files, one per device; default: one shared by all users of the machine.

    Raises:
        InputError: the machine or the scheduler's allocation has fewer GPUs, or this user cannot open a lock file.
    """
    names = visible_devices() if count else []
    if count and names and len(names) < count:
        raise InputError(
            f"the job needs {count} GPUs: got {len(names)} ({', '.join(names)}); allowed: a machine with as many, "
            "`quantization` or `dtype` for the model, or a larger `gpu_memory_gb` if its GPUs have more memory."
        )
    # The order in which nvidia-smi counts; CUDA's own begins with the fastest.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    with ExitStack() as held:
        mine = _claim(names, count, locks or Path(tempfile.gettempdir()) / "leakscope-gpus", held) if names else []
        if names or not count:
            os.environ[VISIBLE] = ",".join(mine)
        logger.info("GPUs of this job: %s", ", ".join(mine) or "none")
        yield mine


def visible_devices() -> list[str]:
    """Return the GPUs that this process may use: those in ``CUDA_VISIBLE_DEVICES``, else all by their UUIDs."""
    named = os.environ.get(VISIBLE)
    if named is None:
        # Not by torch: asking it would fix the devices of this process.
        return _uuids() or [str(number) for number in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]
    names = [name.strip() for name in named.split(",")]
    # CUDA ends the list at the first entry that is no device; schedulers write "NoDevFiles" or "-1" for none.
    return names[: next((i for i, name in enumerate(names) if name in ("", "-1", "NoDevFiles")), len(names))]


def _claim(names: Sequence[str], count: int, locks: Path, held: ExitStack) -> list[str]:
    """Take ``count`` locks at once, retrying until it succeeds; a waiting job holds no lock."""
    locks.mkdir(parents=True, exist_ok=True)
    _open_to_all(locks)
    keys = _lock_names(names)
    waiting = False
    while True:
        with ExitStack() as attempt:
            mine: list[str] = []
            for name, key in zip(names, keys, strict=True):
                path = locks / f"{key}.lock"
                if len(mine) < count and _take(path, attempt):
                    mine.append(name)
            if len(mine) == count:
                held.push(attempt.pop_all())
                return mine
        if not waiting:
            logger.warning("waits for %d of the GPUs %s, which other jobs use", count, ", ".join(names))
            waiting = True
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _take(path: Path, attempt: ExitStack) -> bool:
    """Take a lock if it is free; return whether it was."""
    try:
        attempt.enter_context(FileLock(path, timeout=0, mode=0o666))
    except Timeout:
        return False
    except PermissionError as error:
        raise InputError(
            f"{path}: this user cannot write the lock file; make it writable for all users of the machine."
        ) from error
    with suppress(PermissionError):
        os.utime(path)  # systems clear their temporary files by age
    return True


def _lock_names(names: Sequence[str]) -> list[str]:
    """Return a unique name per device on this machine: jobs may name the same device by number or by UUID."""
    uuids = _uuids()
    # Without UUIDs a scheduler may call every job's own device 0.
    unknown = f"job{os.environ['SLURM_JOB_ID']}-" if "SLURM_JOB_ID" in os.environ and not uuids else ""
    known = [uuids[int(name)] if name.isdecimal() and int(name) < len(uuids) else unknown + name for name in names]
    return [name.replace("/", "_") for name in known]


def _uuids() -> list[str]:
    """Return the UUIDs of NVIDIA GPUs in the order of their numbers; empty without ``nvidia-smi``."""
    query = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        printed = subprocess.run(query, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in printed.splitlines() if line.startswith("GPU-")]


def _open_to_all(folder: Path) -> None:
    # Without the sticky bit: with it, Linux keeps users from opening each other's files.
    with suppress(PermissionError):  # another user made it
        folder.chmod(0o777)
