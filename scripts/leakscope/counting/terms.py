"""The search terms of a study's axes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from leakscope.counting.lexicons import read_concepts
from leakscope.counting.mentions import Terms


def terms_of(axes: Mapping[str, Mapping[str, str]]) -> Terms:
    """Return the terms of all lexicons of the axes, prepared for a search in one pass.

    Args:
        axes: name → ``subjects`` and ``groups``, the paths of their lexicons.
    """
    paths = sorted({path for lexicons in axes.values() for path in lexicons.values()})
    lexicons = {path: {concept.id: concept.terms for concept in read_concepts(Path(path))} for path in paths}
    return Terms(lexicons, {axis: (files["subjects"], files["groups"]) for axis, files in axes.items()})
