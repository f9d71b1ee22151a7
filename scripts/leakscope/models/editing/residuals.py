"""The residual stream before a block of a causal language model: reading and editing, training of dictionaries.

Layer L is the input of block L, counted from 0: ``hidden_states[L]`` in transformers. The last block's output is not
available as a layer: transformers returns it only after the final norm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch

from leakscope.errors import InputError
from leakscope.jobs.batching import cut, shrinking
from leakscope.models.finite import all_finite, no_numbers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PADDING = 0  # Any id will do: it stands on the right, where no token that counts sees it.

Residuals = dict[int, torch.Tensor]


class _HasRead(Exception):  # noqa: N818
    """Stops a forward pass when the residuals are read; later blocks need not run."""


def decoder_blocks(model: PreTrainedModel) -> list[torch.nn.Module]:
    """Return a model's blocks in order: the outermost module list with as many modules as the configuration says.

    Raises:
        InputError: the model has no such list.
    """
    n_blocks = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    lists = [
        (name.count("."), module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == n_blocks
    ]
    if not lists:
        raise InputError(
            f"model {name_of(model)}: got no list of {n_blocks} blocks; allowed: models with all blocks in one list."
        )
    return list(min(lists, key=lambda pair: pair[0])[1])


def check_layer(model: PreTrainedModel, layer: int) -> None:
    """Check that a model has a block ``layer``.

    Raises:
        InputError: the model lacks the block, or has no list of blocks.
    """
    n_blocks = len(decoder_blocks(model))
    if not 0 <= layer < n_blocks:
        raise InputError(
            f"model {name_of(model)}: got layer {layer}; allowed: 0 to {n_blocks - 1}, the input of one of its "
            f"{n_blocks} blocks."
        )


@contextmanager
def on_residual(
    model: PreTrainedModel, layer: int, function: Callable[[torch.Tensor], torch.Tensor | None]
) -> Iterator[None]:
    """Call ``function`` on the residuals before a block in each forward pass inside the context.

    Args:
        model: causal.
        layer: of the block.
        function: gets [rows, tokens, d]; with a cache, the first forward pass of a generation has all tokens of the
            prompts, each later one a single token. A result other than None replaces the residuals.

    Raises:
        InputError: see ``check_layer``.
    """

    def hook(_: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        changed = function(given[0] if given else named["hidden_states"])
        if changed is None:
            return None
        return ((changed, *given[1:]), named) if given else (given, {**named, "hidden_states": changed})

    check_layer(model, layer)
    handle = decoder_blocks(model)[layer].register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@torch.inference_mode()
def read_residuals(
    model: PreTrainedModel, rows: Sequence[list[int]], layer: int, *, batch_size: int
) -> Iterator[Residuals]:
    """Yield row number → its residuals before a block, [tokens, d], on the CPU, some rows at a time, longest first.

    Residuals are in the model's number format. Blocks from ``layer`` on do not run.

    Args:
        model: causal.
        rows: token ids, at least one each.
        layer: of the block.
        batch_size: rows per batch; a batch that does not fit into memory is split.

    Raises:
        InputError: see ``check_layer``; or residuals are NaN or infinite.
    """
    check_layer(model, layer)
    ordered = sorted(range(len(rows)), key=lambda row: -len(rows[row]))

    def read(batch: list[int]) -> Residuals:
        read = _residuals(model, [rows[row] for row in batch], layer).cpu()
        # Clones: a part of a batch would keep all of it in memory.
        residuals = {row: read[place, : len(rows[row])].clone() for place, row in enumerate(batch)}
        for row, values in residuals.items():
            if not all_finite(values):
                raise no_numbers(name_of(model), f"in text {row + 1:,} of {len(rows):,}", f"residuals of layer {layer}")
        return residuals

    yield from shrinking(cut(ordered, batch_size), read)


def _residuals(model: PreTrainedModel, rows: Sequence[list[int]], layer: int) -> torch.Tensor:
    """Return the residuals of rows, [rows, longest, d]; values after the end of a row are arbitrary."""
    lengths = torch.tensor([len(row) for row in rows])
    longest = int(lengths.max())
    ids = torch.tensor([[*row, *[PADDING] * (longest - len(row))] for row in rows])
    counted = (torch.arange(longest) < lengths[:, None]).long()
    read: list[torch.Tensor] = []

    def keep(hidden: torch.Tensor) -> None:
        read.append(hidden)
        raise _HasRead

    with on_residual(model, layer, keep), suppress(_HasRead):
        model(input_ids=ids.to(model.device), attention_mask=counted.to(model.device), use_cache=False)
    return read[0]


def name_of(model: PreTrainedModel) -> str:
    """Return a model's name for messages if its name in the study is unknown."""
    return str(model.name_or_path or type(model).__name__)
