"""Figures whose size can be computed without drawing, because drawing takes long."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from matplotlib.figure import Figure

_ASKED: ContextVar[bool] = ContextVar("asked for sizes alone", default=False)
Size = tuple[float, float]  # width and height, inches


class SizedFigure(Figure):
    """A figure that stops before it has axes when only its size is needed."""

    def subplots(self, *args: Any, **kwargs: Any) -> Any:
        """Return axes as any figure does."""
        if _ASKED.get():
            raise _SizedError(self)
        return super().subplots(*args, **kwargs)


class _SizedError(Exception):
    """The size of a figure is known."""

    def __init__(self, sheet: SizedFigure) -> None:
        super().__init__()
        self.size: Size = size_of(sheet)


def sheet(width: float, height: float) -> SizedFigure:
    """Return a figure of this size in inches, whose axes are set so that no text is cut off."""
    return SizedFigure(figsize=(width, height), layout="constrained")


def size_of(fig: Figure) -> Size:
    """Return a figure's width and height."""
    width, height = fig.get_size_inches()
    return float(width), float(height)


def size_alone(draw: Callable[[], Figure]) -> Size:
    """Return the size of a drawing without legends and notes; draws the whole figure if it is no sheet."""
    token = _ASKED.set(True)
    try:
        return size_of(draw())
    except _SizedError as known:
        return known.size
    finally:
        _ASKED.reset(token)
