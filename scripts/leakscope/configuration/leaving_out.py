"""A study without some of its models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leakscope.configuration.resolved import judges
from leakscope.errors import InputError, one_of


def leave_out(config: dict[str, Any]) -> None:
    """Remove the models of ``without`` from a study, with all models made from them and all entries that need one.

    Steps that become empty are also removed.

    Raises:
        InputError: a name is no model, or no model remains.
    """
    models, left_out = config["models"], config["without"]
    for name in left_out:
        if name not in models:
            raise one_of("without", name, models)
    if not left_out:
        return
    gone = {name for name in models if lineage(name, models) & {*left_out}}
    _from_ground(config["ground"], gone)
    _from_validate(config["validate"], gone)
    _from_features(config["features"], gone)
    _from_trace(config)
    _from_scorers(config, gone)
    primary = config["leak"]["primary"]
    # A family without any of its models is empty; `null` would mean all models.
    if primary["models"] is not None:
        primary["models"] = [name for name in primary["models"] if name not in gone]
    study = config["study"]
    study["models"] = [name for name in study["models"] if name not in gone]
    needed = {"ground": config["ground"]["axes"], "features": config["features"]["dictionaries"]}
    study["steps"] = [step for step in study["steps"] if needed.get(step, True)]
    if not study["models"] or not study["steps"]:
        names = ", ".join(left_out)
        raise InputError(f"without: got {names}, which leaves no model; allowed: some of the study's models, not all.")


def lineage(name: str, models: Mapping[str, Any]) -> set[str]:
    """Return a model and all models it is made from."""
    base = models[name].get("base")
    return {name} if base is None else {name} | lineage(base, models)


def _from_ground(ground: dict[str, Any], gone: set[str]) -> None:
    pairs = ground["aligned_pairs"].items()
    ground["aligned_pairs"] = {model: base for model, base in pairs if not {model, base} & gone}
    axes = ground["axes"].items()
    ground["axes"] = {name: axis for name, axis in axes if (axis["counts"] or {}).get("model") not in gone}


def _from_validate(validate: dict[str, Any], gone: set[str]) -> None:
    tuned = validate["tuned"]
    if tuned is not None:
        tuned["models"] = [name for name in tuned["models"] if name not in gone]
        validate["tuned"] = tuned if tuned["models"] else None


def _from_features(features: dict[str, Any], gone: set[str]) -> None:
    entries = features["dictionaries"].items()
    features["dictionaries"] = {name: entry for name, entry in entries if entry["model"] not in gone}
    lost = {name for name, _ in entries} - set(features["dictionaries"])
    for name, contrast in list(features["contrasts"].items()):
        if contrast["dictionaries"] is not None:
            contrast["dictionaries"] = [each for each in contrast["dictionaries"] if each not in lost]
            if not contrast["dictionaries"]:
                del features["contrasts"][name]


def _from_scorers(config: dict[str, Any], gone: set[str]) -> None:
    """Remove judges whose model is removed."""
    study, judged_by = config["study"], {name: config["scorers"][name]["model"] for name in judges(config)}
    study["scorers"] = [name for name in study["scorers"] if judged_by.get(name) not in gone]


def _from_trace(config: dict[str, Any]) -> None:
    """Remove mitigations whose dictionary is removed; models with one were removed with the dictionary's model."""
    known, tried = config["features"]["dictionaries"], config["trace"]["mitigations"]
    config["trace"]["mitigations"] = [
        name for name in tried if config["mitigations"][name].get("dictionary") in (None, *known)
    ]
