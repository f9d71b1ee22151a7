"""Checks that the files of a model folder are whole and consistent, before anything is loaded.

This module imports neither torch nor transformers, so that all folders of a study are checked before jobs are planned.
``checking`` has the checks that need weights or the model itself.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakscope.errors import InputError, Mistakes, counted
from leakscope.files.reading import check_regular, one_line, read_object
from leakscope.storage.manifests import ADAPTER_FILES, weight_files

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CONFIG, GENERATION, TOKENIZER = "config.json", "generation_config.json", "tokenizer.json"
TOKENIZER_SETTINGS = "tokenizer_config.json"
# Of a file of safetensors: a number of eight bytes, then a JSON object of at most so many.
LENGTH, LONGEST_HEADER = 8, 100_000_000
POINTER = b"version https://git-lfs"
# As architectures call the embedding of tokens.
EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|word_embeddings|embed_in|embeddings|shared)\.weight$")
# Tokens without which no text can be begun or ended; others may lie beyond the embedding, as one for pictures does in
# the text models of Gemma 3, as long as no text holds them.
NEEDED = ("bos_token", "eos_token")


def check_folder(folder: Path) -> None:
    """Check settings, tokenizer and weight headers in a model folder, and that they are consistent.

    Args:
        folder: of a model, of which ``manifests.check_model_folder`` has been made.

    Raises:
        InputError: all mistakes that are found, one line each.
    """
    if (folder / ADAPTER_FILES[1]).is_file():
        # transformers would load the adapter's base instead of what is here, and the adapter with it.
        raise InputError(
            f"model folder {folder}: got a model with an adapter in it ({ADAPTER_FILES[1]}); allowed: a folder "
            "without, or `source: adapter` for the adapter."
        )
    found = Mistakes()
    found.run(_checks(folder))
    found.end()


def check_vocabulary(where: object, n_tokens: int, needed: Mapping[str, int | None], n_rows: int) -> None:
    """Check that the model's embedding has a row for each of a tokenizer's tokens.

    Tokens added to the vocabulary may lack a row, except those ``needed``: see ``check_readable``.

    Args:
        where: for the error.
        n_tokens: of the vocabulary, without what was added to it.
        needed: what a token is for → its id, if there is one.
        n_rows: of the embedding.

    Raises:
        InputError: some have none.
    """
    allowed = "a tokenizer of which every token has a row, such as the one that the model was trained with"
    if n_tokens > n_rows:
        raise InputError(
            f"{where}: got a tokenizer of {counted(n_tokens, 'token', 'tokens')} and an embedding of "
            f"{counted(n_rows, 'row', 'rows')}; allowed: {allowed}."
        )
    for name, token in needed.items():
        if token is not None and token >= n_rows:
            raise InputError(
                f"{where}: got {name} number {token} and an embedding of {counted(n_rows, 'row', 'rows')}; "
                f"allowed: {allowed}."
            )


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings that a model or its tokenizer is saved with.

    Raises:
        InputError: as ``read_object``.
    """
    return read_object(path, "a whole file of settings, as `save_pretrained` writes it")


def tokenizer_settings(folder: Path) -> dict[str, Any]:
    """Return the settings of a folder's tokenizer; empty where there is no file of them.

    Raises:
        InputError: as ``read_settings``.
    """
    path = folder / TOKENIZER_SETTINGS
    return read_settings(path) if path.exists() else {}


def special_tokens(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return role → special token from a tokenizer's settings."""
    said = {name: value for name, value in settings.items() if name.endswith("_token")}
    texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in said.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _checks(folder: Path) -> Iterator[Callable[[], object]]:
    for name in (CONFIG, GENERATION, TOKENIZER_SETTINGS):
        if (folder / name).exists():
            yield partial(read_settings, folder / name)
    for file in weight_files(folder):
        yield partial(_header, file)
    if (folder / TOKENIZER).exists():
        yield partial(_check_tokenizer, folder)


def _check_tokenizer(folder: Path) -> None:
    tokenizer = _read_tokenizer(folder / TOKENIZER)
    try:
        n_rows, settings = _n_rows(folder), tokenizer_settings(folder)
    except InputError:
        return  # said by another check
    if n_rows is not None:
        tokens = {name: token for name, token in special_tokens(settings).items() if name in NEEDED}
        needed = {name: tokenizer.token_to_id(token) for name, token in tokens.items()}
        check_vocabulary(folder, tokenizer.get_vocab_size(with_added_tokens=False), needed, n_rows)


def _read_tokenizer(path: Path) -> Tokenizer:
    # Imported here: of many studies no model has a folder.
    import tokenizers

    check_regular(path)
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # that is what the library raises
        raise InputError(
            f"{path}: got content that tokenizers {tokenizers.__version__} cannot read ({one_line(error)}); allowed: a "
            "whole file of this version or an older one; update tokenizers, or save the tokenizer again."
        ) from error


def _n_rows(folder: Path) -> int | None:
    """Return the number of rows of a model's embedding, as the headers or else its settings say; None if unknown."""
    headers = [_header(file) for file in weight_files(folder)]
    shapes = [entry.get("shape") for header in headers for name, entry in header.items() if EMBEDDING.search(name)]
    rows = {shape[0] for shape in shapes if isinstance(shape, list) and list(map(type, shape)) == [int, int]}
    if len(rows) == 1:
        return int(rows.pop())
    config = read_settings(folder / CONFIG)
    of_text = config.get("text_config")
    size = config.get("vocab_size", of_text.get("vocab_size") if isinstance(of_text, dict) else None)
    return size if type(size) is int else None


def _header(path: Path) -> dict[str, dict[str, Any]]:
    """Return the header of a safetensors file: weight → its format, shape and place.

    Raises:
        InputError: the header is missing, or does not fit the file's size.
    """
    size = check_regular(path)
    allowed = "a whole file of safetensors; fetch or save it again"
    with path.open("rb") as stream:
        first = stream.read(LENGTH)
        if first == POINTER[:LENGTH] and stream.read(len(POINTER) - LENGTH) == POINTER[LENGTH:]:
            raise InputError(f"{path}: got a Git LFS pointer; allowed: the file itself (`git lfs pull` fetches it).")
        length = struct.unpack("<Q", first)[0] if len(first) == LENGTH else 0
        if not 2 <= length <= min(LONGEST_HEADER, size - LENGTH):
            raise InputError(f"{path}: got no header of weights; allowed: {allowed}.")
        text = stream.read(length)
    try:
        header = json.loads(text)
        weights = {name: entry for name, entry in header.items() if name != "__metadata__"}
        end = max((int(entry["data_offsets"][1]) for entry in weights.values()), default=0)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise InputError(f"{path}: got a header of weights that cannot be read; allowed: {allowed}.") from error
    if LENGTH + length + end != size:
        raise InputError(f"{path}: got {size:,} bytes; allowed: {LENGTH + length + end:,}, as its header says.")
    return weights
