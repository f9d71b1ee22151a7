"""Resolving paths: a user's path is looked up in the working directory, then in the checkout of the workflow.

If the checkout is the working directory, all paths stay relative, so that Snakemake reruns nothing in a moved or copied
checkout. In another working directory, paths in the checkout are absolute and a user's own stay relative. In a module
with a ``prefix:`` all paths are absolute, because Snakemake prepends the prefix to every relative path.
"""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from leakscope.errors import InputError

CHECKOUT = Path(__file__).resolve().parents[3]
_BRACES = re.compile(r"\{[^{}]*\}")


def found(path: str, *, absolute: bool = False) -> str:
    """Return a path that can be opened from the working directory.

    A relative path that does not exist there is looked up in the checkout. A path in neither is returned unchanged, so
    that the code that opens it raises the error (``places`` describes where it was looked up).

    Args:
        path: a file, a folder or a pattern.
        absolute: whether to return an absolute path in the working directory too.
    """
    if _is_there(path):
        return os.path.abspath(path) if absolute else path
    return own(path, absolute=absolute) if _is_there(str(CHECKOUT / path)) else path


def own(path: str, *, absolute: bool = False) -> str:
    """Return the path of a file of the checkout, relative if the checkout is the working directory."""
    return path if _is_home() and not absolute else str(CHECKOUT / path)


def check_braces(path: str, where: str) -> str:
    """Return a path unchanged if Snakemake can use it: text in braces would be a wildcard.

    Raises:
        InputError: the path contains braces.
    """
    found = _BRACES.search(path)
    if found:
        raise InputError(f"{where}: got {found[0]!r} in the path {path!r}; allowed: a path without braces.")
    return path


def folders(path: str, *, absolute: bool = False) -> list[Path]:
    """Return the folders in which single files are looked up: the user's folder if it exists, then the checkout's."""
    here = [] if _is_home() or not os.path.isdir(path) else [os.path.abspath(path) if absolute else path]
    return [Path(folder) for folder in (*here, own(path, absolute=absolute))]


def places(path: str) -> str:
    """Return a path for an error message, with the folders where it was looked up if it does not exist."""
    if os.path.isabs(path) or _is_home() or _is_there(path):
        return repr(path)
    return f"{path!r} (neither in {Path.cwd()} nor in {CHECKOUT})"


def _is_there(path: str) -> bool:
    return os.path.exists(path) or any(glob.iglob(path, recursive=True))


def _is_home() -> bool:
    return Path.cwd() == CHECKOUT
