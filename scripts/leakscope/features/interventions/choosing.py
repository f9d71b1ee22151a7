"""Choice of an edit of each kind, by the selection split only, and its effect on the evaluation split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from leakscope.features.contrasts.items import SELECTION
from leakscope.features.interventions.candidates import DIFFERENCE, INTERVENTIONS, NONE
from leakscope.features.interventions.effects import ITEM_COLUMNS, KEPT_MASS, MEASURES, MeasuredEdit, measures
from leakscope.models.editing.edits import to_json
from leakscope.statistics.intervals import ClusterInterval, cluster_interval

EFFECT_COLUMNS = [
    *("dictionary", "contrast", "intervention", "source", "n_features", "features", "edit", "seed"),
    *("target_cost", "strength", "reached", "cost_selection", "cost", "split"),
    *(*MEASURES, "chosen", "ci_low", "ci_high"),
]
BY_ITEM_COLUMNS = ["dictionary", "contrast", "intervention", "target_cost", *ITEM_COLUMNS]
KINDS = {
    **dict.fromkeys(("intervention", "source", "features", "edit", "split"), "str"),
    **{"n_features": "Int64", "seed": "Int64", "target_cost": "float64", "n_items": "int64"},
}


class ChosenEdits(NamedTuple):
    """The tables ``effects`` and ``by_item``, and the chosen edits: intervention → cost → edit as JSON."""

    effects: pd.DataFrame
    by_item: pd.DataFrame
    edits: dict[str, dict[str, Any]]


def choose_edits(
    without: MeasuredEdit,
    measured: Sequence[MeasuredEdit],
    costs: Sequence[float],
    level: float,
    names: Mapping[str, str],
) -> ChosenEdits:
    """Return all edits that were measured, and which of them are chosen.

    For each intervention and cost, the chosen edit has the smallest mean |gap| on the selection split among the edits
    that cost no more on the texts for choosing, whatever their target cost; for random edits, the best of all seeds.
    Edits that leave less than ``KEPT_MASS`` of the probability of both sides are never chosen: they close the gap by
    answering something else. The table has the chosen edit under the cost that it is chosen for, once more if its
    target cost was another.

    Args:
        without: what there is without an edit.
        measured: with an edit.
        costs: percent of perplexity.
        level: of the intervals of ``mean_abs_gap``, for what is chosen and for no edit.
        names: ``dictionary`` and ``contrast``.
    """
    rows = [{**row, "chosen": False, **_interval(without, row["split"], level)} for row in without.rows()]
    items = [_items(without, NONE, None)]
    edits: dict[str, dict[str, Any]] = {name: {} for name in INTERVENTIONS}
    for intervention in INTERVENTIONS:
        mine = [one for one in measured if one.family is not None and one.family.intervention == intervention]
        for cost in costs:
            affordable = [
                one for one in mine if one.cost_selection <= cost and _mass(one) >= KEPT_MASS * _mass(without)
            ]
            if not affordable:
                continue
            # Of equal gaps the weaker edit.
            best = min(affordable, key=lambda one: (_gap(one), abs(one.strength)))._replace(target_cost=cost)
            edits[intervention][f"{cost:g}"] = to_json(best.edit)
            items.append(_items(best, intervention, cost))
            rows += [{**row, "chosen": True, **_interval(best, row["split"], level)} for row in best.rows()]
    # A chosen edit that was meant for this very cost is in the table once.
    taken = {_identity(row) for row in rows if row["chosen"]}
    others = [row for one in measured for row in one.rows() if _identity(row) not in taken]
    effects = pd.DataFrame([*rows, *({**row, "chosen": False} for row in others)]).assign(**names)
    by_item = pd.concat(items, ignore_index=True).assign(**names)
    return ChosenEdits(effects[EFFECT_COLUMNS].astype(KINDS), by_item[BY_ITEM_COLUMNS], edits)


def compared_with_difference(effects: pd.DataFrame, by_item: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return ``effects`` with ``less_than_difference, less_ci_low, less_ci_high`` of what is chosen, on both splits.

    The value is the mean |gap| after the difference in means chosen at the same cost − the mean |gap| after the edit,
    paired by item, with an interval for other groups of items; above 0, the edit is better.

    Args:
        effects: of one dictionary and contrast, ``EFFECT_COLUMNS``.
        by_item: of the same, ``BY_ITEM_COLUMNS``.
        level: of the intervals.
    """
    gaps = by_item.set_index(["intervention", "target_cost", "split", "item"])["gap"].sort_index()
    groups = by_item.drop_duplicates("item").set_index("item")["group"]
    known = {key[:3] for key in gaps.index.to_flat_index()}
    rows = []
    records: list[Any] = effects.to_dict("records")
    for row in records:
        key, other = ((name, row["target_cost"], row["split"]) for name in (row["intervention"], DIFFERENCE))
        if not row["chosen"] or row["intervention"] == DIFFERENCE or other not in known:
            rows.append((np.nan, np.nan, np.nan))
            continue
        mine = gaps.loc[key]
        rows.append(difference_interval(mine, gaps.loc[other].loc[mine.index], groups.loc[mine.index], level)[:3])
    less = pd.DataFrame(rows, columns=["less_than_difference", "less_ci_low", "less_ci_high"], index=effects.index)
    return pd.concat([effects, less], axis=1)


def gap_interval(gaps: ArrayLike, groups: ArrayLike, level: float) -> ClusterInterval:
    """Return the mean |gap| of items with its interval for other groups of items.

    The interval has the bounds 0 and 1; far from them it is the interval of t, which has lower coverage near 0 and may
    extend below 0 (``benchmarks/coverage_features.py``).

    Args:
        gaps: (items,), −1 to 1; NaN where an edit left no numbers.
        groups: (items,), the cluster of each item.
        level: of the interval, 0 to 1.
    """
    return cluster_interval(np.abs(np.asarray(gaps, dtype=float)), groups, level, (0.0, 1.0))


def difference_interval(gaps: ArrayLike, others: ArrayLike, groups: ArrayLike, level: float) -> ClusterInterval:
    """Return how much smaller the mean |gap| is than the mean |gap| of the same items with another edit.

    Args:
        gaps: as in ``gap_interval``.
        others: (items,), with the other edit.
        groups: as in ``gap_interval``.
        level: of the interval, a t interval; NaN where groups do not differ.
    """
    less = np.abs(np.asarray(others, dtype=float)) - np.abs(np.asarray(gaps, dtype=float))
    return cluster_interval(less, groups, level, (-np.inf, np.inf))


def _interval(measured: MeasuredEdit, split: str, level: float) -> dict[str, float]:
    items = measured.by_item[measured.by_item["split"].eq(split)]
    interval = gap_interval(items["gap"], items["group"], level)
    return {"ci_low": interval.low, "ci_high": interval.high}


def _gap(measured: MeasuredEdit) -> float:
    gap = measures(measured.by_item[measured.by_item["split"].eq(SELECTION)])["mean_abs_gap"]
    return float(gap) if np.isfinite(gap) else np.inf


def _mass(measured: MeasuredEdit) -> float:
    return float(measures(measured.by_item[measured.by_item["split"].eq(SELECTION)])["mass"])


def _identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    keys = ("intervention", "source", "features", "edit", "seed", "target_cost", "strength", "split")
    return tuple(row[key] for key in keys)


def _items(measured: MeasuredEdit, intervention: str, cost: float | None) -> pd.DataFrame:
    return measured.by_item[ITEM_COLUMNS].assign(
        intervention=intervention, target_cost=np.nan if cost is None else cost
    )
