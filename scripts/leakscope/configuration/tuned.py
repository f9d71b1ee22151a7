"""Models made from others: the combinations of ``validate.tuned``, and the keys inherited from bases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leakscope.errors import InputError, one_of
from leakscope.typed.wording import dotted

# Allowed sources of the base, by source of the model.
WHOLE = ("organism", "hub", "local", "package")
BASES = {
    "adapter": WHOLE,
    "tuned": WHOLE,
    "edited": (*WHOLE, "adapter", "tuned"),
    "mitigated": (*WHOLE, "adapter", "tuned"),
    "randomised": WHOLE,
}
INHERITED = (
    "chat",
    "chat_template_kwargs",
    "device",
    "dtype",
    "parameters",
    "quantization",
    "thinking",
    "trust_remote_code",
)


def add_tuned_models(config: dict[str, Any]) -> None:
    """Add the models of ``validate.tuned``, and the bases missing from the study.

    A base precedes the models made from it. Combinations of ``validate.tuned`` follow their base, ordered by method,
    then split.

    Raises:
        InputError: a base, method or task is unknown, or a combination has the name of another model.
    """
    made = _combinations(config)
    for combinations in made.values():
        for name, entry in combinations.items():
            if name in config["models"]:
                raise InputError(
                    f"{dotted(('validate', 'tuned'))}: got the model {name!r}, the name of an entry of models; "
                    "allowed: combinations with new names; rename the entry of models."
                )
            config["models"][name] = entry
    study = config["study"]["models"]
    config["study"]["models"] = _with_bases([*study, *(base for base in made if base not in study)], made, config)
    for name in config["models"]:
        _check_references(name, config)


def inherit(model_entry: dict[str, Any], models: Mapping[str, Any]) -> None:
    """Copy the base's keys for loading and prompting to a model made from it; other models do not change."""
    if model_entry["source"] in BASES:
        base = models[model_entry["base"]]
        inherit(base, models)
        model_entry.update({key: base[key] for key in INHERITED})


def _combinations(config: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return base → name → entry of the models of ``validate.tuned``."""
    tuned, models = config["validate"]["tuned"], config["models"]
    if tuned is None:
        return {}
    known = {"models": _allowed_bases(models, "tuned"), "methods": config["validate"]["methods"]}
    for key, names in known.items():
        for name in tuned[key]:
            if name not in names:
                raise one_of(dotted(("validate", "tuned", key)), name, names)
    if tuned["task"] not in config["validate"]["tasks"]:
        raise one_of(dotted(("validate", "tuned", "task")), tuned["task"], config["validate"]["tasks"])
    return {
        base: {
            f"{base}.{method}.{split}": {
                "source": "tuned",
                "base": base,
                "task": tuned["task"],
                "split": split,
                "method": method,
                "seed": tuned["seed"],
                "label": f"{models[base].get('label', base)}, {method}, {split}",
            }
            for method in tuned["methods"]
            for split in tuned["splits"]
        }
        for base in tuned["models"]
    }


def _with_bases(study: list[str], made: Mapping[str, Mapping[str, Any]], config: Mapping[str, Any]) -> list[str]:
    """Return a study's models, each once, with missing bases and with the combinations of each base."""
    ordered: dict[str, None] = {}
    for name in study:
        for model in [*(base for base in _lineage(name, config["models"]) if base not in study), name]:
            ordered.update(dict.fromkeys([model, *made.get(model, [])]))
    return list(ordered)


def _lineage(name: str, models: Mapping[str, Any]) -> list[str]:
    """Return the chain of bases of a model, the one with its own weights first; empty if it has none."""
    lineage: list[str] = []
    while (base := models.get(name, {}).get("base")) is not None and base not in lineage:
        lineage.insert(0, base)
        name = base
    return lineage


def _check_references(name: str, config: Mapping[str, Any]) -> None:
    """Check a model's base; check its other references only if the study uses the model, since they may belong to other
    studies."""
    entry = config["models"][name]
    if entry["source"] not in BASES:
        return
    known = {"base": _allowed_bases(config["models"], entry["source"])}
    if entry["source"] == "tuned" and name in config["study"]["models"]:
        known |= {"task": list(config["validate"]["tasks"]), "method": list(config["validate"]["methods"])}
    if entry["source"] == "mitigated" and name in config["study"]["models"]:
        known |= {"mitigation": config["trace"]["mitigations"]}
    for key, names in known.items():
        if entry[key] not in names:
            raise one_of(dotted(("models", name, key)), entry[key], names)


def _allowed_bases(models: Mapping[str, Any], source: str) -> list[str]:
    return [name for name, entry in models.items() if entry["source"] in BASES[source]]
