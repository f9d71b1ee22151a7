"""What every entry script does around its work: a log file that ends with what the job took, and one clear line for
what a person can mend.
"""

from __future__ import annotations

import errno
import logging
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leakscope.errors import InputError
from leakscope.jobs.redaction import hide, hide_in_logs

IMPORTED = time.monotonic()
FULL = (errno.ENOSPC, errno.EDQUOT)
# They log every address that is asked, and what was sent.
TALKATIVE = ("httpx2", "httpcore2", "huggingface_hub", "urllib3")


@contextmanager
def job(log: str) -> Iterator[None]:
    """Log to the file ``log``, warnings to the terminal too; secrets are hidden in both.

    Ends by one line, no traceback, on an ``InputError`` and on a full disk. The log's last line is :func:`usage`.
    """
    # On a full disk the log cannot be written either: that is not what should fill the terminal.
    logging.raiseExceptions = False
    try:
        _log_to(log)
        yield
    except InputError as error:
        logging.getLogger(__name__).info("stopped: %s", error)
        sys.exit(f"Error: {error}")
    except OSError as error:
        if error.errno not in FULL:
            logging.getLogger(__name__).info("failed", exc_info=True)
            raise
        where = hide(f"{error.filename}: ") if error.filename else ""
        sys.exit(f"Error: {where}the disk is full; what was finished before is kept. Make room and run again.")
    except Exception:
        # The traceback belongs in the log as well: on a cluster nobody sees the terminal.
        logging.getLogger(__name__).info("failed", exc_info=True)
        raise
    finally:
        logging.getLogger(__name__).info(usage())
        logging.raiseExceptions = True


def usage() -> str:
    """Return what this process and those it started have taken: seconds of wall time and of CPU, MB of memory at most.

    Imports count, too. The memory is the largest resident set of this process; of GPUs, what torch held at most on
    each.
    """
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = sum(one.ru_utime + one.ru_stime for one in (own, children))
    torch = sys.modules.get("torch")
    held = [torch.cuda.max_memory_allocated(gpu) / 1e6 for gpu in _used_gpus(torch)] if torch else []
    gpus = "".join(f", {mb:,.0f} MB of GPU {gpu}" for gpu, mb in enumerate(held))
    return f"took {_seconds():.1f} s, {cpu:.1f} s of CPU, {_peak_mb(own):,.0f} MB of memory{gpus}"


def _seconds() -> float:
    """Return the seconds since this process began; since this module was imported where the system does not say."""
    try:
        # Field 22 of proc_pid_stat(5), in clock ticks since the machine started; a name may hold spaces.
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return time.monotonic() - IMPORTED


def _peak_mb(own: resource.struct_rusage) -> float:
    """Return the largest resident set. ``ru_maxrss`` has that of the process that started this one as its floor."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        return own.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def _used_gpus(torch: Any) -> range:
    return range(torch.cuda.device_count()) if torch.cuda.is_initialized() else range(0)


def _log_to(log: str) -> None:
    hide_in_logs()
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(log, mode="w", encoding="utf-8")
    to_terminal = logging.StreamHandler()
    to_terminal.setLevel(logging.WARNING)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=[to_file, to_terminal],
        force=True,
    )
    logging.captureWarnings(True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
