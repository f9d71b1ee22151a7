"""Loading models, and knowing exactly which weights were loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import transformers
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from leakscope.errors import InputError
from leakscope.sampling import Decoding

DECODING_KEYS = ("top_p", "top_k", "repetition_penalty")
NEUTRAL: dict[str, Any] = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


class LoadedModel(NamedTuple):
    """A causal language model ready to generate, and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load_model(manifest: Mapping[str, Any], options: Mapping[str, Any]) -> LoadedModel:
    """Load the model that a manifest (see ``manifests.describe_folder``, ``fetch.fetch_snapshot``) points to.

    Args:
        manifest: ``path`` of a folder, or ``id`` and ``commit`` of a snapshot in the local hub cache.
        options: ``dtype, quantization, device, trust_remote_code`` from the model's entry.

    Raises:
        InputError: the folder lacks a tokenizer or weights, or the snapshot is not in the cache.
    """
    transformers.utils.logging.disable_progress_bar()
    where = manifest.get("path") or manifest["id"]
    shared: dict[str, Any] = {"trust_remote_code": options["trust_remote_code"], "local_files_only": True}
    if "commit" in manifest:
        shared["revision"] = manifest["commit"]
    device = pick_device(options["device"])
    dtype = options["dtype"]
    extra: dict[str, Any] = {}
    try:
        if options["quantization"]:
            extra["quantization_config"] = BitsAndBytesConfig(**options["quantization"])
        tokenizer = AutoTokenizer.from_pretrained(where, padding_side="left", **shared)
        model = AutoModelForCausalLM.from_pretrained(
            where, dtype=_dtype(dtype, device), device_map={"": device}, **shared, **extra
        )
    except (OSError, ValueError, ImportError, RuntimeError, AssertionError, SafetensorError) as error:
        raise InputError(f"model {where}: cannot be loaded: {_first_line(error)}") from error
    return LoadedModel(model.eval(), tokenizer)


def pick_device(device: str) -> str:
    """Return ``device``, or for ``auto`` cuda where there is one and else cpu.

    Not mps: sampling needs float64, which it has not.
    """
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve_decoding(settings: Mapping[str, Any], model: PreTrainedModel) -> Decoding:
    """Return the decoding law: each of top_p, top_k and repetition_penalty a number, or ``model``: as the model says.

    min_p has no key of its own; it is the model's where any of the three is.
    """
    own = model.generation_config
    values = {key: settings[key] for key in DECODING_KEYS}
    values["min_p"] = "model" if "model" in values.values() else NEUTRAL["min_p"]
    resolved: dict[str, Any] = {
        key: (getattr(own, key, None) if value == "model" else value) for key, value in values.items()
    }
    filled = {key: NEUTRAL[key] if value is None else value for key, value in resolved.items()}
    return Decoding(temperature=settings["temperature"], **filled)


def _dtype(name: str, device: str) -> torch.dtype | str:
    """Return the torch type; ``auto`` is the checkpoint's own on an accelerator and float32 on a CPU.

    Half precision is slow on most CPUs, and float32 is where the promise of identical text holds.
    """
    if name == "auto":
        return torch.float32 if device == "cpu" else "auto"
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
