"""What jobs ask for, as functions that Snakemake calls with a job's wildcards and the number of the try."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from leakscope.jobs.resources import Needs

Resource = Callable[..., int]
Key = TypeVar("Key")


def growing(amount: int) -> Resource:
    """Return a resource that grows by as much with every further try of a job: MB of memory, or minutes."""

    def resource(wildcards: Any, attempt: int) -> int:
        return amount * attempt

    return resource


def growing_with_files(base_mb: int, times: int = 1) -> Resource:
    """Return an amount of memory, in MB, that has room for the largest of a job's ``files``, so many times of it."""

    def resource(wildcards: Any, input: Any, attempt: int) -> int:
        return (base_mb + times * largest_mb(input.files)) * attempt

    return resource


def on_model(needs: Callable[[Key], Needs], model: Callable[[Any], Key]) -> dict[str, Resource]:
    """Return GPUs, MB of memory and minutes of a job with a model.

    Memory grows with every try. Time does not: what was written is kept, and partitions have limits.

    Args:
        needs: model, and what is done with it where that matters → what its jobs need.
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
    """Return the size of the largest of some files in MB, rounded down; 0 where there is none."""
    return (
        max((Path(file).stat().st_size for file in ([files] if isinstance(files, str) else files)), default=0) // 10**6
    )
