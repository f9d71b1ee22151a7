"""Manifests: small JSON records of a model's weights, a training run or a job, stored with the large files."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from leakscope.errors import InputError
from leakscope.files.reading import check_regular, read_object
from leakscope.files.writing import replacing

READ_AT_ONCE = 2**20
WEIGHTS = ".safetensors"
# Names in transformers of a single weight file, and of the index of several.
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
# Most files in a model's folder and its subfolders; many training checkpoints make some thousands.
MOST_FILES = 100_000
SETTINGS_FILES = ("*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken", "*.py")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
# Names of an adapter's files in PEFT.
ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json")
# Files that this workflow adds to a model's folder.
OWN_FILES = ("model.json", "training.json")


def write_manifest(manifest: Mapping[str, Any], path: Path) -> None:
    """Write a manifest as JSON with sorted keys, atomically."""
    with replacing(path) as part:
        part.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the content of a manifest.

    Raises:
        InputError: as ``read_object``.
    """
    return read_object(path, "a record as leakscope writes it")


def hash_files(paths: Iterable[Path]) -> str:
    """Return one SHA-256 over the names and contents of files, in the order given.

    Raises:
        InputError: a path is not a regular file.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\n{check_regular(path)}\n".encode())
        with path.open("rb") as stream:
            while block := stream.read(READ_AT_ONCE):
                digest.update(block)
    return digest.hexdigest()


def describe_folder(folder: Path, source: str) -> dict[str, Any]:
    """Return the manifest of a model folder: its path and the SHA-256 of its weights and of its other settings.

    Raises:
        InputError: ``folder`` lacks safetensors weights, a configuration or a tokenizer, or contains something other
            than regular files.
    """
    check_model_folder(folder)
    weights = sorted(folder.glob(f"*{WEIGHTS}"))
    for is_there, what in (
        (weights, "safetensors weights (*.safetensors)"),
        ((folder / "config.json").exists(), "a config.json"),
        (has_tokenizer(folder), "a tokenizer (tokenizer.json, tokenizer.model or vocab files)"),
    ):
        if not is_there:
            raise InputError(f"model folder {folder}: lacks {what}; save one with `save_pretrained`.")
    return {"source": source, "path": str(folder), **hash_model(folder)}


def describe_adapter(folder: Path, base: Mapping[str, Any], source: str = "tuned") -> dict[str, Any]:
    """Return the manifest of an adapter: its path, the manifest of its base model, and hashes of both.

    Args:
        folder: folder with ``adapter_model.safetensors`` and ``adapter_config.json``.
        base: manifest of a whole model.
        source: source of the adapter: tuned here, or the user's.
    """
    return {"source": source, "adapter": str(folder), "base": dict(base), **hash_adapted(folder, base)}


def hash_adapted(folder: Path, base: Mapping[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of the weights and of the settings that affect generation, of base and adapter together."""
    return {key: hashlib.sha256(f"{base[key]}\n{own}".encode()).hexdigest() for key, own in hash_model(folder).items()}


def describe_edited(
    edit: Mapping[str, Any], base: Mapping[str, Any], dictionary: Mapping[str, Any] | None, code: str
) -> dict[str, Any]:
    """Return the manifest of a model with an edit: the manifests of base and dictionary, and hashes of all.

    Args:
        edit: as JSON; see ``models.editing.edits``.
        base: manifest of a model.
        dictionary: manifest of the features' dictionary; None for an edit along a direction.
        code: hash of the code that applies an edit.
    """
    return _with_change("edited", "edit", edit, base, dictionary, code)


def describe_changed(
    change: Mapping[str, Any], base: Mapping[str, Any], dictionary: Mapping[str, Any] | None, code: str
) -> dict[str, Any]:
    """Return the manifest of a model with a mitigation, analogous to ``describe_edited``.

    Args:
        change: the mitigation as JSON; see ``models.mitigating.installing``.
        base: manifest of a model.
        dictionary: manifest of the dictionary of the change's features; None without features.
        code: hash of the code that applies the change.
    """
    return _with_change("mitigated", "change", change, base, dictionary, code)


def _with_change(
    source: str,
    key: str,
    change: Mapping[str, Any],
    base: Mapping[str, Any],
    dictionary: Mapping[str, Any] | None,
    code: str,
) -> dict[str, Any]:
    read = None if dictionary is None else {name: dictionary[name] for name in ("sha256", "layer", "centre")}
    return {
        "source": source,
        "base": dict(base),
        key: dict(change),
        "dictionary": None if dictionary is None else dict(dictionary),
        **_hash_changed(base, [change, read, code]),
    }


def describe_randomised(base: Mapping[str, Any], seed: int, code: str) -> dict[str, Any]:
    """Return the manifest of a randomised model: the manifest of the model with its architecture, and hashes.

    Args:
        base: manifest of a whole model.
        seed: of the weights.
        code: hash of the code that draws the weights.
    """
    return {"source": "randomised", "base": dict(base), "seed": seed, **_hash_changed(base, [seed, code])}


def _hash_changed(base: Mapping[str, Any], changes: Any) -> dict[str, str]:
    """Return the SHA-256 of the weights and of the settings that affect generation, of a base with changes."""
    said = json.dumps(changes, sort_keys=True)
    return {
        key: hashlib.sha256(f"{base[key]}\n{said}".encode()).hexdigest()
        for key in ("weights_sha256", "settings_sha256")
    }


def hash_model(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of a model folder's weights, and of its other files that affect generation."""
    settings = [path for path in model_files(folder) if path.suffix != WEIGHTS and path.name not in OWN_FILES]
    return {
        "weights_sha256": hash_files(_taken_weights(folder)),
        "settings_sha256": hash_files(settings),
    }


def model_files(folder: Path) -> list[Path]:
    """Return the files of a model folder that affect generation, sorted: weights and settings."""
    settings = [path for pattern in SETTINGS_FILES for path in folder.glob(pattern)]
    return sorted([*_taken_weights(folder), *settings])


def _taken_weights(folder: Path) -> list[Path]:
    """Return the weight files of a folder without redundant copies; of an incomplete model, all weight files."""
    return weight_files(folder) or sorted(folder.glob(f"*{WEIGHTS}"))


def check_model_folder(folder: Path) -> None:
    """Check that a model folder contains only regular files and folders, before any of them is opened.

    In subfolders, which few models read, only devices and FIFOs are refused.

    Raises:
        InputError: the folder contains a device, a FIFO, a broken link (not in subfolders) or more than ``MOST_FILES``
            files, or its index of weights is invalid (see ``weight_files``).
    """
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            check_regular(path)
    for n_files, path in enumerate(_files_below(folder)):
        if n_files == MOST_FILES:
            raise InputError(f"{folder}: got more than {MOST_FILES:,} files; allowed: a folder of one model.")
        if _never_ends(path):
            check_regular(path)
    weight_files(folder)


def weight_files(folder: Path) -> list[Path]:
    """Return the weight files that transformers loads from a model folder, without redundant copies.

    Raises:
        InputError: the index is not in the format of transformers, or names something other than a regular file in the
            folder. Links to regular files, as in the hub's cache, are allowed.
    """
    if (folder / WHOLE).exists() or not (folder / INDEX).exists():
        return [path for path in [folder / WHOLE] if path.exists()]
    allowed = "objects `metadata` and `weight_map` (weight → file), as `save_pretrained` writes them"
    index = read_object(folder / INDEX, allowed)
    for key in ("metadata", "weight_map"):
        if not isinstance(index.get(key), dict):
            raise InputError(f"{folder / INDEX}: got no object {key!r}; allowed: {allowed}.")
    here = {path.name for path in folder.iterdir()}
    for weight, name in index["weight_map"].items():
        if not isinstance(name, str) or name not in here:
            raise InputError(f"{folder / INDEX}: got {name!r} for {weight!r}; allowed: a file in the same folder.")
    files = [folder / name for name in sorted(set(index["weight_map"].values()))]
    for file in files:
        check_regular(file)
    return files


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and its subfolders; links to folders are followed, each folder is entered once."""
    seen = {os.path.realpath(folder)}
    for here, folders, names in os.walk(folder, followlinks=True):
        inside = {os.path.realpath(Path(here, name)): name for name in sorted(folders)}
        folders[:] = [name for real, name in inside.items() if real not in seen]
        seen.update(inside)
        yield from (Path(here, name) for name in sorted(names))


def _never_ends(path: Path) -> bool:
    """Return whether opening or reading a file might never end."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def has_tokenizer(folder: Path) -> bool:
    """Return whether a model folder contains a tokenizer."""
    return any((folder / name).exists() for name in TOKENIZER_FILES)
