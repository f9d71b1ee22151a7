"""Settings in a dictionary's ``cfg.json``, written by any release of SAELens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leakscope.errors import InputError, one_of
from leakscope.models.editing.dictionary import CONSTANT_NORM, JUMPRELU, LAYER_NORM, NONE, RELU, TOPK
from leakscope.models.editing.hook_names import SETTINGS, hook_layer, settings_object

STANDARD, GATED = "standard", "gated"
ARCHITECTURES = (STANDARD, TOPK, JUMPRELU, GATED)
EXPECTED_AVERAGE = "expected_average_only_in"
# Where settings of before SAELens 6 keep what later ones have in `metadata`.
FLAT_NAMES = {"hook_point": "hook_name", "hook_point_head_index": "hook_head_index"}
FLAT_METADATA = (
    *("model_name", "hook_name", "hook_head_index", "model_from_pretrained_kwargs", "prepend_bos", "context_size"),
    *("dataset_path", "neuronpedia_id", "sae_lens_version", "hf_hook_name", "hook_name_out"),
)


def read_settings(folder: Path) -> dict[str, Any]:
    """Return the settings of a dictionary under the names of SAELens 6, whatever release wrote them.

    ``architecture``, ``d_in``, ``d_sae``, ``normalize_activations``, ``metadata`` are there, and ``k`` for ``topk``.

    Raises:
        InputError: there are none, or they are broken.
    """
    path, found = folder / SETTINGS, settings_object(folder)
    settings = {FLAT_NAMES.get(str(name), str(name)): value for name, value in found.items()}
    flat = {name: settings[name] for name in FLAT_METADATA if name in settings}
    settings["metadata"] = {**flat, **settings["metadata"]}
    settings["architecture"] = settings.get("architecture") or STANDARD
    function = settings.get("activation_fn_str") or settings.get("activation_fn") or RELU
    if function == TOPK:
        settings["architecture"] = TOPK
        settings["k"] = (settings.get("activation_fn_kwargs") or {}).get("k", settings.get("k"))
    elif function != RELU:
        raise one_of(f"{path}: activation_fn", function, (RELU, TOPK))
    # This was once yes or no.
    normalised = settings.get("normalize_activations") or NONE
    settings["normalize_activations"] = EXPECTED_AVERAGE if normalised is True else normalised
    return settings


def check_supported(settings: Mapping[str, Any], folder: Path) -> None:
    """Check that a dictionary with these settings can be read, and reads the residual stream between blocks.

    Raises:
        InputError: it cannot.
    """
    where = f"{folder / SETTINGS}: "
    if settings["architecture"] not in ARCHITECTURES:
        raise one_of(f"{where}architecture", settings["architecture"], ARCHITECTURES)
    metadata, hook = settings["metadata"], settings["metadata"].get("hook_name")
    if metadata.get("hook_name_out") not in (None, hook):
        raise InputError(f"{where}hook_name_out: a transcoder cannot be read; give a dictionary of residuals.")
    if settings.get("reshape_activations", NONE) != NONE or metadata.get("hook_head_index") is not None:
        raise InputError(f"{where}reads attention heads ({hook}); give a dictionary of the residual stream.")
    if hook is not None and hook_layer(hook) is None:
        raise InputError(
            f"{where}hook_name: got {hook!r}; allowed: blocks.<layer>.hook_resid_pre, blocks.<layer>.hook_resid_post."
        )
    normalised = settings["normalize_activations"]
    if normalised == EXPECTED_AVERAGE:
        raise InputError(
            f"{where}normalize_activations: got {normalised!r}, whose factor is not in the files; fold it into the "
            "weights with SAELens (fold_activation_norm_scaling_factor) and save again."
        )
    if normalised not in (NONE, LAYER_NORM, CONSTANT_NORM):
        raise one_of(f"{where}normalize_activations", normalised, (NONE, LAYER_NORM, CONSTANT_NORM))
    for name in ("d_in", "d_sae", *(["k"] if settings["architecture"] == TOPK else [])):
        found = settings.get(name)
        if not isinstance(found, int) or found < 1:
            raise InputError(f"{where}{name}: got {found!r}; allowed: a whole number from 1.")
    if settings["architecture"] == TOPK and settings["k"] > settings["d_sae"]:
        raise InputError(f"{where}k: got {settings['k']}; allowed: at most d_sae, {settings['d_sae']}.")
