"""Skips a model's first blocks: the model continues from given residuals (for activation patching)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch


def width_of(output: Any) -> int | None:
    """Return the number of values in the tuple that a block returns; None for a bare tensor."""
    return len(output) if isinstance(output, tuple) else None


@contextmanager
def passed_over(
    blocks: Sequence[torch.nn.Module], residuals: torch.Tensor, widths: Mapping[int, int | None]
) -> Iterator[None]:
    """Let blocks return given residuals without computing, in the format of their own output, inside the context.

    Args:
        blocks: to be skipped.
        residuals: returned instead, [rows, tokens, d].
        widths: number of the block → ``width_of`` its output.
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
