"""Resolve the configuration merged by Snakemake: check and complete it before any job is planned.

Every cluster job imports this module with the Snakefile, so it has no slow imports.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from pydantic import ValidationError

from leakscope.configuration.checks import name_checks, study_checks
from leakscope.configuration.features import complete_features, randomised_models, uses_features
from leakscope.configuration.layers import CATALOGUES, lay, overridden
from leakscope.configuration.leaving_out import leave_out
from leakscope.configuration.limits import check_limits
from leakscope.configuration.mending import mended
from leakscope.configuration.mitigated import complete_mitigated, worded
from leakscope.configuration.resolved import JUDGE, judges
from leakscope.configuration.sections.configuration import Configuration
from leakscope.configuration.tuned import add_tuned_models, inherit
from leakscope.errors import InputError, Mistakes, one_of
from leakscope.files.finding import check_braces
from leakscope.files.finding import found as looked_up
from leakscope.typed.mistakes import mistakes
from leakscope.typed.wording import dotted, show

# Keys that determine an entry's weights (or texts).
IDENTITY = {
    "organism": ("size", "grammar", "seed"),
    "hub": ("id", "revision", "gguf_file", "trust_remote_code"),
    "local": ("path", "gguf_file"),
    "package": ("package", "version", "sha256", "file"),
    "adapter": ("base", "path"),
    "tuned": ("base", "task", "split", "method", "seed"),
    "edited": ("base", "dictionary", "contrast", "cost", "features", "edit", "coefficient", "positions"),
    "mitigated": ("base", "mitigation", "prompt_set", "cost"),
    "randomised": ("base", "seed"),
    "endpoint": ("base_url", "model", "api"),
    "generations": ("path",),
    "scores": ("path",),
}
# Sections that inherit a top-level key unless they set their own.
STEERING = "features.steering"
SHARED = {
    "generation": ("seed",),
    "leak": ("level",),
    "rating": ("seed",),
    "ground": ("level", "batch_size"),
    "validate": ("level", "seed", "batch_size"),
    "validate.tuned": ("seed",),
    "features": ("level", "seed", "batch_size"),
    "trace": ("level",),
    "trace.mitigating": ("seed",),
    STEERING: ("seed",),
}
# Files with the wording of each judge question.
JUDGES = "data/judges"
AXIS_PATHS = ("lexicons", "templates", "names")
# Keys that identify a model to readers; variants do not inherit them.
NOT_INHERITED = ("label", "description")

Where = tuple[object, ...]


def resolve(*layers: Mapping[str, Any], absolute: bool = False) -> dict[str, Any]:
    """Return the study's configuration, checked and complete.

    Steps in order: merge the layers; resolve ``extends``; check every key and fill in defaults; add tuned models, and a
    feature dictionary per seed; check names and files. Each model gets ``weights`` (the entry whose weights it shares,
    often its own name), ``label`` and its complete ``generation``: the general keys, overridden by
    ``organisms.generation`` for an organism, overridden by its own. A tuned, edited, mitigated or randomised model is
    loaded and prompted like its base, and its own ``generation`` overrides the base's.

    Args:
        layers: the shipped ones (``layers.shipped``), then Snakemake's merge of --configfile and --config.
        absolute: whether paths in the working directory also become absolute (see ``files.finding``).

    Returns:
        Plain dicts with sorted keys, lists in the order written. Catalogues are reduced to the entries that the study
        names, and those whose weights they share. The arguments are not changed.

    Raises:
        InputError: all mistakes, one line each. Relative paths are looked up from the working directory, then from the
            checkout.
    """
    for layer in layers:
        check_limits(layer)
    laid = lay(*layers)
    found = Mistakes()
    extended = _extend_models(laid, found)
    found.end()
    complete = _typed(extended, found)
    found.run(name_checks(complete))
    if not _only_known(complete):
        found.end()
    with found.kept():
        add_tuned_models(complete)
        complete_features(complete)
        complete_mitigated(complete)
        _complete_models(complete, laid["models"])
        leave_out(complete)
        _select(complete)
        _expand_paths(complete, partial(_opened, absolute=absolute))
        found.run(study_checks(complete))
    found.end()
    result: dict[str, Any] = _sorted(complete)
    return result


def _typed(written: dict[str, Any], found: Mistakes) -> dict[str, Any]:
    """Return a configuration with checked and complete keys, without its wrong parts."""
    try:
        typed = Configuration.model_validate(written)
    except ValidationError as error:
        wrong = mistakes(error, written, Configuration)
        found += wrong.values()
        typed = _rest(written, wrong, found)
    complete = typed.model_dump(by_alias=True)
    for section, keys in SHARED.items():
        for key in keys:
            for inside in _sections(complete, section):
                if inside[key] is None:
                    inside[key] = complete[key]
    return complete


def _rest(written: dict[str, Any], wrong: Iterable[tuple[object, ...]], found: Mistakes) -> Configuration:
    """Return a configuration without its wrong parts; if the rest cannot be checked, raise all mistakes so far."""
    rest = mended(written, wrong)
    try:
        if rest is not None:
            return Configuration.model_validate(rest)
    except ValidationError:
        # The study itself lacks something.
        pass
    found.end()
    raise AssertionError("an invalid configuration has mistakes")


def _sections(config: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
    """Return the mapping at a dotted path, or all entries of a catalogue there; empty if it is null."""
    section: Any = config
    for key in path.split("."):
        section = section[key]
    if section is None:
        return []
    return list(section.values()) if path == STEERING else [section]


def _complete_models(config: dict[str, Any], written: Mapping[str, Any]) -> None:
    """Fill in each model's keys from its base, the model it extends, and ``generation``."""
    models = config["models"]
    for name, entry in models.items():
        inherit(entry, models)
        # `written` still says which model extends which.
        entry["weights"] = _weights_owner(name, models, written)
        entry["generation"] = _merged_generation(entry, config)
        entry.setdefault("label", name)


def _only_known(config: Mapping[str, Any]) -> bool:
    """Remove unknown names from the study's lists so that the rest can be checked; return whether any remain."""
    for catalogue in CATALOGUES:
        listed = config["study"][catalogue]
        known = [name for name in listed if name in config[catalogue]]
        if listed and not known:
            return False
        listed[:] = known
    scorers = config["study"]["scorers"]
    lost = {name for name in judges(config) if config["scorers"][name]["model"] not in config["models"]}
    scorers[:] = [name for name in scorers if name not in lost]
    tried = config["trace"]["mitigations"]
    tried[:] = [name for name in tried if name in config["mitigations"]]
    return True


def _extend_models(config: Mapping[str, Any], found: Mistakes) -> dict[str, Any]:
    """Return ``config`` with each model that extends another merged onto it."""
    models = config.get("models")
    if not isinstance(models, dict):
        return dict(config)
    extended = {}
    for name in models:
        with found.kept():
            extended[name] = _extended(name, models)
    return {**config, "models": extended}


def _extended(name: str, models: Mapping[str, Any]) -> Any:
    root, *variants = reversed(_lineage(name, models))
    entry = copy.deepcopy(models[root])
    if variants and not isinstance(entry, dict):
        where = dotted(("models", variants[0], "extends"))
        raise InputError(f"{where}: got {root!r}, whose entry is {show(entry)}; allowed: a model whose entry has keys.")
    for variant in variants:
        inherited = {key: value for key, value in entry.items() if key not in NOT_INHERITED}
        entry = overridden(inherited, _changes(variant, inherited, models))
    return entry


def _lineage(name: str, models: Mapping[str, Any]) -> list[str]:
    """Return ``name`` and the chain of models that it extends."""
    lineage = [name]
    while isinstance(entry := models[lineage[-1]], dict) and "extends" in entry:
        where, parent = dotted(("models", lineage[-1], "extends")), entry["extends"]
        if not isinstance(parent, str):
            raise InputError(f"{where}: got {show(parent)}; allowed: the name of another model.")
        if parent not in models:
            raise one_of(where, parent, models)
        if parent in lineage:
            raise _cycle_error(lineage[lineage.index(parent) :])
        lineage.append(parent)
    return lineage


def _cycle_error(cycle: list[str]) -> InputError:
    """Return the error of a cycle, the same from whichever model it is found."""
    first = cycle.index(min(cycle))
    around = [*cycle[first:], *cycle[:first]]
    shown = " -> ".join([*around, around[0]])
    where = dotted(("models", around[-1], "extends"))
    return InputError(f"{where}: got the cycle {shown}; allowed: a chain that ends at an entry with a `source`.")


def _changes(variant: str, parent: Mapping[str, Any], models: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that a variant changes in the model it extends."""
    changes = {key: value for key, value in models[variant].items() if key != "extends"}
    if "source" in changes and changes["source"] != parent.get("source"):
        raise InputError(
            f"{dotted(('models', variant, 'source'))}: got {show(changes['source'])}; "
            f"allowed: {show(parent.get('source'))}, the source of {models[variant]['extends']}, which it extends."
        )
    return changes


def _weights_owner(name: str, complete: Mapping[str, Any], written: Mapping[str, Any]) -> str:
    """Return the oldest ancestor with the same weights; a variant that changes a key of the weights has its own."""
    keys = IDENTITY[complete[name]["source"]]
    own = [complete[name][key] for key in keys]
    # Combinations of `validate.tuned` have no written entry and extend no model.
    lineage = _lineage(name, written) if name in written else [name]
    # Models with a wrong entry were removed.
    known = [ancestor for ancestor in reversed(lineage) if ancestor in complete]
    return next(ancestor for ancestor in known if [complete[ancestor].get(key) for key in keys] == own)


def _merged_generation(model_entry: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    below: dict[str, Any] = dict(config["generation"])
    if model_entry["source"] == "organism":
        below |= config["organisms"]["generation"]
    elif "base" in model_entry:
        below = worded(_merged_generation(config["models"][model_entry["base"]], config), model_entry, config)
    own = dict(model_entry.get("generation", {}))
    if own.get("seed", 0) is None:
        del own["seed"]
    return {**below, **own}


def _select(config: dict[str, Any]) -> None:
    """Reduce catalogues to the entries that the study names, and to the models they are made from."""
    config["models"] = {name: config["models"][name] for name in _needed_models(config)}
    for catalogue in CATALOGUES:
        if catalogue != "models":
            config[catalogue] = {name: config[catalogue][name] for name in config["study"][catalogue]}
    config["mitigations"] = {name: config["mitigations"][name] for name in config["trace"]["mitigations"]}


def _needed_models(config: Mapping[str, Any]) -> set[str]:
    """Return all models needed: the study's, its dictionaries' randomised controls, judges, and the bases and weight
    owners of these."""
    models, needed = config["models"], set()
    waiting = [*config["study"]["models"], *(randomised_models(config) if uses_features(config) else [])]
    waiting += [config["scorers"][name]["model"] for name in judges(config)]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [models[name][key] for key in ("weights", "base") if key in models[name]]
    return needed


def _expand_paths(config: dict[str, Any], opened: Callable[[str, Where], str]) -> None:
    """Replace a study's paths by the paths to open; the store may not exist yet."""
    config["store"] = expanded(config["store"], ("store",))
    if (config["figures"]["style"] or "").endswith(".mplstyle"):
        config["figures"]["style"] = opened(config["figures"]["style"], ("figures", "style"))
    rating = config["rating"]
    rating["ratings"] = [opened(path, ("rating", "ratings", i)) for i, path in enumerate(rating["ratings"])]
    for name, entry in config["scorers"].items():
        if entry["kind"] == JUDGE:  # a judge's model is a name of `models`
            prompts = entry["prompts"] or f"{JUDGES}/{entry['question']}.yaml"
            entry["prompts"] = opened(prompts, ("scorers", name, "prompts"))
            continue
        for key in ("model", "tokenizer"):
            if entry.get(key) is not None:
                entry[key] = opened(entry[key], ("scorers", name, key))
    for catalogue in ("models", "prompt_sets"):
        for name, entry in config[catalogue].items():
            for key in ("path", "clauses"):
                if key in entry:
                    entry[key] = _each(entry[key], (catalogue, name, key), opened)
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
    mitigating = config["trace"]["mitigating"]
    mitigating["neutral"] = opened(mitigating["neutral"], ("trace", "mitigating", "neutral"))
    harness = config["trace"]["lm_eval"]
    harness["folder"] = _each(harness["folder"], ("trace", "lm_eval", "folder"), opened)
    for name, entry in config["trace"]["sets"].items():
        where = ("trace", "sets", name)
        for key in ("cues", "use"):
            entry[key] = _each(entry[key], (*where, key), opened)
        if entry["counts"] and "path" in entry["counts"]:
            entry["counts"]["path"] = _each(entry["counts"]["path"], (*where, "counts", "path"), opened)


def _each(path: Any, where: Where, opened: Callable[[str, Where], str]) -> Any:
    """Replace a path, or every path in a mapping."""
    if isinstance(path, dict):
        return {key: _each(value, (*where, key), opened) for key, value in path.items()}
    return opened(path, where) if isinstance(path, str) else path


def _opened(path: str, where: Where, *, absolute: bool) -> str:
    return check_braces(looked_up(expanded(path, where), absolute=absolute), dotted(where))


def expanded(path: str, where: Where) -> str:
    """Return a path with environment variables and ``~`` expanded.

    Raises:
        InputError: a variable is not set.
    """
    filled = os.path.expanduser(os.path.expandvars(path))
    unset = re.search(r"\$\{?(\w+)", filled)
    if unset:
        raise InputError(
            f"{dotted(where)}: got {path!r}; the environment variable {unset[1]} is not set: "
            "set it, or write the path in full."
        )
    return filled


def _sorted(value: Any) -> Any:
    """Sort keys, so that their order in a file makes no job run again."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
