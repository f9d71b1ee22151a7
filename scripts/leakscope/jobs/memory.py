"""The memory of a process that computes with large tensors on a CPU."""

from __future__ import annotations

import ctypes
import sys

# Options of glibc's mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the allocator keep the memory of freed tensors for the next ones; return whether it does.

    By default glibc gives large blocks back to the system at once and takes fresh pages for the next tensor, each of
    which the system has to clear first: with a vocabulary of 150,000 that was a tenth to a fifth of all time. Where
    there is no glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    # Older glibc refuses a threshold above 32 MB.
    mapped = any(mallopt(M_MMAP_THRESHOLD, threshold) for threshold in (LARGEST, 2**25))
    trimmed = mallopt(M_TRIM_THRESHOLD, LARGEST)
    return bool(mapped and trimmed)
