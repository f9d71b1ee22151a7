"""Decoding mitigation: next-token distributions mixed from a prompt and the same prompt without its clause.

After a known prompt, the probability of the next token is

    p(t) ∝ p(t | prompt, text)^(1 − α) · p(t | prompt without the clause, text)^α

with the text after the prompt; so logits are (1 − α)·log p + α·log p'. This is context-aware decoding (Shi et al. 2023,
arXiv 2305.14739) towards the prompt without its context instead of away from it. Other texts are unchanged, bit for
bit. The method has to know the clause, so it is an upper bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from leakscope.models.decoding import read_plainly
from leakscope.models.mitigating.places import Given, given_to
from leakscope.models.phases import reading_written
from leakscope.models.token_tree import ROOT, TokenTree, most_places, read_tree, reads_trees

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Undo = Callable[[], object]

ROWS_AT_ONCE = 16  # of texts that are no tree: each of their tokens has logits


class _Branch(NamedTuple):
    """A token after a part of a known prompt: of which place in the trie of all of them."""

    after: int
    token: int


class _Known:
    """Known prompts as a trie of tokens, and what stands instead of those that end at its places."""

    def __init__(self, pairs: Sequence[Sequence[Sequence[int]]]) -> None:
        self.next: dict[_Branch, int] = {}
        self.masked: dict[int, list[int]] = {}
        for prompt, masked in pairs:
            at = ROOT
            for token in prompt:
                at = self.next.setdefault(_Branch(at, token), len(self.next))
            self.masked.setdefault(at, list(masked))


class _Masked(NamedTuple):
    """Masked texts, and of each place of a row that has one which beginning in the tree it is."""

    tree: TokenTree
    numbers: list[dict[int, int]]


def install_contrast(model: PreTrainedModel, alpha: float, pairs: Sequence[Sequence[Sequence[int]]]) -> list[Undo]:
    """Install the mixed decoding in a model; return the functions that undo it.

    The masked texts are read again in each forward: as a tree where the model reads trees, so that each distinct
    beginning is read once. Tokens after the prompt count as written (see ``phases``).

    Args:
        model: causal.
        alpha: 0 to 1; at 0 nothing changes, bit for bit.
        pairs: token ids of prompts, and of the same prompts without their clause. If one prompt is a prefix of another,
            the longest prompt that matches the text counts.
    """
    contrast = _Decided(model, alpha, pairs)
    return [model.register_forward_hook(contrast.after, with_kwargs=True).remove]


class _Decided:
    """Changes the logits that a model gives."""

    def __init__(self, model: PreTrainedModel, alpha: float, pairs: Sequence[Sequence[Sequence[int]]]) -> None:
        self.model, self.alpha, self.known = model, alpha, _Known(pairs)
        self.rereading = False

    @cached_property
    def reads_trees(self) -> bool:
        """Whether masked texts can be read as a tree."""
        return reads_trees(self.model)

    def after(self, _: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> Any:
        """Put mixed logits into what the model has computed."""
        if self.rereading or not self.alpha:
            return
        read = given_to(given, named)
        masked = _masked(read, self.known)
        kept = _kept(named.get("logits_to_keep", 0), read, output.logits.shape[1])
        wanted = [
            (row, at, numbers[place])
            for row, numbers in enumerate(masked.numbers)
            for at, place in enumerate(kept)
            if place in numbers
        ]
        if wanted:
            output.logits = self._mixed(output.logits, masked.tree, wanted)

    def _mixed(self, logits: torch.Tensor, tree: TokenTree, wanted: Sequence[tuple[int, int, int]]) -> torch.Tensor:
        """Return logits, [rows, kept, vocabulary], mixed where row, place kept and number are ``wanted``."""
        rows, places, numbers = map(list, zip(*wanted, strict=True))
        distinct = list(dict.fromkeys(numbers))
        self.rereading = True
        try:
            other = self._read(tree, distinct)
        finally:
            self.rereading = False
        of_text = {number: at for at, number in enumerate(distinct)}
        masked = other[[of_text[number] for number in numbers]].float().log_softmax(-1).to(logits.device)
        own = logits[rows, places].float().log_softmax(-1)
        mixed = logits.clone()
        # At 1 the prompt's own have no part: nothing times −inf would be no number.
        both = masked if self.alpha == 1 else (1 - self.alpha) * own + self.alpha * masked
        mixed[rows, places] = both.to(logits.dtype)
        return mixed

    def _read(self, tree: TokenTree, numbers: Sequence[int]) -> torch.Tensor:
        """Return the logits after beginnings of a tree, [numbers, vocabulary]."""
        most = most_places(self.model)
        if not self.reads_trees or max(tree.depth[number] for number in numbers) >= most:
            return _read_rows(self.model, tree, numbers)
        return torch.cat([read_tree(self.model, part, ends) for part, ends in _parts(tree, numbers, most)])


def _kept(logits_to_keep: int | torch.Tensor, read: Given, n_logits: int) -> list[int]:
    """Return the place of each of the logits that a model has computed, counted from the beginning of the text."""
    first = read.ids.shape[1] - read.n_new
    if isinstance(logits_to_keep, torch.Tensor) and len(logits_to_keep) == n_logits:
        return [first + place for place in logits_to_keep.tolist()]
    return list(range(first + read.n_new - n_logits, first + read.n_new))


def _masked(read: Given, known: _Known) -> _Masked:
    """Return the masked texts of all places whose text begins with a known prompt."""
    tree, found = TokenTree(), []
    counted = read.sees.diagonal(dim1=1, dim2=2)
    for ids, parents, counts in zip(read.ids.tolist(), read.parents.tolist(), counted.tolist(), strict=True):
        in_prompt: dict[int, int] = {ROOT: ROOT}  # place → its place in the trie, while its text is a prompt's
        numbers: dict[int, int] = {}
        for place, (token, parent, counts_too) in enumerate(zip(ids, parents, counts, strict=True)):
            if not counts_too:
                continue
            at = known.next.get(_Branch(in_prompt[parent], token)) if parent in in_prompt else None
            if at is not None:
                in_prompt[place] = at
            if at in known.masked:
                numbers[place] = tree.walk(known.masked[at])[-1]
            elif parent in numbers:
                numbers[place] = tree.walk([token], numbers[parent], written=True)[-1]
        found.append(numbers)
    return _Masked(tree, found)


def _parts(tree: TokenTree, numbers: Sequence[int], most: int) -> Iterator[tuple[TokenTree, list[int]]]:
    """Cut a tree into trees of at most so many places; yield each with the numbers there of some of ``numbers``."""
    part, ends = TokenTree(), list[int]()
    for number in numbers:
        if ends and len(part) + tree.depth[number] + 1 > most:
            yield part, ends
            part, ends = TokenTree(), []
        ends.append(_walk(part, tree, number))
    yield part, ends


def _walk(part: TokenTree, tree: TokenTree, number: int) -> int:
    """Put a beginning of a tree into another; return its number there."""
    at = ROOT
    for token, written in zip(tree.path(number), _written(tree, number), strict=True):
        at = part.walk([token], at, written=written)[-1]
    return at


def _written(tree: TokenTree, number: int) -> list[bool]:
    flags = []
    while number != ROOT:
        flags.append(tree.steps[number].written)
        number = tree.steps[number].parent
    return flags[::-1]


def _read_rows(model: PreTrainedModel, tree: TokenTree, numbers: Sequence[int]) -> torch.Tensor:
    """Return the logits after beginnings, [numbers, vocabulary], reading texts of one length together."""
    wanted, inner = set(numbers), set[int]()
    for number in numbers:
        inner.update(_above(tree, number))
    by_length: dict[int, list[int]] = {}
    for number in numbers:
        if number not in inner:
            by_length.setdefault(tree.depth[number] + 1, []).append(number)
    found: dict[int, torch.Tensor] = {}
    for length, ends in by_length.items():
        for start in range(0, len(ends), ROWS_AT_ONCE):
            part = ends[start : start + ROWS_AT_ONCE]
            paths = [[one for one in (number, *_above(tree, number)) if one in wanted] for number in part]
            width = length - min(tree.depth[one] for path in paths for one in path)
            with reading_written(torch.tensor([_written(tree, number) for number in part])):
                logits = read_plainly(model, torch.tensor([tree.path(number) for number in part]), width)
            for row, path in enumerate(paths):
                found |= {one: logits[row, tree.depth[one] - length] for one in path}
    return torch.stack([found[number] for number in numbers])


def _above(tree: TokenTree, number: int) -> Iterator[int]:
    """Yield the beginnings that one begins with, the longest first."""
    while (number := tree.steps[number].parent) != ROOT:
        yield number
