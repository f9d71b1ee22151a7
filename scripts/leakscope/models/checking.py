"""Does a checkpoint hold all weights of the language model that is made of it, and are they numbers?

transformers fills in what a checkpoint lacks at random, and anew each time: a body that was saved without its head, or
a classifier, writes texts like any other model. That is looked for twice: where a model is described, in the headers of
its files, so that only its own jobs wait; and whenever it is loaded, which none gets round.
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
    """Check the weights in a model folder, of any kind of language model, without loading the model.

    Headers say what is there; of each weight that the model takes, the largest value is read, which is no number if any
    is none. Weights that the model has no place for are told of in a warning. Checkpoints that need a package or code
    of their own to be read are passed over here.

    Args:
        folder: of the model.
        name: of the model, for messages; None: its folder.

    Raises:
        InputError: a weight is missing, has another shape, is of whole numbers, or holds NaN; or files are damaged or
            do not fit each other (see ``checkpoints.files``).
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
    """Check that an encoder's folder holds all weights of the encoder; what pools them in BERT's own way is not used.

    Args:
        folder: of the encoder, and of its parts where its ``modules.json`` names folders inside it, as those of
            SentenceBERT do; those of parts inside parts are not looked at.
        name: of the encoder, for messages.

    Raises:
        InputError: a weight is missing, or ``modules.json`` is wrong.
    """
    for part in _parts_of_encoder(folder):
        _check_part(part, name)


def check_weights(where: str, model: torch.nn.Module, loading_info: Mapping[str, Any]) -> None:
    """Check that a model has got all of its weights from its checkpoint, each in its own shape.

    What a configuration ties to another weight, and what is computed anew (buffers, such as masks and positions), need
    not be there. Of a quantised model only what carries its name of old counts: its format may do without the rest.

    Args:
        where: of the model, for messages.
        model: as ``from_pretrained`` returned it, told to ignore sizes that do not match.
        loading_info: what else it returned, with ``output_loading_info``.

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
    """Return the weights that a model has and a checkpoint has not, in the model's order."""
    quantised = getattr(model, "hf_quantizer", None) is not None
    weights = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    return [
        name for name in weights if name in loading_info["missing_keys"] and (not quantised or name.endswith(".weight"))
    ]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep from the terminal what transformers prints of weights that it loads: ``check_weights`` says what matters."""
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
    """Return the folders of an encoder's parts, and its own, in which BERTScore looks."""
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
    """Check that a folder, if it holds weights of a model of transformers, holds all of them."""
    # Imported here: it costs seconds.
    from transformers import AutoModel

    # Of encoder–decoder models some take the encoder alone.
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
    """Return how many there are beside the one that is named."""
    return f" and {len(names) - 1:,} more" if len(names) > 1 else ""


def _unexpected_hint(unexpected: Collection[str]) -> str:
    """Return a hint at the head of another task."""
    return f", and hold {min(unexpected)}, which the model has no place for" if unexpected else ""


def _meta_model(
    folder: Path, loader: Callable[[PreTrainedConfig], Any]
) -> tuple[torch.nn.Module, Mapping[str, Any]] | None:
    """Return a model without any values, and what of it a checkpoint has; None where only loading can tell."""
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
        # Whatever is wrong is said, and in the words for it, where the model is opened.
        logger.info("%s: cannot be checked without loading it: %s", folder, error)
        return None
    return model, loading_info


def _warn_of_unused(where: str, unexpected: Collection[str]) -> None:
    """Warn of weights that a model has no place for: a model of another kind, or depth, writes texts without them."""
    unused = sorted(name for name in unexpected if not HARMLESS.search(name))
    if unused:
        logger.warning(
            "model %s: has no place for its weights %s%s, so this may be another model than its config.json says",
            where,
            unused[0],
            _and_others(unused),
        )


def _check_formats(where: str, folder: Path, weights: Collection[str]) -> None:
    """Check that no weight of a model is saved as whole numbers, truth values or complex numbers."""
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
    """Check that no weight holds NaN; infinity may be meant, in a bias for tokens that are never to be said."""
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118
                if name not in unused and any(bool(part.amax().isnan()) for part in _row_blocks(weights, name)):
                    raise InputError(
                        f"model {where}: its weights {name} hold values that are no numbers; allowed: a checkpoint "
                        "whose training or conversion did not fail."
                    )


def _row_blocks(weights: Any, name: str) -> Iterator[torch.Tensor]:
    """Yield the values of a weight that are worth a look, some rows at a time."""
    shape = weights.get_slice(name).get_shape()
    if 0 in shape:
        return
    step = max(1, NUMBERS_AT_ONCE * shape[0] // math.prod(shape)) if shape else 1
    for start in range(0, shape[0] if shape else 1, step):
        part = weights.get_slice(name)[start : start + step] if shape else weights.get_tensor(name)
        if part.is_floating_point() and part.element_size() >= SMALLEST_CHECKED:
            yield part
