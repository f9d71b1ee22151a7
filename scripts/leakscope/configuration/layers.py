"""The merge of the catalogue, config.yaml, a study's file and the command line.

Mappings are merged key by key; all other values are replaced. A catalogue entry with a key of ``COMPLETE`` replaces the
entry of the same name in lower layers, and mappings in ``REPLACED_WHOLE`` replace those in lower layers.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leakscope.errors import InputError
from leakscope.files.reading_yaml import read_yaml
from leakscope.typed.wording import dotted, show

CATALOGUES = ("models", "prompt_sets", "scorers")
# An entry with one of these keys is complete: it does not change the entry of the same name in a lower layer.
COMPLETE = ("source", "kind", "extends", "loss")
# Catalogues in which a layer replaces complete entries, and mappings that a layer replaces as a whole.
REPLACED = (
    *((catalogue,) for catalogue in (*CATALOGUES, "mitigations")),
    ("validate", "methods"),
    ("features", "explainers"),
)
REPLACED_WHOLE = (("ground", "axes"), ("validate", "tasks"), ("features", "dictionaries"), ("features", "contrasts"))

Place = tuple[object, ...]


def shipped(checkout: Path) -> dict[str, Any]:
    """Return the lowest layers of every study: the files of ``data/catalogue/`` in order of name, then config.yaml.

    Raises:
        InputError: one of them cannot be read.
    """
    files = [*sorted((checkout / "data/catalogue").glob("*.yaml")), checkout / "config.yaml"]
    return lay(*map(read_yaml, files))


def lay(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge layers, later ones over earlier ones, into plain builtins. The arguments are not changed.

    Raises:
        InputError: a key is no text, or a number is not finite.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _over(merged, _plain(layer, ()), ())
    return merged


def overridden(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``below`` overridden by ``above``: mappings key by key, all other values as a whole."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(merged.get(key), dict) and isinstance(value, dict)
        merged[key] = overridden(merged[key], value) if both else copy.deepcopy(value)
    return merged


def _over(below: Mapping[str, Any], above: Mapping[str, Any], path: Place) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        here, old = (*path, key), merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and not _replaces(value, here):
            merged[key] = _over(old, value, here)
        else:
            merged[key] = value
    return merged


def _replaces(value: Mapping[str, Any], path: Place) -> bool:
    """Return whether a mapping replaces the one below it as a whole."""
    return path in REPLACED_WHOLE or (path[:-1] in REPLACED and any(key in value for key in COMPLETE))


def _plain(value: Any, path: Place) -> Any:
    """Return a deep copy as plain builtins; keys must be texts and numbers finite."""
    if isinstance(value, Mapping):
        if path[:1] == ("ground",):
            # YAML reads codes and windows as numbers, but they are names.
            value = {str(key) if type(key) is int else key: item for key, item in value.items()}
        for key in value:
            if not isinstance(key, str):
                where = dotted((*path, key))
                raise InputError(f"{where}: got the key {show(key)}; allowed: text. Put it in quotes.")
        return {str(key): _plain(item, (*path, key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, (*path, position)) for position, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{dotted(path)}: got {value}; allowed: a finite number.")
    return value
