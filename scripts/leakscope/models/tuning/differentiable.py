"""A model's predictions as they can be differentiated.

Log-softmax is in float32, in nats. Rows are padded on the right: what comes after a token of a causal model changes
nothing before it. Logits are computed where they are asked for alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel


class Differentiable:
    """A causal model whose predictions have gradients."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Hold the model."""
        self.model = model

    def next_tokens(self, texts: Sequence[list[int]], places: Sequence[range] | None = None) -> torch.Tensor:
        """Return log-probabilities of next tokens, (tokens, vocabulary), text after text.

        Args:
            texts: token ids.
            places: of each text, of the tokens whose next one is asked for; None: all but the last.
        """
        places = [range(len(ids) - 1) for ids in texts] if places is None else places
        logits = self.logits(texts, places)
        return logits[length_mask(list(map(len, places)), logits.shape[1], logits.device)].log_softmax(-1)

    def logits(self, rows: Sequence[Sequence[int]], places: Sequence[range]) -> torch.Tensor:
        """Return the logits at some places of each row, (rows, most places, vocabulary); arbitrary beyond a row's."""
        device, longest = self.model.device, max(map(len, rows))
        ids = padded(rows, longest, device)
        mask = length_mask([len(row) for row in rows], longest, device).long()
        wanted = padded(places, max(map(len, places)), device)
        unembedding = self.model.get_output_embeddings()
        chosen: list[bool] = []

        def choose(_: torch.nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
            chosen.append(True)
            return (_gather(given[0], wanted), *given[1:])

        hook = unembedding.register_forward_pre_hook(choose) if unembedding is not None else None
        try:
            logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        finally:
            if hook is not None:
                hook.remove()
        # A model that is built otherwise than most has computed them at every place.
        return (logits if chosen else _gather(logits, wanted)).float()


def divergence(base: torch.Tensor, tuned: torch.Tensor) -> torch.Tensor:
    """Return the mean KL(base || tuned) of rows of log-probabilities, (tokens, vocabulary), in nats per token."""
    return (base.exp() * (base - tuned)).sum(-1).mean()


def padded(rows: Sequence[Sequence[int]], width: int, device: torch.device) -> torch.Tensor:
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)


def length_mask(lengths: Sequence[int], width: int, device: torch.device) -> torch.Tensor:
    return torch.arange(width, device=device) < torch.tensor(lengths, device=device)[:, None]


def _gather(values: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return ``values[row, places[row]]``, (rows, places, all else)."""
    places = places.to(values.device)
    return values[torch.arange(len(values), device=values.device)[:, None], places]
