"""Features chosen one after another, each by what the edit does with it beside those chosen before.

The other methods (see ``selection``) rank every feature by itself. But features share their work: of two that fire for
one side, an edit of the first moves all to the other side, and only both together leave the two sides alike. So the
best of every method are tried, and the one is taken with which the least of the gap is left, of the items for
selection; then the next, beside it, as long as that helps and the edit at full strength is affordable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import pandas as pd

from leakscope.features.edits import Edit
from leakscope.progress import progress

GREEDY = "greedy"
# Edits that take away: of those that add, more is never nearer to nothing.
NAMES = ("ablate", "mean_clamp")
# The best features of each method are tried.
POOL = 15
# By how much of the gap another feature must help.
LEAST = 0.002


class Bench(Protocol):
    """What edits are tried on (see ``effects.Bench``)."""

    def gap(self, edit: Edit) -> float:
        """Return what an edit leaves of the mean |gap| of the items for selection."""

    def cost(self, edit: Edit) -> float:
        """Return what an edit costs on the texts that choose, in percent of perplexity."""


def pool_of(selection: pd.DataFrame, usable: Callable[[int], bool]) -> list[int]:
    """Return the usable ones among the first ``POOL`` features of each method, each once, in their order.

    Args:
        selection: ``method, rank, feature``.
        usable: whether a feature may be edited.
    """
    best = selection[selection["rank"] <= POOL].sort_values(["rank", "method"], kind="stable")
    return [feature for feature in dict.fromkeys(best["feature"].tolist()) if usable(feature)]


def choose_greedily(
    bench: Bench,
    pool: Sequence[int],
    edit_of: Callable[[Sequence[int]], Edit],
    *,
    size: int,
    largest_cost: float,
    name: str,
) -> list[int]:
    """Return features in the order in which they were taken.

    Args:
        bench: what edits are tried on.
        pool: features to choose from.
        edit_of: the edit of some features at full strength.
        size: how many are taken at most.
        largest_cost: percent of perplexity that the edit may cost.
        name: of the line of progress.
    """
    chosen: list[int] = []
    left = bench.gap(edit_of([])) if pool else 0.0
    start = left
    for _ in progress(range(size), total=size, name=name, unit="feature"):
        tried = {feature: bench.gap(edit_of([*chosen, feature])) for feature in pool if feature not in chosen}
        best = _affordable(bench, chosen, tried, edit_of, largest_cost)
        if best is None or left - tried[best] < LEAST * start:
            break
        chosen.append(best)
        left = tried[best]
    return chosen


def _affordable(
    bench: Bench, chosen: Sequence[int], tried: dict[int, float], edit_of: Callable[..., Edit], largest_cost: float
) -> int | None:
    """Return the feature that leaves the least gap among those with which the edit is affordable."""
    for feature in sorted(tried, key=lambda number: (tried[number], number)):
        if bench.cost(edit_of([*chosen, feature])) <= largest_cost:
            return feature
    return None
