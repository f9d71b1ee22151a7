"""Checks that a checkpoint has all weights of its language model, and that they are finite numbers.

transformers replaces missing weights by random ones, new in each run: a body saved without its head, or a classifier,
writes texts like any other model. So weights are checked twice: in the file headers when a model is described, so that
only its own jobs wait; and at every loading.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open
from transformers import AutoConfig

from leakscope.errors import InputError
from leakscope.files.reading import read_json
from leakscope.models.checkpoints.files import check_folder
from leakscope.models.kinds import kind_of, loader_of
from leakscope.storage.manifests import weight_files

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig

logger = logging.getLogger(__name__)

# Of transformers: a table of what does not fit, and of layers that are not divided over devices.
TALKATIVE = ("transformers.modeling_utils", "transformers.distributed.tensor_parallel")
NUMBERS_AT_ONCE = 2**24
# Formats of one byte are not compared; each goes with scales of two bytes and more.
SMALLEST_CHECKED = 2
# As the headers of files name formats of floating point, of one byte (F8_E4M3) and more.
FLOATING = ("F", "BF")
# Heads of other tasks, and buffers of old versions, that many models carry along and no text needs.
HARMLESS = re.compile(
    r"(^|\.)(score|classifier|sop_classifier|seq_relationship|predictions|pooler)\."
    r"|(rotary_emb\.inv_freq|attn\.bias|attention\.bias|masked_bias|position_ids)$"
)


def check_checkpoint(folder: Path, name: str | None = None) -> None:
    """Check the weights in a model folder, for any kind of language model, without loading the model.

    Names and shapes come from file headers; each weight that the model uses is searched for NaN. A warning lists
    weights that the model does not use. Checkpoints that need their own package or code are skipped.

    Args:
        folder: of the model.
        name: of the model, for messages; None: its folder.

    Raises:
        InputError: a weight is missing, has another shape, is not floating point, or contains NaN; or files are damaged
            or inconsistent (see ``checkpoints.files``).
    """
    check_folder(folder)
    on_meta = _meta_model(folder, lambda config: loader_of(kind_of(config), config))
    if on_meta is not None:
        where, (model, loading_info) = name or str(folder), on_meta
        check_weights(where, model, loading_info)
        _warn_of_unused(where, loading_info["unexpected_keys"])
        _check_formats(where, folder, {name for name, _ in model.named_parameters(remove_duplicate=False)})
        _check_numbers(where, folder, loading_info["unexpected_keys"])


def check_encoder(folder: Path, name: str) -> None:
    """Check that an encoder's folder has all weights of the encoder, except BERT's pooler, which is not used.

    Args:
        folder: of the encoder; parts in folders named by its ``modules.json`` (SentenceBERT) are checked as well, but
            not parts inside parts.
        name: of the encoder, for messages.

    Raises:
        InputError: a weight is missing, or ``modules.json`` is wrong.
    """
    for part in _parts_of_encoder(folder):
        _check_part(part, name)


def check_weights(where: str, model: torch.nn.Module, loading_info: Mapping[str, Any]) -> None:
    """Check that a loaded model got all of its weights from its checkpoint, each in the right shape.

    Tied weights and computed buffers (masks, positions) may be missing. For a quantised model only weights with their
    original names are checked, as its format may replace others.

    Args:
        where: of the model, for messages.
        model: as ``from_pretrained`` returned it with ``ignore_mismatched_sizes``.
        loading_info: from ``from_pretrained`` with ``output_loading_info``.

    Raises:
        InputError: a weight is missing, or has another shape.
    """
    lacking = _lacking(model, loading_info)
    if lacking:
        raise InputError(
            f"model {where}: its weights lack {lacking[0]}{_and_others(lacking)}"
            f"{_unexpected_hint(loading_info['unexpected_keys'])}; "
            "allowed: a checkpoint with all weights of a language model, its head among them."
        )
    if loading_info["mismatched_keys"]:
        name, there, wanted = min(loading_info["mismatched_keys"])
        raise InputError(
            f"model {where}: got weights {name} of shape {list(there)}{_and_others(loading_info['mismatched_keys'])}; "
            f"allowed: {list(wanted)}, as its config.json says."
        )


def _lacking(model: torch.nn.Module, loading_info: Mapping[str, Any]) -> list[str]:
    """Return the model's weights that the checkpoint lacks, in the model's order."""
    quantised = getattr(model, "hf_quantizer", None) is not None
    weights = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    return [
        name for name in weights if name in loading_info["missing_keys"] and (not quantised or name.endswith(".weight"))
    ]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' messages on loaded weights: ``check_weights`` reports the important ones."""
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    before = [logger.level for logger in loggers]
    try:
        for talkative in loggers:
            talkative.setLevel(logging.ERROR)
        yield
    finally:
        for talkative, level in zip(loggers, before, strict=True):
            talkative.setLevel(level)


def _parts_of_encoder(folder: Path) -> list[Path]:
    """Return the folders of an encoder's parts, and the encoder's own, which BERTScore reads."""
    path = folder / "modules.json"
    if not path.exists():
        return [folder]
    allowed = "a list of objects, each with the `path` of a folder inside this one"
    modules = read_json(path, allowed)
    if not isinstance(modules, list):
        raise InputError(f"{path}: got a JSON {type(modules).__name__}; allowed: {allowed}.")
    parts = [folder]
    for module in modules:
        name = module.get("path") if isinstance(module, dict) else None
        if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
            raise InputError(f"{path}: got the path {name!r}; allowed: {allowed}.")
        parts.append(folder / name)
    return list(dict.fromkeys(parts))


def _check_part(folder: Path, name: str) -> None:
    """Check that a folder with weights of a transformers model has all of them."""
    # Imported here: it costs seconds.
    from transformers import AutoModel

    # Some uses take only the encoder of an encoder–decoder model.
    on_meta = _meta_model(folder, lambda config: None if getattr(config, "is_encoder_decoder", False) else AutoModel)
    if on_meta is None:
        return
    lacking = [name for name in _lacking(*on_meta) if not name.startswith("pooler.")]
    if lacking:
        raise InputError(
            f"scorers: model {name!r}: its weights lack {lacking[0]}{_and_others(lacking)}; allowed: a folder with all "
            "weights of an encoder."
        )


def _and_others(names: Collection[Any]) -> str:
    """Return the number of further names, in words."""
    return f" and {len(names) - 1:,} more" if len(names) > 1 else ""


def _unexpected_hint(unexpected: Collection[str]) -> str:
    """Return a hint at the head of another task."""
    return f", and hold {min(unexpected)}, which the model has no place for" if unexpected else ""


def _meta_model(
    folder: Path, loader: Callable[[PreTrainedConfig], Any]
) -> tuple[torch.nn.Module, Mapping[str, Any]] | None:
    """Return a model without values, and its loading info from file headers; None if only loading can tell."""
    import torch
    from transformers.utils import logging as of_transformers

    if not weight_files(folder):
        return None  # others have no headers
    of_transformers.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if getattr(config, "quantization_config", None) or getattr(config, "auto_map", None):
            return None
        with quiet():
            model, loading_info = loader(config).from_pretrained(
                folder,
                config=config,
                device_map={"": torch.device("meta")},
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                local_files_only=True,
            )
    except Exception as error:
        # Opening the model reports the problem in its own words.
        logger.info("%s: cannot be checked without loading it: %s", folder, error)
        return None
    return model, loading_info


def _warn_of_unused(where: str, unexpected: Collection[str]) -> None:
    """Warn of unused weights: the checkpoint may be of a model of another kind or depth."""
    unused = sorted(name for name in unexpected if not HARMLESS.search(name))
    if unused:
        logger.warning(
            "model %s: has no place for its weights %s%s, so this may be another model than its config.json says",
            where,
            unused[0],
            _and_others(unused),
        )


def _check_formats(where: str, folder: Path, weights: Collection[str]) -> None:
    """Check that no weight is stored as integers, booleans or complex numbers."""
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as there:
            for name in there.keys():  # noqa: SIM118
                dtype = there.get_slice(name).get_dtype()
                if name in weights and not dtype.startswith(FLOATING):
                    raise InputError(
                        f"model {where}: got weights {name} of format {dtype}, and no quantization_config in its "
                        "config.json; allowed: floating point."
                    )


def _check_numbers(where: str, folder: Path, unused: Collection[str]) -> None:
    """Check that no weight contains NaN; infinity may be intended, as in a bias for forbidden tokens."""
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118
                if name not in unused and any(bool(part.amax().isnan()) for part in _row_blocks(weights, name)):
                    raise InputError(
                        f"model {where}: its weights {name} contain NaN; allowed: a checkpoint whose training or "
                        "conversion did not fail."
                    )


def _row_blocks(weights: Any, name: str) -> Iterator[torch.Tensor]:
    """Yield the values of a weight in blocks of rows."""
    shape = weights.get_slice(name).get_shape()
    if 0 in shape:
        return
    step = max(1, NUMBERS_AT_ONCE * shape[0] // math.prod(shape)) if shape else 1
    for start in range(0, shape[0] if shape else 1, step):
        part = weights.get_slice(name)[start : start + step] if shape else weights.get_tensor(name)
        if part.is_floating_point() and part.element_size() >= SMALLEST_CHECKED:
            yield part
