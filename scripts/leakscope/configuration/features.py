"""The section ``features`` of a configuration: what each of its entries stands for, in full.

Plain data from plain data; what files say is for ``configuration.checks_features``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any

from leakscope.configuration.schema import dotted, properties, show, types_of
from leakscope.errors import InputError
from leakscope.files.reading_yaml import parse_yaml

# What an edited model's own features are edited by, where it does not say so; `steering` has the same defaults.
OWN_EDIT = {"edit": "add", "coefficient": 5.0, "positions": "all"}
SINGLE = {"features": "feature", "prompts": "prompt"}


def read_steering(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Read the numbers of ``features.steering`` that are text, in place: all are that ``--config`` gives.

    What is no mapping, or no number, is left for the schema to refuse.
    """
    steerings = (config.get("features") or {}).get("steering")
    described = properties(schema["$defs"]["steering"], schema)
    for entry in steerings.values() if isinstance(steerings, dict) else ():
        if isinstance(entry, dict):
            entry.update(
                {key: _numbers_from_text(value, described.get(key, {"type": "string"})) for key, value in entry.items()}
            )


def complete_features(config: dict[str, Any]) -> None:
    """Write out what the entries of ``features``, and edited models, leave to others, in place.

    Each seed of a trained dictionary becomes a dictionary, with ``seed`` instead of ``seeds`` and the ``family`` it is
    of; a dictionary has a ``label``; a steering has ``features`` and ``prompts``, whether it named one or several; a
    model that is edited by its own features says how, and one that is edited against a contrast at which cost.

    Raises:
        InputError: two dictionaries have one name, or a steering names nothing, or the same in two ways.
    """
    features = config["features"]
    features["dictionaries"] = _expand_seeds(features["dictionaries"])
    for name, entry in features["steering"].items():
        _use_plural_keys(("features", "steering", name), entry)
    for entry in config["models"].values():
        if entry["source"] == "edited":
            _complete_edited(entry, features["effects"]["costs"])


def _numbers_from_text(value: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_numbers_from_text(item, schema.get("items", {})) for item in value]
    if not isinstance(value, str) or "string" in types_of(schema):
        return value
    try:
        read = parse_yaml(value, "a number")
    except InputError:
        return value
    return read if isinstance(read, (bool, int, float, NoneType)) else value


def _expand_seeds(dictionaries: Mapping[str, Any]) -> dict[str, Any]:
    expanded: dict[str, Any] = {}
    for written, entry in dictionaries.items():
        for name, one in _seeded(written, entry):
            if name in expanded or (name != written and name in dictionaries):
                raise InputError(
                    f"{dotted(('features', 'dictionaries', written))}: got the dictionary {name!r} twice; allowed: "
                    "seeds that give names of their own."
                )
            expanded[name] = one
    return expanded


def _seeded(name: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the dictionaries of an entry, each with its name."""
    label = entry.get("label", name)
    if entry["source"] != "trained":
        yield name, {**entry, "label": label}
        return
    shared = {key: value for key, value in entry.items() if key != "seeds"}
    for seed in entry["seeds"]:
        one = {**shared, "seed": seed, "family": name, "family_label": label}
        several = len(entry["seeds"]) > 1
        yield (
            (f"{name}.s{seed}", {**one, "label": f"{label}, seed {seed}"})
            if several
            else (name, one | {"label": label})
        )


def _use_plural_keys(where: tuple[str, ...], entry: dict[str, Any]) -> None:
    """Let a steering say what it edits, and what is continued, in one way."""
    for several, one in SINGLE.items():
        if entry[several] is not None and entry[one] is not None:
            both = f"{show(entry[one])} beside {several}"
            raise InputError(f"{dotted((*where, one))}: got {both}; allowed: one of the two.")
        if entry[several] is None and entry[one] is None:
            raise InputError(f"{dotted((*where, one))}: got nothing; allowed: {one} or {several}.")
        single = entry.pop(one)
        entry[several] = [single] if entry[several] is None else entry[several]


def _complete_edited(entry: dict[str, Any], costs: list[float]) -> None:
    if entry["features"] is not None:
        entry.update({key: value for key, value in OWN_EDIT.items() if entry[key] is None})
    elif entry["cost"] is None:
        entry["cost"] = float(max(costs))
