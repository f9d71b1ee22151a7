"""Blocks that are passed over: their model goes on from residuals that it has made before, or that were made for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch


def width_of(output: Any) -> int | None:
    """Return how many values a block returns in a tuple; None of a bare tensor."""
    return len(output) if isinstance(output, tuple) else None


@contextmanager
def passed_over(
    blocks: Sequence[torch.nn.Module], residuals: torch.Tensor, widths: Mapping[int, int | None]
) -> Iterator[None]:
    """Let the first blocks of a model return residuals at once, each in the form in which it returns its own.

    Args:
        blocks: those that compute nothing meanwhile.
        residuals: what they return, [rows, tokens, d].
        widths: number of the block → ``width_of`` what it returns.
    """
    # Not by hooks: those come after a block has done its work. What an instance has as its `forward` goes before its
    # class's; where there is one already, it is put back (models on several devices have one).
    own = [vars(block).get("forward") for block in blocks]
    try:
        for number, block in enumerate(blocks):
            width = widths[number]
            output = residuals if width is None else (residuals, *[None] * (width - 1))
            vars(block)["forward"] = partial(_return, output)
        yield
    finally:
        for block, forward in zip(blocks, own, strict=True):
            vars(block).pop("forward", None)
            if forward is not None:
                vars(block)["forward"] = forward


def _return(value: Any, *_: Any, **__: Any) -> Any:
    return value
