"""Repeated forward passes over the same texts with different changes of the residuals before one block.

Hundreds of edits change the same residuals, which are computed once. An edit's addition is proportional to its
strength, so it is computed once for all strengths. Blocks before the edited block are skipped if the model's output
stays the same, bit for bit.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from leakscope.jobs.batching import is_out_of_memory
from leakscope.models.editing.edits import Change
from leakscope.models.editing.passing import passed_over, width_of
from leakscope.models.editing.residuals import PADDING, check_layer, decoder_blocks, name_of, on_residual
from leakscope.models.finite import no_numbers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

# Of the longest text of a batch: shorter ones would be padding for the most part.
SHORTEST = 0.75
_FAILURES = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


class CountedText(NamedTuple):
    """A text as a model reads it; the probabilities of its tokens count from ``start`` on to the end."""

    ids: list[int]
    start: int


class _Batch(NamedTuple):
    """Texts that are read together: their numbers, ids and mask [rows, longest], residuals [rows, longest, d]."""

    numbers: list[int]
    ids: Tensor
    counted: Tensor
    residuals: Tensor


class Rereader:
    """Reads the same texts with changes of the residuals before a block; what is changed fits one after another."""

    def __init__(
        self, model: PreTrainedModel, rows: Sequence[list[int]], layer: int, *, batch_size: int, only_ends: bool = False
    ) -> None:
        """Read the texts once.

        Args:
            model: causal.
            rows: token ids.
            layer: of the block.
            batch_size: texts to a batch.
            only_ends: logits are needed only after the last token; then only texts of equal length share a batch.

        Raises:
            InputError: the model has no such layer.
        """
        check_layer(model, layer)
        self.model, self.layer, self.only_ends = model, layer, only_ends
        # By block, how many values it returns in a tuple; None: a bare tensor.
        self.widths: dict[int, int | None] = {}
        self.passes_over = False
        takes = "logits_to_keep" in inspect.signature(model.forward).parameters
        self.keep: dict[str, int] = {"logits_to_keep": 1} if only_ends and takes else {}
        cut = self._cut([len(row) for row in rows], batch_size)
        self.batches = [self._read([rows[row] for row in batch], batch) for batch in cut]
        self.passes_over = bool(self.batches) and layer > 0 and self._is_passable()
        logger.info("blocks before layer %d are%s passed over", layer, "" if self.passes_over else " not")

    @torch.inference_mode()
    def changes(self, change: Change) -> list[Tensor]:
        """Return the addition of an edit of strength 1 to the residuals, batch by batch; 0 at each first token."""
        return [_but_first(change(batch.residuals)) for batch in self.batches]

    @torch.inference_mode()
    def logits(self, changes: Sequence[Tensor] | None = None, strength: float = 1.0) -> Iterator[tuple[_Batch, Tensor]]:
        """Yield batches with their logits, [rows, longest, V], with ``only_ends`` [rows, 1, V].

        Args:
            changes: from ``changes``; None: nothing is changed.
            strength: that they are multiplied by.
        """
        for number, batch in enumerate(self.batches):
            hidden = batch.residuals
            if changes is not None:
                change = strength * changes[number]
                hidden = torch.where(change != 0, hidden + change.to(hidden.dtype), hidden)
            yield batch, self._forward(batch, hidden)

    def _cut(self, lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
        """Yield the texts of each batch, longest first: as long as each other, or nearly."""
        ordered = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        shortest = 1.0 if self.only_ends else SHORTEST
        while ordered:
            fitting = [row for row in ordered[:batch_size] if lengths[row] >= shortest * lengths[ordered[0]]]
            yield fitting
            ordered = ordered[len(fitting) :]

    @torch.inference_mode()
    def _read(self, rows: list[list[int]], numbers: list[int]) -> _Batch:
        lengths = torch.tensor([len(row) for row in rows])
        longest = int(lengths.max())
        ids = torch.tensor([[*row, *[PADDING] * (longest - len(row))] for row in rows], device=self.model.device)
        counted = (torch.arange(longest) < lengths[:, None]).long().to(self.model.device)
        read: list[Tensor] = []

        def keep(number: int, _: torch.nn.Module, given: Any, output: Any) -> None:
            self.widths[number] = width_of(output)

        blocks = decoder_blocks(self.model)[: self.layer]
        handles = [block.register_forward_hook(partial(keep, number)) for number, block in enumerate(blocks)]
        try:
            with on_residual(self.model, self.layer, read.append):  # type: ignore[arg-type]
                self.model(input_ids=ids, attention_mask=counted, use_cache=False, **self.keep)
        finally:
            for handle in handles:
                handle.remove()
        return _Batch(numbers, ids, counted, read[0].clone())

    def _forward(self, batch: _Batch, hidden: Tensor) -> Tensor:
        given = {"input_ids": batch.ids, "attention_mask": batch.counted, "use_cache": False, **self.keep}
        skipped = decoder_blocks(self.model)[: self.layer] if self.passes_over else []
        with on_residual(self.model, self.layer, lambda _: hidden), passed_over(skipped, batch.residuals, self.widths):
            logits: Tensor = self.model(**given).logits
        return logits[:, -1:] if self.only_ends else logits

    @torch.inference_mode()
    def _is_passable(self) -> bool:
        """Return whether the logits stay the same, bit for bit, when the blocks are skipped."""
        batch = self.batches[0]
        expected = self._forward(batch, batch.residuals)
        self.passes_over = True
        try:
            return torch.equal(self._forward(batch, batch.residuals), expected)
        except _FAILURES as error:
            if is_out_of_memory(error):
                raise
            return False
        finally:
            self.passes_over = False


class NeutralCost:
    """Cost of an edit: rise in perplexity on neutral texts, in percent."""

    def __init__(self, model: PreTrainedModel, texts: Sequence[CountedText], layer: int, *, batch_size: int) -> None:
        """Measure the perplexity without an edit.

        Args:
            model: causal.
            texts: at least one.
            layer: of the block that is edited.
            batch_size: texts to a batch.

        Raises:
            InputError: the model gives no numbers.
        """
        self.rereader = Rereader(model, [text.ids for text in texts], layer, batch_size=batch_size)
        self.starts = [text.start for text in texts]
        self.nats = self._nats(None, 1.0)
        if not math.isfinite(self.nats):
            raise no_numbers(name_of(model), "in the neutral texts")

    def percent(self, changes: Sequence[Tensor], strength: float) -> float:
        """Return the cost of an edit in percent of perplexity; of one that leaves no numbers, infinity.

        Args:
            changes: of strength 1, from ``rereader.changes``.
            strength: of the edit.
        """
        more = self._nats(changes, strength) - self.nats
        return 100 * math.expm1(more) if more < 100 else math.inf

    @torch.inference_mode()
    def _nats(self, changes: Sequence[Tensor] | None, strength: float) -> float:
        """Return −log p of a token, on average."""
        total, n_tokens = 0.0, 0
        for batch, logits in self.rereader.logits(changes, strength):
            places = torch.arange(1, batch.ids.shape[1], device=batch.ids.device)
            starts = torch.tensor([self.starts[number] for number in batch.numbers], device=batch.ids.device)
            asked = (places >= starts[:, None]) & batch.counted[:, 1:].bool()
            wanted = batch.ids[:, 1:].to(logits.device)
            # One number a token, and no copy of all logits in float64.
            flat = logits[:, :-1].float().flatten(0, 1)
            losses = torch.nn.functional.cross_entropy(flat, wanted.flatten(), reduction="none")
            total += float(losses.view_as(wanted)[asked.to(logits.device)].double().sum())
            n_tokens += int(asked.sum())
        return total / n_tokens


def _but_first(change: Tensor) -> Tensor:
    """Return a change of residuals, [rows, tokens, d], with 0 at the first token (see ``beginnings``)."""
    kept = change.clone()
    kept[:, 0] = 0
    return kept
