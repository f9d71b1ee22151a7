"""Residuals of a model at the tokens of a contrast's texts, and gradients of the gap at the end of each text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from leakscope.features.contrasts.words import EncodedTexts, WordSet
from leakscope.features.description.unembedding import effective_unembedding
from leakscope.files.writing import replacing
from leakscope.jobs.batching import cut, shrinking
from leakscope.jobs.progress import progress
from leakscope.models.editing.residuals import PADDING, check_layer, name_of, on_residual
from leakscope.models.finite import all_finite, has_nan, no_numbers, shown

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROMPT_COLUMNS = [
    *("row", "kind", "split", "item", "group", "template_id", "text", "side", "association"),
    *("p_a", "p_b", "gap", "ids", "words_a", "words_b", "weight_b", "words"),
]


class ContrastActivations(NamedTuple):
    """Residuals before a block at the tokens of a contrast's texts, without beginnings (position 0).

    residuals: [n, d], float32.
    gradients: [texts, d], float32: of log p_a − log p_b at the text's end, by the residual of its last token.
    rows: [n], number of the text.
    positions: [n], place in the text as the model reads it.
    last: [n], whether it is the text's last token.
    direct: [w, d]: for each set of words, the mean effective unembedding of side a − that of side b.
    """

    residuals: Tensor
    gradients: Tensor
    rows: Tensor
    positions: Tensor
    last: Tensor
    direct: Tensor


class Recorded(NamedTuple):
    """Activations, and the table of texts with ``PROMPT_COLUMNS``.

    ``ids, words_a, words_b`` are lists of token ids, ``words`` is the number of the row's set of words in ``direct``;
    ``p_b`` has been multiplied by ``weight_b``, and ``gap`` is p_a − p_b.
    """

    activations: ContrastActivations
    prompts: pd.DataFrame


class _Readings(NamedTuple):
    """For some texts: residuals [tokens, d], gradient at the last token [d], and log-probabilities of both sides."""

    tokens: dict[int, tuple[Tensor, Tensor]]
    sides: dict[int, tuple[float, float]]


def record_contrast(
    model: PreTrainedModel, texts: pd.DataFrame, encoded: EncodedTexts, layer: int, *, batch_size: int, name: str
) -> Recorded:
    """Return the residuals before a block at the tokens of a contrast's texts, and the gap at the end of each text.

    Args:
        model: causal; its weights stay as they are.
        texts: as ``items`` returns them.
        encoded: the same, from ``encode_texts``.
        layer: of the block.
        batch_size: texts to a batch; one that does not fit into memory is divided.
        name: of the line of progress.

    Raises:
        InputError: the model has no such layer, its end is not understood (see ``unembedding``), or it gives no
            numbers.
    """
    check_layer(model, layer)
    # Only gradients of the residuals are needed; gradients of the weights would double the memory.
    model.requires_grad_(False)
    tokens: dict[int, tuple[Tensor, Tensor]] = {}
    sides: dict[int, tuple[float, float]] = {}
    read = _read(model, encoded, layer, batch_size)
    for some in progress(read, total=len(texts), name=name, unit="text", size=lambda some: len(some.sides)):
        for row, (residuals, gradient) in some.tokens.items():
            if has_nan(some.sides[row]) or not (all_finite(residuals) and all_finite(gradient)):
                raise no_numbers(name_of(model), f"after {shown(texts['text'].iloc[row])}")
        tokens.update(some.tokens)
        sides.update(some.sides)
    sets = {words: number for number, words in enumerate(dict.fromkeys(encoded.words))}
    lengths = [len(ids) for ids in encoded.ids]
    # Without the beginning, whose residual is far larger than all others.
    positions = torch.cat([torch.arange(1, length) for length in lengths])
    rows = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths) - 1)
    activations = ContrastActivations(
        torch.cat([tokens[row][0] for row in range(len(lengths))]),
        torch.stack([tokens[row][1] for row in range(len(lengths))]),
        rows,
        positions,
        positions == torch.tensor(lengths)[rows] - 1,
        _direct(model, list(sets)),
    )
    p_a, p_b = (torch.tensor([sides[row][side] for row in range(len(lengths))]).exp().tolist() for side in (0, 1))
    columns: dict[str, Any] = dict(
        row=range(len(texts)),
        p_a=p_a,
        p_b=p_b,
        gap=[one - other for one, other in zip(p_a, p_b, strict=True)],
        ids=encoded.ids,
        words_a=[list(words.a) for words in encoded.words],
        words_b=[list(words.b) for words in encoded.words],
        words=[sets[words] for words in encoded.words],
    )
    return Recorded(activations, texts.assign(**columns)[PROMPT_COLUMNS])


def side_logprobs(logprobs: Tensor, words: Sequence[WordSet]) -> Tensor:
    """Return the log-probability of both sides, [rows, 2], from log-probabilities [rows, V] of the next token."""
    weights = torch.tensor([[1.0, row.weight_b] for row in words], device=logprobs.device)
    sums = [
        torch.stack([logprobs[place, list(side)].logsumexp(-1) for side in (row.a, row.b)])
        for place, row in enumerate(words)
    ]
    return torch.stack(sums) + weights.log()


def write_contrast(activations: ContrastActivations, path: Path) -> None:
    """Write activations as safetensors, whole or not at all."""
    with replacing(path) as part:
        save_file({name: value.contiguous() for name, value in activations._asdict().items()}, part)


def read_contrast(path: Path) -> ContrastActivations:
    """Read what ``write_contrast`` wrote."""
    return ContrastActivations(**load_file(path))


def _read(model: PreTrainedModel, encoded: EncodedTexts, layer: int, batch_size: int) -> Iterator[_Readings]:
    # The longest first: what does not fit into memory is found out at once, and batches hold little padding.
    ordered = sorted(range(len(encoded.ids)), key=lambda row: -len(encoded.ids[row]))
    yield from shrinking(cut(ordered, batch_size), lambda batch: _read_batch(model, encoded, layer, batch))


@torch.enable_grad()
def _read_batch(model: PreTrainedModel, encoded: EncodedTexts, layer: int, batch: list[int]) -> _Readings:
    rows, kept = [encoded.ids[row] for row in batch], []
    lengths = torch.tensor([len(row) for row in rows])
    longest = int(lengths.max())
    ids = torch.tensor([[*row, *[PADDING] * (longest - len(row))] for row in rows], device=model.device)
    counted = (torch.arange(longest) < lengths[:, None]).long().to(model.device)

    def keep(hidden: Tensor) -> Tensor:
        # A leaf of the graph, so that the gradient ends here and the blocks below keep nothing.
        kept.append(hidden.detach().requires_grad_(True))
        return kept[0]

    with on_residual(model, layer, keep):
        logits = model(input_ids=ids, attention_mask=counted, use_cache=False).logits
    places = torch.arange(len(rows), device=logits.device), (lengths - 1).to(logits.device)
    logprobs = side_logprobs(logits[places].float().log_softmax(-1), [encoded.words[row] for row in batch])
    # Rows are independent, so the gradient of the sum contains the gradient of each row.
    (gradients,) = torch.autograd.grad((logprobs[:, 0] - logprobs[:, 1]).sum(), kept)
    residuals, ends = (tensor.detach().float().cpu() for tensor in (kept[0], gradients[places]))
    return _Readings(
        {
            row: (residuals[place, 1:length].clone(), ends[place])
            for place, (row, length) in enumerate(zip(batch, lengths.tolist(), strict=True))
        },
        {row: (pair[0], pair[1]) for row, pair in zip(batch, logprobs.detach().double().tolist(), strict=True)},
    )


@torch.inference_mode()
def _direct(model: PreTrainedModel, sets: Sequence[WordSet]) -> Tensor:
    unembedding = effective_unembedding(model)
    sides = [[unembedding.columns(list(side)).mean(-1) for side in (words.a, words.b)] for words in sets]
    return torch.stack([a - b for a, b in sides]).float().cpu()
