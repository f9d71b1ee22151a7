"""What a configuration says of mitigations: which are tried on which models, and what a mitigated model is.

Plain data from plain data; what files say is for ``configuration.checks_trace``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leakscope.configuration.tuned import BASES, WHOLE

SOURCE = "mitigated"
PROMPT, DECODING, FEATURES, TUNING = "prompt", "decoding", "features", "tuning"


def complete_mitigated(config: dict[str, Any]) -> None:
    """Write out what mitigated models and mitigations leave to others, in place.

    A mitigation has a ``label``; a mitigated model has one of its base and mitigation, the study's only prompt set from
    templates where it names none, and the highest cost where it says none.
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
    """Return a base's ``generation`` as a model that is made from it has it: with the wording of a mitigation, if any.

    A chat model is told in its system message, after what stands there; of others the wording and an empty line stand
    before the prompt.
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
    """Say whether mitigations are tried on a model: it is neither changed while it runs nor randomised."""
    return models[name]["source"] in BASES[SOURCE]


def templated_sets(config: Mapping[str, Any]) -> list[str]:
    """Return the study's prompt sets that are made from templates; those that are not known are left out."""
    known = config["prompt_sets"]
    return [n for n in config["study"]["prompt_sets"] if n in known and known[n]["source"] == "templates"]


def dictionaries_of_mitigations(config: Mapping[str, Any]) -> dict[str, str]:
    """Return mitigation → its dictionary, of those that a study tries and that have one."""
    if "trace" not in config["study"]["steps"]:
        return {}
    tried = {name: config["mitigations"][name] for name in config["trace"]["mitigations"]}
    return {name: entry["dictionary"] for name, entry in tried.items() if entry["kind"] == FEATURES}


def tuned_by_mitigations(config: Mapping[str, Any]) -> list[str]:
    """Return the whole models that a mitigation trains beside, whose weights must not be quantised."""
    tried = [config["mitigations"][name]["kind"] for name in config["trace"]["mitigations"]]
    if "trace" not in config["study"]["steps"] or TUNING not in tried:
        return []
    return [name for name in config["study"]["models"] if config["models"][name]["source"] in WHOLE]
