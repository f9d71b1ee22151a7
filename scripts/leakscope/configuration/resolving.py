"""The configuration: what Snakemake merged, made whole, checked and completed before any job is planned.

Every cluster job reads the Snakefile again and with it this module, so it imports nothing heavy.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from leakscope.configuration.checks import check_names, check_study
from leakscope.configuration.checks_features import randomised_models, uses_features
from leakscope.configuration.features import complete_features, read_steering
from leakscope.configuration.layers import lay, overridden
from leakscope.configuration.limits import check_limits
from leakscope.configuration.schema import CATALOGUES, check, dotted, fill_defaults, load_schema, show
from leakscope.configuration.tuned import add_tuned_models, inherit
from leakscope.errors import InputError, one_of
from leakscope.files.finding import found

GENERATED = ("organism", "hub", "local", "tuned", "edited", "randomised")
# What decides which weights (or which texts) an entry stands for.
IDENTITY = {
    "organism": ("size", "grammar", "seed"),
    "hub": ("id", "revision", "trust_remote_code"),
    "local": ("path",),
    "tuned": ("base", "task", "split", "method", "seed"),
    "edited": ("base", "dictionary", "contrast", "cost", "features", "edit", "coefficient", "positions"),
    "randomised": ("base", "seed"),
    "generations": ("path",),
    "scores": ("path",),
}
AXIS_PATHS = ("lexicons", "templates", "names")
# What tells a reader which model this is; a variant is another.
NOT_INHERITED = ("label", "description")

Where = tuple[object, ...]


def resolve(*layers: Mapping[str, Any], absolute: bool = False) -> dict[str, Any]:
    """Return the study's configuration, checked and complete.

    In order: layers are laid over one another; ``extends`` is resolved; the schema is checked; defaults are filled in;
    tuned models are added, and dictionaries of features for each seed; names and files are checked. Each model gets
    ``weights`` (the entry whose weights it shares, often its own name), ``label`` and the whole of its ``generation``:
    the general keys, overridden by ``organisms.generation`` for an organism, overridden by its own. A tuned, edited or
    randomised model is loaded and prompted as its base is, and its own ``generation`` overrides that of the base.

    Args:
        layers: what config.yaml says, then what Snakemake merged from --configfile and --config.
        absolute: whether paths of the working directory become absolute, too (see ``files.finding``).

    Returns:
        Plain dicts with sorted keys, lists in the order written. Of each catalogue only the entries that the study
        names, and those whose weights these share. The arguments are left as they are.

    Raises:
        InputError: the first mistake, in one line. Relative paths are looked up from the working directory, then from
            the checkout.
    """
    for layer in layers:
        check_limits(layer)
    laid = lay(*layers)
    extended = _extend_models(laid)
    schema = load_schema()
    # Before the schema is checked, which would refuse numbers that are text because --config gave them.
    read_steering(extended, schema)
    check(extended, schema)
    complete: dict[str, Any] = fill_defaults(extended, schema, schema)
    add_tuned_models(complete)
    complete_features(complete)
    check_names(complete)
    for name, entry in complete["models"].items():
        inherit(entry, complete["models"])
        # `laid` still says which model extends which.
        entry["weights"] = _weights_owner(name, complete["models"], laid["models"])
        merged = _merged_generation(entry, complete)
        entry["generation"] = fill_defaults(merged, schema["$defs"]["generation"], schema)
        entry.setdefault("label", name)
    _select(complete)
    _expand_paths(complete, partial(_opened, absolute=absolute))
    check_study(complete)
    result: dict[str, Any] = _sorted(complete)
    return result


def is_generated(model_entry: Mapping[str, Any]) -> bool:
    """Say whether the workflow generates this model's text; otherwise it is read from files."""
    return model_entry["source"] in GENERATED


def is_on_hub(scorer_entry: Mapping[str, Any]) -> bool:
    """Say whether a scorer's encoder has to be fetched: it is neither a folder nor inside an installed package."""
    model = scorer_entry.get("model")
    return model is not None and not model.startswith("package:") and not Path(model).is_dir()


def organisms(config: Mapping[str, Any]) -> list[str]:
    """Return the study's organisms in the study's order; empty where it has none."""
    return [name for name in config["study"]["models"] if config["models"][name]["source"] == "organism"]


def generation_settings(config: Mapping[str, Any], model: str, prompt_set: str) -> dict[str, Any]:
    """Return what decides a model's texts: its ``generation``, with the samples that the prompt set asks for, if any.

    How many jobs share the work is not part of it.
    """
    settings: dict[str, Any] = dict(config["models"][model]["generation"])
    del settings["shards"]
    samples = config["prompt_sets"][prompt_set]["samples"]
    if samples is not None:
        settings["samples"] = samples
    return settings


def _extend_models(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``config`` with each model that extends another merged onto it."""
    models = config.get("models")
    if not isinstance(models, dict):
        return dict(config)
    extended = {}
    for name in models:
        root, *variants = reversed(_lineage(name, models))
        entry = copy.deepcopy(models[root])
        for variant in variants:
            inherited = {key: value for key, value in entry.items() if key not in NOT_INHERITED}
            entry = overridden(inherited, _changes(variant, inherited, models))
        extended[name] = entry
    return {**config, "models": extended}


def _lineage(name: str, models: Mapping[str, Any]) -> list[str]:
    """Return ``name``, the model it extends, the one that extends, and so on."""
    lineage = [name]
    while isinstance(entry := models[lineage[-1]], dict) and "extends" in entry:
        where, parent = dotted(("models", lineage[-1], "extends")), entry["extends"]
        if not isinstance(parent, str):
            raise InputError(f"{where}: got {show(parent)}; allowed: the name of another model.")
        if parent not in models:
            raise one_of(where, parent, models)
        lineage.append(parent)
        if parent in lineage[:-1]:
            raise InputError(f"{where}: got the cycle {' -> '.join(lineage)}; allowed: a chain that ends at a source.")
    return lineage


def _changes(variant: str, parent: Mapping[str, Any], models: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a variant's entry changes of the model it extends."""
    changes = {key: value for key, value in models[variant].items() if key != "extends"}
    if "source" in changes and changes["source"] != parent.get("source"):
        raise InputError(
            f"{dotted(('models', variant, 'source'))}: got {show(changes['source'])}; "
            f"allowed: {show(parent.get('source'))}, that of {models[variant]['extends']}, which it extends."
        )
    return changes


def _weights_owner(name: str, complete: Mapping[str, Any], written: Mapping[str, Any]) -> str:
    """Return the oldest ancestor with the same weights; a variant that changes what decides them has its own."""
    keys = IDENTITY[complete[name]["source"]]
    own = [complete[name][key] for key in keys]
    # A model that nobody wrote, a combination of `validate.tuned`, extends none.
    lineage = _lineage(name, written) if name in written else [name]
    return next(ancestor for ancestor in reversed(lineage) if [complete[ancestor][key] for key in keys] == own)


def _merged_generation(model_entry: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    below: dict[str, Any] = dict(config["generation"])
    if model_entry["source"] == "organism":
        below |= config["organisms"].get("generation", {})
    elif "base" in model_entry:
        below = _merged_generation(config["models"][model_entry["base"]], config)
    return {**below, **model_entry.get("generation", {})}


def _select(config: dict[str, Any]) -> None:
    """Keep of each catalogue what the study names, and of the models also those that these are made from."""
    config["models"] = {name: config["models"][name] for name in _needed_models(config)}
    for catalogue in CATALOGUES:
        if catalogue != "models":
            config[catalogue] = {name: config[catalogue][name] for name in config["study"][catalogue]}


def _needed_models(config: Mapping[str, Any]) -> set[str]:
    """Return the study's models, the randomised ones of its dictionaries, and whose weights or base any of them has."""
    models, needed = config["models"], set()
    waiting = [*config["study"]["models"], *(randomised_models(config) if uses_features(config) else [])]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [models[name][key] for key in ("weights", "base") if key in models[name]]
    return needed


def _expand_paths(config: dict[str, Any], opened: Callable[[str, Where], str]) -> None:
    """Replace the paths of a study by those under which they are opened; the store may not be there yet."""
    config["store"] = expanded(config["store"], ("store",))
    for name, entry in config["scorers"].items():
        if "model" in entry:
            entry["model"] = opened(entry["model"], ("scorers", name, "model"))
    for catalogue in ("models", "prompt_sets"):
        for name, entry in config[catalogue].items():
            if "path" in entry:
                entry["path"] = _each(entry["path"], (catalogue, name, "path"), opened)
    for name, axis in config["ground"]["axes"].items():
        for key in AXIS_PATHS:
            if key in axis:
                axis[key] = _each(axis[key], ("ground", "axes", name, key), opened)
        for key in ("counts", "prevalence"):
            if axis[key] and "path" in axis[key]:
                axis[key]["path"] = _each(axis[key]["path"], ("ground", "axes", name, key, "path"), opened)
    validate = config["validate"]
    validate["neutral_text"] = opened(validate["neutral_text"], ("validate", "neutral_text"))
    for name, task in validate["tasks"].items():
        for key in ("path", "forms"):
            task[key] = opened(task[key], ("validate", "tasks", name, key))
    features = config["features"]
    features["neutral_text"] = opened(features["neutral_text"], ("features", "neutral_text"))
    for catalogue in ("corpora", "dictionaries", "contrasts", "benchmarks"):
        for name, entry in features[catalogue].items():
            if "path" in entry:
                entry["path"] = opened(entry["path"], ("features", catalogue, name, "path"))


def _each(path: Any, where: Where, opened: Callable[[str, Where], str]) -> Any:
    """Replace a path, or every path of a mapping."""
    if isinstance(path, dict):
        return {key: _each(value, (*where, key), opened) for key, value in path.items()}
    return opened(path, where) if isinstance(path, str) else path


def _opened(path: str, where: Where, *, absolute: bool) -> str:
    return found(expanded(path, where), absolute=absolute)


def expanded(path: str, where: Where) -> str:
    """Return a path with the values of environment variables, and the home folder for ``~``.

    Raises:
        InputError: a variable is not set.
    """
    filled = os.path.expanduser(os.path.expandvars(path))
    unset = re.search(r"\$\{?(\w+)", filled)
    if unset:
        raise InputError(f"{dotted(where)}: got {path!r}; the environment variable {unset[1]} is not set.")
    return filled


def _sorted(value: Any) -> Any:
    """Sort keys, so that their order in a file never makes a job run again."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
