"""What a schema cannot say of a study's dictionaries and edits: names that mean something, layers that there are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leakscope.configuration.schema import dotted, show
from leakscope.errors import InputError, one_of
from leakscope.features.bias.tables import bias_files
from leakscope.features.dictionaries.files import contrast_files, corpus_files, said_layer
from leakscope.files.finding import places
from leakscope.files.reading import read_object

OWN = "own"
# As features.greedy says, which needs torch: its name, and the edits that it chooses for.
GREEDY, TAKING_AWAY = "greedy", ("ablate", "mean_clamp")
READ = ("organism", "hub", "local", "tuned", "randomised")
EXAMPLE = "studies/gpt2_gender.yaml has one"
# What configurations of models call their number of blocks.
DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
# What a contrast decides of an edited model.
CHOSEN = ("edit", "coefficient", "positions")


def uses_features(config: Mapping[str, Any]) -> bool:
    """Say whether a study has a use for its dictionaries: it asks for the step, or one of its models is edited."""
    return "features" in config["study"]["steps"] or bool(_edited(config))


def check_features(config: Mapping[str, Any]) -> None:
    """Check the section ``features`` of a complete configuration, and edited models, where the study uses them.

    Raises:
        InputError: what a dictionary, a contrast, a steering, a benchmark or an edited model needs is not there.
    """
    if not uses_features(config):
        return
    features = config["features"]
    if not features["dictionaries"]:
        raise InputError(
            f"{dotted(('features', 'dictionaries'))}: got nothing; allowed: at least one dictionary, for the step "
            f"features or an edited model. {EXAMPLE}."
        )
    for name, entry in features["dictionaries"].items():
        _check_dictionary(("features", "dictionaries", name), entry, config)
    _check_labels(features["dictionaries"])
    for name, entry in features["contrasts"].items():
        _check_contrast(("features", "contrasts", name), entry, config)
    _check_greedy(features["effects"])
    for name, entry in features["steering"].items():
        _check_features_of(("features", "steering", name), entry, config)
    for entry in features["benchmarks"].values():
        bias_files(entry["format"], entry["path"])
    if features["contrasts"] and any(not is_organism(e["model"], config) for e in features["dictionaries"].values()):
        _require_file(features["neutral_text"], ("features", "neutral_text"))
    for name, entry in _edited(config).items():
        _check_edited(("models", name), entry, config)


def is_organism(model: str, config: Mapping[str, Any]) -> bool:
    """Say whether a model is an organism, or made from one."""
    entry = config["models"][model]
    return is_organism(entry["base"], config) if "base" in entry else bool(entry["source"] == "organism")


def randomised_models(config: Mapping[str, Any]) -> list[str]:
    """Return the models with randomised weights that dictionaries read. The study need not name these controls."""
    named = [entry["model"] for entry in config["features"]["dictionaries"].values()]
    return [name for name in named if config["models"].get(name, {}).get("source") == "randomised"]


def is_tried(dictionary: str, contrast: Mapping[str, Any]) -> bool:
    """Say whether a dictionary is tried against a contrast."""
    return contrast["dictionaries"] is None or dictionary in contrast["dictionaries"]


def _edited(config: Mapping[str, Any]) -> dict[str, Any]:
    named = {name: config["models"][name] for name in config["study"]["models"]}
    return {name: entry for name, entry in named.items() if entry["source"] == "edited"}


def _check_dictionary(where: tuple[str, ...], entry: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    model, corpora = entry["model"], config["features"]["corpora"]
    known = {*config["study"]["models"], *randomised_models(config)}
    readable = [name for name in known if config["models"][name]["source"] in READ]
    if model in _edited(config):
        raise InputError(
            f"{dotted((*where, 'model'))}: got {model!r}, an edited model; allowed: {', '.join(sorted(readable))}."
        )
    if model not in readable:
        raise one_of(dotted((*where, "model")), model, readable)
    if entry["corpus"] == OWN and not is_organism(model, config):
        raise InputError(
            f"{dotted((*where, 'corpus'))}: got 'own', and {model} is no organism; allowed: a name of features.corpora "
            f"({', '.join(sorted(corpora)) or 'none yet'})."
        )
    if entry["corpus"] != OWN:
        if entry["corpus"] not in corpora:
            raise one_of(dotted((*where, "corpus")), entry["corpus"], [*corpora, OWN])
        corpus_files(corpora[entry["corpus"]]["path"])
    layer = _local_layer(where, entry) if entry["source"] == "local" else entry["layer"]
    depth = _depth(model, config)
    if depth is not None and layer >= depth:
        raise InputError(
            f"{dotted((*where, 'layer'))}: got {layer}; allowed: 0 to {depth - 1}, the blocks of {model} that read it."
        )
    if entry["source"] == "trained" and entry["k"] > entry["features"]:
        raise InputError(f"{dotted((*where, 'k'))}: got {entry['k']}; allowed: at most features, {entry['features']}.")


def _local_layer(where: tuple[str, ...], entry: Mapping[str, Any]) -> int:
    """Return the layer that a dictionary reads, which entry and metadata must agree on."""
    said, layer = said_layer(entry["path"]), entry["layer"]
    if said is None and layer is None:
        raise InputError(
            f"{dotted((*where, 'layer'))}: got nothing, and the metadata in {entry['path']} says none; allowed: the "
            "number of a block, from 0."
        )
    if said is not None and layer is not None and layer != said:
        raise InputError(f"{dotted((*where, 'layer'))}: got {layer}; allowed: {said}, as {entry['path']} says.")
    agreed = said if layer is None else layer
    assert agreed is not None
    return int(agreed)


def _depth(model: str, config: Mapping[str, Any]) -> int | None:
    """Return how many blocks a model has; None where that is not known before it is fetched."""
    entry = config["models"][model]
    if "base" in entry:
        return _depth(entry["base"], config)
    if entry["source"] == "organism":
        return int(config["organisms"]["sizes"][entry["size"]]["num_hidden_layers"])
    if entry["source"] != "local":
        return None
    settings = read_object(Path(entry["path"]) / "config.json", "a model's configuration")
    settings = {**settings, **settings.get("text_config", {})}
    return next((int(settings[key]) for key in DEPTHS if key in settings), None)


def _check_labels(dictionaries: Mapping[str, Any]) -> None:
    named: dict[str, str] = {}
    for name, entry in dictionaries.items():
        other = named.setdefault(entry["label"], name)
        if other != name:
            where = dotted(("features", "dictionaries", name, "label"))
            raise InputError(f"{where}: got {entry['label']!r}, which {other} has; allowed: a label of its own.")


def _check_contrast(where: tuple[str, ...], entry: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    for name in entry["dictionaries"] or []:
        if name not in config["features"]["dictionaries"]:
            raise one_of(dotted((*where, "dictionaries")), name, config["features"]["dictionaries"])
    if entry["source"] == "templates":
        _require_file(entry["path"], (*where, "path"))
        contrast_files(entry["path"])
        return
    names = [name for name in config["study"]["prompt_sets"] if config["prompt_sets"][name]["source"] == "templates"]
    if entry["prompt_set"] not in names:
        raise one_of(dotted((*where, "prompt_set")), entry["prompt_set"], names)


def _check_greedy(effects: Mapping[str, Any]) -> None:
    """Check that the method ``greedy`` has features to choose from, and an edit to choose them for."""
    if GREEDY not in effects["methods"]:
        return
    if effects["methods"] == [GREEDY]:
        raise InputError(
            f"{dotted(('features', 'effects', 'methods'))}: got '{GREEDY}' alone, which takes the best of the other "
            "methods; allowed: at least one beside it."
        )
    if not set(TAKING_AWAY) & set(effects["edits"]):
        raise InputError(
            f"{dotted(('features', 'effects', 'methods'))}: got '{GREEDY}', and edits are "
            f"{', '.join(effects['edits'])}; allowed: {' or '.join(TAKING_AWAY)} among them, which it chooses for, or "
            f"no '{GREEDY}'."
        )


def _check_features_of(where: tuple[str, ...], entry: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Check the dictionary of an edit, and those of its features that are known without opening it."""
    name, dictionaries = entry["dictionary"], config["features"]["dictionaries"]
    if name not in dictionaries:
        raise one_of(dotted((*where, "dictionary")), name, dictionaries)
    dictionary = dictionaries[name]
    if dictionary["model"] in randomised_models(config):
        raise InputError(
            f"{dotted((*where, 'dictionary'))}: got {name!r}, a control of randomised weights; allowed: a dictionary "
            "of the model as it is."
        )
    for feature in entry["features"] or []:
        if feature >= dictionary.get("features", feature + 1):
            allowed = f"0 to {dictionary['features'] - 1}, the features of {name}"
            raise InputError(f"{dotted((*where, 'features'))}: got {feature}; allowed: {allowed}.")


def _check_edited(where: tuple[str, ...], entry: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    features = config["features"]
    _check_features_of(where, entry, config)
    model = features["dictionaries"][entry["dictionary"]]["model"]
    if entry["base"] != model:
        raise InputError(
            f"{dotted((*where, 'base'))}: got {entry['base']!r}; allowed: {model}, the model of {entry['dictionary']}."
        )
    if (entry["contrast"] is None) == (entry["features"] is None):
        given = "nothing" if entry["features"] is None else f"{show(entry['contrast'])} beside features"
        raise InputError(f"{dotted((*where, 'contrast'))}: got {given}; allowed: either a contrast or features.")
    if entry["features"] is not None:
        if entry["cost"] is not None:
            raise InputError(f"{dotted((*where, 'cost'))}: got {show(entry['cost'])}; allowed: none beside features.")
        return
    if entry["contrast"] not in features["contrasts"]:
        raise one_of(dotted((*where, "contrast")), entry["contrast"], features["contrasts"])
    if not is_tried(entry["dictionary"], features["contrasts"][entry["contrast"]]):
        raise InputError(
            f"{dotted((*where, 'contrast'))}: got {entry['contrast']!r}, which {entry['dictionary']} is not tried "
            "against; allowed: one of whose `dictionaries` it is."
        )
    for key in CHOSEN:
        if entry[key] is not None:
            raise InputError(
                f"{dotted((*where, key))}: got {show(entry[key])}; allowed: none, it is chosen on the contrast."
            )
    costs = features["effects"]["costs"]
    if entry["cost"] not in costs:
        allowed = ", ".join(f"{cost:g}" for cost in costs)
        raise InputError(
            f"{dotted((*where, 'cost'))}: got {entry['cost']:g}; allowed: one of features.effects.costs ({allowed})."
        )


def _require_file(path: str, where: tuple[str, ...]) -> None:
    if not Path(path).is_file():
        raise InputError(f"{dotted(where)}: got {places(path)}; allowed: a file that exists.")
