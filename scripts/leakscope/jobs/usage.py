"""Resource usage of a job: time, memory and GPU memory."""

from __future__ import annotations

import os
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

IMPORTED = time.monotonic()
_SAID = re.compile(r"took (?P<seconds>[\d.]+) s, (?P<cpu>[\d.]+) s of CPU, (?P<memory>[\d,]+) MB of memory")


class Usage(NamedTuple):
    """Usage of a job: seconds of wall time and of CPU, and peak memory in MB."""

    seconds: float
    cpu_seconds: float
    memory_mb: int


def usage() -> str:
    """Return a line with the usage of this process and its children: wall time, CPU time and peak memory.

    Imports are included. Memory is this process's peak resident set; for each GPU, torch's peak allocation.
    """
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = sum(one.ru_utime + one.ru_stime for one in (own, children))
    torch = sys.modules.get("torch")
    held = [torch.cuda.max_memory_allocated(gpu) / 1e6 for gpu in _used_gpus(torch)] if torch else []
    gpus = "".join(f", {mb:,.0f} MB of GPU {gpu}" for gpu, mb in enumerate(held))
    return f"took {seconds_of_process():.1f} s, {cpu:.1f} s of CPU, {_peak_mb(own):,.0f} MB of memory{gpus}"


def read_usage(log: str) -> Usage | None:
    """Return the last :func:`usage` in the text of a log; None without one."""
    said = list(_SAID.finditer(log))
    if not said:
        return None
    return Usage(float(said[-1]["seconds"]), float(said[-1]["cpu"]), int(said[-1]["memory"].replace(",", "")))


def seconds_of_process() -> float:
    """Return the seconds since this process started, or since this module's import where the system gives no start."""
    try:
        # Field 22 of proc_pid_stat(5), in clock ticks since the machine started; a name may hold spaces.
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return time.monotonic() - IMPORTED


def _peak_mb(own: resource.struct_rusage) -> float:
    """Return the peak resident set in MB; ``ru_maxrss`` is only a fallback, as it includes the parent's peak."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        return own.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def _used_gpus(torch: Any) -> range:
    return range(torch.cuda.device_count()) if torch.cuda.is_initialized() else range(0)
