"""What differs in the settings of two results: configuration, hashes of models and prompts, versions, machines."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pandas as pd

from leakscope.results.comparing.sides import ComparedSide

COLUMNS = ["part", "key", "a", "b"]
# Names, remarks, and folders: they decide no number.
SAID = ("label", "description", "path", "weights")
REMARKED = ("configuration", "models")
LEFT_OUT = ("study.name", "store")
ONE = "the model"
"""What the one model of each side is called, whatever its name."""


def setting_differences(a: ComparedSide, b: ComparedSide) -> pd.DataFrame:
    """Return ``COLUMNS``, a row a setting that is not the same: its part, its key, and both values as text.

    Of models that one side lacks nothing is said but that. Where each side has one model, its settings are compared
    with those of the other's, whatever the two are called. A value that one side lacks is empty.
    """
    sides = [_by_role(side, one=len(a.models) == len(b.models) == 1) for side in (a, b)]
    shared = set.intersection(*({*settings["configuration"]["models"]} for settings in sides))
    known = [dict(_flat(_of_models(settings, shared))) for settings in sides]
    keys = list(dict.fromkeys([*known[0], *known[1]]))
    rows = [(*key, *(side.get(key, "") for side in known)) for key in keys if known[0].get(key) != known[1].get(key)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _by_role(side: ComparedSide, *, one: bool) -> dict[str, Any]:
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


def _of_models(settings: Mapping[str, Any], kept: Collection[str]) -> dict[str, Any]:
    """Return the settings without those of other models."""
    configuration, manifests = settings["configuration"], settings.get("models", {})
    entries = {name: entry for name, entry in configuration["models"].items() if name in kept}
    known = {name: manifest for name, manifest in manifests.items() if name in kept}
    return {**settings, "configuration": {**configuration, "models": entries}, "models": known}


def _renamed(entries: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in entries.items()}


def _flat(settings: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield (part, dotted key) and the value as text."""
    for part, content in settings.items():
        for keys, value in _leaves(content, ()):
            name = ".".join(keys)
            if name not in LEFT_OUT and not (part in REMARKED and keys and keys[-1] in SAID):
                yield (part, name), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _leaves(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*keys, str(key)))
    else:
        yield keys, value
