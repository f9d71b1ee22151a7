"""Where a file is: what a user names in the working directory, else in the checkout that holds the workflow.

Where the checkout is the working directory, as mostly, paths stay relative: a moved or copied checkout is the same
to Snakemake.
"""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]


def found(path: str) -> str:
    """Return a path that can be opened from the working directory.

    A relative path that is not there is looked up in the checkout; one that is in neither is returned as it is, for who
    opens it to refuse (``places`` says where it was looked for).
    """
    inside = CHECKOUT / path
    return str(inside) if not Path(path).exists() and inside.exists() else path


def own(path: str) -> str:
    """Return the path of a file of the checkout itself: relative where that is the working directory."""
    return path if Path.cwd() == CHECKOUT else str(CHECKOUT / path)


def places(path: str) -> str:
    """Return, for an error, where a path was looked for."""
    if Path(path).is_absolute() or Path.cwd() == CHECKOUT:
        return repr(path)
    return f"{path!r} (neither in {Path.cwd()} nor in {CHECKOUT})"
