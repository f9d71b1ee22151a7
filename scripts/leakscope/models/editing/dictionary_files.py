"""Reads and writes dictionaries on disk in the formats of SAELens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from leakscope.errors import InputError
from leakscope.files.writing import replacing
from leakscope.models.editing.dictionary import JUMPRELU, NONE, RELU, TOPK, Dictionary
from leakscope.models.editing.dictionary_settings import GATED, STANDARD, check_supported, read_settings
from leakscope.models.editing.hook_names import SETTINGS, WEIGHTS, hook_layer
from leakscope.models.editing.releases import find_release
from leakscope.models.sources.hub import cached_folder, fetch_folder
from leakscope.storage.manifests import hash_files, write_manifest

SPARSITY = "sparsity.safetensors"
TENSORS = {
    STANDARD: ("W_enc", "b_enc", "W_dec", "b_dec"),
    TOPK: ("W_enc", "b_enc", "W_dec", "b_dec"),
    JUMPRELU: ("W_enc", "b_enc", "W_dec", "b_dec", "threshold"),
    GATED: ("W_enc", "W_dec", "b_dec", "b_gate", "b_mag", "r_mag"),
}
# The release of SAELens whose format is written: settings of before 6 are read in another way.
FORMAT = "6.0.0"
ARCHITECTURE = {RELU: STANDARD, TOPK: TOPK, JUMPRELU: JUMPRELU}
KIND = "dictionary"  # as errors of the hub call it


def load_dictionary(folder: Path, *, centre: bool | None = None, layer: int | None = None) -> Dictionary:
    """Read a dictionary from a folder saved by any release of SAELens.

    Scaling by decoder norms is folded into the weights, and the gate of a gated dictionary into a threshold
    (Rajamanoharan et al. 2024, arXiv:2404.16014). Half precision is read as float32.

    Args:
        folder: of ``cfg.json`` and ``sae_weights.safetensors``.
        centre: whether it reads residuals without their mean; None: as its metadata says, else no.
        layer: None: as its metadata says.

    Raises:
        InputError: files are missing or broken; it is none that reads the residual stream between blocks, or of a
            kind that is not supported; ``layer`` is not that of the metadata.
    """
    settings = read_settings(folder)
    metadata = settings["metadata"]
    check_supported(settings, folder)
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
    tensors = {
        "W_enc": dictionary.encoder,
        "b_enc": dictionary.encoder_bias,
        "W_dec": dictionary.decoder,
        "b_dec": dictionary.decoder_bias,
    }
    if dictionary.threshold is not None:
        tensors["threshold"] = dictionary.threshold
    with replacing(folder / WEIGHTS) as part:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, part)
    write_manifest(_settings_of(dictionary), folder / SETTINGS)
    if firing_rates is not None:
        with replacing(folder / SPARSITY) as part:
            save_file({"sparsity": (firing_rates.float().cpu() + 1e-10).log10()}, part)


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


def fetch_dictionary(
    release: str, folder: str | None, revision: str, *, model: str, layer: int | None, centre: bool | None
) -> dict[str, Any]:
    """Download a dictionary into the hub cache and return its manifest, with repository and resolved commit.

    Args:
        release: with ``folder`` and ``layer``, see ``releases.find_release``.
        folder: in the repository.
        revision: of the repository.
        model: name of the model whose residual stream it reads.
        layer: see ``load_dictionary``; of a folder that is named, its metadata may say it.
        centre: None: as is known of the release, else as the metadata says.

    Raises:
        InputError: as ``find_release``, ``hub.fetch_folder`` and ``load_dictionary``.
    """
    place = find_release(release, folder, layer)
    snapshot = fetch_folder(place.repo, revision, patterns=dictionary_patterns(place.folder), what=KIND)
    centre = place.centre if centre is None else centre
    manifest = describe_dictionary(snapshot / place.folder, source="hub", model=model, layer=layer, centre=centre)
    return {**manifest, "folder": place.folder, "repo": place.repo, "commit": snapshot.name, "revision": revision}


def open_dictionary(manifest: Mapping[str, Any]) -> Dictionary:
    """Read the dictionary that a manifest describes; one of a hub from the cache.

    Raises:
        InputError: as ``load_dictionary``, or the folder holds another dictionary now.
    """
    folder = Path(manifest["folder"])
    if "repo" in manifest:
        cached = cached_folder(
            manifest["repo"], manifest["commit"], patterns=dictionary_patterns(manifest["folder"]), what=KIND
        )
        folder = cached / folder
    if not (folder / WEIGHTS).exists():
        raise InputError(f"dictionary {folder}: is gone since it was read; put it back, or name another path.")
    if hash_dictionary(folder) != manifest["sha256"]:
        raise InputError(f"dictionary {folder}: has changed since it was read; run the steps that use it again.")
    return load_dictionary(folder, centre=manifest["centre"], layer=manifest["layer"])


def hash_dictionary(folder: Path) -> str:
    """Return SHA-256 over the weights and the settings of a dictionary."""
    return hash_files([folder / WEIGHTS, folder / SETTINGS])


def dictionary_patterns(folder: str) -> list[str]:
    """Return the files of a dictionary in a repository, as the hub names them: those at its top without ``./``."""
    return [str(PurePosixPath(folder) / name) for name in (SETTINGS, WEIGHTS, SPARSITY)]


def _read_tensors(folder: Path, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise InputError(f"{path}: is no safetensors file: {error}.") from error
    # Releases of once wrote these.
    if (scaling := tensors.pop("scaling_factor", None)) is not None and not torch.allclose(scaling, torch.ones(1)):
        raise InputError(f"{path}: scaling_factor: finetuned scaling cannot be read; fold it into W_dec.")
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
