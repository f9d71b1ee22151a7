"""Progress as whole lines, now and then: bars of jobs that run side by side would overwrite one another.

Where ``LEAKSCOPE_PROGRESS`` is ``log``, lines go to the job's log instead of the terminal: Snakemake's logger plugin of
this project, which sets it, says itself how far jobs are.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Generator, Iterable
from typing import NoReturn, TextIO, TypeVar

from tqdm import tqdm

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0
LINE = "{desc}  {bar:20} {percentage:3.0f} %  {n_fmt} of {total_fmt} {unit}s, {remaining} left"

Item = TypeVar("Item")


def progress(
    items: Iterable[Item], *, total: int, name: str, unit: str, size: Callable[[Item], int] = lambda item: 1
) -> Generator[Item, None, None]:
    """Yield ``items``, and every ten seconds a line on how far they are; a quick job prints none.

    Who does not take all of them closes it, or the lines of the next one are indented below it.

    Args:
        items: what is worked through.
        total: the sum of their sizes.
        name: of the line.
        unit: what is counted, in the singular.
        size: how much an item counts.
    """
    bar: tqdm[NoReturn] = tqdm(
        total=total,
        desc=name,
        unit=unit,
        mininterval=SECONDS_BETWEEN_LINES,
        delay=SECONDS_BETWEEN_LINES,
        bar_format=LINE,
        ascii=" .#",
        ncols=100,
        leave=False,
        file=_Lines(sys.stderr),
    )
    with bar:
        for item in items:
            yield item
            bar.update(size(item))


def say(line: str, stream: TextIO | None = None) -> None:
    """Write a line to the terminal, or to the job's log."""
    if os.environ.get("LEAKSCOPE_PROGRESS") == "log":
        logger.info("%s", line)
    else:
        (stream or sys.stderr).write(f"{line}\n")


class _Lines:
    """A stream on which each redrawing of a bar is a line of its own."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.last = ""

    def write(self, text: str) -> int:
        line = text.replace("\r", "").strip()
        if line and line != self.last:
            say(line, self.stream)
            self.last = line
        return len(text)

    def flush(self) -> None:
        self.stream.flush()
