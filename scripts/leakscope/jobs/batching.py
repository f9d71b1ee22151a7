"""Batches that shrink when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch

from leakscope.errors import InputError

logger = logging.getLogger(__name__)

OUT_OF_MEMORY = ("DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
NO_ROOM = (
    "out of memory with a single prompt: got too little memory next to the weights; allowed: a machine or "
    "`device` with more, `dtype: bfloat16`, or a smaller `max_new_tokens`."
)

Item = TypeVar("Item")
Result = TypeVar("Result")


def cut(items: Sequence[Item], size: int) -> list[list[Item]]:
    """Return ``items`` in batches of ``size``; the last may be smaller."""
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def shrinking(
    batches: Iterable[list[Item]],
    work: Callable[[list[Item]], Result],
    halve: Callable[[Item], list[Item]] = lambda item: [item],
) -> Iterator[Result]:
    """Yield ``work(batch)`` for every batch, in smaller batches if memory runs out.

    A batch that runs out of memory is halved and tried again; later batches keep the smaller size.

    Args:
        batches: the batches.
        work: processes a batch.
        halve: divides a single item; returns an indivisible item unchanged.

    Raises:
        InputError: a single item does not fit into memory.
    """
    limit: int | None = None
    for batch in batches:
        pending = cut(batch, limit or len(batch))
        while pending:
            part = pending.pop(0)
            try:
                result = work(part)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            else:
                yield result
                continue
            # Outside the handler: the traceback would keep the tensors of the failed try alive.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if len(part) == 1:
                part = halve(part[0])
                if len(part) == 1:
                    raise InputError(NO_ROOM)
            limit = (len(part) + 1) // 2
            logger.warning("out of memory; going on with %d prompts at once", limit)
            pending = cut([item for rest in (part, *pending) for item in rest], limit)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an accelerator or the machine ran out of memory (for the latter, torch raises RuntimeError)."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)
