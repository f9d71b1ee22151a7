"""Activations on disk: the residuals of many tokens, in shards, written once and read by all dictionaries of a site.

Residuals are stored in the number format in which the model computed them, bit for bit: float16 would lose large values
of bfloat16 (its maximum is 65,504), and float32 would double the size. Readers get float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from leakscope.errors import InputError
from leakscope.features.dictionaries.texts import Window
from leakscope.files.writing import replacing
from leakscope.jobs.progress import progress
from leakscope.models.editing.residuals import read_residuals

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Activations(NamedTuple):
    """Residuals at some tokens, window after window, without beginnings.

    residuals: [n, d].
    token_ids: [n] int32.
    documents: [n] int32, the number within the part.
    positions: [n] int32, the place in the window as the model reads it: 1 and more.
    """

    residuals: torch.Tensor
    token_ids: torch.Tensor
    documents: torch.Tensor
    positions: torch.Tensor


def record_activations(
    model: PreTrainedModel, windows: Sequence[Window], layer: int, *, batch_size: int, name: str
) -> Activations:
    """Return the residuals before a block at the kept places of windows, in the model's number format.

    Args:
        model: causal.
        windows: at least one.
        layer: of the block.
        batch_size: windows to a batch; one that does not fit into memory is divided.
        name: of the line of progress.

    Raises:
        InputError: see ``residuals.read_residuals``.
    """
    ends = torch.tensor([len(window.kept) for window in windows]).cumsum(0).tolist()
    kept = torch.empty(0)
    read = read_residuals(model, [window.ids for window in windows], layer, batch_size=batch_size)
    for some in progress(read, total=len(windows), name=name, unit="window", size=len):
        for number, residuals in some.items():
            places = windows[number].kept
            if not len(kept):
                kept = torch.empty(ends[-1], residuals.shape[1], dtype=residuals.dtype)
            kept[ends[number] - len(places) : ends[number]] = residuals[places.start : places.stop]
    return Activations(
        kept,
        _integers([window.ids[place] for window in windows for place in window.kept]),
        _integers([window.document for window in windows for _ in window.kept]),
        _integers([place for window in windows for place in window.kept]),
    )


def write_activations(activations: Activations, path: Path) -> None:
    """Write a shard as safetensors, whole or not at all."""
    with replacing(path) as part:
        save_file(activations._asdict(), part)


def read_activations(path: Path) -> Activations:
    """Return a whole shard, residuals as they were written.

    Raises:
        InputError: it is no such file.
    """
    try:
        tensors = load_file(path)
        return Activations(*(tensors[name] for name in Activations._fields))
    except (OSError, SafetensorError, KeyError) as error:
        raise _not_activations(path, error) from error


def activation_batches(paths: Sequence[Path], batch_size: int) -> Iterator[Activations]:
    """Yield the tokens of shards in their order, some at a time, residuals in float32.

    Only what is yielded is in memory. The last batch of a shard may be smaller.

    Args:
        paths: of the shards.
        batch_size: tokens to a batch.

    Raises:
        InputError: one is no such file.
    """
    for path in paths:
        try:
            with safe_open(path, framework="pt") as shard:
                slices = [shard.get_slice(name) for name in Activations._fields]
                for start in range(0, slices[0].get_shape()[0], batch_size):
                    some = Activations(*(of_all[start : start + batch_size] for of_all in slices))
                    yield some._replace(residuals=some.residuals.float())
        except (OSError, SafetensorError) as error:
            raise _not_activations(path, error) from error


def read_tokens(paths: Sequence[Path]) -> Activations:
    """Return shards without their residuals (``residuals`` is empty, [n, 0]).

    Raises:
        InputError: one is no such file.
    """
    names = Activations._fields[1:]
    columns: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    for path in paths:
        try:
            with safe_open(path, framework="pt") as shard:
                for name in names:
                    columns[name].append(shard.get_tensor(name))
        except (OSError, SafetensorError) as error:
            raise _not_activations(path, error) from error
    token_ids, documents, positions = (torch.cat(columns[name]) for name in names)
    return Activations(torch.empty(len(token_ids), 0), token_ids, documents, positions)


def _integers(values: Sequence[int]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32)


def _not_activations(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())
    return InputError(f"{path}: got {reason}; allowed: a shard of activations ({', '.join(Activations._fields)}).")
