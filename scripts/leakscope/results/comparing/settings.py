"""What differs in the settings of two results: configuration, hashes of models and prompts, versions, machines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from leakscope.results.comparing.sides import Side

COLUMNS = ["part", "key", "a", "b"]
# Names, remarks, and folders: they decide no number.
SAID = ("label", "description", "path")
LEFT_OUT = ("study.name", "store")
ONE = "the model"
"""What the one model of each side is called, whatever its name."""


def setting_differences(a: Side, b: Side) -> pd.DataFrame:
    """Return ``COLUMNS``, a row a setting that is not the same: its part, its key, and both values as text.

    Where each side has one model, its settings are compared with those of the other's, whatever the two are called. A
    value that one side lacks is empty.
    """
    one = len(a.models) == len(b.models) == 1
    known = [dict(_flat(_by_role(side, one=one))) for side in (a, b)]
    keys = list(dict.fromkeys([*known[0], *known[1]]))
    rows = [(*key, *(side.get(key, "") for side in known)) for key in keys if known[0].get(key) != known[1].get(key)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _by_role(side: Side, *, one: bool) -> dict[str, Any]:
    """Return the settings with the one model under a name that both sides have."""
    settings = {**side.settings}
    configuration = {**settings["configuration"]}
    if one:
        names = {side.models[0]: ONE}
        settings["models"] = _renamed(settings.get("models", {}), names)
        configuration["models"] = _renamed(configuration["models"], names)
        study = configuration["study"]
        configuration["study"] = {**study, "models": [names.get(name, name) for name in study["models"]]}
    return {**settings, "configuration": configuration}


def _renamed(entries: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in entries.items()}


def _flat(settings: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield (part, dotted key) and the value as text."""
    for part, content in settings.items():
        for keys, value in _leaves(content, ()):
            name = ".".join(keys)
            if name not in LEFT_OUT and not (part == "configuration" and keys and keys[-1] in SAID):
                yield (part, name), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _leaves(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*keys, str(key)))
    else:
        yield keys, value
