"""What a model is not told of the tokens that it reads: which it has written itself, and which came before them.

Given and written tokens look alike to it. An edit of some positions (see ``models.editing.edits``) has to tell them
apart, so what reads them for it says so here (see ``decoding``). A text that is only scored is given, all of it. And of
tokens that a cache holds, only keys and values are left; what goes by the whole text (see ``models.mitigating``) is
told it here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch


class SoFar(NamedTuple):
    """All tokens that rows hold, those of the cache and those that are read: ids and which count, (rows, places)."""

    context: torch.Tensor
    mask: torch.Tensor


_written: ContextVar[torch.Tensor | bool] = ContextVar("written", default=False)
_so_far: ContextVar[SoFar | None] = ContextVar("so_far", default=None)


@contextmanager
def reading_written(written: torch.Tensor | bool) -> Iterator[None]:
    """Say which of the tokens read meanwhile the model wrote: all, none, or a mask, (rows, tokens)."""
    token = _written.set(written)
    try:
        yield
    finally:
        _written.reset(token)


def written_tokens() -> torch.Tensor | bool:
    """Return what was last said of the tokens that are being read: False where nobody said anything."""
    return _written.get()


@contextmanager
def reading_after(context: torch.Tensor, mask: torch.Tensor) -> Iterator[None]:
    """Say what all tokens are that rows hold, cached ones and those read meanwhile, see ``SoFar``."""
    token = _so_far.set(SoFar(context, mask))
    try:
        yield
    finally:
        _so_far.reset(token)


def tokens_so_far() -> SoFar | None:
    """Return what was last said of all tokens of rows that are read with a cache; None where nobody said anything."""
    return _so_far.get()
