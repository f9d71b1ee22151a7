"""Hook names and files of dictionaries: the layer that a dictionary reads; light, as planning imports this module."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from leakscope.errors import InputError
from leakscope.files.reading import read_object

# What a folder of SAELens holds.
SETTINGS, WEIGHTS = "cfg.json", "sae_weights.safetensors"
# TransformerLens' names, those of its bridge, and a layer of a Hugging Face model, of which SAELens takes the output.
BEFORE = re.compile(r"blocks\.(\d{1,6})\.(?:hook_resid_pre|hook_in)")
AFTER = re.compile(r"blocks\.(\d{1,6})\.(?:hook_resid_post|hook_out)|(?:[A-Za-z_]+\.)*(?:layers|h)\.(\d{1,6})")


class _SettingKind(NamedTuple):
    """What a setting may be, and how errors call it; ``null`` is as if it were not there."""

    types: tuple[type, ...]
    name: str


_TEXT, _OBJECT = _SettingKind((str,), "text"), _SettingKind((dict,), "an object")
_KINDS = {
    **dict.fromkeys(("architecture", "activation_fn", "activation_fn_str", "reshape_activations"), _TEXT),
    **dict.fromkeys(("hook_name", "hook_name_out", "hook_point", "hf_hook_name"), _TEXT),
    **dict.fromkeys(("metadata", "activation_fn_kwargs", "model_from_pretrained_kwargs"), _OBJECT),
    "normalize_activations": _SettingKind((str, bool), "text, true or false"),
}


def hook_layer(hook: str) -> int | None:
    """Return the layer whose input is the residual stream at a hook; None for hooks elsewhere.

    The residual stream after block L is that before block L + 1.
    """
    if before := BEFORE.fullmatch(hook):
        return int(before[1])
    if after := AFTER.fullmatch(hook):
        return int(after[1] or after[2]) + 1
    return None


def settings_object(folder: Path) -> dict[str, Any]:
    """Return what the ``cfg.json`` of a dictionary's folder holds, with ``metadata``, each setting of its own kind.

    Raises:
        InputError: a file of the folder is missing, or the settings are no JSON object or hold lists, say, for text.
    """
    for name in (SETTINGS, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(f"dictionary {folder}: got no {name}; allowed: a folder as SAELens saves it.")
    path = folder / SETTINGS
    found = read_object(path, "settings of a dictionary")
    _check_kinds(found, f"{path}: ")
    found["metadata"] = found.get("metadata") or {}
    _check_kinds(found["metadata"], f"{path}: metadata.")
    return found


def _check_kinds(settings: Mapping[str, Any], where: str) -> None:
    for key, kind in _KINDS.items():
        value = settings.get(key)
        if value is not None and not isinstance(value, kind.types):
            raise InputError(f"{where}{key}: got {str(value)[:60]!r}; allowed: {kind.name}.")
