"""Attention mitigation: later tokens attend less to the tokens that name a concept.

With a the attention of a later token to the tokens of its text, and M those of mentions of a concept that ended before
it, the changed attention is

    a'_j ∝ (1 − α)·a_j for j in M,  a_j for all others

that is, log(1 − α) is added to the logits before the softmax; as DeLeaker does for images (Ventura et al. 2025, arXiv
2510.15015). Attention within a mention is unchanged. Mentions are found by their tokens, at each place only from the
tokens so far: so the result is the same for a whole text, with a cache, and in a token tree.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from leakscope.errors import InputError
from leakscope.models.editing.residuals import check_layer, decoder_blocks, name_of
from leakscope.models.mitigating.places import NOWHERE, Given, given_to

if TYPE_CHECKING:
    from transformers import PreTrainedModel

EAGER = "eager"  # the attention of transformers that is given all of its masks as numbers to add
MASK = "attention_mask"
_TRIAL = (1, 2, 3)

Undo = Callable[[], object]


def install_attention(
    model: PreTrainedModel, layers: Sequence[int], alpha: float, terms: Sequence[Sequence[int]]
) -> list[Undo]:
    """Reduce blocks' attention to mentions; return the functions that undo it, to be called in reverse order.

    Args:
        model: causal; meanwhile its attention is computed in plain steps (``eager``).
        layers: numbers of the blocks.
        alpha: 0 to 1; at 0 nothing changes, bit for bit; at 1 no later token attends to a mention.
        terms: mentions, as token ids.

    Raises:
        InputError: a block is missing, or gets no additive attention mask.
    """
    for layer in layers:
        check_layer(model, layer)
    hindering = _Hindering(name_of(model), alpha, terms)
    undo = [_set_eager(model)]
    blocks = decoder_blocks(model)
    handles = [
        model.register_forward_pre_hook(hindering.before, with_kwargs=True),
        model.register_forward_hook(hindering.after, always_call=True),
        *(blocks[layer].register_forward_pre_hook(hindering.on_block, with_kwargs=True) for layer in layers),
    ]
    undo += [handle.remove for handle in handles]
    try:
        with torch.inference_mode():
            model(input_ids=torch.tensor([_TRIAL], device=model.device), use_cache=False)
    except BaseException:
        for one in reversed(undo):
            one()
        raise
    return undo


def hindered(given: Given, terms: Sequence[Sequence[int]]) -> torch.Tensor | None:
    """Return of which places each new place comes later than the mention that they are of, [rows, n_new, places].

    None: of no place at all. The last token of a mention is no later token for the others of it.

    Args:
        given: what is read.
        terms: token ids of mentions.
    """
    covers = _mentions(given, terms)
    if covers is None:
        return None
    new = slice(-given.n_new, None)
    itself = torch.eye(covers.shape[-1], dtype=torch.bool, device=covers.device)
    later = ((given.sees & ~itself)[:, new].float() @ covers.float()) > 0
    return later & ~covers[:, new]


def _mentions(given: Given, terms: Sequence[Sequence[int]]) -> torch.Tensor | None:
    """Return which places the mentions consist of that end at each place, [rows, ends, places]; None: there is none."""
    by_length: dict[int, list[list[int]]] = {}
    for term in terms:
        by_length.setdefault(len(term), []).append(list(term)[::-1])
    places = given.back(max(by_length, default=1) - 1)
    tokens = torch.stack([given.ids.gather(1, at.clamp(min=0)).masked_fill(at == NOWHERE, NOWHERE) for at in places])
    # A place more takes what is nowhere.
    covers = torch.zeros(*given.ids.shape, given.ids.shape[1] + 1, dtype=torch.bool, device=given.ids.device)
    for length, alike in by_length.items():
        wanted = torch.tensor(alike, device=given.ids.device)
        ends = (tokens[:length].movedim(0, -1)[..., None, :] == wanted).all(-1).any(-1)
        for at in places[:length]:
            at = at.masked_fill(~ends, NOWHERE) % covers.shape[-1]
            covers.scatter_(2, at[..., None], True)
    covers = covers[..., :-1]
    return covers if bool(covers.any()) else None


def _set_eager(model: PreTrainedModel) -> Undo:
    before = model.config._attn_implementation
    try:
        model.set_attn_implementation(EAGER)
    except (ImportError, ValueError) as error:
        raise _refused(name_of(model), f"an attention that cannot be set to {EAGER!r}") from error
    if model.config._attn_implementation != EAGER:
        raise _refused(name_of(model), f"the attention {before!r}, which cannot be set to {EAGER!r}")
    return lambda: model.set_attn_implementation(before)


def _refused(name: str, what: str) -> InputError:
    return InputError(
        f"model {name}: got {what}; allowed for a mitigation of kind 'attention': models whose blocks receive an "
        "additive attention mask."
    )


class _Hindering:
    """Finds mentions while a model reads, and changes the attention masks of its blocks."""

    def __init__(self, name: str, alpha: float, terms: Sequence[Sequence[int]]) -> None:
        self.name, self.alpha, self.terms = name, alpha, terms
        self.where: torch.Tensor | None = None

    def before(self, _: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Look for mentions in what a model is given."""
        self.where = hindered(given_to(given, named), self.terms) if self.alpha and self.terms else None

    def after(self, *_: Any) -> None:
        """Forget them."""
        self.where = None

    def on_block(self, block: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return a block's arguments with a changed mask; None where it is as it is."""
        # Some models hand the mask on by its place alone. What an instance has as its forward may be another's.
        place = None if MASK in named else _place_of_mask(block)
        mask = named.get(MASK) if place is None else next(iter(given[place : place + 1]), None)
        if not isinstance(mask, torch.Tensor) or mask.ndim != 4 or not mask.is_floating_point():
            raise _refused(self.name, "a block without an additive attention mask")
        if self.where is None:
            return None
        changed = self._hindered(mask)
        if place is None:
            return given, {**named, MASK: changed}
        return (*given[:place], changed, *given[place + 1 :]), named

    def _hindered(self, mask: torch.Tensor) -> torch.Tensor:
        """Return a mask, [rows, 1, n_new, seen places], with log(1 − α) added where attention is hindered."""
        assert self.where is not None
        lowest = torch.finfo(mask.dtype).min
        added = math.log1p(-self.alpha) if self.alpha < 1 else lowest / 2
        # With a window, a cache has the last places alone. Sums must not be −inf: of only such, there is no softmax.
        where = self.where[..., -mask.shape[-1] :].to(mask.device)[:, None]
        return torch.where(where, (mask + added).clamp(min=lowest), mask)


def _place_of_mask(block: torch.nn.Module) -> int | None:
    """Return the place of the mask among a block's positional arguments."""
    names = list(inspect.signature(type(block).forward).parameters)[1:]
    return names.index(MASK) if MASK in names else None
