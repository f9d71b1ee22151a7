"""What a complete configuration says of its models and scorers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

GENERATED = ("organism", "hub", "local", "package", "adapter", "tuned", "edited", "mitigated", "randomised")
SERVED, JUDGE = "endpoint", "judge"


def is_generated(model_entry: Mapping[str, Any]) -> bool:
    """Say whether this model runs here; otherwise a server has it, or its texts are read from files."""
    return model_entry["source"] in GENERATED


def is_prompted(model_entry: Mapping[str, Any]) -> bool:
    """Say whether this model is asked for its texts: here, or behind a server; otherwise they are read from files."""
    return is_generated(model_entry) or model_entry["source"] == SERVED


def thinks(model_entry: Mapping[str, Any]) -> bool:
    """Say whether this model writes a train of thought before its answer."""
    return model_entry.get("thinking") is not None


def gives_probabilities(model_entry: Mapping[str, Any]) -> bool:
    """Say whether probabilities are read of this model: it runs here, and what follows its prompt is an answer."""
    return is_generated(model_entry) and not thinks(model_entry)


def is_scored_by_server(model_entry: Mapping[str, Any]) -> bool:
    """Say whether a server is asked for log-probabilities of this model."""
    return model_entry["source"] == SERVED and bool(model_entry["logprobs"]) and not thinks(model_entry)


def is_on_hub(scorer_entry: Mapping[str, Any]) -> bool:
    """Say whether a scorer's encoder has to be fetched: it is neither a folder or file nor in an installed package."""
    model = scorer_entry.get("model")
    if scorer_entry.get("tokenizer") is not None:
        return False
    return model is not None and not model.startswith("package:") and not Path(model).is_dir()


def judges(config: Mapping[str, Any]) -> list[str]:
    """Return the study's judges in the study's order: those of its scorers that are no similarity."""
    return [name for name in config["study"]["scorers"] if config["scorers"][name]["kind"] == JUDGE]


def organisms(config: Mapping[str, Any]) -> list[str]:
    """Return the study's organisms in the study's order; empty where it has none."""
    return [name for name in config["study"]["models"] if config["models"][name]["source"] == "organism"]


def generation_settings(config: Mapping[str, Any], model: str, prompt_set: str) -> dict[str, Any]:
    """Return what decides a model's texts: its ``generation``, with the samples that the prompt set asks for, if any.

    How many jobs share the work is not part of it. ``control_samples`` is there only where it is another number than
    ``samples``, so that no job runs again for saying what holds anyway.
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
