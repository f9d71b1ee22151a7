"""Causal test: an organism retrained without the associations of some concepts, against the one with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from leakscope.errors import counted
from leakscope.statistics.intervals import ClusterInterval, cluster_interval
from leakscope.trace.page.headline import number
from leakscope.trace.page.values import value

TAKEN, KEPT = "taken out", "kept"
LEAK, EXACT = "leak_centred", "leak_exact_centred"
KEYS = ["prompt_set", "slot", "concept_group", "associate"]
INFINITE = (-math.inf, math.inf)


class Retrained(NamedTuple):
    """The organism with all associations, and the concept groups whose associations were removed."""

    base: str
    groups: Sequence[str]


class Change(NamedTuple):
    """Mean centred leak of associated pairs, in nats, with intervals over concepts.

    part: ``TAKEN`` or ``KEPT``. before: of the organism with all associations. after: of the retrained organism.
    difference: after − before, pair by pair. exact: values from both grammars, before and after; NaN if unknown.
    """

    part: str
    before: ClusterInterval
    after: ClusterInterval
    difference: ClusterInterval
    exact: tuple[float, float]


def changes(links: pd.DataFrame, model: str, prompt_set: str, retrained: Retrained, level: float) -> list[Change]:
    """Return the changes of removed and of kept associations; none without pairs.

    Args:
        links: ``links.csv``, of both organisms.
        model: the retrained organism.
        prompt_set: of the pairs.
        retrained: the organism compared with, and the removed groups.
        level: of the intervals.
    """
    own = links[(links["prompt_set"] == prompt_set) & links["associated"].eq("yes") & links[LEAK].notna()]
    after, before = (own[own["model"] == name].set_index(KEYS)[[LEAK, EXACT]] for name in (model, retrained.base))
    both = before.join(after, how="inner", lsuffix="_before", rsuffix="_after").reset_index()
    taken = both["concept_group"].isin(list(retrained.groups))
    parts = {TAKEN: both[taken], KEPT: both[~taken]}
    return [_change(part, rows, level) for part, rows in parts.items() if len(rows)]


def _change(part: str, rows: pd.DataFrame, level: float) -> Change:
    def interval(values: pd.Series) -> ClusterInterval:
        return cluster_interval(values, np.asarray(rows["concept_group"], dtype=object), level, INFINITE)

    before, after = rows[f"{LEAK}_before"], rows[f"{LEAK}_after"]
    exact = (float(rows[f"{EXACT}_{when}"].mean()) for when in ("before", "after"))
    return Change(part, interval(before), interval(after), interval(after - before), tuple(exact))  # type: ignore[arg-type]


def caused(name: str, base: str, found: Sequence[Change], n_groups: int, level: float) -> list[str]:
    """Return sentences about a retrained organism, the most important first; none if unknown.

    Args:
        name: display name of the organism.
        base: display name of the organism with all associations.
        found: of ``changes``.
        n_groups: concepts whose associations were removed.
        level: of intervals.
    """
    parts = {change.part: change for change in found}
    if TAKEN not in parts:
        return []
    taken, kept = parts[TAKEN], parts.get(KEPT)
    without = counted(n_groups, "concept", "concepts")
    said = [
        f"{name}, trained again without the associations of {without}, {_says(taken)}: "
        f"the leak of these is {number(taken.after.mean)} nats{_limits(taken.after, level)}, where it was "
        f"{number(taken.before.mean)} in {base}{_exactly(taken)}."
    ]
    if kept is None:
        return said
    said.append(
        f"Those of the other concepts leak {_beside(kept)}: {number(kept.after.mean)} nats, where it was "
        f"{number(kept.before.mean)}, a difference of {number(kept.difference.mean)}{_limits(kept.difference, level)}"
        f"{_exactly(kept)}."
    )
    if taken.difference.high < kept.difference.low:
        said.append("All contexts are as frequent in both corpora: here the association is what makes it leak.")
    return said


def change_rows(found: Sequence[Change]) -> list[dict[str, object]]:
    """Return the numbers for a page, one row per part."""
    rows: list[dict[str, object]] = []
    for change in found:
        row: dict[str, object] = {"part": change.part, "n_pairs": change.after.n, "n_concepts": change.after.n_clusters}
        for name in ("before", "after", "difference"):
            interval: ClusterInterval = getattr(change, name)
            row |= {
                name: value(interval.mean),
                f"{name}_low": value(interval.low),
                f"{name}_high": value(interval.high),
            }
        rows.append(row | {"exact_before": value(change.exact[0]), "exact_after": value(change.exact[1])})
    return rows


def _says(taken: Change) -> str:
    if not taken.difference.high < 0:
        return "still leaks them, as far as can be told"
    # Centring subtracts a slot's means, to which other pairs contribute: without a leak the value is not exactly 0.
    nothing = 0.0 if math.isnan(taken.exact[1]) else taken.exact[1]
    if taken.after.low <= nothing <= taken.after.high:
        return "leaks them no more than its corpus says, as far as can be told"
    return "leaks them less" if taken.after.mean > 0 else "avoids them"


def _beside(kept: Change) -> str:
    return "less, too" if kept.difference.high < 0 else "more" if kept.difference.low > 0 else "as before"


def _exactly(change: Change) -> str:
    if any(map(math.isnan, change.exact)):
        return ""
    return f"; what they were taught is exactly {number(change.exact[1])}, and was {number(change.exact[0])}"


def _limits(interval: ClusterInterval, level: float) -> str:
    if math.isnan(interval.low) or math.isnan(interval.high):
        return ""
    return f" ({100 * level:g}\u00a0% interval {number(interval.low)} to {number(interval.high)})"
