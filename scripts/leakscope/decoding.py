"""The state of a batch of texts being written: prompts read once, then some tokens a row at a time."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from os.path import commonprefix
from typing import Any, NamedTuple, Protocol

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from leakscope.batching import is_out_of_memory
from leakscope.memory import keep_freed_memory

logger = logging.getLogger(__name__)

ATTENTION_LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)
# A shorter beginning is read as fast with the rest as by itself.
SHORTEST_SHARED = 8
# How far logits may be from those without a cache, in standard deviations of the logits. Rounding stays far below, and
# a cache that forgets, a position that shifts or padding that is seen go far beyond.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4}
TOLERANCE_OF_HALF = 0.25


class DecodingState(Protocol):
    """Rows that share a batch. ``context`` holds the ids so far, (rows, length); see ``pad_with_own``."""

    context: torch.Tensor

    def select(self, rows: torch.Tensor) -> None:
        """Go on with these rows, in this order; a row may be left out or taken several times."""

    def extend(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Read more tokens, (rows, width), of which the first ``lengths[row]`` count.

        Returns:
            The logits after each of them, (rows, width, vocabulary); arbitrary past a row's length.
        """


class Reading(NamedTuple):
    """Prompts that were read: their state, and the logits after each, (prompts, vocabulary)."""

    state: DecodingState
    logits: torch.Tensor


class Reader:
    """Reads prompts for one model, in the fastest way that leaves its logits as they are.

    Ways, fastest first: a beginning that all prompts share is read once and its cache handed to all; each prompt is
    read once and its cache handed on; each step reads the whole text again. Which of them a model allows is found out
    by trying: a few made-up tokens must get the logits that they get without a cache.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        if model.device.type == "cpu":
            keep_freed_memory()
        self.caches = _agrees(model, _PLAIN_TRIAL, n_shared=0)
        self.shares = self.caches and _agrees(model, _SHARED_TRIAL, n_shared=SHORTEST_SHARED)
        if not self.caches:
            logger.warning("%s: its cache cannot be handed on; each token reads the whole text", type(model).__name__)

    def read(self, prompts: Sequence[list[int]], room: int) -> Reading:
        """Read every prompt once.

        Args:
            prompts: token ids, at least one each.
            room: the number of tokens by which rows may grow.
        """
        if not self.caches:
            rereading = _RereadingState(self.model, prompts)
            return Reading(rereading, rereading.read(1)[:, -1])
        n_shared = shared_length(prompts) if self.shares else 0
        if n_shared and _fits_window(self.model, max(map(len, prompts)) + room):
            return _read_cached(self.model, prompts, n_shared)
        return _read_cached(self.model, prompts, 0)


def shared_length(prompts: Sequence[list[int]]) -> int:
    """Return how many first tokens are worth reading once for all; at least one token is left to each prompt."""
    if len(prompts) < 2:
        return 0
    length = min(len(commonprefix(prompts)), min(map(len, prompts)) - 1)
    return length if length >= SHORTEST_SHARED else 0


def pad_with_own(rows: Sequence[list[int]]) -> torch.Tensor:
    """Left-pad each row with its own first id, (rows, longest).

    What a repetition penalty sees is then the set of the row's own ids, whatever it shares a batch with.
    """
    longest = max(map(len, rows))
    return torch.tensor([[row[0]] * (longest - len(row)) + row for row in rows])


def _fits_window(model: PreTrainedModel, length: int) -> bool:
    """Say whether no attention window is shorter than ``length``: windows count places, padding included."""
    config = model.config.get_text_config()
    windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    return all(window is None or length <= window for window in windows)


def _read_cached(model: PreTrainedModel, prompts: Sequence[list[int]], n_shared: int) -> Reading:
    state = _CachedState(model)
    if n_shared:
        state.extend_all(torch.tensor([prompts[0][:n_shared]]), torch.ones(1, n_shared, dtype=torch.long))
        state.select(torch.zeros(len(prompts), dtype=torch.long, device=model.device))
    rest = [prompt[n_shared:] for prompt in prompts]
    padded = pad_with_own(rest)
    padding = padded.shape[1] - torch.tensor([len(row) for row in rest])
    counted = (torch.arange(padded.shape[1]) >= padding[:, None]).long()
    logits = state.extend_all(padded, counted)
    layers = state.cache.layers if isinstance(state.cache, DynamicCache) else [state.cache]
    if not all(type(layer) in ATTENTION_LAYERS for layer in layers):
        # States that run through every place, of convolutions for instance, take padding in.
        raise NotImplementedError("a cache with other than attention layers")
    return Reading(state, logits)


class _CachedState:
    """Rows with a cache. ``mask`` says which of its places count, (rows, places)."""

    context: torch.Tensor
    mask: torch.Tensor

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        accepted = inspect.signature(model.forward).parameters
        self.takes_positions = "position_ids" in accepted
        self.takes_logits_to_keep = "logits_to_keep" in accepted
        self.cache: Any = None

    def extend_all(self, tokens: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
        """Read tokens of which those with ``counted`` 1 count; return the logits after the last, (rows, vocabulary)."""
        keep = {"logits_to_keep": 1} if self.takes_logits_to_keep else {}
        return self._forward(tokens.to(self.model.device), counted.to(self.model.device), keep)[:, -1]

    def select(self, rows: torch.Tensor) -> None:
        if rows.equal(torch.arange(len(self.mask), device=rows.device)):
            return
        self.cache.reorder_cache(rows)
        self.mask, self.context = self.mask[rows], self.context[rows]

    def extend(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        counted = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        return self._forward(tokens, counted.long(), {})

    def _forward(self, tokens: torch.Tensor, counted: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        if self.cache is None:
            self.context, self.mask = tokens, counted
        else:
            options = {**options, "past_key_values": self.cache}
            self.context, self.mask = torch.cat([self.context, tokens], -1), torch.cat([self.mask, counted], -1)
        if self.takes_positions:
            positions = (self.mask.cumsum(-1) - 1).clamp(min=0)
            options["position_ids"] = positions[:, -tokens.shape[1] :]
        output = self.model(input_ids=tokens, attention_mask=self.mask, use_cache=True, **options)
        self.cache = output.past_key_values
        logits: torch.Tensor = output.logits
        return logits


class _RereadingState:
    """Rows without a cache: each step reads the whole text, rows of equal length together, so nothing is padded."""

    def __init__(self, model: PreTrainedModel, rows: Sequence[list[int]]) -> None:
        self.model = model
        self.rows = [list(row) for row in rows]
        self.context = pad_with_own(self.rows).to(model.device)

    def read(self, width: int) -> torch.Tensor:
        """Return the logits of the last ``width`` positions of every row."""
        groups: dict[int, list[int]] = {}
        for row, ids in enumerate(self.rows):
            groups.setdefault(len(ids), []).append(row)
        result: torch.Tensor | None = None
        for group in groups.values():
            texts = torch.tensor([self.rows[row] for row in group])
            last = _read_plainly(self.model, texts)[:, -width:]
            if result is None:
                result = last.new_zeros(len(self.rows), width, last.shape[-1])
            result[torch.tensor(group, device=last.device)] = last
        assert result is not None, "a batch has at least one row"
        return result

    def select(self, rows: torch.Tensor) -> None:
        self.rows = [list(self.rows[row]) for row in rows.tolist()]
        self.context = self.context[rows]

    def extend(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        # Causal: what stands past a row's length cannot change the logits before it, so it may be read along.
        for row, new in zip(self.rows, tokens.tolist(), strict=True):
            row += new
        self.context = torch.cat([self.context, tokens], -1)
        return self.read(tokens.shape[1])


def _read_plainly(model: PreTrainedModel, texts: torch.Tensor) -> torch.Tensor:
    """Return the logits after every token of texts of one length, (rows, length, vocabulary)."""
    texts = texts.to(model.device)
    logits: torch.Tensor = model(input_ids=texts, attention_mask=torch.ones_like(texts), use_cache=False).logits
    return logits


# Made-up prompts, as multiples of some step through the vocabulary: unequal lengths, so that padding is tried, too.
_BEGINNING = list(range(1, SHORTEST_SHARED + 1))
_PLAIN_TRIAL = [_BEGINNING, [5, 9, 2]]
_SHARED_TRIAL = [[*_BEGINNING, 7, 3, 12, 4], [*_BEGINNING, 11]]


@torch.inference_mode()
def _agrees(model: PreTrainedModel, trial: Sequence[list[int]], n_shared: int) -> bool:
    """Say whether a model writes on from its cache as it does from the whole text."""
    step = max(1, model.config.get_text_config().vocab_size // 16)
    prompts = [[(number * step + number) % (16 * step) for number in row] for row in trial]
    taken = [1, 0, 1]
    one, more = [[17], [4], [8]], [[6, 9], [13, 0], [2, 11]]
    whole = [torch.tensor([prompts[row] + one[place] + more[place]]) for place, row in enumerate(taken)]
    expected = torch.cat([_read_plainly(model, ids)[:, -4:] for ids in whole])
    try:
        state, logits = _read_cached(model, prompts, n_shared)
        found = [logits[taken][:, None]]
        for row_of in (taken, [2, 0, 1], [1, 2, 0]):  # rows are taken out of order, and brought back into it
            state.select(torch.tensor(row_of, device=model.device))
        lengths = torch.tensor([2, 2, 2], device=model.device)
        found.append(state.extend(torch.tensor(one, device=model.device), lengths // 2))
        found.append(state.extend(torch.tensor(more, device=model.device), lengths))
    except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        logger.info("%s: cache cannot be used: %s", type(model).__name__, error)
        return False
    difference = (torch.cat(found, 1).float() - expected.float()).abs().max()
    return bool(difference <= TOLERANCE.get(expected.dtype, TOLERANCE_OF_HALF) * expected.float().std())
