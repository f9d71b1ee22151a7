"""Questions about the models and scorers of a complete configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

GENERATED = ("organism", "hub", "local", "package", "adapter", "tuned", "edited", "mitigated", "randomised")
SERVED, JUDGE = "endpoint", "judge"


def is_generated(model_entry: Mapping[str, Any]) -> bool:
    """Return whether this model runs here, not behind a server and not imported."""
    return model_entry["source"] in GENERATED


def is_prompted(model_entry: Mapping[str, Any]) -> bool:
    """Return whether this model generates its texts, here or behind a server; other texts are imported."""
    return is_generated(model_entry) or model_entry["source"] == SERVED


def thinks(model_entry: Mapping[str, Any]) -> bool:
    """Return whether this model thinks before it answers."""
    return model_entry.get("thinking") is not None


def gives_probabilities(model_entry: Mapping[str, Any]) -> bool:
    """Return whether this model's probabilities are read: it runs here and does not think before it answers."""
    return is_generated(model_entry) and not thinks(model_entry)


def is_scored_by_server(model_entry: Mapping[str, Any]) -> bool:
    """Return whether a server gives this model's log-probabilities."""
    return model_entry["source"] == SERVED and bool(model_entry["logprobs"]) and not thinks(model_entry)


def is_on_hub(scorer_entry: Mapping[str, Any]) -> bool:
    """Return whether a scorer's encoder must be downloaded: it is no folder or file and in no installed package."""
    model = scorer_entry.get("model")
    if scorer_entry.get("tokenizer") is not None:
        return False
    return model is not None and not model.startswith("package:") and not Path(model).is_dir()


def judges(config: Mapping[str, Any]) -> list[str]:
    """Return the judges among the study's scorers, in the study's order."""
    return [name for name in config["study"]["scorers"] if config["scorers"][name]["kind"] == JUDGE]


def organisms(config: Mapping[str, Any]) -> list[str]:
    """Return the study's organisms, in the study's order."""
    return [name for name in config["study"]["models"] if config["models"][name]["source"] == "organism"]


def generation_settings(config: Mapping[str, Any], model: str, prompt_set: str) -> dict[str, Any]:
    """Return the settings that determine a model's texts: its ``generation``, with the prompt set's own sample numbers.

    The number of jobs is not included. ``control_samples`` is included only if it differs from ``samples``, so that
    writing the default makes no job run again.
    """
    settings: dict[str, Any] = dict(config["models"][model]["generation"])
    del settings["shards"]
    for key in ("samples", "control_samples"):
        own = config["prompt_sets"][prompt_set][key]
        if own is not None:
            settings[key] = own
    if settings["control_samples"] in (None, settings["samples"]):
        del settings["control_samples"]
    return settings
