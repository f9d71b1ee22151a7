"""Resolve ``MODEL=`` and ``PROMPTS=`` into the name and entry of a study.

Existing files have priority: a folder is a folder, even if a catalogue entry has its name.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Collection, Sequence
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from leakscope.configuration.checks import RESERVED
from leakscope.errors import InputError
from leakscope.files.finding import folders
from leakscope.files.reading import read_object, read_utf8
from leakscope.leak.imported_prompts import import_prompts
from leakscope.leak.prompts import build_prompts, template_files
from leakscope.models.sources.gguf import SUFFIX
from leakscope.models.sources.gguf import has_chat_template as gguf_has_chat_template
from leakscope.workflow.study import LEXICONS

# Of a name that is made here, before its digest: two of them and a dot are a study's name, of at most 100 characters.
LONGEST_NAME = 42
PACKAGE = "package:"
HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9._-]+")
# What would end the comment that the name stands in, and what no file holds.
NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# A model without a chat template continues a text; it was not trained to follow the default study's instructions.
PLAIN = {"system": None, "template": "{prompt}"}


class Chosen(NamedTuple):
    """A model or prompt set named by the user."""

    given: str
    """The given text; a path is normalised, for example without a final slash."""
    name: str
    entry: dict[str, Any] | None = None
    """The entry for the study's catalogue; None: the catalogue has it already."""
    remark: str = ""
    """The remark in the study's file."""
    base: Chosen | None = None
    """The model that an adapter was trained on."""


# Returns None for what is of another kind; the names are those of the catalogue.
Kind = Callable[[str, Collection[str]], Chosen | None]


def choose_model(given: str, catalogue: Collection[str]) -> Chosen:
    """Return the model named by the user: a folder, a GGUF file, a model of the catalogue, or one on the hub.

    A model in a folder is a chat model if its tokenizer has a chat template. A model on the hub counts as a chat model,
    the default, since this is unknown before the download.

    Args:
        given: value of ``MODEL=``.
        catalogue: names of its models.

    Raises:
        InputError: it is none of these.
    """
    allowed = (
        "a folder with config.json and the model's weights, an adapter's folder, a GGUF file, owner/name on the hub, "
        "or a model of data/catalogue/"
    )
    return _first_of(MODELS, "MODEL", given, catalogue, allowed)


def choose_prompts(given: str, catalogue: Collection[str]) -> Chosen:
    """Return the prompt set named by the user: a folder of templates, a table, or a prompt set of the catalogue.

    Args:
        given: value of ``PROMPTS=``.
        catalogue: names of its prompt sets.

    Raises:
        InputError: it is none of these.
    """
    allowed = "a table of prompts, a folder with templates.yaml, or a prompt set of data/catalogue/"
    return _first_of(PROMPTS, "PROMPTS", given, catalogue, allowed)


def check_prompts(prompts: Chosen) -> None:
    """Read prompts of a table or of templates as their job will, to find mistakes before anything starts.

    Raises:
        InputError: they cannot be used.
    """
    if prompts.entry is None:
        return
    path = expanded(prompts.entry["path"])
    if prompts.entry["source"] == "table":
        import_prompts(path, prompts.name)
    else:
        build_prompts(template_files(path, folders(LEXICONS)), prompts.name)


def short_name(given: str, catalogue: Collection[str]) -> str:
    """Return a deterministic name for a path or id: its last two parts.

    If these are not the whole path, or the catalogue has the name in any case, six digits of a digest make it unique:
    ``models/tiny`` → ``models-tiny``, ``/data/run 3/tiny`` → ``run-3-tiny-9f0b1d``.

    Args:
        given: a path, or an id of the hub.
        catalogue: names already in use.
    """
    parts = PurePath(given).parts
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts[-2:])).strip("._-")
    others = {other.casefold() for other in (*catalogue, *RESERVED["models"])}
    if name == "-".join(parts) and len(name) <= LONGEST_NAME and name.casefold() not in others:
        return name
    return f"{name[:LONGEST_NAME]}-{sha256(given.encode()).hexdigest()[:6]}".lstrip("-")


def expanded(path: str) -> Path:
    """Return a path as a study reads it, with ``~`` and environment variables expanded."""
    return Path(os.path.expanduser(os.path.expandvars(path)))


def has_chat_template(folder: Path) -> bool:
    """Return whether the tokenizer in a model's folder has a chat template.

    Raises:
        InputError: one of its files cannot be read.
    """
    template = folder / "chat_template.jinja"
    if template.is_file():
        return bool(read_utf8(template))
    settings = folder / "tokenizer_config.json"
    return settings.is_file() and bool(read_object(settings, "a tokenizer's configuration").get("chat_template"))


def _model_folder(given: str, catalogue: Collection[str]) -> Chosen | None:
    folder = expanded(given)
    if not (folder / "config.json").is_file():
        return None
    path = str(PurePath(given))
    return _local(path, {"source": "local", "path": path}, catalogue, chats=has_chat_template(folder))


def _gguf_file(given: str, catalogue: Collection[str]) -> Chosen | None:
    file = expanded(given)
    if file.suffix.lower() != SUFFIX or not file.is_file():
        return None
    path = PurePath(given)
    entry = {"source": "local", "path": str(path.parent), "gguf_file": path.name}
    return _local(str(path), entry, catalogue, chats=gguf_has_chat_template(file))


def _local(path: str, entry: dict[str, Any], catalogue: Collection[str], *, chats: bool) -> Chosen:
    name = short_name(path, catalogue)
    if chats:
        return Chosen(path, name, {**entry, "chat": True}, "its tokenizer has a chat template")
    remark = "its tokenizer has no chat template: it reads the prompt, and nothing else"
    return Chosen(path, name, {**entry, "chat": False, "generation": PLAIN}, remark)


def _adapter_folder(given: str, catalogue: Collection[str]) -> Chosen | None:
    settings = expanded(given) / "adapter_config.json"
    if not settings.is_file():
        return None
    base = read_object(settings, "an adapter's configuration").get("base_model_name_or_path")
    if not isinstance(base, str) or not (known := _first(BASES, base, catalogue)):
        raise InputError(
            f"{settings}: base_model_name_or_path: got {base!r}; allowed: a folder that exists, or owner/name on the "
            "hub; or a study in which the `base` of a model with `source: adapter` is another of its models."
        )
    path = str(PurePath(given))
    entry = {"source": "adapter", "base": known.name, "path": path}
    return Chosen(path, short_name(path, catalogue), entry, "loaded and prompted as its base is", known)


def _catalogued(given: str, catalogue: Collection[str]) -> Chosen | None:
    return Chosen(given, given) if given in catalogue else None


def _packaged(given: str, catalogue: Collection[str]) -> Chosen | None:
    """Return a model of the catalogue named like an encoder in a package."""
    return _catalogued(given.removeprefix(PACKAGE), catalogue) if given.startswith(PACKAGE) else None


def _of_the_hub(given: str, catalogue: Collection[str]) -> Chosen | None:
    if not HUB_ID.fullmatch(given):
        return None
    remark = 'for a base model, without a chat template: chat: false, generation: {system: null, template: "{prompt}"}'
    entry = {"source": "hub", "id": given, "revision": "main", "chat": True, "label": given}
    return Chosen(given, short_name(given, catalogue), entry, remark)


def _prompt_folder(given: str, catalogue: Collection[str]) -> Chosen | None:
    if not (expanded(given) / "templates.yaml").is_file():
        return None
    path = str(PurePath(given))
    return Chosen(path, short_name(path, catalogue), {"source": "templates", "path": path})


def _prompt_table(given: str, catalogue: Collection[str]) -> Chosen | None:
    if not expanded(given).is_file():
        return None
    path = PurePath(given)
    name = short_name(str(path.with_suffix("")), catalogue)
    return Chosen(str(path), name, {"source": "table", "path": str(path)})


# In this order: the first that knows what was given has it. Another kind of model or prompts is a function here.
BASES: Sequence[Kind] = (_model_folder, _of_the_hub)
MODELS: Sequence[Kind] = (_model_folder, _adapter_folder, _gguf_file, _catalogued, _packaged, _of_the_hub)
PROMPTS: Sequence[Kind] = (_prompt_folder, _prompt_table, _catalogued)


def _first_of(kinds: Sequence[Kind], variable: str, given: str, catalogue: Collection[str], allowed: str) -> Chosen:
    if NO_TEXT.search(given):
        raise InputError(f"{variable}={given!r}: got a control character; allowed: a name or path without one.")
    chosen = _first(kinds, given, catalogue)
    if chosen:
        return chosen
    raise InputError(f"{variable}={given}: got {_what(given)}; allowed: {allowed}.{_hint(given, catalogue)}")


def _first(kinds: Sequence[Kind], given: str, catalogue: Collection[str]) -> Chosen | None:
    return next((chosen for kind in kinds if (chosen := kind(given, catalogue))), None)


def _what(given: str) -> str:
    """Return a description of what is at the given path."""
    path = expanded(given)
    if path.is_dir():
        return "a folder without these files"
    return "a file" if path.exists() else "nothing of that name"


def _hint(given: str, catalogue: Collection[str]) -> str:
    """Return the most similar name in the catalogue or in the given path's folder."""
    folder = PurePath(given).parent
    there = {str(folder / name) for name in _names(expanded(str(folder)))} - {str(PurePath(given))}
    near = difflib.get_close_matches(given, sorted(there | {*catalogue}), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
