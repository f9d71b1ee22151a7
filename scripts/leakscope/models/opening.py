"""Opens language models: tokenizer and configuration at once, the weights only when needed."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from huggingface_hub import try_to_load_from_cache
from safetensors import safe_open
from transformers import AutoConfig, AutoTokenizer, GenerationConfig, PreTrainedConfig, PreTrainedTokenizerBase

from leakscope.errors import InputError
from leakscope.jobs.batching import is_out_of_memory
from leakscope.models.checking import check_weights, quiet
from leakscope.models.checkpoints.files import GENERATION, NEEDED, check_vocabulary, read_settings
from leakscope.models.finite import shown
from leakscope.models.kinds import CAUSAL, kind_of, loader_of
from leakscope.models.randomised import with_randomised_weights
from leakscope.models.sampling import Decoding
from leakscope.storage.manifests import ADAPTER_FILES, hash_adapted, hash_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DECODING_KEYS = ("top_p", "top_k", "repetition_penalty")
MISSING_OF_ADAPTER = "Found missing adapter keys"
# Allowed values in a model's generation config, and their descriptions for messages.
SMALLEST = sys.float_info.min
RANGES: dict[str, tuple[float, float, str]] = {
    "top_p": (SMALLEST, 1, "a number above 0 to 1"),
    "top_k": (0, 2**31, "a whole number from 0"),
    "min_p": (0, 1, "a number from 0 to 1"),
    "repetition_penalty": (1e-3, 1e3, "a number from 0.001 to 1,000"),
}
NEUTRAL: dict[str, Any] = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


class LanguageModel:
    """A language model and its tokenizer; the weights are loaded when ``model`` is first asked for."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        config: PreTrainedConfig,
        generation_config: GenerationConfig | None,
        identity: Mapping[str, Any],
        load: Callable[[], PreTrainedModel],
    ) -> None:
        """Create a model without loading its weights.

        Args:
            tokenizer: the model's.
            config: of the architecture.
            generation_config: the model's own generation settings, or None.
            identity: everything that determines the model's probabilities: content hashes, number format, quantisation.
            load: loads the weights.
        """
        self.tokenizer, self.config, self.generation_config = tokenizer, config, generation_config
        self.identity = dict(identity)
        self._load = load

    @cached_property
    def model(self) -> PreTrainedModel:
        """The weights, ready to generate."""
        return self._load().eval()

    @cached_property
    def never_written(self) -> tuple[int, ...]:
        """Ids with logits but without a token in the tokenizer: many embeddings are padded."""
        tokens = set(self.tokenizer.get_vocab().values())
        n_rows = n_rows_of(self.config)
        return () if n_rows is None else tuple(token for token in range(n_rows) if token not in tokens)

    def as_writer(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        """Return an identity extended by the number of ids that are never written, which also affects probabilities."""
        return {**identity, **({"never_written": len(self.never_written)} if self.never_written else {})}

    def check_readable(self, text: str, ids: Collection[int]) -> None:
        """Check that the embedding has a row for each token of a text; tokens added to a tokenizer may lack one.

        Raises:
            InputError: a token has no row.
        """
        n_rows = n_rows_of(self.config)
        beyond = [token for token in ids if n_rows is not None and token >= n_rows]
        if beyond:
            raise InputError(
                f"model {self.tokenizer.name_or_path}: got the token {self.tokenizer.decode(beyond[:1])!r}, number "
                f"{beyond[0]}, in {shown(text)}, and an embedding of {n_rows} rows; allowed: texts whose tokens all "
                "have a row."
            )


def n_rows_of(config: PreTrainedConfig) -> int | None:
    """Return the number of rows of a model's embedding; None if its configuration does not say."""
    size = getattr(config.get_text_config(), "vocab_size", None)
    return size if type(size) is int else None


def open_model(
    manifest: Mapping[str, Any], options: Mapping[str, Any], kinds: Collection[str] = (CAUSAL,)
) -> LanguageModel:
    """Open the model of a manifest (see ``manifests.describe_folder``, ``hub.fetch_snapshot``).

    Args:
        manifest: ``path`` of a folder, or ``id`` and ``commit`` of a snapshot in the local hub cache; or ``base``, the
            manifest of another model, with a modification: ``adapter``, a folder (see ``manifests.describe_adapter``),
            ``edit`` (see ``manifests.describe_edited``), the ``seed`` of randomised weights (see
            ``manifests.describe_randomised``), or ``change``, a mitigation without training (see
            ``models.mitigating.installing``); and hashes.
        options: ``dtype, quantization, device, trust_remote_code`` from the model's entry.
        kinds: that the caller supports (see ``kinds.kind_of``); only causal models write texts.

    Raises:
        InputError: the folder lacks a tokenizer or (when weights are loaded) any weight (see ``checking``), the
            snapshot is not in the cache, the model is of another kind, or its embedding does not fit the tokenizer.
    """
    transformers.utils.logging.disable_progress_bar()
    base = _whole_model(manifest)
    where = base.get("path") or base["id"]
    shared: dict[str, Any] = {"trust_remote_code": options["trust_remote_code"], "local_files_only": True}
    if "commit" in base:
        shared["revision"] = base["commit"]
    device = pick_device(options["device"])
    with _loading(where):
        config = AutoConfig.from_pretrained(where, **shared)
        kind = _allowed_kind(where, config, kinds)
    side = "left" if kind == CAUSAL else "right"  # where texts are written on, all of them end in one column
    with _loading(where):
        tokenizer = AutoTokenizer.from_pretrained(where, padding_side=side, **shared)
        generation_config = read_generation_config(where, config, shared)
    _check_tokens(where, tokenizer, config)
    identity = {
        "weights_sha256": manifest["weights_sha256"],
        "settings_sha256": manifest["settings_sha256"],
        "dtype": _dtype_name(options["dtype"], device, config),
        "quantization": options["quantization"],
    }
    if getattr(config, "auto_map", None):
        identity["trust_remote_code"] = options["trust_remote_code"]

    def load() -> PreTrainedModel:
        _check_unchanged(manifest)
        return _with_changes(_load_weights(where, options, device, shared, kind, config), manifest)

    return LanguageModel(tokenizer, config, generation_config, identity, load)


def _whole_model(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the manifest of the innermost base, which all modifications in a manifest change."""
    while "base" in manifest:
        manifest = manifest["base"]
    return manifest


def _allowed_kind(where: str, config: PreTrainedConfig, kinds: Collection[str]) -> str:
    """Return the kind of a model; raise if it is not supported."""
    kind = kind_of(config)
    if kind not in kinds:
        raise InputError(f"model {where}: got a language model of kind {kind!r}; allowed here: {', '.join(kinds)}.")
    return kind


def _check_tokens(where: str, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> None:
    """Check that the model's embedding has a row for each token of its tokenizer (``check_vocabulary``)."""
    n_rows = n_rows_of(config)
    if n_rows is not None:
        needed = {name: getattr(tokenizer, f"{name}_id", None) for name in NEEDED}
        check_vocabulary(f"model {where}", tokenizer.vocab_size, needed, n_rows)


def _check_unchanged(manifest: Mapping[str, Any]) -> None:
    """Check that folders have the hashes of the manifest, as texts are stored under these hashes.

    Raises:
        InputError: a folder has changed.
    """
    if "base" in manifest:
        _check_unchanged(manifest["base"])
    if "adapter" in manifest:
        folder, hashes = manifest["adapter"], hash_adapted(Path(manifest["adapter"]), manifest["base"])
    elif "path" in manifest:
        folder, hashes = manifest["path"], hash_model(Path(manifest["path"]))
    else:
        return
    if any(manifest[key] != value for key, value in hashes.items()):
        places = {"tuned": "remove the model's `model.json` there", "mitigated": f"remove {Path(folder).parent}"}
        what = places.get(manifest["source"], "remove the model's `model.json` in results/models/")
        raise InputError(
            f"model folder {folder}: its files have changed since they were recorded; {what} and run again."
        )


def _load_weights(
    where: str,
    options: Mapping[str, Any],
    device: str,
    shared: Mapping[str, Any],
    kind: str,
    config: PreTrainedConfig,
) -> PreTrainedModel:
    # Imported here: the models' code costs seconds, and a job whose texts are all there needs none of it.
    from transformers import BitsAndBytesConfig

    extra: dict[str, Any] = {}
    with _loading(where), quiet():
        if options["quantization"]:
            extra["quantization_config"] = BitsAndBytesConfig(**options["quantization"])
        dtype = _dtype(options["dtype"], device)
        # A job that was given several GPUs has a model that fits none of them alone: its layers are dealt out.
        several = device == "cuda" and torch.cuda.device_count() > 1
        loaded = loader_of(kind, config).from_pretrained(
            where,
            dtype=dtype,
            device_map="auto" if several else {"": device},
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # said below, in one line
            **shared,
            **extra,
        )
    model: PreTrainedModel = loaded[0]
    check_weights(where, *loaded)
    return model


def _with_changes(model: PreTrainedModel, manifest: Mapping[str, Any]) -> PreTrainedModel:
    """Return a model with all modifications of a manifest, the innermost first."""
    if "base" not in manifest:
        return model
    model = _with_changes(model, manifest["base"])
    if "adapter" in manifest:
        return _with_adapter(model, manifest["adapter"])
    if manifest["source"] == "randomised":
        return with_randomised_weights(model, manifest["seed"])
    # Imported here: few models are mitigated or edited.
    if "change" in manifest:
        from leakscope.models.mitigating import installing

        installing.install(model, manifest["change"], manifest["dictionary"])
        return model
    from leakscope.models.editing.dictionary_files import open_dictionary
    from leakscope.models.editing.edits import from_json, install

    dictionary = manifest["dictionary"]
    install(model, from_json(manifest["edit"]), None if dictionary is None else open_dictionary(dictionary))
    return model


def _with_adapter(model: PreTrainedModel, folder: str) -> PreTrainedModel:
    """Return a model with an adapter's weights added to its own."""
    # Imported here: it costs seconds, and few models have one.
    from peft import PeftModel

    with _loading(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of what peft asks transformers for
        warnings.filterwarnings("error", MISSING_OF_ADAPTER)
        try:
            adapted = PeftModel.from_pretrained(model, folder, torch_device=str(model.device))
        except UserWarning as warning:
            raise InputError(
                f"model {folder}: got an adapter without some of the weights that its adapter_config.json "
                "describes; allowed: an adapter with all of them."
            ) from warning
        _check_places(adapted, Path(folder))
        merged: PreTrainedModel = adapted.merge_and_unload()
    return merged


def _check_places(adapted: Any, folder: Path) -> None:
    """Check that a base uses every weight of an adapter; an adapter for another base would be applied only in part."""
    from peft import get_peft_model_state_dict

    with safe_open(folder / ADAPTER_FILES[0], framework="pt") as weights:
        without_place = sorted(set(weights.keys()) - set(get_peft_model_state_dict(adapted)))
    if without_place:
        raise InputError(
            f"model {folder}: got the adapter's weights {without_place[0]}, which its base has no place for; set "
            "`base` to the model that the adapter was trained on."
        )


def read_generation_config(where: str, config: PreTrainedConfig, shared: Mapping[str, Any]) -> GenerationConfig:
    """Return the generation config of the loaded model: from its file, or implied by its config.

    Raises:
        InputError: the file is invalid, or its end of text is no token id.
    """
    with _loading(where):
        file = _generation_file(where, shared)
        if file is None:
            return GenerationConfig.from_model_config(config)
        read_settings(file)  # what is cut off, transformers takes for missing
        own = GenerationConfig.from_pretrained(where, **shared)
    for token in own.eos_token_id if isinstance(own.eos_token_id, list) else [own.eos_token_id]:
        if token is not None and type(token) is not int:
            found = f"generation_config.json: eos_token_id: got {token!r}"
            raise InputError(f"model {where}: {found}; allowed: a token id, or a list of token ids.")
    return own


def _generation_file(where: str, shared: Mapping[str, Any]) -> Path | None:
    """Return the generation config of a folder, or of a snapshot in the hub cache; None if it has none."""
    if Path(where).is_dir():
        file = Path(where, GENERATION)
        return file if file.exists() else None
    cached = try_to_load_from_cache(where, GENERATION, revision=shared.get("revision"))
    return Path(cached) if isinstance(cached, str) else None


def pick_device(device: str) -> str:
    """Return ``device``, or for ``auto`` cuda if available, else cpu.

    Never mps: sampling needs float64, which mps lacks.
    """
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve_decoding(settings: Mapping[str, Any], own: GenerationConfig | None, *, where: str) -> Decoding:
    """Return the sampling law: top_p, top_k and repetition_penalty each from the study, or (``model``) from the model.

    min_p has no key of its own; the model's value is used if any of the three is ``model``.

    Args:
        settings: of the study.
        own: the model's generation config.
        where: the model's location, for the error.

    Raises:
        InputError: the model's value is not allowed.
    """
    values = {key: settings[key] for key in DECODING_KEYS}
    values["min_p"] = "model" if "model" in values.values() else NEUTRAL["min_p"]
    resolved: dict[str, Any] = {
        key: (_own_value(getattr(own, key, None), key, where) if value == "model" else value)
        for key, value in values.items()
    }
    # To the type of the neutral value: 1 and 1.0 are one law.
    filled = {key: type(NEUTRAL[key])(value) for key, value in resolved.items()}
    return Decoding(temperature=float(settings["temperature"]), **filled)


def _own_value(value: Any, key: str, where: str) -> Any:
    """Return a number from a model's generation config, or the neutral value."""
    if value is None:
        return NEUTRAL[key]
    least, most, allowed = RANGES[key]
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
    if not is_number or (key == "top_k" and value != int(value)):
        found = f"generation_config.json: {key}: got {value!r}"
        raise InputError(f"model {where}: {found}; allowed: {allowed}, or a number in the study.")
    return value


def _dtype(name: str, device: str) -> torch.dtype | str:
    """Return the torch type; ``auto`` is the checkpoint's own on an accelerator and float32 on a CPU.

    Half precision is slow on most CPUs, and identical texts are guaranteed only in float32.
    """
    if name == "auto":
        return torch.float32 if device == "cpu" else "auto"
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _dtype_name(name: str, device: str, config: PreTrainedConfig) -> str:
    """Return the name of the number format that ``_dtype`` resolves to: equal formats give the same texts."""
    chosen = _dtype(name, device)
    if chosen == "auto":
        chosen = getattr(config.get_text_config(), "dtype", None) or "auto"
    return str(chosen).removeprefix("torch.")


@contextmanager
def _loading(where: str) -> Iterator[None]:
    """Turn exceptions of transformers on an invalid model folder into one line."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # whatever its settings of a wrong kind happen to raise, and tokenizers: plain Exception
        if is_out_of_memory(error):
            raise
        raise InputError(f"model {where}: cannot be loaded: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
