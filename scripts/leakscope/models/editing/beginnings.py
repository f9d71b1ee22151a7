"""Finds the first token of each text, which dictionaries are not trained on and edits do not change.

In many models the first token's residual is far larger than any other's, whatever the token: an attention sink (Xiao et
al. 2023, arXiv 2309.17453). Dictionaries do not describe it, and changing it has side effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.hooks import RemovableHandle

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Beginnings:
    """Tracks, while a model reads, the position where each text begins; padding does not count."""

    def __init__(self) -> None:
        # Which places begin a text, [rows, tokens, 1]; None: what is read goes on, or nothing is.
        self.places: torch.Tensor | None = None

    def watch(self, model: PreTrainedModel) -> list[RemovableHandle]:
        """Watch a model's inputs until the handles are removed."""
        return [
            model.register_forward_pre_hook(self._before, with_kwargs=True),
            model.register_forward_hook(self._after, always_call=True),
        ]

    def of(self, hidden: torch.Tensor) -> torch.Tensor | None:
        """Return which places of residuals, [rows, tokens, d], begin a text, [rows, tokens, 1]; None: no place does."""
        return None if self.places is None else self.places.to(hidden.device)

    def _before(self, _: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        cache = named.get("past_key_values", named.get("cache_params"))
        if cache is not None and not (hasattr(cache, "get_seq_length") and cache.get_seq_length() == 0):
            self.places = None
            return
        ids: torch.Tensor = given[0] if given else named["input_ids"]
        mask: torch.Tensor | None = named.get("attention_mask")
        if mask is not None and mask.ndim == 4:  # a tree, which may hold several texts
            self.places = (named["position_ids"] == 0)[..., None]
            return
        if mask is None or mask.ndim != 2:
            mask = torch.ones_like(ids)
        columns = (mask.cumsum(-1) == 0).sum(-1)
        self.places = (torch.arange(ids.shape[1], device=ids.device) == columns[:, None])[..., None]

    def _after(self, *_: Any) -> None:
        self.places = None
