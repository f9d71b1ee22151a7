"""Paths without folders of a specific machine, for reports and manifests.

``<checkout>`` is leakscope's folder, ``~`` the user's home; paths in the working directory are relative.
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
    """Return a text in which this machine's working directory, checkout and home folder have portable names."""
    for folder, name in _folders():
        text = re.sub(rf"(?<![\w/.~-]){re.escape(folder)}/", f"{name}/" if name else "", text)
        text = re.sub(rf"(?<![\w/.~-]){re.escape(folder)}(?![\w/.-])", name or ".", text)
    return text


def without_places(text: str) -> str:
    """Return a ``portable`` text in which other absolute paths are reduced to their last part (``…/name``)."""
    return _ABSOLUTE.sub("…/", portable(text))


def _folders() -> list[tuple[str, str]]:
    """Return folders of this machine and their portable names, inner folders first."""
    named = [(str(Path.cwd()), ""), (str(CHECKOUT), OWN), (str(Path.home()), HOME)]
    named += [(os.path.realpath(folder), name) for folder, name in named]
    # If a folder has two names, the first counts: in the checkout, paths are relative.
    folders = {folder: name for folder, name in reversed(named) if len(Path(folder).parts) > 1}
    return sorted(folders.items(), key=lambda item: -len(item[0]))
