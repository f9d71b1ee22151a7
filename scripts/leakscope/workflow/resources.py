"""Resources of jobs, as functions of a job's wildcards and the attempt number."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from leakscope.jobs.resources import Needs

Resource = Callable[..., int]
Key = TypeVar("Key")


def growing(amount: int) -> Resource:
    """Return a resource proportional to the attempt number: MB of memory, or minutes."""

    def resource(wildcards: Any, attempt: int) -> int:
        return amount * attempt

    return resource


def growing_with_files(base_mb: int, times: int = 1) -> Resource:
    """Return memory in MB: a base plus ``times`` the size of the largest of a job's ``files``."""

    def resource(wildcards: Any, input: Any, attempt: int) -> int:
        return (base_mb + times * largest_mb(input.files)) * attempt

    return resource


def on_model(needs: Callable[[Key], Needs], model: Callable[[Any], Key]) -> dict[str, Resource]:
    """Return GPUs, MB of memory and minutes of a job that uses a model.

    Memory grows with every attempt. Time does not: written results are kept, and partitions have time limits.

    Args:
        needs: model, and its use if that matters → resources.
        model: a job's wildcards → these.
    """

    def mem_mb(wildcards: Any, attempt: int) -> int:
        return needs(model(wildcards)).memory_mb * attempt

    return {
        "gpu": lambda wildcards: needs(model(wildcards)).gpus,
        "mem_mb": mem_mb,
        "runtime": lambda wildcards: needs(model(wildcards)).minutes,
    }


def largest_mb(files: str | Iterable[str]) -> int:
    """Return the size of the largest file in MB, rounded down; 0 if there is none."""
    return (
        max((Path(file).stat().st_size for file in ([files] if isinstance(files, str) else files)), default=0) // 10**6
    )
