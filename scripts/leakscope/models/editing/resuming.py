"""Activation patching: continues a model from given residuals at any layer, as if its earlier blocks had made them.

The model's own code computes everything (masks, positions, norms, head), with the earlier blocks skipped, so this works
for any architecture. If texts share a prefix with texts already read, and the cache has only attention, only the
remaining tokens are computed. Layer 0 of the residual stream is the first block's input, layer n the nth block's
output.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache, PreTrainedModel

from leakscope.errors import InputError
from leakscope.jobs.batching import is_out_of_memory
from leakscope.models.decoding import (
    ATTENTION_LAYERS,
    CANNOT_BE_READ,
    deviation,
    read_plainly,
    shortest_window,
    tolerance,
)
from leakscope.models.editing.passing import passed_over, width_of
from leakscope.models.editing.residuals import decoder_blocks, name_of, on_residual

# Made-up prompts of one length, as multiples of some step through the vocabulary.
_TRIAL = ((3, 1, 4, 1, 5, 9, 2), (6, 5, 3, 5, 8, 9, 7))


class Stream(NamedTuple):
    """A model's residual stream on texts, and the logits after each text.

    residuals: of layer 0 to the last, [rows, tokens, d] each.
    logits: [rows, vocabulary].
    cache: keys and values of each block, [rows, heads, tokens, width]; None if the model has no such cache.
    """

    residuals: list[torch.Tensor]
    logits: torch.Tensor
    cache: list[tuple[torch.Tensor, torch.Tensor]] | None


class Resumer:
    """Reads texts of equal length, without padding, and continues from residuals at any layer.

    ``n_layers`` counts layers of the residual stream: number of blocks + 1.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        """Find the model's blocks, and test at every layer that its own residuals give its own logits.

        Raises:
            InputError: the test fails, or the model has no list of blocks.
        """
        self.model, self.blocks = model, decoder_blocks(model)
        self.n_layers = len(self.blocks) + 1
        # By block, how many values it returns in a tuple; None: a bare tensor.
        self._widths: dict[int, int | None] = {}
        self._keep = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
        self._window = shortest_window(model)
        self._caches = False
        if not self._agrees(0):
            raise InputError(
                f"model {name_of(model)}: got another output when resumed from the residuals of a block; allowed: "
                "models whose blocks pass on a single hidden state."
            )
        self._caches = True
        self._caches = self._agrees(len(_TRIAL[0]) - 2)

    def first_needed(self, n_tokens: int, first_changed: int) -> int:
        """Return the first token from which residuals are needed, for texts that share a prefix with texts read before.

        Args:
            n_tokens: of the texts.
            first_changed: the first token whose residuals differ.
        """
        # Beyond a window a cache has not all tokens.
        return first_changed if self._caches and (self._window is None or n_tokens < self._window) else 0

    @torch.inference_mode()
    def read(self, ids: torch.Tensor) -> Stream:
        """Return residual stream, logits and cache of texts.

        Args:
            ids: [rows, tokens].
        """
        residuals: dict[int, torch.Tensor] = {}
        cache = DynamicCache(config=self.model.config) if self._caches else None
        with self._watched(residuals):
            logits = self._forward(ids, cache)
        pairs = None if cache is None else [_keys_and_values(layer) for layer in cache.layers]
        return Stream([residuals[layer] for layer in range(self.n_layers)], logits, pairs)

    @torch.inference_mode()
    def resume(
        self,
        ids: torch.Tensor,
        layer: int,
        residuals: torch.Tensor,
        read: Stream | None = None,
        rows: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the logits after each text, [rows, vocabulary], with a layer's residuals replaced by the given ones.

        Args:
            ids: [rows, tokens]: of the texts.
            layer: of the residual stream.
            residuals: [rows, tokens, d]; or of the last tokens, from ``first_needed`` on.
            read: texts whose residuals are the same before these tokens.
            rows: which of them each text is, [rows].
        """
        cache, start = None, ids.shape[1] - residuals.shape[1]
        if start:
            assert read is not None
            assert rows is not None
            cache = self._beginnings(read, rows, start, layer)
        with ExitStack() as stack:
            if layer:
                stack.enter_context(passed_over(self.blocks[:layer], residuals, self._widths))
            else:
                stack.enter_context(on_residual(self.model, 0, lambda _: residuals))
            return self._forward(ids, cache, start)

    def unembed(self, residuals: torch.Tensor) -> torch.Tensor:
        """Return the logit lens: logits, [rows, vocabulary], from applying final norm and unembedding to residuals.

        Source: nostalgebraist 2020 (Interpreting GPT: the logit lens).

        Args:
            residuals: [rows, d], of any layer.
        """
        ids = torch.zeros(len(residuals), 1, dtype=torch.long, device=self.model.device)
        return self.resume(ids, self.n_layers - 1, residuals[:, None])

    def _forward(self, ids: torch.Tensor, cache: DynamicCache | None = None, start: int = 0) -> torch.Tensor:
        """Return the logits after texts, [rows, vocabulary], whose tokens before ``start`` a cache has."""
        ids = ids.to(self.model.device)
        cached = {"use_cache": False} if cache is None else {"use_cache": True, "past_key_values": cache}
        output = self.model(input_ids=ids[:, start:], attention_mask=torch.ones_like(ids), **cached, **self._keep)
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _beginnings(self, read: Stream, rows: torch.Tensor, start: int, layer: int) -> DynamicCache:
        """Return a cache of the first tokens of rows of texts that were read."""
        assert read.cache is not None
        cache = DynamicCache(config=self.model.config)
        for number, (keys, values) in enumerate(read.cache):
            if number < layer:  # a block that is passed over looks at none of it; only their number is asked for
                cache.update(keys[:1, :1, :start, :1], values[:1, :1, :start, :1], number)
            else:
                chosen = rows.to(keys.device)
                cache.update(keys[chosen, :, :start], values[chosen, :, :start], number)
        return cache

    @torch.inference_mode()
    def _agrees(self, start: int) -> bool:
        """Return whether made-up texts get their own logits from their residuals at every layer, from a token on."""
        step = max(1, self.model.config.get_text_config().vocab_size // 16)
        ids = torch.tensor(_TRIAL) * step
        rows = torch.arange(len(ids))
        own = torch.cat([read_plainly(self.model, row[None], 1)[:, -1] for row in ids])
        try:
            read = self.read(ids)
            found = [read.logits]
            found += [self.resume(ids, at, layer[:, start:], read, rows) for at, layer in enumerate(read.residuals)]
        except CANNOT_BE_READ as error:
            if is_out_of_memory(error):
                raise
            return False
        worst = [deviation(logits, own.to(logits.device)) for logits in found]
        return all(math.isfinite(one) and one <= tolerance(self.model) for one in worst)

    @contextmanager
    def _watched(self, residuals: dict[int, torch.Tensor]) -> Iterator[None]:
        """Collect each layer's residuals of a forward pass inside the context."""

        def keep(layer: int, hidden: torch.Tensor) -> None:
            if hidden.ndim != 3:
                raise ValueError(f"a hidden state of shape {tuple(hidden.shape)}")
            residuals[layer] = hidden.clone()  # a later block may write into it

        def keep_output(number: int, _: torch.nn.Module, given: Any, output: Any) -> None:
            self._widths[number] = width_of(output)
            keep(number + 1, output[0] if isinstance(output, tuple) else output)

        with ExitStack() as stack:
            stack.enter_context(on_residual(self.model, 0, partial(keep, 0)))
            for number, block in enumerate(self.blocks):
                stack.enter_context(block.register_forward_hook(partial(keep_output, number)))
            yield


def _keys_and_values(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    if type(layer) not in ATTENTION_LAYERS:
        raise NotImplementedError("a cache with other than attention layers")
    return layer.keys, layer.values
