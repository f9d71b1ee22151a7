"""What a schema cannot say of a configuration: names that mean something, files that are there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from leakscope.configuration.checks_features import check_features
from leakscope.configuration.checks_ground import check_ground
from leakscope.configuration.checks_validate import check_validate
from leakscope.configuration.schema import CATALOGUES, dotted, show
from leakscope.errors import InputError, one_of
from leakscope.files.finding import folders, found, places
from leakscope.files.reading import read_object
from leakscope.storage.manifests import TOKENIZER_FILES, check_model_folder
from leakscope.web.servers import BY_VARIABLE, check_address, read_key

GRAMMAR = "data/grammar"
# How checkpoints that are quantised call themselves on the hub.
QUANTISED = re.compile(r"gptq|awq|gguf|bnb|fp8|int[48]|[48]-?bit", re.IGNORECASE)
RESERVED: dict[str, tuple[str, ...]] = {
    "models": ("corpora", "tokenizers", "encoders", "logs"),
    "prompt_sets": (),
    "scorers": ("pairs",),
}


def check_names(config: Mapping[str, Any]) -> None:
    """Check that every name the study lists is in its catalogue.

    Raises:
        InputError: an unknown name, with the nearest known one.
    """
    for catalogue in CATALOGUES:
        for name in config["study"][catalogue]:
            if name in RESERVED[catalogue]:
                allowed = (
                    f"any other name; {', '.join(RESERVED[catalogue])} are folders or files of the workflow itself"
                )
                raise InputError(f"{dotted(('study', catalogue))}: got {name!r}; allowed: {allowed}.")
            if name not in config[catalogue]:
                raise one_of(dotted(("study", catalogue)), name, config[catalogue])


def check_study(config: Mapping[str, Any]) -> None:
    """Check the entries that a complete configuration's study names; others may point to files that are not here.

    Raises:
        InputError: two models with one label, a size that cannot be built or is unknown, a file or folder missing, an
            address with a secret in it, a key that cannot be sent.
    """
    _check_servers(config)
    _check_labels(config)
    _check_steps(config)
    _check_organisms(config)
    _check_files(config)
    for name, entry in config["models"].items():
        if entry["source"] in ("tuned", "randomised"):
            _check_base(name, entry["base"], config["models"][entry["base"]])
    check_ground(config)
    check_validate(config)
    check_features(config)


def _selected(config: Mapping[str, Any], catalogue: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in config["study"][catalogue]:
        yield name, config[catalogue][name]


def _check_servers(config: Mapping[str, Any]) -> None:
    """Check every address, and the keys of this environment; a key that is not set may not be needed."""
    for name, entry in config["features"]["explainers"].items():
        if "base_url" in entry:
            check_address(entry["base_url"], dotted(("features", "explainers", name, "base_url")), BY_VARIABLE)
            read_key(entry["key_variable"])
    for name, axis in config["ground"]["axes"].items():
        if "url" in axis["counts"]:
            check_address(axis["counts"]["url"], dotted(("ground", "axes", name, "counts", "url")))


def _check_labels(config: Mapping[str, Any]) -> None:
    named: dict[str, str] = {}
    for name, entry in _selected(config, "models"):
        other = named.setdefault(entry["label"], name)
        if other != name:
            where = dotted(("models", name, "label"))
            raise InputError(f"{where}: got {entry['label']!r}, which {other} has; allowed: a label of its own.")


def _check_steps(config: Mapping[str, Any]) -> None:
    """Check that `leak`, where it is asked for, has prompts, scorers and a model."""
    if "leak" not in config["study"]["steps"]:
        return
    for catalogue in ("prompt_sets", "scorers"):
        if not config["study"][catalogue]:
            allowed = "a list of names, each once, at least one"
            raise InputError(f"{dotted(('study', catalogue))}: got nothing; allowed: {allowed}, for the step leak.")
    if all(entry["source"] == "scores" for _, entry in _selected(config, "models")):
        names = ", ".join(config["study"]["models"])
        raise InputError(
            f"{dotted(('study', 'models'))}: got {names}, of which there are scores alone; "
            "allowed: at least one model that writes text, or texts of, for the step leak."
        )


def _check_organisms(config: Mapping[str, Any]) -> None:
    for name, size in config["organisms"]["sizes"].items():
        # Rotary position embeddings turn the numbers of a head in pairs.
        if size["hidden_size"] % (2 * size["num_attention_heads"]):
            where = dotted(("organisms", "sizes", name, "hidden_size"))
            allowed = f"a multiple of {2 * size['num_attention_heads']}, twice num_attention_heads"
            raise InputError(f"{where}: got {size['hidden_size']}; allowed: {allowed}.")
    for name, entry in _selected(config, "models"):
        if entry["source"] == "organism" and entry["size"] not in config["organisms"]["sizes"]:
            raise one_of(dotted(("models", name, "size")), entry["size"], config["organisms"]["sizes"])


def _check_files(config: Mapping[str, Any]) -> None:
    """Check that what the selected entries point to is there."""
    for name, entry in _selected(config, "prompt_sets"):
        where = dotted(("prompt_sets", name, "path"))
        if entry["source"] == "templates":
            inside = Path(entry["path"]) / "templates.yaml"
            _require(inside.is_file(), where, entry["path"], "a folder that holds templates.yaml")
        else:
            _require(Path(entry["path"]).is_file(), where, entry["path"], "a file that exists")
    for name, entry in _selected(config, "scorers"):
        model = entry.get("model", "")
        where = dotted(("scorers", name, "model"))
        # A hub id has at most one slash and does not begin like a path.
        looks_like_a_path = model.count("/") > 1 or model.startswith((".", "/"))
        if looks_like_a_path and not model.startswith("package:"):
            _require(Path(model).is_dir(), where, model, "a folder that exists, package:<module>/<folder>, or a hub id")
        if model and Path(model).is_dir():
            check_model_folder(Path(model))
    for name, entry in _selected(config, "models"):
        if entry["source"] == "organism":
            _check_grammar(name, entry["grammar"]["parts"])
        elif entry["source"] == "local":
            _check_model_folder(dotted(("models", name, "path")), entry["path"])
        elif entry["source"] == "generations":
            _check_generations(name, entry["path"], config["study"]["prompt_sets"])


def _check_grammar(model: str, parts: list[str]) -> None:
    for part in parts:
        if not Path(found(f"{GRAMMAR}/{part}")).is_dir():
            known = {folder.name for parent in folders(GRAMMAR) for folder in parent.glob("*/")}
            raise one_of(dotted(("models", model, "grammar", "parts")), part, known)


def _check_model_folder(where: str, path: str) -> None:
    folder = Path(path)
    _require(folder.is_dir(), where, path, "a folder that exists")
    check_model_folder(folder)
    _require((folder / "config.json").is_file(), where, path, "a model folder with config.json")
    has_tokenizer = any((folder / name).is_file() for name in TOKENIZER_FILES)
    _require(has_tokenizer, where, path, f"a model folder with a tokenizer ({', '.join(TOKENIZER_FILES)})")


def _check_generations(model: str, path: str | dict[str, str], prompt_sets: list[str]) -> None:
    where = ("models", model, "path")
    paths = {name: path for name in prompt_sets} if isinstance(path, str) else path
    for name in prompt_sets:
        if name not in paths:
            raise InputError(
                f"{dotted((*where, name))}: got nothing; allowed: a file for each of the study's prompt sets "
                f"({', '.join(prompt_sets)}); there are files for {', '.join(sorted(paths))}."
            )
        here = where if isinstance(path, str) else (*where, name)
        _require(Path(paths[name]).is_file(), dotted(here), paths[name], "a file that exists")


def _check_base(model: str, base: str, entry: Mapping[str, Any]) -> None:
    """Check that a base is not quantised: a checkpoint of the hub says so, if at all, by its name."""
    evidence = entry["quantization"]
    if entry["source"] == "local":
        settings = read_object(Path(entry["path"]) / "config.json", "a model's configuration")
        evidence = evidence or settings.get("quantization_config")
    elif entry["source"] == "hub" and QUANTISED.search(entry["id"]):
        evidence = entry["id"]
    if evidence:
        raise InputError(
            f"{dotted(('models', model, 'base'))}: got {base!r}, which is quantised ({show(evidence)}); "
            "allowed: a model with its weights as they were trained."
        )


def _require(fulfilled: bool, where: str, value: str, allowed: str) -> None:
    if not fulfilled:
        raise InputError(f"{where}: got {places(value)}; allowed: {allowed}.")
