"""Mitigations in a configuration: which are tried on which models, and the entries of mitigated models.

Works on plain data; ``configuration.checks_trace`` checks the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leakscope.configuration.tuned import BASES, WHOLE

SOURCE = "mitigated"
PROMPT, DECODING, FEATURES, TUNING = "prompt", "decoding", "features", "tuning"


def complete_mitigated(config: dict[str, Any]) -> None:
    """Fill in the defaults of mitigated models and mitigations, in place.

    A mitigation gets a ``label``. A mitigated model gets a label from its base and mitigation, by default the study's
    only prompt set from templates, and by default the highest cost.
    """
    for name, entry in config["mitigations"].items():
        entry.setdefault("label", name)
    models, costs = config["models"], config["trace"]["mitigating"]["costs"]
    templated = templated_sets(config)
    for entry in models.values():
        if entry["source"] != SOURCE:
            continue
        if entry["cost"] is None:
            entry["cost"] = float(max(costs))
        if entry["prompt_set"] is None and len(templated) == 1:
            entry["prompt_set"] = templated[0]
        base, mitigation = models[entry["base"]], config["mitigations"].get(entry["mitigation"], {})
        label = mitigation.get("label", entry["mitigation"])
        entry.setdefault("label", f"{base.get('label', entry['base'])}, {label}")


def worded(generation: Mapping[str, Any], model_entry: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``generation`` that a model takes from its base, with the wording of a prompt mitigation, if any.

    For a chat model, the wording is appended to the system message; for others, it precedes the prompt with an empty
    line.
    """
    mitigation = config["mitigations"].get(model_entry.get("mitigation"), {})
    if model_entry["source"] != SOURCE or mitigation.get("kind") != PROMPT:
        return dict(generation)
    wording = mitigation["wording"]
    if model_entry["chat"]:
        return {**generation, "system": "\n\n".join(filter(None, [generation["system"], wording]))}
    return {**generation, "template": f"{wording}\n\n{generation['template']}"}


def mitigated_models(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mitigated models of a study, with their entries."""
    named = {name: config["models"][name] for name in config["study"]["models"]}
    return {name: entry for name, entry in named.items() if entry["source"] == SOURCE}


def mitigable(models: Mapping[str, Any], name: str) -> bool:
    """Return whether mitigations are tried on a model: not if it is edited, mitigated or randomised."""
    return models[name]["source"] in BASES[SOURCE]


def templated_sets(config: Mapping[str, Any]) -> list[str]:
    """Return the study's prompt sets made from templates; unknown names are skipped."""
    known = config["prompt_sets"]
    return [n for n in config["study"]["prompt_sets"] if n in known and known[n]["source"] == "templates"]


def dictionaries_of_mitigations(config: Mapping[str, Any]) -> dict[str, str]:
    """Return mitigation → dictionary, for the study's mitigations that have one."""
    if "trace" not in config["study"]["steps"]:
        return {}
    tried = {name: config["mitigations"][name] for name in config["trace"]["mitigations"]}
    return {name: entry["dictionary"] for name, entry in tried.items() if entry["kind"] == FEATURES}


def tuned_by_mitigations(config: Mapping[str, Any]) -> list[str]:
    """Return the models to which a mitigation adds trained matrices; their weights must not be quantised."""
    tried = [config["mitigations"][name]["kind"] for name in config["trace"]["mitigations"]]
    if "trace" not in config["study"]["steps"] or TUNING not in tried:
        return []
    return [name for name in config["study"]["models"] if config["models"][name]["source"] in WHOLE]
