"""Does a checkpoint hold all weights of the language model that is made of it, and are they numbers?

transformers fills in what a checkpoint lacks at random, and anew each time: a body that was saved without its head, or
a classifier, writes texts like any other model. That is looked for twice: where a model is described, in the headers of
its files, so that only its own jobs wait; and whenever it is loaded, which none gets round.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open
from transformers import AutoConfig

from leakscope.errors import InputError
from leakscope.kinds import kind_of, loader_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig

logger = logging.getLogger(__name__)

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
# Of transformers: a table of what does not fit, and of layers that are not divided over devices.
TALKATIVE = ("transformers.modeling_utils", "transformers.distributed.tensor_parallel")
NUMBERS_AT_ONCE = 2**24
# Formats of one byte are not compared; each goes with scales of two bytes and more.
SMALLEST_CHECKED = 2


def check_checkpoint(folder: Path, name: str | None = None) -> None:
    """Check the weights in a model folder, of any kind of language model, without loading the model.

    Headers say what is there; of each weight that the model takes, the largest value is read, which is no number if any
    is none. Checkpoints that need a package or code of their own to be read are passed over here.

    Args:
        folder: of the model.
        name: of the model, for messages; None: its folder.

    Raises:
        InputError: a weight is missing, has another shape, or holds NaN.
    """
    found = _planned(folder, lambda config: loader_of(kind_of(config)))
    if found is not None:
        check_weights(name or str(folder), *found)
        _check_numbers(name or str(folder), folder, found[1]["unexpected_keys"])


def check_encoder(folder: Path, name: str) -> None:
    """Check that an encoder's folder holds all weights of the encoder; what pools them in BERT's own way is not used.

    Args:
        folder: of the encoder; of several models in one, as SentenceBERT has them, the outermost is looked at.
        name: of the encoder, for messages.

    Raises:
        InputError: a weight is missing.
    """
    # Imported here: it costs seconds.
    from transformers import AutoModel

    # Of encoder–decoder models some take the encoder alone.
    found = _planned(folder, lambda config: None if getattr(config, "is_encoder_decoder", False) else AutoModel)
    if found is None:
        return
    lacking = [name for name in _lacking(*found) if not name.startswith("pooler.")]
    if lacking:
        raise InputError(
            f"scorers: model {name!r}: its weights lack {lacking[0]}{_more(lacking)}; allowed: a folder with all "
            "weights of an encoder."
        )


def check_weights(where: str, model: torch.nn.Module, found: Mapping[str, Any]) -> None:
    """Check that a model has got all of its weights from its checkpoint, each in its own shape.

    What a configuration ties to another weight, and what is computed anew (buffers, such as masks and positions), need
    not be there. Of a quantised model only what carries its name of old counts: its format may do without the rest.

    Args:
        where: of the model, for messages.
        model: as ``from_pretrained`` returned it, told to ignore sizes that do not match.
        found: what else it returned, with ``output_loading_info``.

    Raises:
        InputError: a weight is missing, or has another shape.
    """
    lacking = _lacking(model, found)
    if lacking:
        raise InputError(
            f"model {where}: its weights lack {lacking[0]}{_more(lacking)}{_instead(found['unexpected_keys'])}; "
            "allowed: a checkpoint with all weights of a language model, its head among them."
        )
    if found["mismatched_keys"]:
        name, there, wanted = min(found["mismatched_keys"])
        raise InputError(
            f"model {where}: got weights {name} of shape {list(there)}{_more(found['mismatched_keys'])}; "
            f"allowed: {list(wanted)}, as its config.json says."
        )


def _lacking(model: torch.nn.Module, found: Mapping[str, Any]) -> list[str]:
    """Return the weights that a model has and a checkpoint has not, in the model's order."""
    quantised = getattr(model, "hf_quantizer", None) is not None
    weights = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    return [name for name in weights if name in found["missing_keys"] and (not quantised or name.endswith(".weight"))]


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


def _more(names: Collection[Any]) -> str:
    """Return how many there are beside the one that is named."""
    return f" and {len(names) - 1:,} more" if len(names) > 1 else ""


def _instead(unexpected: Collection[str]) -> str:
    """Return a hint at the head of another task."""
    return f", and hold {min(unexpected)}, which the model has no place for" if unexpected else ""


def _planned(
    folder: Path, loader: Callable[[PreTrainedConfig], Any]
) -> tuple[torch.nn.Module, Mapping[str, Any]] | None:
    """Return a model without any values, and what of it a checkpoint has; None where only loading can tell."""
    import torch
    from transformers.utils import logging as of_transformers

    if not any((folder / name).exists() for name in (WEIGHTS, INDEX)):
        return None  # others have no headers
    of_transformers.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if getattr(config, "quantization_config", None) or getattr(config, "auto_map", None):
            return None
        with quiet():
            model, found = loader(config).from_pretrained(
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
    return model, found


def _check_numbers(where: str, folder: Path, unused: Collection[str]) -> None:
    """Check that no weight holds NaN; infinity may be meant, in a bias for tokens that are never to be said."""
    for file in _weight_files(folder):
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118
                if name not in unused and any(bool(part.amax().isnan()) for part in _parts(weights, name)):
                    raise InputError(
                        f"model {where}: its weights {name} hold values that are no numbers; allowed: a checkpoint "
                        "whose training or conversion did not fail."
                    )


def _weight_files(folder: Path) -> list[Path]:
    """Return the files that transformers loads, and no copies beside them."""
    if (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    return [folder / name for name in sorted(set(index["weight_map"].values()))]


def _parts(weights: Any, name: str) -> Iterator[torch.Tensor]:
    """Yield the values of a weight that are worth a look, some rows at a time."""
    shape = weights.get_slice(name).get_shape()
    if 0 in shape:
        return
    step = max(1, NUMBERS_AT_ONCE * shape[0] // math.prod(shape)) if shape else 1
    for start in range(0, shape[0] if shape else 1, step):
        part = weights.get_slice(name)[start : start + step] if shape else weights.get_tensor(name)
        if part.is_floating_point() and part.element_size() >= SMALLEST_CHECKED:
            yield part
