"""Complete the entries of the section ``features``.

Works on plain data; ``configuration.checks_features`` checks the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from leakscope.configuration.mitigated import dictionaries_of_mitigations
from leakscope.errors import InputError
from leakscope.typed.wording import dotted

OWN = "own"
# As features.interventions.greedy says, which needs torch: its name, and the edits that it chooses for.
GREEDY, TAKING_AWAY = "greedy", ("ablate", "mean_clamp")
# Default edit of an edited model's own features; the same as in `steering`.
OWN_EDIT = {"edit": "add", "coefficient": 5.0, "positions": "all"}


def complete_features(config: dict[str, Any]) -> None:
    """Fill in the defaults of ``features`` and of edited models, in place.

    Each seed of a trained dictionary becomes a dictionary with ``seed`` instead of ``seeds``, and its ``family``.
    Dictionaries get a ``label``. A model edited by its own features gets ``edit``, ``coefficient`` and ``positions``;
    one edited against a contrast gets its cost.

    Raises:
        InputError: two dictionaries have the same name.
    """
    features = config["features"]
    features["dictionaries"] = _expand_seeds(features["dictionaries"])
    for entry in config["models"].values():
        if entry["source"] == "edited":
            _complete_edited(entry, features["effects"]["costs"])


def uses_features(config: Mapping[str, Any]) -> bool:
    """Return whether a study needs its dictionaries: for the step features, an edited model or a mitigation."""
    return (
        "features" in config["study"]["steps"]
        or bool(edited_models(config))
        or bool(dictionaries_of_mitigations(config))
    )


def is_organism(model: str, config: Mapping[str, Any]) -> bool:
    """Return whether a model is an organism or made from one."""
    entry = config["models"][model]
    return is_organism(entry["base"], config) if "base" in entry else bool(entry["source"] == "organism")


def randomised_models(config: Mapping[str, Any]) -> list[str]:
    """Return the models with randomised weights that dictionaries read; the study need not list these controls."""
    named = [entry["model"] for entry in config["features"]["dictionaries"].values()]
    return [name for name in named if config["models"].get(name, {}).get("source") == "randomised"]


def is_tried(dictionary: str, contrast: Mapping[str, Any]) -> bool:
    """Return whether a dictionary is tested on a contrast."""
    return contrast["dictionaries"] is None or dictionary in contrast["dictionaries"]


def edited_models(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the edited models of a study, with their entries."""
    named = {name: config["models"][name] for name in config["study"]["models"]}
    return {name: entry for name, entry in named.items() if entry["source"] == "edited"}


def _expand_seeds(dictionaries: Mapping[str, Any]) -> dict[str, Any]:
    expanded: dict[str, Any] = {}
    for written, entry in dictionaries.items():
        for name, one in _seeded(written, entry):
            if name in expanded or (name != written and name in dictionaries):
                raise InputError(
                    f"{dotted(('features', 'dictionaries', written))}: got the dictionary {name!r} twice; allowed: "
                    "seeds that give distinct names."
                )
            expanded[name] = one
    return expanded


def _seeded(name: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and dictionary for each seed of an entry."""
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


def _complete_edited(entry: dict[str, Any], costs: list[float]) -> None:
    if entry["features"] is not None:
        entry.update({key: value for key, value in OWN_EDIT.items() if entry[key] is None})
    elif entry["cost"] is None:
        entry["cost"] = float(max(costs))
