"""Batches that shrink when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


def cut(items: Sequence[Item], size: int) -> list[list[Item]]:
    """Return ``items`` in batches of ``size``; the last may be smaller."""
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def shrinking(batches: Iterable[list[Item]], work: Callable[[list[Item]], Result]) -> Iterator[Result]:
    """Yield ``work(batch)`` of every batch, in parts where a whole one does not fit into memory.

    A batch that runs out of memory is halved and tried again, and later ones are cut to what fitted.

    Raises:
        torch.OutOfMemoryError: a single item does not fit.
    """
    limit: int | None = None
    for batch in batches:
        pending = cut(batch, limit or len(batch))
        while pending:
            part = pending.pop(0)
            try:
                result = work(part)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or len(part) == 1:
                    raise
                limit = (len(part) + 1) // 2
            else:
                yield result
                continue
            # Outside the handler: the traceback would keep the tensors of the failed try alive.
            logger.warning("out of memory with %d prompts at once; going on with %d", len(part), limit)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            pending = cut([item for rest in (part, *pending) for item in rest], limit)


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether memory ran out: that of an accelerator, or the machine's (torch then raises a bare RuntimeError)."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)
