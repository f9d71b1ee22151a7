"""Token trees: rows of tokens with shared prefixes, read in one forward pass in which each distinct prefix is one node.

A node attends to itself and its ancestors: a tree attention mask (Miao et al. 2024, "SpecInfer", section 4.2), without
padding or cache. A trial shows which models follow such a mask.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from leakscope.jobs.batching import is_out_of_memory
from leakscope.models.decoding import CANNOT_BE_READ, deviation, read_plainly, shortest_window, tolerance
from leakscope.models.phases import reading_written

logger = logging.getLogger(__name__)

ROOT = -1
# Most nodes: the mask grows with their square.
MOST_PLACES = {"cpu": 1024, "cuda": 4096}


class TreeStep(NamedTuple):
    """A token after a prefix, and whether the model wrote it: input and written tokens are separate nodes."""

    parent: int
    token: int
    written: bool


class TokenTree:
    """Distinct prefixes of rows of tokens, numbered in order of insertion; parents come first.

    ``steps`` has the last step of each prefix, ``depth`` the number of tokens before it.
    """

    def __init__(self) -> None:
        self.number: dict[TreeStep, int] = {}
        self.steps: list[TreeStep] = []
        self.depth: list[int] = []

    def __len__(self) -> int:
        return len(self.depth)

    def walk(self, tokens: Sequence[int], start: int = ROOT, *, written: bool = False) -> list[int]:
        """Return the numbers of the prefixes that end with each of these tokens, which follow ``start``."""
        path = []
        for token in tokens:
            step = TreeStep(start, token, written)
            if step not in self.number:
                self.number[step] = len(self.depth)
                self.steps.append(step)
                self.depth.append(0 if start == ROOT else self.depth[start] + 1)
            start = self.number[step]
            path.append(start)
        return path

    def path(self, number: int) -> list[int]:
        """Return the tokens of a prefix."""
        tokens = []
        while number != ROOT:
            tokens.append(self.steps[number].token)
            number = self.steps[number].parent
        return tokens[::-1]

    def sees(self) -> torch.Tensor:
        """Return which nodes each node attends to, (nodes, nodes)."""
        seen = torch.eye(len(self), dtype=torch.bool)
        for number, step in enumerate(self.steps):
            if step.parent != ROOT:
                seen[number] |= seen[step.parent]
        return seen


def read_tree(model: PreTrainedModel, tree: TokenTree, wanted: Sequence[int]) -> torch.Tensor:
    """Return the logits after the ``wanted`` prefixes, (wanted, vocabulary)."""
    device = model.device
    hidden = torch.zeros(len(tree), len(tree), dtype=model.dtype)
    hidden.masked_fill_(~tree.sees(), torch.finfo(model.dtype).min)
    places = torch.tensor(list(wanted))  # on the CPU: the last layers may be on another device than the first
    options = {"logits_to_keep": places} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    with reading_written(torch.tensor([[step.written for step in tree.steps]])):
        output = model(
            input_ids=torch.tensor([[step.token for step in tree.steps]], device=device),
            attention_mask=hidden[None, None].to(device),
            position_ids=torch.tensor([tree.depth], device=device),
            use_cache=False,
            **options,
        )
    logits: torch.Tensor = output.logits[0]
    return logits if options else logits[places]


def most_places(model: PreTrainedModel) -> int:
    """Return the largest number of nodes in a tree for a model.

    A tree mask ignores attention windows, and a model's own masks may cover only as many nodes as it has positions.
    """
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    limits = [MOST_PLACES.get(model.device.type, MOST_PLACES["cpu"]), longest, shortest_window(model)]
    return min(limit for limit in limits if isinstance(limit, int) and limit > 0)


# Made-up rows, as multiples of some step through the vocabulary: two roots, and branches of unequal length.
_TRIAL = ([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 12], [1, 2, 3, 11, 6], [5, 9, 2], [5, 9, 13, 0])


@torch.inference_mode()
def reads_trees(model: PreTrainedModel) -> bool:
    """Return whether a model gives the same logits for a tree as row by row."""
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return False
    step = max(1, model.config.get_text_config().vocab_size // 16)
    rows = [[(number * step + number) % (16 * step) for number in row] for row in _TRIAL]
    tree = TokenTree()
    paths = [tree.walk(row) for row in rows]
    expected = torch.cat([read_plainly(model, torch.tensor([row]), len(row))[0] for row in rows])
    try:
        found = read_tree(model, tree, [number for path in paths for number in path])
    except CANNOT_BE_READ as error:
        if is_out_of_memory(error):
            raise
        logger.info("%s: no tree can be read: %s", type(model).__name__, error)
        return False
    difference = deviation(found, expected)
    logger.info(
        "%s: logits of a tree differ by %.1e standard deviations, %.0e are allowed",
        type(model).__name__, difference, tolerance(model),
    )  # fmt: skip
    return difference <= tolerance(model)
