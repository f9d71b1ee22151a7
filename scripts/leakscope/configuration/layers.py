"""What the catalogue, config.yaml, a study's file and the command line say, laid over one another.

Mappings are merged key by key, everything else is replaced. An entry of a catalogue that says what it is (``COMPLETE``)
replaces the entry of the same name below it, and some mappings replace those below them as a whole.
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
# An entry with one of these keys is complete, not a change to the entry of the same name below it.
COMPLETE = ("source", "kind", "extends", "loss")
# Catalogues, of which a layer replaces complete entries; and what a layer replaces whole.
REPLACED = (
    *((catalogue,) for catalogue in (*CATALOGUES, "mitigations")),
    ("validate", "methods"),
    ("features", "explainers"),
)
REPLACED_WHOLE = (("ground", "axes"), ("validate", "tasks"), ("features", "dictionaries"), ("features", "contrasts"))

Place = tuple[object, ...]


def shipped(checkout: Path) -> dict[str, Any]:
    """Return what stands beneath every study: the files of ``data/catalogue/`` in the order of names, and config.yaml.

    Raises:
        InputError: one of them cannot be read.
    """
    files = [*sorted((checkout / "data/catalogue").glob("*.yaml")), checkout / "config.yaml"]
    return lay(*map(read_yaml, files))


def lay(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain builtins: each layer over those before it. The arguments are left as they are.

    Raises:
        InputError: a key is no text, or a number is not finite.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _over(merged, _plain(layer, ()), ())
    return merged


def overridden(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``below`` overridden by ``above``: mappings key by key, everything else whole."""
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
    """Say whether a mapping stands for itself, whatever is below it."""
    return path in REPLACED_WHOLE or (path[:-1] in REPLACED and any(key in value for key in COMPLETE))


def _plain(value: Any, path: Place) -> Any:
    """Return a deep copy of plain builtins, refusing what only looks like a key or a number."""
    if isinstance(value, Mapping):
        if path[:1] == ("ground",):
            # Codes and windows look like numbers to YAML, and are names all the same.
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
