"""Checks of dictionaries and edits beyond the schema: names refer to existing entries, and layers exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from leakscope.configuration.checks_trace import check_in_user_turn
from leakscope.configuration.features import OWN, edited_models, is_organism, is_tried, randomised_models, uses_features
from leakscope.configuration.resolved import SERVED, thinks
from leakscope.errors import InputError, one_of
from leakscope.features.bias.tables import bias_files
from leakscope.features.dictionaries.files import contrast_files, corpus_files, said_layer
from leakscope.files.finding import places
from leakscope.models.checkpoints.files import read_settings
from leakscope.typed.wording import dotted, show

READ = ("organism", "hub", "local", "package", "adapter", "tuned", "randomised")
EXAMPLE = "studies/gpt2_gender.yaml has one"
# Keys for the number of blocks in models' config.json.
DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
# Keys of an edited model that its contrast sets.
CHOSEN = ("edit", "coefficient", "positions")


def features_checks(config: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
    """Yield checks of the section ``features`` of a complete configuration and of edited models, if the study uses
    them.

    Raises:
        InputError: there is no dictionary.
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
        yield partial(_check_dictionary, ("features", "dictionaries", name), entry, config)
    yield partial(_check_labels, features["dictionaries"])
    for name, entry in features["contrasts"].items():
        yield partial(_check_contrast, ("features", "contrasts", name), entry, config)
    for name, entry in features["steering"].items():
        yield partial(_check_features_of, ("features", "steering", name), entry, config)
    for entry in features["benchmarks"].values():
        yield partial(bias_files, entry["format"], entry["path"])
    if features["contrasts"]:
        yield partial(_check_neutral_text, features, config)
    for name, entry in edited_models(config).items():
        yield partial(_check_edited, ("models", name), entry, config)


def _check_neutral_text(features: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    read = [entry["model"] for entry in features["dictionaries"].values() if entry["model"] in config["models"]]
    if not all(is_organism(model, config) for model in read):
        _require_file(features["neutral_text"], ("features", "neutral_text"))


def _check_dictionary(where: tuple[str, ...], entry: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    model, corpora, readable = entry["model"], config["features"]["corpora"], _readable(config)
    if model in edited_models(config):
        raise InputError(
            f"{dotted((*where, 'model'))}: got {model!r}, an edited model; allowed: {', '.join(sorted(readable))}."
        )
    if config["models"].get(model, {}).get("source") == SERVED:
        raise InputError(
            f"{dotted((*where, 'model'))}: got {model!r}, a model behind a server; allowed: one that runs here: a "
            "dictionary needs weights."
        )
    if model not in readable:
        raise one_of(dotted((*where, "model")), model, readable)
    if entry["corpus"] == OWN and not is_organism(model, config):
        raise InputError(
            f"{dotted((*where, 'corpus'))}: got 'own', but {model} is no organism; allowed: a name of features.corpora "
            f"({', '.join(sorted(corpora)) or 'none yet'})."
        )
    if entry["corpus"] != OWN:
        if entry["corpus"] not in corpora:
            raise one_of(dotted((*where, "corpus")), entry["corpus"], [*corpora, OWN])
        corpus_files(corpora[entry["corpus"]]["path"])
    layer = _local_layer(where, entry) if entry["source"] == "local" else entry["layer"]
    depth = _depth(model, config)
    if depth is not None and layer >= depth:
        raise InputError(f"{dotted((*where, 'layer'))}: got {layer}; allowed: 0 to {depth - 1}, the blocks of {model}.")


def _readable(config: Mapping[str, Any]) -> list[str]:
    """Return the models that a dictionary may read."""
    known = {*config["study"]["models"], *randomised_models(config)}
    entries = {name: config["models"][name] for name in known}
    return [name for name, entry in entries.items() if entry["source"] in READ and not thinks(entry)]


def _local_layer(where: tuple[str, ...], entry: Mapping[str, Any]) -> int:
    """Return the layer that a dictionary reads; entry and metadata must agree."""
    said, layer = said_layer(entry["path"]), entry["layer"]
    if said is None and layer is None:
        raise InputError(
            f"{dotted((*where, 'layer'))}: got nothing, and the metadata in {entry['path']} has no layer; allowed: the "
            "index of a block, from 0."
        )
    if said is not None and layer is not None and layer != said:
        raise InputError(f"{dotted((*where, 'layer'))}: got {layer}; allowed: {said}, as {entry['path']} says.")
    agreed = said if layer is None else layer
    assert agreed is not None
    return int(agreed)


def _depth(model: str, config: Mapping[str, Any]) -> int | None:
    """Return a model's number of blocks; None if unknown before the download."""
    entry = config["models"][model]
    if "base" in entry:
        return _depth(entry["base"], config)
    if entry["source"] == "organism":
        size = config["organisms"]["sizes"].get(entry["size"])
        return None if size is None else int(size["num_hidden_layers"])
    if entry["source"] != "local":
        return None
    settings = read_settings(Path(entry["path"]) / "config.json")
    inner = settings.get("text_config")
    settings = {**settings, **(inner if isinstance(inner, dict) else {})}
    # Values that are no number are reported when the model is opened.
    return next((settings[key] for key in DEPTHS if isinstance(settings.get(key), int)), None)


def _check_labels(dictionaries: Mapping[str, Any]) -> None:
    named: dict[str, str] = {}
    for name, entry in dictionaries.items():
        other = named.setdefault(entry["label"], name)
        if other != name:
            where = dotted(("features", "dictionaries", name, "label"))
            raise InputError(
                f"{where}: got {entry['label']!r}, the label of {other}; allowed: a label that no other dictionary has."
            )


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
    check_in_user_turn(entry["prompt_set"], config, f"the contrast {where[-1]}")


def _check_features_of(where: tuple[str, ...], entry: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Check an edit's dictionary, and its feature indices if the dictionary's size is known without opening it."""
    name, dictionaries = entry["dictionary"], config["features"]["dictionaries"]
    if name not in dictionaries:
        raise one_of(dotted((*where, "dictionary")), name, dictionaries)
    dictionary = dictionaries[name]
    if dictionary["model"] in randomised_models(config):
        raise InputError(
            f"{dotted((*where, 'dictionary'))}: got {name!r}, a control on randomised weights; allowed: a dictionary "
            "of the unchanged model."
        )
    for feature in entry["features"] or []:
        if feature >= dictionary.get("features", feature + 1):
            allowed = f"0 to {dictionary['features'] - 1}, the features of {name}"
            raise InputError(f"{dotted((*where, 'features'))}: got {feature}; allowed: {allowed}.")


def _check_edited(where: tuple[str, ...], entry: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    features = config["features"]
    _check_features_of(where, entry, config)
    model = features["dictionaries"][entry["dictionary"]]["model"]
    if entry["base"] != model and model in _readable(config):
        raise InputError(
            f"{dotted((*where, 'base'))}: got {entry['base']!r}; allowed: {model}, the model of {entry['dictionary']}."
        )
    if (entry["contrast"] is None) == (entry["features"] is None):
        given = "nothing" if entry["features"] is None else f"{show(entry['contrast'])} together with features"
        raise InputError(f"{dotted((*where, 'contrast'))}: got {given}; allowed: either a contrast or features.")
    if entry["features"] is not None:
        if entry["cost"] is not None:
            raise InputError(
                f"{dotted((*where, 'cost'))}: got {show(entry['cost'])}; allowed: no cost together with `features`."
            )
        return
    if entry["contrast"] not in features["contrasts"]:
        raise one_of(dotted((*where, "contrast")), entry["contrast"], features["contrasts"])
    if not is_tried(entry["dictionary"], features["contrasts"][entry["contrast"]]):
        raise InputError(
            f"{dotted((*where, 'contrast'))}: got {entry['contrast']!r}, on which {entry['dictionary']} is not tested"
            f"; allowed: a contrast whose `dictionaries` include {entry['dictionary']}."
        )
    for key in CHOSEN:
        if entry[key] is not None:
            raise InputError(
                f"{dotted((*where, key))}: got {show(entry[key])}; allowed: no value; the contrast determines it."
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
