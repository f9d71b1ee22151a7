"""Greedy selection of features: each is chosen by the effect of the edit together with the features chosen before.

The other methods (see ``selection``) rank every feature by itself. But features share their work: if two features fire
for one side, editing only one moves everything to the other side, and only editing both makes the sides equal. So the
best features of every method are tried, and the feature that leaves the smallest gap on the selection items is taken;
then the next, in addition, as long as the gap shrinks and the edit at full strength is affordable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import pandas as pd

from leakscope.jobs.progress import progress
from leakscope.models.editing.edits import Edit

GREEDY = "greedy"
# Edits for which features are chosen: edits that remove something.
NAMES = ("ablate", "mean_clamp")
# The best features of each method are tried.
POOL = 15
# By how much of the gap another feature must help.
LEAST = 0.002


class GapAndCost(Protocol):
    """Bench for trying edits (see ``effects.EditBench``)."""

    def gap(self, edit: Edit | None) -> float:
        """Return the mean |gap| of the selection items after an edit; None: no edit."""

    def cost(self, edit: Edit) -> float:
        """Return the cost of an edit on the texts for choosing, in percent of perplexity."""


def choose_greedily(
    bench: GapAndCost,
    selection: pd.DataFrame,
    edit_of: Callable[[str, Sequence[int]], Edit],
    *,
    names: Sequence[str],
    size: int,
    largest_cost: float,
) -> pd.DataFrame:
    """Return the columns of ``selection``: of each edit the features in the order in which they were taken.

    The method is ``greedy_<edit>``; the score is minus what of the mean |gap| is left with the feature and those before
    it, so that more is better, as it is of other methods; the sign is that of the pool.

    Args:
        bench: what edits are tried on.
        selection: ``method, rank, feature, score, sign`` of other methods; the first ``POOL`` of each are tried.
        edit_of: the edit of a name and some features at full strength.
        names: of edits; features are chosen for the edits that only remove.
        size: how many features are taken at most.
        largest_cost: percent of perplexity that the edit may cost.
    """
    best = selection[selection["rank"] <= POOL].sort_values(["rank", "method"], kind="stable")
    signs = best.drop_duplicates("feature").set_index("feature")["sign"]
    rows = []
    for name in [name for name in NAMES if name in names]:
        taken = _taken(bench, list(signs.index), partial(edit_of, name), size, largest_cost, name)
        for rank, (feature, left) in enumerate(taken.items(), 1):
            rows.append((f"{GREEDY}_{name}", rank, feature, -left, signs[feature]))
    return pd.DataFrame(rows, columns=selection.columns).astype(selection.dtypes.to_dict())


def _taken(
    bench: GapAndCost,
    pool: Sequence[int],
    edit_of: Callable[[Sequence[int]], Edit],
    size: int,
    largest_cost: float,
    name: str,
) -> dict[int, float]:
    """Return feature → what is left of the gap with it and those before it."""
    taken: dict[int, float] = {}
    start = left = bench.gap(None)
    for _ in progress(range(size if pool else 0), total=size, name=f"choose for {name}", unit="feature"):
        tried = {feature: bench.gap(edit_of([*taken, feature])) for feature in pool if feature not in taken}
        best = _affordable(bench, list(taken), tried, edit_of, largest_cost)
        if best is None or left - tried[best] < LEAST * start:
            break
        taken[best] = left = tried[best]
    return taken


def _affordable(
    bench: GapAndCost,
    taken: Sequence[int],
    tried: dict[int, float],
    edit_of: Callable[[Sequence[int]], Edit],
    largest_cost: float,
) -> int | None:
    """Return the feature that leaves the least gap among those with which the edit is affordable."""
    for feature in sorted(tried, key=lambda number: (tried[number], number)):
        if bench.cost(edit_of([*taken, feature])) <= largest_cost:
            return feature
    return None
