"""Progress in occasional whole lines, because bars of concurrent jobs would overwrite one another.

If ``LEAKSCOPE_PROGRESS`` is ``log``, lines go to the job's log instead of the terminal. This project's logger plugin
for Snakemake sets it and reports the progress of jobs itself.
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
    """Yield ``items`` and write a progress line every ten seconds; none for a quick job.

    If not all items are taken, close the generator, or the lines of the next one are indented.

    Args:
        items: the items to process.
        total: the sum of their sizes.
        name: name in the progress line.
        unit: the counted unit, in the singular.
        size: the size of an item.
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
    """Write a line to the terminal, or to the job's log if ``LEAKSCOPE_PROGRESS`` is ``log``."""
    if os.environ.get("LEAKSCOPE_PROGRESS") == "log":
        logger.info("%s", line)
    else:
        (stream or sys.stderr).write(f"{line}\n")


class _Lines:
    """A stream that writes each update of a bar as its own line."""

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
