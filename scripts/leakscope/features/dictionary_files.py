"""Dictionaries on disk, in the formats of SAELens: read as that library reads them, and written so that it can."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from leakscope.errors import InputError, one_of
from leakscope.features.dictionary import CONSTANT_NORM, JUMPRELU, LAYER_NORM, NONE, RELU, TOPK, Dictionary
from leakscope.fetch import cached_folder
from leakscope.manifests import hash_files

WEIGHTS, SETTINGS, SPARSITY = "sae_weights.safetensors", "cfg.json", "sparsity.safetensors"
STANDARD, GATED = "standard", "gated"
TENSORS = {
    STANDARD: ("W_enc", "b_enc", "W_dec", "b_dec"),
    TOPK: ("W_enc", "b_enc", "W_dec", "b_dec"),
    JUMPRELU: ("W_enc", "b_enc", "W_dec", "b_dec", "threshold"),
    GATED: ("W_enc", "W_dec", "b_dec", "b_gate", "b_mag", "r_mag"),
}
# The release of SAELens whose format is written: one before 6 reads settings in another way.
FORMAT = "6.0.0"
ARCHITECTURE = {RELU: STANDARD, TOPK: TOPK, JUMPRELU: JUMPRELU}
# TransformerLens' names, those of its bridge, and a layer of a Hugging Face model, of which SAELens takes the output.
BEFORE = re.compile(r"blocks\.(\d+)\.(?:hook_resid_pre|hook_in)")
AFTER = re.compile(r"blocks\.(\d+)\.(?:hook_resid_post|hook_out)|(?:[A-Za-z_]+\.)*(?:layers|h)\.(\d+)")
# Where settings of before SAELens 6 keep what later ones have in `metadata`.
FLAT_NAMES = {"hook_point": "hook_name", "hook_point_head_index": "hook_head_index"}
FLAT_METADATA = (
    *("model_name", "hook_name", "hook_head_index", "model_from_pretrained_kwargs", "prepend_bos", "context_size"),
    *("dataset_path", "neuronpedia_id", "sae_lens_version", "hf_hook_name", "hook_name_out"),
)


def load_dictionary(folder: Path, *, centre: bool | None = None, layer: int | None = None) -> Dictionary:
    """Read a dictionary from a folder of SAELens: ``cfg.json`` and ``sae_weights.safetensors``, of old and new releases.

    What can be folded into the weights is: scaling by decoder norms; and the gate of a gated dictionary, which is a
    threshold (Rajamanoharan et al. 2024, arXiv:2404.16014). Half precision is read as float32.

    Args:
        folder: of the dictionary.
        centre: whether it reads residuals without their mean; None: as its metadata says, else no.
        layer: None: as its metadata says.

    Raises:
        InputError: files are missing or broken; it is none that reads the residual stream between blocks, or of a
            kind that is not supported; ``layer`` is not that of the metadata.
    """
    settings = read_settings(folder)
    metadata = settings["metadata"]
    _check_supported(settings, folder)
    tensors = _read_tensors(folder, settings)
    encoder, decoder = tensors["W_enc"], tensors["W_dec"]
    bias, threshold = tensors.get("b_enc"), tensors.get("threshold")
    activation = RELU if settings["architecture"] == STANDARD else settings["architecture"]
    if activation == GATED:
        growth = tensors["r_mag"].exp()
        encoder, bias = encoder * growth, tensors["b_mag"]
        activation, threshold = JUMPRELU, bias - tensors["b_gate"] * growth
    assert bias is not None
    if settings.get("rescale_acts_by_decoder_norm"):
        norms = decoder.norm(dim=-1)
        encoder, bias, decoder = encoder * norms, bias * norms, decoder / norms[:, None]
    return Dictionary(
        encoder=encoder.contiguous(),
        encoder_bias=bias,
        decoder=decoder.contiguous(),
        decoder_bias=tensors["b_dec"],
        activation=activation,
        layer=_agreed_layer(metadata, layer, folder),
        k=settings["k"] if activation == TOPK else None,
        threshold=threshold,
        centre=_says_centred(metadata) if centre is None else centre,
        subtracts_bias=bool(settings.get("apply_b_dec_to_input", True)),
        normalisation=settings["normalize_activations"],
        metadata=metadata,
    )


def save_dictionary(dictionary: Dictionary, folder: Path, *, firing_rates: Tensor | None = None) -> None:
    """Write a dictionary as SAELens does: equal dictionaries give equal files.

    Args:
        dictionary: to be written.
        folder: made if it is not there.
        firing_rates: [F], share of tokens at which a feature fires; written as log10 to ``sparsity.safetensors``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        "W_enc": dictionary.encoder,
        "b_enc": dictionary.encoder_bias,
        "W_dec": dictionary.decoder,
        "b_dec": dictionary.decoder_bias,
    }
    if dictionary.threshold is not None:
        tensors["threshold"] = dictionary.threshold
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)
    text = json.dumps(_settings_of(dictionary), indent=2, sort_keys=True) + "\n"
    (folder / SETTINGS).write_text(text, encoding="utf-8")
    if firing_rates is not None:
        save_file({"sparsity": (firing_rates.float().cpu() + 1e-10).log10()}, folder / SPARSITY)


def describe_dictionary(
    folder: Path, *, source: str, model: str, layer: int | None = None, centre: bool | None = None
) -> dict[str, Any]:
    """Return the manifest of a dictionary: where it is, the hash of its files, and what reading it needs.

    Args:
        folder: as ``load_dictionary``; with ``layer`` and ``centre``.
        source: ``trained``, ``local`` or ``hub``.
        model: name of the model whose residual stream it reads.

    Raises:
        InputError: as ``load_dictionary``.
    """
    dictionary = load_dictionary(folder, centre=centre, layer=layer)
    return {
        "source": source,
        "folder": str(folder),
        "sha256": hash_dictionary(folder),
        "layer": dictionary.layer,
        "centre": dictionary.centre,
        "model": model,
        "n_features": dictionary.n_features,
        "width": dictionary.width,
        "architecture": read_settings(folder)["architecture"],
        "k": dictionary.k,
        "metadata": dict(dictionary.metadata),
    }


def open_dictionary(manifest: Mapping[str, Any]) -> Dictionary:
    """Read the dictionary that a manifest describes; one of a hub from the cache.

    Raises:
        InputError: as ``load_dictionary``, or the folder holds another dictionary now.
    """
    folder = Path(manifest["folder"])
    if "repo" in manifest:
        folder = cached_folder(manifest["repo"], manifest["commit"], what="dictionary") / folder
    if not (folder / WEIGHTS).exists():
        raise InputError(f"dictionary {folder}: is gone since it was read; put it back, or name another path.")
    if hash_dictionary(folder) != manifest["sha256"]:
        raise InputError(f"dictionary {folder}: has changed since it was read; run again what comes from it.")
    return load_dictionary(folder, centre=manifest["centre"], layer=manifest["layer"])


def hash_dictionary(folder: Path) -> str:
    """Return SHA-256 over the weights and the settings of a dictionary."""
    return hash_files([folder / WEIGHTS, folder / SETTINGS])


def read_settings(folder: Path) -> dict[str, Any]:
    """Return the settings of a dictionary under the names of SAELens 6, whatever release wrote them.

    ``architecture``, ``d_in``, ``d_sae``, ``normalize_activations``, ``metadata`` are there, and ``k`` for ``topk``.

    Raises:
        InputError: there are none, or they are broken.
    """
    path = folder / SETTINGS
    for name in (SETTINGS, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(f"dictionary {folder}: lacks {name}; a folder as SAELens saves it has one.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: is no JSON: {error}.") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: must be a mapping.")
    settings = {FLAT_NAMES.get(name, name): value for name, value in found.items()}
    flat = {name: settings[name] for name in FLAT_METADATA if name in settings}
    settings["metadata"] = {**flat, **(settings.get("metadata") or {})}
    settings.setdefault("architecture", STANDARD)
    function = settings.get("activation_fn_str", settings.get("activation_fn", RELU))
    if function == TOPK:
        settings["architecture"] = TOPK
        settings["k"] = (settings.get("activation_fn_kwargs") or {}).get("k", settings.get("k"))
    elif function != RELU:
        raise one_of(f"{path}: activation_fn", function, (RELU, TOPK))
    # Before SAELens 2 this was yes or no.
    normalised = settings.get("normalize_activations")
    named = {None: NONE, False: NONE, True: "expected_average_only_in"}
    settings["normalize_activations"] = named.get(normalised, normalised)
    return settings


def hook_layer(hook: str) -> int | None:
    """Return the layer whose input is the residual stream at a hook; None where that is not the stream between blocks.

    The residual stream after block L is that before block L + 1.
    """
    if before := BEFORE.fullmatch(hook):
        return int(before[1])
    if after := AFTER.fullmatch(hook):
        return int(after[1] or after[2]) + 1
    return None


def _check_supported(settings: Mapping[str, Any], folder: Path) -> None:
    where = f"{folder / SETTINGS}: "
    if settings["architecture"] not in TENSORS:
        raise one_of(f"{where}architecture", settings["architecture"], TENSORS)
    metadata, hook = settings["metadata"], settings["metadata"].get("hook_name")
    if metadata.get("hook_name_out") not in (None, hook):
        raise InputError(
            f"{where}hook_name_out: a transcoder cannot be read; give a dictionary of the residual stream."
        )
    if settings.get("reshape_activations", NONE) != NONE or metadata.get("hook_head_index") is not None:
        raise InputError(f"{where}reads attention heads ({hook}); give a dictionary of the residual stream.")
    if hook is not None and hook_layer(hook) is None:
        raise InputError(
            f"{where}hook_name: got {hook!r}; allowed: blocks.<layer>.hook_resid_pre and blocks.<layer>.hook_resid_post."
        )
    normalised = settings["normalize_activations"]
    if normalised == "expected_average_only_in":
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


def _read_tensors(folder: Path, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise InputError(f"{path}: is no safetensors file: {error}.") from error
    # Releases of once wrote these.
    if (scaling := tensors.pop("scaling_factor", None)) is not None and not torch.allclose(scaling, torch.ones(1)):
        raise InputError(
            f"{path}: scaling_factor: finetuned scaling cannot be read; fold it into W_dec and save again."
        )
    if "log_threshold" in tensors:
        tensors["threshold"] = tensors.pop("log_threshold").exp()
    wanted = TENSORS[settings["architecture"]]
    if set(tensors) != set(wanted):
        raise InputError(f"{path}: holds {', '.join(sorted(tensors))}; allowed: {', '.join(wanted)}.")
    d, n_features = settings["d_in"], settings["d_sae"]
    shapes = {"W_enc": (d, n_features), "W_dec": (n_features, d), "b_dec": (d,)}
    for name in wanted:
        expected = shapes.get(name, (n_features,))
        if tuple(tensors[name].shape) != expected:
            raise InputError(f"{path}: {name}: has shape {list(tensors[name].shape)}; allowed: {list(expected)}.")
        if not tensors[name].isfinite().all():
            raise InputError(f"{path}: {name}: holds values that are not finite.")
    return tensors


def _agreed_layer(metadata: Mapping[str, Any], layer: int | None, folder: Path) -> int:
    hook = metadata.get("hook_name")
    said = None if hook is None else hook_layer(hook)
    if said is None and layer is None:
        raise InputError(f"dictionary {folder}: its {SETTINGS} names no hook; say which `layer` it reads.")
    if layer is not None and said is not None and layer != said:
        raise InputError(
            f"dictionary {folder}: layer: got {layer}; its {SETTINGS} says {hook}, the input of block {said}."
        )
    return said if layer is None else layer  # type: ignore[return-value]


def _says_centred(metadata: Mapping[str, Any]) -> bool:
    return bool((metadata.get("model_from_pretrained_kwargs") or {}).get("center_writing_weights", False))


def _settings_of(dictionary: Dictionary) -> dict[str, Any]:
    metadata = {
        "hook_name": f"blocks.{dictionary.layer}.hook_resid_pre",
        **dictionary.metadata,
        "sae_lens_version": FORMAT,
        "model_from_pretrained_kwargs": {"center_writing_weights": dictionary.centre},
    }
    settings = {
        "architecture": ARCHITECTURE[dictionary.activation],
        "d_in": dictionary.width,
        "d_sae": dictionary.n_features,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": dictionary.subtracts_bias,
        "normalize_activations": dictionary.normalisation,
        "reshape_activations": NONE,
        "metadata": metadata,
    }
    return settings if dictionary.k is None else {**settings, "k": dictionary.k}
