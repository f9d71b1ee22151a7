"""Opening models: all that is known without the weights, and the weights when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer, GenerationConfig, PreTrainedConfig, PreTrainedTokenizerBase

from leakscope.batching import is_out_of_memory
from leakscope.errors import InputError
from leakscope.manifests import hash_model
from leakscope.sampling import Decoding

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DECODING_KEYS = ("top_p", "top_k", "repetition_penalty")
NEUTRAL: dict[str, Any] = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


class LanguageModel:
    """A causal language model and its tokenizer; the weights are loaded when ``model`` is first asked for."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        config: PreTrainedConfig,
        generation_config: GenerationConfig | None,
        identity: Mapping[str, Any],
        load: Callable[[], PreTrainedModel],
    ) -> None:
        """Hold what is known without the weights.

        Args:
            tokenizer: the model's.
            config: of the architecture.
            generation_config: how the model generates by itself; None if it has no such thing.
            identity: what decides the model's probabilities: hashes of its content, number format, quantisation.
            load: loads the weights.
        """
        self.tokenizer, self.config, self.generation_config = tokenizer, config, generation_config
        self.identity = dict(identity)
        self._load = load

    @cached_property
    def model(self) -> PreTrainedModel:
        """The weights, ready to generate."""
        return self._load().eval()


def open_model(manifest: Mapping[str, Any], options: Mapping[str, Any]) -> LanguageModel:
    """Open the model that a manifest (see ``manifests.describe_folder``, ``fetch.fetch_snapshot``) points to.

    Args:
        manifest: ``path`` of a folder, or ``id`` and ``commit`` of a snapshot in the local hub cache; hashes.
        options: ``dtype, quantization, device, trust_remote_code`` from the model's entry.

    Raises:
        InputError: the folder lacks a tokenizer or (once they are asked for) weights, or the snapshot is not in the
            cache.
    """
    transformers.utils.logging.disable_progress_bar()
    where = manifest.get("path") or manifest["id"]
    shared: dict[str, Any] = {"trust_remote_code": options["trust_remote_code"], "local_files_only": True}
    if "commit" in manifest:
        shared["revision"] = manifest["commit"]
    device = pick_device(options["device"])
    with _loading(where):
        tokenizer = AutoTokenizer.from_pretrained(where, padding_side="left", **shared)
        config = AutoConfig.from_pretrained(where, **shared)
        generation_config = _generation_config(where, config, shared)
    identity = {
        "weights_sha256": manifest["weights_sha256"],
        "settings_sha256": manifest["settings_sha256"],
        "dtype": _dtype_name(options["dtype"], device, config),
        "quantization": options["quantization"],
    }
    if getattr(config, "auto_map", None):
        identity["trust_remote_code"] = options["trust_remote_code"]

    def load() -> PreTrainedModel:
        if "path" in manifest:
            _check_unchanged(manifest)
        return _load_weights(where, options, device, shared)

    return LanguageModel(tokenizer, config, generation_config, identity, load)


def _check_unchanged(manifest: Mapping[str, Any]) -> None:
    """Check that a folder still holds what its manifest says: what the model writes is stored under that.

    Raises:
        InputError: it does not.
    """
    if any(manifest[key] != found for key, found in hash_model(Path(manifest["path"])).items()):
        raise InputError(
            f"model folder {manifest['path']}: its files are not those that were described; "
            "remove the model's `model.json` in results/models/ and run again."
        )


def _load_weights(where: str, options: Mapping[str, Any], device: str, shared: Mapping[str, Any]) -> PreTrainedModel:
    # Imported here: the models' code costs seconds, and a job whose texts are all there needs none of it.
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    extra: dict[str, Any] = {}
    with _loading(where):
        if options["quantization"]:
            extra["quantization_config"] = BitsAndBytesConfig(**options["quantization"])
        dtype = _dtype(options["dtype"], device)
        # A job that was given several GPUs has a model that fits none of them alone: its layers are dealt out.
        several = device == "cuda" and torch.cuda.device_count() > 1
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            where, dtype=dtype, device_map="auto" if several else {"": device}, **shared, **extra
        )
    return model


def _generation_config(where: str, config: PreTrainedConfig, shared: Mapping[str, Any]) -> GenerationConfig:
    """Return the generation config that the loaded model will have: its own file's, or what its config implies."""
    try:
        return GenerationConfig.from_pretrained(where, **shared)
    except OSError:
        return GenerationConfig.from_model_config(config)


def pick_device(device: str) -> str:
    """Return ``device``, or for ``auto`` cuda where there is one and else cpu.

    Not mps: sampling needs float64, which it has not.
    """
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve_decoding(settings: Mapping[str, Any], own: GenerationConfig | None) -> Decoding:
    """Return the decoding law: each of top_p, top_k and repetition_penalty a number, or ``model``: as the model says.

    min_p has no key of its own; it is the model's where any of the three is.
    """
    values = {key: settings[key] for key in DECODING_KEYS}
    values["min_p"] = "model" if "model" in values.values() else NEUTRAL["min_p"]
    resolved: dict[str, Any] = {
        key: (getattr(own, key, None) if value == "model" else value) for key, value in values.items()
    }
    # To the type of the neutral value: 1 and 1.0 are one law.
    filled = {key: type(NEUTRAL[key])(NEUTRAL[key] if value is None else value) for key, value in resolved.items()}
    return Decoding(temperature=float(settings["temperature"]), **filled)


def _dtype(name: str, device: str) -> torch.dtype | str:
    """Return the torch type; ``auto`` is the checkpoint's own on an accelerator and float32 on a CPU.

    Half precision is slow on most CPUs, and float32 is where the promise of identical text holds.
    """
    if name == "auto":
        return torch.float32 if device == "cpu" else "auto"
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _dtype_name(name: str, device: str, config: PreTrainedConfig) -> str:
    """Return the number format that ``_dtype`` stands for, by name: of two equal ones, texts are the same."""
    chosen = _dtype(name, device)
    if chosen == "auto":
        chosen = getattr(config.get_text_config(), "dtype", None) or "auto"
    return str(chosen).removeprefix("torch.")


@contextmanager
def _loading(where: str) -> Iterator[None]:
    """Turn what transformers raises on a folder that holds no model into one line."""
    try:
        yield
    except (OSError, ValueError, ImportError, RuntimeError, AssertionError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        raise InputError(f"model {where}: cannot be loaded: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
