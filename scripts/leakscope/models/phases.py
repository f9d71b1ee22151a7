"""Context for hooks on a model: which tokens the model wrote itself, and the full text behind a cache.

A model cannot distinguish input tokens from its own output, but an edit of some positions has to (see
``models.editing.edits``), so readers declare them here (see ``decoding``). A text that is only scored counts as input.
A cache has only keys and values of earlier tokens; mitigations that need the whole text (see ``models.mitigating``) get
it from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch


class SoFar(NamedTuple):
    """All tokens of rows, cached and new: ids, and a mask of those that count, (rows, places)."""

    context: torch.Tensor
    mask: torch.Tensor


_written: ContextVar[torch.Tensor | bool] = ContextVar("written", default=False)
_so_far: ContextVar[SoFar | None] = ContextVar("so_far", default=None)


@contextmanager
def reading_written(written: torch.Tensor | bool) -> Iterator[None]:
    """Declare which of the tokens read inside the context the model wrote: all, none, or a mask, (rows, tokens)."""
    token = _written.set(written)
    try:
        yield
    finally:
        _written.reset(token)


def written_tokens() -> torch.Tensor | bool:
    """Return the current declaration of ``reading_written``; False if there is none."""
    return _written.get()


@contextmanager
def reading_after(context: torch.Tensor, mask: torch.Tensor) -> Iterator[None]:
    """Declare, inside the context, all tokens of the rows, cached and new (see ``SoFar``)."""
    token = _so_far.set(SoFar(context, mask))
    try:
        yield
    finally:
        _so_far.reset(token)


def tokens_so_far() -> SoFar | None:
    """Return the current declaration of ``reading_after``; None if there is none."""
    return _so_far.get()
