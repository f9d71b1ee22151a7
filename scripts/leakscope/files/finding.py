"""Where a file is: what a user names in the working directory, else in the checkout that holds the workflow.

Where the checkout is the working directory, as mostly, paths stay relative: a moved or copied checkout is the same
to Snakemake. Elsewhere those of the checkout are absolute, and a user's own stay relative. In a module with a
``prefix:`` all are absolute: Snakemake puts the prefix before every relative path, there already or not.
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

    A relative path that is not there is looked up in the checkout; one that is in neither is returned as it is, for who
    opens it to refuse (``places`` says where it was looked for).

    Args:
        path: of a file or folder, or a pattern of paths.
        absolute: whether a path of the working directory is to be absolute, too.
    """
    if _is_there(path):
        return os.path.abspath(path) if absolute else path
    return own(path, absolute=absolute) if _is_there(str(CHECKOUT / path)) else path


def own(path: str, *, absolute: bool = False) -> str:
    """Return the path of a file of the checkout itself: relative where that is the working directory."""
    return path if _is_home() and not absolute else str(CHECKOUT / path)


def check_braces(path: str, where: str) -> str:
    """Return a path that Snakemake may be given: it takes what stands in braces for a wildcard.

    Raises:
        InputError: there is such a thing in it.
    """
    found = _BRACES.search(path)
    if found:
        raise InputError(f"{where}: got {found[0]!r} in the path {path!r}; allowed: a path without braces.")
    return path


def folders(path: str, *, absolute: bool = False) -> list[Path]:
    """Return the folders of a name in which files are looked up one by one: the user's, where it is, then our own."""
    here = [] if _is_home() or not os.path.isdir(path) else [os.path.abspath(path) if absolute else path]
    return [Path(folder) for folder in (*here, own(path, absolute=absolute))]


def places(path: str) -> str:
    """Return, for an error, a path, and where it was looked for if it is not there."""
    if os.path.isabs(path) or _is_home() or _is_there(path):
        return repr(path)
    return f"{path!r} (neither in {Path.cwd()} nor in {CHECKOUT})"


def _is_there(path: str) -> bool:
    return os.path.exists(path) or any(glob.iglob(path, recursive=True))


def _is_home() -> bool:
    return Path.cwd() == CHECKOUT
