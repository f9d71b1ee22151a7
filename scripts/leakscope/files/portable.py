"""Paths that say nothing of the machine they were written on: names for the folders that every machine has.

``<checkout>`` is leakscope's own folder, ``~`` the user's; what is in the working directory stands without it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from leakscope.files.finding import CHECKOUT

HOME = "~"
OWN = "<checkout>"
# A path of this machine: at the beginning of a text, or of a value in it (`--store=/data/store`).
_ABSOLUTE = re.compile(r"(?:(?<=^)|(?<=[=:,;\s\"'\[]))/(?:[^/\s,;\"'\]]+/)+(?=[^/\s,;\"'\]]+)")


def portable(text: str) -> str:
    """Return a text in which the folders of this machine, wherever they stand, have names that every machine knows."""
    for folder, name in _folders():
        text = re.sub(rf"(?<![\w/.~-]){re.escape(folder)}/", f"{name}/" if name else "", text)
        text = re.sub(rf"(?<![\w/.~-]){re.escape(folder)}(?![\w/.-])", name or ".", text)
    return text


def without_places(text: str) -> str:
    """Return a ``portable`` text of whose other absolute paths the last part alone is left (``…/name``)."""
    return _ABSOLUTE.sub("…/", portable(text))


def _folders() -> list[tuple[str, str]]:
    """Return folders of this machine and their names, those first that are inside others."""
    named = [(str(Path.cwd()), ""), (str(CHECKOUT), OWN), (str(Path.home()), HOME)]
    named += [(os.path.realpath(folder), name) for folder, name in named]
    # The first of a folder that has two names counts: in the checkout, paths are relative.
    folders = {folder: name for folder, name in reversed(named) if len(Path(folder).parts) > 1}
    return sorted(folders.items(), key=lambda item: -len(item[0]))
