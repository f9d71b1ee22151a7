"""The look of figures that a study may choose: style, widths of a page's columns, font."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.style
from matplotlib import font_manager, rc_params_from_file

from leakscope.errors import InputError

SIZE = 7.0  # points, of the font that all lengths in inches are made for
ENDING = ".mplstyle"
# Keys of the configuration, for errors.
STYLE, FAMILY = "config: figures.style", "config: figures.font.family"


class Looks(NamedTuple):
    """How figures look.

    Args:
        style: name of a matplotlib style, or a style file (``.mplstyle``), applied over leakscope's; None: leakscope's.
        single: width of one column of a page, inches.
        double: width of two columns, inches; no figure is wider.
        family: font family; None: DejaVu Sans.
        size: of the font, points.
    """

    style: str | None = None
    single: float = 3.4
    double: float = 7.0
    family: str | None = None
    size: float = SIZE


DEFAULT = Looks()
_LOOK: ContextVar[Looks] = ContextVar("look", default=DEFAULT)


@contextmanager
def looking(look: Looks) -> Iterator[None]:
    """Use this look for figures drawn inside the context."""
    token = _LOOK.set(look)
    try:
        yield
    finally:
        _LOOK.reset(token)


def look() -> Looks:
    """Return the look in use."""
    return _LOOK.get()


def scale() -> float:
    """Return the font size relative to 7 points, the size assumed by lengths in inches."""
    return look().size / SIZE


def style_settings(style: str) -> Mapping[str, Any]:
    """Return matplotlib's settings of a style.

    Args:
        style: name of a style that matplotlib knows, or path of a file that ends in ``.mplstyle``.

    Raises:
        InputError: there is no such style, or matplotlib cannot read a line of the file.
    """
    if not style.endswith(ENDING):
        if style not in matplotlib.style.library:
            known = ", ".join(matplotlib.style.available)
            raise InputError(f"{STYLE}: got {style!r}; allowed: a file that ends in {ENDING}, or one of {known}.")
        return _plain(matplotlib.style.library[style])
    if not Path(style).is_file():
        raise InputError(f"{STYLE}: got {style!r}; allowed: a file that exists.")
    with _complaints() as complaints:
        try:
            settings = rc_params_from_file(style, fail_on_error=True, use_default_template=False)
        except (ValueError, UnicodeDecodeError) as error:
            complaints.append(str(error))
    if complaints:
        found = " ".join(complaints[0].split())
        raise InputError(f"{STYLE}: got {style!r}; allowed: a file of matplotlib's settings. Matplotlib says: {found}")
    return _plain(settings)


def _plain(settings: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in settings.items()}


def check_family(family: str) -> None:
    """Check that a font family is installed.

    Raises:
        InputError: it is not.
    """
    known = sorted(set(font_manager.get_font_names()))
    if family not in known:
        raise InputError(
            f"{FAMILY}: got {family!r}; allowed: a family that is installed ({', '.join(known)}); if it was "
            f"installed recently, delete fontlist-*.json in {matplotlib.get_cachedir()}."
        )


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collect warnings that matplotlib only logs."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("matplotlib")
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
