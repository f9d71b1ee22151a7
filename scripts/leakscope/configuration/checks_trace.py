"""Checks of the step trace beyond the schema: models run here, prompt sets come from templates, and files exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from leakscope.configuration.features import is_organism
from leakscope.configuration.mitigated import (
    dictionaries_of_mitigations,
    mitigable,
    mitigated_models,
    templated_sets,
    worded,
)
from leakscope.configuration.resolved import gives_probabilities
from leakscope.errors import InputError, one_of
from leakscope.files.corpora import shard_files
from leakscope.files.finding import places
from leakscope.models.prompts.placing import USER
from leakscope.typed.wording import dotted, show


def trace_checks(config: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
    """Yield checks of the step trace in a complete configuration.

    Raises:
        InputError: there is no model that runs here, or no prompt set that is made from templates.
    """
    study = config["study"]
    if "trace" not in study["steps"]:
        for name in mitigated_models(config):
            raise InputError(
                f"{dotted(('study', 'steps'))}: got {', '.join(study['steps'])}; add trace, which selects "
                f"the setting of the mitigated model {name}."
            )
        return
    templated = templated_sets(config)
    if not templated:
        got = ", ".join(study["prompt_sets"]) or "nothing"
        raise InputError(
            f"{dotted(('study', 'prompt_sets'))}: got {got}; allowed: at least one prompt set made from templates, "
            "for the step trace."
        )
    if not any(gives_probabilities(config["models"][name]) for name in study["models"]):
        raise InputError(
            f"{dotted(('study', 'models'))}: got {', '.join(study['models'])}; allowed: at least one model that runs "
            "here and does not think first, since the step trace needs weights."
        )
    for name in templated:
        yield partial(check_in_user_turn, name, config, "the step trace")
        entry = config["trace"]["sets"].get(name) or {}
        yield from _checks_of_set(("trace", "sets", name), entry, config)
    if config["trace"]["mitigations"]:
        yield from _checks_of_mitigations(config)
    if config["trace"]["lm_eval"]["tasks"]:
        yield partial(_check_harness, config["trace"])


def _checks_of_set(
    where: tuple[str, ...], entry: Mapping[str, Any], config: Mapping[str, Any]
) -> Iterator[Callable[[], object]]:
    for key in ("cues", "use"):
        if entry.get(key):
            yield partial(_check_file, (*where, key), entry[key])
    counts = entry.get("counts") or {"source": None}
    if counts["source"] == "corpus":
        yield partial(shard_files, counts["path"])
    if counts["source"] == "table":
        paths = counts["path"] if isinstance(counts["path"], dict) else {"": counts["path"]}
        for path in paths.values():
            yield partial(_check_file, (*where, "counts", "path"), path)
        if isinstance(counts["path"], dict):
            yield partial(_check_window, config["trace"]["window"], list(paths))
    if counts["source"] == "infini_gram" and config["trace"]["window"] is None:
        raise InputError(
            f"{dotted(('trace', 'window'))}: got null; allowed: a number of tokens, for an infini-gram index."
        )
    if counts["source"] == "organism":
        yield partial(_check_organism, (*where, "counts", "model"), counts["model"], config)


def check_in_user_turn(name: str, config: Mapping[str, Any], what: str) -> None:
    """Check that a prompt set's clause is in the user's turn, as methods that treat the prompt as one text need."""
    place = config["prompt_sets"][name]["place"]
    if place != USER:
        raise InputError(f"{dotted(('prompt_sets', name, 'place'))}: got {place}; allowed: {USER}, for {what}.")


def _check_file(where: tuple[str, ...], path: str) -> None:
    if not Path(path).is_file():
        raise InputError(f"{dotted(where)}: got {places(path)}; allowed: a file that exists.")


def _check_window(window: int | None, windows: list[str]) -> None:
    if str(window) not in windows:
        raise one_of(dotted(("trace", "window")), str(window), windows)


def _check_organism(where: tuple[str, ...], model: str, config: Mapping[str, Any]) -> None:
    organisms = [name for name in config["study"]["models"] if config["models"][name]["source"] == "organism"]
    if model not in organisms:
        raise one_of(dotted(where), model, organisms)


def _checks_of_mitigations(config: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
    """Yield checks of the mitigations to try and of the mitigated models."""
    models = [name for name in config["study"]["models"] if mitigable(config["models"], name)]
    if not all(is_organism(name, config) for name in models):
        yield partial(_check_file, ("trace", "mitigating", "neutral"), config["trace"]["mitigating"]["neutral"])
    for name in config["trace"]["mitigations"]:
        yield partial(_check_ranges, ("mitigations", name, "layers"), config["mitigations"][name])
    for name, dictionary in dictionaries_of_mitigations(config).items():
        yield partial(_check_dictionary, ("mitigations", name, "dictionary"), dictionary, models, config)
    for name, entry in mitigated_models(config).items():
        yield partial(_check_mitigated, ("models", name), entry, config)


def _check_harness(trace: Mapping[str, Any]) -> None:
    """Check that lm-eval can run its tasks on mitigated models."""
    where, tasks = dotted(("trace", "lm_eval", "tasks")), ", ".join(trace["lm_eval"]["tasks"])
    folder = trace["lm_eval"]["folder"]
    if not trace["mitigations"]:
        raise InputError(
            f"{where}: got {tasks} without trace.mitigations; allowed: no tasks, or at least one mitigation."
        )
    if find_spec("lm_eval") is None:
        raise InputError(f"{where}: got {tasks}, but lm-eval is not installed; run `pip install 'lm-eval[hf]'`.")
    if folder is not None and not Path(folder).is_dir():
        found = f"{dotted(('trace', 'lm_eval', 'folder'))}: got {places(folder)}"
        raise InputError(f"{found}; allowed: a folder that exists.")


def _check_ranges(where: tuple[str, ...], entry: Mapping[str, Any]) -> None:
    for layers in entry.get("layers", []):
        if isinstance(layers, list) and layers[0] > layers[1]:
            raise InputError(
                f"{dotted(where)}: got [{layers[0]:g}, {layers[1]:g}]; allowed: two shares of depth in ascending order."
            )


def _check_dictionary(where: tuple[str, ...], name: str, models: list[str], config: Mapping[str, Any]) -> None:
    dictionaries = config["features"]["dictionaries"]
    allowed = [each for each, entry in dictionaries.items() if entry["model"] in models]
    if name not in allowed:
        raise one_of(dotted(where), name, allowed)


def _check_mitigated(where: tuple[str, ...], entry: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    templated, costs = templated_sets(config), config["trace"]["mitigating"]["costs"]
    if entry["prompt_set"] not in templated:
        if entry["prompt_set"] is not None:
            raise one_of(dotted((*where, "prompt_set")), entry["prompt_set"], templated)
        allowed = f"one of {', '.join(templated)}"
        raise InputError(f"{dotted((*where, 'prompt_set'))}: got nothing; allowed: {allowed}.")
    if entry["cost"] not in costs:
        allowed = ", ".join(f"{cost:g}" for cost in costs)
        raise InputError(
            f"{dotted((*where, 'cost'))}: got {entry['cost']:g}; allowed: one of trace.mitigating.costs ({allowed})."
        )
    base = worded(config["models"][entry["base"]]["generation"], entry, config)
    for key in ("template", "system"):
        if entry["generation"][key] != base[key]:
            got = show(entry["generation"][key])
            raise InputError(
                f"{dotted((*where, 'generation', key))}: got {got}; allowed: the base's value, with which the "
                "mitigation was measured."
            )
    dictionary = dictionaries_of_mitigations(config).get(entry["mitigation"])
    model = config["features"]["dictionaries"].get(dictionary, {}).get("model", entry["base"])
    if entry["base"] != model:
        raise InputError(
            f"{dotted((*where, 'base'))}: got {entry['base']!r}; allowed: {model}, the model of the dictionary that "
            f"{entry['mitigation']} edits."
        )
