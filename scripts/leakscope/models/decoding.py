"""Batched reading with a cache: prompts are read once, then rows are extended by further tokens."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from functools import cached_property
from os.path import commonprefix
from typing import Any, NamedTuple, Protocol

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from leakscope.jobs.batching import is_out_of_memory
from leakscope.models.phases import reading_after, reading_written

logger = logging.getLogger(__name__)

ATTENTION_LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)
# Sharing a shorter prefix saves no time.
SHORTEST_SHARED = 8
# How far logits may be from those without a cache, in standard deviations of the logits. Rounding stays far below, and
# a cache that forgets, a position that shifts or padding that is seen go far beyond.
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
TOLERANCE_OF_HALF = 0.25
# What configurations call the number of places that a layer looks back.
WINDOWS = ("window", "window_size", "chunk_size")
# What a model raises that cannot be read in the way that was tried.
CANNOT_BE_READ = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


class DecodingState(Protocol):
    """Rows of one batch. ``context`` has the ids so far, (rows, length); see ``pad_with_own``."""

    context: torch.Tensor

    def select(self, rows: torch.Tensor) -> None:
        """Continue with these rows, in this order; a row may be dropped or repeated."""

    def extend(self, tokens: torch.Tensor, lengths: torch.Tensor, *, written: bool = False) -> torch.Tensor:
        """Read more tokens, (rows, width); only the first ``lengths[row]`` of a row count.

        Args:
            tokens: to read.
            lengths: (rows,).
            written: whether the tokens are the model's output (or candidates for it), not input.

        Returns:
            The logits after each of them, (rows, width, vocabulary); arbitrary past a row's length.
        """


class Prefill(NamedTuple):
    """Prompts after reading: their state, and the logits after each, (prompts, vocabulary)."""

    state: DecodingState
    logits: torch.Tensor


class Reader:
    """Reads prompts for one model, in the fastest way that does not change its logits.

    Ways, fastest first: a prefix shared by all prompts is read once and its cache copied; each prompt is read once and
    its cache reused; each step reads the whole text again. A trial shows which ways a model allows: made-up tokens must
    get the same logits with and without cache.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.window = shortest_window(model)
        self.caches = _agrees(model, _PLAIN_TRIAL, n_shared=0)
        self.shares = self.caches and _agrees(model, _SHARED_TRIAL, n_shared=SHORTEST_SHARED)
        if not self.caches:
            logger.warning("%s: its cache cannot be handed on; each token reads the whole text", type(model).__name__)

    def read(self, prompts: Sequence[list[int]], room: int) -> Prefill:
        """Read every prompt once.

        Args:
            prompts: token ids, at least one each.
            room: the number of tokens by which rows may grow.
        """
        fits = self.window is None or max(map(len, prompts)) + room <= self.window
        if not self.caches or not (fits or self.caches_beyond_window):
            rereading = _RereadingState(self.model, prompts)
            return Prefill(rereading, rereading.read(1)[:, -1])
        # Attention windows count padding, which follows a shared prefix: padded rows must fit into one window.
        return _read_cached(self.model, prompts, shared_length(prompts) if self.shares and fits else 0)

    @cached_property
    def caches_beyond_window(self) -> bool:
        """Whether the cache is usable for prompts longer than an attention window; tried when first needed."""
        assert self.window is not None, "without a window nothing is beyond it"
        longer = [*_BEGINNING * (self.window // len(_BEGINNING) + 2)]
        return _agrees(self.model, [longer, longer[3 : self.window + 6]], n_shared=0)


def shared_length(prompts: Sequence[list[int]]) -> int:
    """Return the length of the shared prefix worth reading once; each prompt keeps at least one token."""
    if len(prompts) < 2:
        return 0
    length = min(len(commonprefix(prompts)), min(map(len, prompts)) - 1)
    return length if length >= SHORTEST_SHARED else 0


def without(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Return logits [..., V] with −infinity for tokens that must not be drawn."""
    return logits.index_fill(-1, tokens.to(logits.device), -torch.inf) if len(tokens) else logits


def pad_with_own(rows: Sequence[list[int]]) -> torch.Tensor:
    """Left-pad each row with its own first id, (rows, longest).

    So a repetition penalty sees exactly the row's own ids, whatever other rows the batch has.
    """
    longest = max(map(len, rows))
    return torch.tensor([[row[0]] * (longest - len(row)) + row for row in rows])


def shortest_window(model: PreTrainedModel) -> int | None:
    """Return the smallest attention window of any layer; None if all layers attend to the beginning."""
    config = model.config.get_text_config().to_dict()
    windows = [value for name, value in config.items() if name.endswith(WINDOWS) and type(value) is int and value > 0]
    return min(windows, default=None)


def read_plainly(model: PreTrainedModel, texts: torch.Tensor, width: int) -> torch.Tensor:
    """Return the logits after the last tokens of texts of one length, (rows, width, vocabulary)."""
    texts = texts.to(model.device)
    keep = {"logits_to_keep": width} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    output = model(input_ids=texts, attention_mask=torch.ones_like(texts), use_cache=False, **keep)
    logits: torch.Tensor = output.logits[:, -width:]
    return logits


def deviation(logits: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest difference, in standard deviations of the expected logits; NaN if any logit is NaN."""
    return float((logits.float() - expected.float()).abs().max() / expected.float().std())


def tolerance(model: PreTrainedModel) -> float:
    """Return the largest ``deviation`` that rounding can cause."""
    return TOLERANCE.get(model.dtype, TOLERANCE_OF_HALF)


def _read_cached(model: PreTrainedModel, prompts: Sequence[list[int]], n_shared: int) -> Prefill:
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
        # Recurrent and convolutional states would include padding.
        raise NotImplementedError("a cache with other than attention layers")
    return Prefill(state, logits)


class _CachedState:
    """Rows with a cache. ``mask`` has 1 for cached positions that count, (rows, positions)."""

    context: torch.Tensor
    mask: torch.Tensor

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        accepted = inspect.signature(model.forward).parameters
        self.takes_positions = "position_ids" in accepted
        self.takes_logits_to_keep = "logits_to_keep" in accepted
        self.cache: Any = None

    def extend_all(self, tokens: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
        """Read tokens, masked by ``counted``; return the logits after the last one, (rows, vocabulary)."""
        keep = {"logits_to_keep": 1} if self.takes_logits_to_keep else {}
        return self._forward(tokens.to(self.model.device), counted.to(self.model.device), keep)[:, -1]

    def select(self, rows: torch.Tensor) -> None:
        if rows.equal(torch.arange(len(self.mask), device=rows.device)):
            return
        self.cache.reorder_cache(rows)
        self.mask, self.context = self.mask[rows], self.context[rows]

    def extend(self, tokens: torch.Tensor, lengths: torch.Tensor, *, written: bool = False) -> torch.Tensor:
        counted = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        with reading_written(written):
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
        with reading_after(self.context, self.mask):
            output = self.model(input_ids=tokens, attention_mask=self.mask, use_cache=True, **options)
        self.cache = output.past_key_values
        logits: torch.Tensor = output.logits
        return logits


class _RereadingState:
    """Rows without a cache: each step reads the whole text, rows of equal length together, so nothing is padded."""

    def __init__(self, model: PreTrainedModel, rows: Sequence[list[int]]) -> None:
        self.model = model
        self.rows = [list(row) for row in rows]
        self.written = [[False] * len(row) for row in rows]
        self.context = pad_with_own(self.rows).to(model.device)

    def read(self, width: int) -> torch.Tensor:
        """Return the logits of the last ``width`` positions of every row."""
        groups: dict[int, list[int]] = {}
        for row, ids in enumerate(self.rows):
            groups.setdefault(len(ids), []).append(row)
        result: torch.Tensor | None = None
        for group in groups.values():
            texts = torch.tensor([self.rows[row] for row in group])
            with reading_written(torch.tensor([self.written[row] for row in group])):
                last = read_plainly(self.model, texts, width)
            if result is None:
                result = last.new_zeros(len(self.rows), width, last.shape[-1])
            result[torch.tensor(group, device=last.device)] = last
        assert result is not None, "a batch has at least one row"
        return result

    def select(self, rows: torch.Tensor) -> None:
        self.rows = [list(self.rows[row]) for row in rows.tolist()]
        self.written = [list(self.written[row]) for row in rows.tolist()]
        self.context = self.context[rows]

    def extend(self, tokens: torch.Tensor, lengths: torch.Tensor, *, written: bool = False) -> torch.Tensor:
        # Causal: tokens past a row's length cannot change earlier logits, so reading them does no harm.
        for row, of_row, new in zip(self.rows, self.written, tokens.tolist(), strict=True):
            row += new
            of_row += [written] * len(new)
        self.context = torch.cat([self.context, tokens], -1)
        return self.read(tokens.shape[1])


# Made-up prompts, as multiples of some step through the vocabulary: unequal lengths, so that padding is tried, too.
_BEGINNING = list(range(1, SHORTEST_SHARED + 1))
_PLAIN_TRIAL = [_BEGINNING, [5, 9, 2]]
_SHARED_TRIAL = [[*_BEGINNING, 7, 3, 12, 4], [*_BEGINNING, 11]]


@torch.inference_mode()
def _agrees(model: PreTrainedModel, trial: Sequence[list[int]], n_shared: int) -> bool:
    """Return whether a model's logits are the same with cache and from the whole text."""
    step = max(1, model.config.get_text_config().vocab_size // 16)
    prompts = [[(number * step + number) % (16 * step) for number in row] for row in trial]
    taken = [1, 0, 1]
    one, more = [[17], [4], [8]], [[6, 9], [13, 0], [2, 11]]
    whole = [torch.tensor([prompts[row] + one[place] + more[place]]) for place, row in enumerate(taken)]
    expected = torch.cat([read_plainly(model, ids, 4) for ids in whole])
    try:
        state, logits = _read_cached(model, prompts, n_shared)
        cached = [logits[taken][:, None]]
        for row_of in (taken, [2, 0, 1], [1, 2, 0]):  # rows are taken out of order, and brought back into it
            state.select(torch.tensor(row_of, device=model.device))
        lengths = torch.tensor([2, 2, 2], device=model.device)
        cached.append(state.extend(torch.tensor(one, device=model.device), lengths // 2))
        cached.append(state.extend(torch.tensor(more, device=model.device), lengths))
    except CANNOT_BE_READ as error:
        if is_out_of_memory(error):
            raise
        logger.info("%s: cache cannot be used: %s", type(model).__name__, error)
        return False
    difference = deviation(torch.cat(cached, 1), expected)
    logger.info(
        "%s, %d shared tokens: logits from the cache differ by %.1e standard deviations, %.0e are allowed",
        type(model).__name__, n_shared, difference, tolerance(model),
    )  # fmt: skip
    return difference <= tolerance(model)
