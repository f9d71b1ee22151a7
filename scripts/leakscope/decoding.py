"""The state of a batch of texts being written: prompts read once, then some tokens a row at a time."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

ATTENTION_LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)


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


def read_prompts(model: PreTrainedModel, prompts: Sequence[list[int]]) -> tuple[DecodingState, torch.Tensor]:
    """Read every prompt once; return the state and the logits after each prompt, (prompts, vocabulary).

    A model whose cache cannot be copied row by row (Mamba's, for example) reads its whole text again at each step:
    slower, same text.
    """
    cached = _CachedState(model)
    logits = cached.read(prompts)
    if logits is not None:
        return cached, logits
    rereading = _RereadingState(model, prompts)
    return rereading, rereading.read(1)[:, -1]


def pad_with_own(rows: Sequence[list[int]]) -> torch.Tensor:
    """Left-pad each row with its own first id, (rows, longest).

    What a repetition penalty sees is then the set of the row's own ids, whatever it shares a batch with.
    """
    longest = max(map(len, rows))
    return torch.tensor([[row[0]] * (longest - len(row)) + row for row in rows])


def _copies_by_row(cache: object) -> bool:
    """Say whether a cache holds nothing but attention layers, whose rows can be left out or taken several times.

    Hybrid models keep the states of convolutions or linear attention beside them, which cannot.
    """
    return isinstance(cache, DynamicCache) and all(type(layer) in ATTENTION_LAYERS for layer in cache.layers)


class _CachedState:
    """Left-padded rows with an attention cache."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        accepted = inspect.signature(model.forward).parameters
        self.takes_positions = "position_ids" in accepted
        self.takes_logits_to_keep = "logits_to_keep" in accepted

    def read(self, prompts: Sequence[list[int]]) -> torch.Tensor | None:
        """Return the logits after each prompt, or None where the model keeps no cache that can be copied."""
        self.context = pad_with_own(prompts).to(self.model.device)
        columns = torch.arange(self.context.shape[1], device=self.context.device)
        padding = self.context.shape[1] - torch.tensor([len(row) for row in prompts], device=self.context.device)
        self.mask = (columns >= padding[:, None]).long()
        inputs: dict[str, Any] = {"input_ids": self.context, "attention_mask": self.mask, "use_cache": True}
        if self.takes_positions:
            inputs["position_ids"] = (self.mask.cumsum(-1) - 1).clamp(min=0)
        if self.takes_logits_to_keep:
            inputs["logits_to_keep"] = 1
        output = self.model(**inputs)
        self.cache: Any = getattr(output, "past_key_values", None)
        return output.logits[:, -1] if _copies_by_row(self.cache) else None

    def select(self, rows: torch.Tensor) -> None:
        self.cache.batch_select_indices(rows)
        self.mask, self.context = self.mask[rows], self.context[rows]

    def extend(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        new = (torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]).long()
        past = self.mask.sum(-1, keepdim=True)
        self.context = torch.cat([self.context, tokens], -1)
        self.mask = torch.cat([self.mask, new], -1)
        inputs: dict[str, Any] = {"input_ids": tokens, "attention_mask": self.mask, "past_key_values": self.cache}
        if self.takes_positions:
            inputs["position_ids"] = past + torch.arange(tokens.shape[1], device=tokens.device)
        logits: torch.Tensor = self.model(**inputs, use_cache=True).logits
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
            texts = torch.tensor([self.rows[row] for row in group], device=self.model.device)
            last = self.model(input_ids=texts, use_cache=False).logits[:, -width:]
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
