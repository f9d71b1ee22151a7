"""What a model is given in one forward, in whichever way: places of texts, cached ones too, and how they follow.

Texts are given as rows with padding anywhere, as what goes on from a cache, or as a tree (``models.token_tree``). In
all three, a place has one before it in its text, and sees those of its text up to itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from leakscope.models.phases import tokens_so_far

NOWHERE = -1


class Given(NamedTuple):
    """Tokens by place.

    ids: [rows, places].
    parents: the place before each in its text, [rows, places]; ``NOWHERE`` where a text begins.
    sees: which places are of its text up to itself, [rows, places, places]; what does not count is of none.
    n_new: how many places, the last ones, are read in this forward.
    """

    ids: torch.Tensor
    parents: torch.Tensor
    sees: torch.Tensor
    n_new: int

    def back(self, steps: int) -> torch.Tensor:
        """Return the place 0, 1, … steps before each place in its text, [steps + 1, rows, places], or ``NOWHERE``."""
        n_places = self.ids.shape[1]
        places = torch.arange(n_places, device=self.ids.device).expand(self.ids.shape)
        chain = [places.masked_fill(~self.sees.diagonal(dim1=1, dim2=2), NOWHERE)]
        for _ in range(steps):
            before = self.parents.gather(1, chain[-1].clamp(min=0))
            chain.append(before.masked_fill(chain[-1] == NOWHERE, NOWHERE))
        return torch.stack(chain)


def given_to(given: Sequence[Any], named: Mapping[str, Any]) -> Given:
    """Return what the arguments of a causal model's forward give it to read.

    Args:
        given: positional arguments.
        named: the others.

    Raises:
        NotImplementedError: it goes on from a cache, and nobody said of what (see ``phases.reading_after``).
    """
    ids: torch.Tensor = given[0] if given else named["input_ids"]
    mask: torch.Tensor | None = named.get("attention_mask")
    cache = named.get("past_key_values", named.get("cache_params"))
    if cache is not None and not (hasattr(cache, "get_seq_length") and cache.get_seq_length() == 0):
        so_far = tokens_so_far()
        if so_far is None or not torch.equal(so_far.context[:, -ids.shape[1] :], ids):
            raise NotImplementedError("a cache of tokens that nobody named")
        return _rows(so_far.context, so_far.mask, ids.shape[1])
    if mask is not None and mask.ndim == 4:
        return _tree(ids, mask)
    return _rows(ids, torch.ones_like(ids) if mask is None else mask, ids.shape[1])


def _rows(ids: torch.Tensor, mask: torch.Tensor, n_new: int) -> Given:
    counted = mask.bool()
    places = torch.arange(ids.shape[1], device=ids.device)
    latest = torch.where(counted, places, NOWHERE).cummax(-1).values
    parents = torch.nn.functional.pad(latest[:, :-1], (1, 0), value=NOWHERE)
    sees = counted[:, None] & counted[..., None] & (places <= places[:, None])
    return Given(ids, parents, sees, n_new)


def _tree(ids: torch.Tensor, mask: torch.Tensor) -> Given:
    """Return a tree's places by its mask, very low where a place is not seen: the latest that is seen is the parent."""
    sees = (mask[:, 0] > torch.finfo(mask.dtype).min / 2).expand(len(ids), -1, -1)
    places = torch.arange(ids.shape[1], device=ids.device)
    parents = torch.where(sees & (places < places[:, None]), places, NOWHERE).amax(-1)
    return Given(ids, parents, sees, ids.shape[1])
