"""Small JSON records beside large files: which weights a model has, how a training went, what a job computed."""

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
# As transformers names the one file of weights, and the list of several.
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
# Files in a model's folder and the folders inside it; with many checkpoints of a training, some thousands.
MOST_FILES = 100_000
SETTINGS_FILES = ("*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken", "*.py")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
# As PEFT names an adapter's.
ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json")
# What this workflow itself puts beside a model.
OWN_FILES = ("model.json", "training.json")


def write_manifest(manifest: Mapping[str, Any], path: Path) -> None:
    """Write a record as JSON with sorted keys, atomically."""
    with replacing(path) as part:
        part.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a record.

    Raises:
        InputError: as ``read_object``.
    """
    return read_object(path, "a record as leakscope writes it")


def hash_files(paths: Iterable[Path]) -> str:
    """Return one SHA-256 over the names and contents of files, in the order given.

    Raises:
        InputError: one is no regular file.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\n{check_regular(path)}\n".encode())
        with path.open("rb") as stream:
            while block := stream.read(READ_AT_ONCE):
                digest.update(block)
    return digest.hexdigest()


def describe_folder(folder: Path, source: str) -> dict[str, Any]:
    """Return the manifest of a model folder: where it is, and SHA-256 of its weights and of all its other settings.

    Raises:
        InputError: no safetensors weights, no configuration or no tokenizer in ``folder``, or something in it that is
            no regular file.
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
    """Return the manifest of an adapter: where it is, the manifest of the model that it is laid upon, hashes of both.

    Args:
        folder: of ``adapter_model.safetensors`` and ``adapter_config.json``.
        base: manifest of a whole model.
        source: of the adapter: tuned here, or brought.
    """
    return {"source": source, "adapter": str(folder), "base": dict(base), **hash_adapted(folder, base)}


def hash_adapted(folder: Path, base: Mapping[str, Any]) -> dict[str, str]:
    """Return SHA-256 of the weights, and of all else that may change what is written, of base and adapter together."""
    return {key: hashlib.sha256(f"{base[key]}\n{own}".encode()).hexdigest() for key, own in hash_model(folder).items()}


def describe_edited(
    edit: Mapping[str, Any], base: Mapping[str, Any], dictionary: Mapping[str, Any] | None, code: str
) -> dict[str, Any]:
    """Return the manifest of a model with an edit: those of the model and of the edit's dictionary, hashes of all.

    Args:
        edit: as JSON; see ``models.editing.edits``.
        base: manifest of a model.
        dictionary: manifest of the features' dictionary; None for an edit along a direction.
        code: hash of the code by which an edit changes what a model computes.
    """
    return _with_change("edited", "edit", edit, base, dictionary, code)


def describe_changed(
    change: Mapping[str, Any], base: Mapping[str, Any], dictionary: Mapping[str, Any] | None, code: str
) -> dict[str, Any]:
    """Return the manifest of a model with a change that mitigates leakage, as ``describe_edited`` does of an edit.

    Args:
        change: as JSON; see ``models.mitigating.installing``.
        base: manifest of a model.
        dictionary: manifest of the dictionary of the change's features; None without any.
        code: hash of the code by which the change changes what a model computes.
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
    """Return the manifest of a model with weights drawn anew: that of the model whose architecture it has, and hashes.

    Args:
        base: manifest of a whole model.
        seed: of the weights.
        code: hash of the code by which they are drawn.
    """
    return {"source": "randomised", "base": dict(base), "seed": seed, **_hash_changed(base, [seed, code])}


def _hash_changed(base: Mapping[str, Any], changes: Any) -> dict[str, str]:
    """Return SHA-256 of the weights, and of all else that may change what is written, of a base and changes to it."""
    said = json.dumps(changes, sort_keys=True)
    return {
        key: hashlib.sha256(f"{base[key]}\n{said}".encode()).hexdigest()
        for key in ("weights_sha256", "settings_sha256")
    }


def hash_model(folder: Path) -> dict[str, str]:
    """Return SHA-256 of a model folder's weights, and of all its other files that may change what it writes."""
    settings = [path for path in model_files(folder) if path.suffix != WEIGHTS and path.name not in OWN_FILES]
    return {
        "weights_sha256": hash_files(_taken_weights(folder)),
        "settings_sha256": hash_files(settings),
    }


def model_files(folder: Path) -> list[Path]:
    """Return the files of a model folder that may change what the model writes, sorted: weights and settings."""
    settings = [path for pattern in SETTINGS_FILES for path in folder.glob(pattern)]
    return sorted([*_taken_weights(folder), *settings])


def _taken_weights(folder: Path) -> list[Path]:
    """Return the files of weights in a folder without copies beside them; all, where they are no whole model's."""
    return weight_files(folder) or sorted(folder.glob(f"*{WEIGHTS}"))


def check_model_folder(folder: Path) -> None:
    """Check that a model folder holds regular files and folders alone, before any of them is opened.

    In the folders inside it, which few models read, only what would never end is looked for.

    Raises:
        InputError: one is a device, a FIFO or (in the folder itself) a link to nothing, of which reading has no end or
            no beginning; there are more than ``MOST_FILES``; or the list of weights is wrong (see ``weight_files``).
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
    """Return the files of weights that transformers loads from a model folder, and no copies beside them.

    Raises:
        InputError: the list of several is not as transformers writes it, or names what is no regular file in the
            folder. Links to regular files, of which the hub's cache is made, are.
    """
    if (folder / WHOLE).exists() or not (folder / INDEX).exists():
        return [path for path in [folder / WHOLE] if path.exists()]
    allowed = "objects `metadata` and `weight_map`, the file of each weight, as `save_pretrained` writes them"
    index = read_object(folder / INDEX, allowed)
    for key in ("metadata", "weight_map"):
        if not isinstance(index.get(key), dict):
            raise InputError(f"{folder / INDEX}: got no object {key!r}; allowed: {allowed}.")
    here = {path.name for path in folder.iterdir()}
    for weight, name in index["weight_map"].items():
        if not isinstance(name, str) or name not in here:
            raise InputError(f"{folder / INDEX}: got {name!r} for {weight!r}; allowed: the name of a file beside it.")
    files = [folder / name for name in sorted(set(index["weight_map"].values()))]
    for file in files:
        check_regular(file)
    return files


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files in the folders inside a folder; links to folders are followed, each folder is entered once."""
    seen = {os.path.realpath(folder)}
    for here, folders, names in os.walk(folder, followlinks=True):
        inside = {os.path.realpath(Path(here, name)): name for name in sorted(folders)}
        folders[:] = [name for real, name in inside.items() if real not in seen]
        seen.update(inside)
        yield from (Path(here, name) for name in sorted(names))


def _never_ends(path: Path) -> bool:
    """Say whether opening or reading a file may have no end."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def has_tokenizer(folder: Path) -> bool:
    """Say whether a model folder holds a tokenizer."""
    return any((folder / name).exists() for name in TOKENIZER_FILES)
