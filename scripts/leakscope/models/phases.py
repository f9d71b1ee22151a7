"""Which tokens a model reads as what it was given, and which as what it has written itself.

Both look alike to it. An edit of some positions (see ``models.editing.edits``) has to tell them apart, so what reads
them for it says so here (see ``decoding``). A text that is only scored is given, all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_written: ContextVar[torch.Tensor | bool] = ContextVar("written", default=False)


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
