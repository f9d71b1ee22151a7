"""Which strength of which variant a mitigation is represented by, chosen by the selection split alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from leakscope.trace.removal.columns import LEAK, NONE, SELECTION, USE
from leakscope.trace.removal.variants import Variant

ROUNDING = 1e-9
"""Shares of right answers are met exactly."""
ENOUGH = 0.6
"""Share of right answers from which on a model is said to use the concept in a form."""
STRENGTH = ["variant", "strength", "target_cost", "share"]
"""What tells the strengths of a mitigation apart."""


def used_forms(base: pd.DataFrame) -> set[str]:
    """Return the forms of use that a model without mitigation answers rightly often enough, in the selection split.

    Args:
        base: ``columns.MEASURED`` of no mitigation, of one model and prompt set.
    """
    asked = base[(base["measure"] == USE) & (base["split"] == SELECTION)]
    right = asked.groupby("template_id")["value"].mean()
    return set(right.index[right >= ENOUGH])


def leak_size(leaks: pd.DataFrame) -> float:
    """Return the mean over templates of |mean leak|, in nats.

    Some templates avoid the concept (``trace.by_template``), and do not make up for others; and a leak that a
    mitigation has turned round tells of the concept, too.

    Args:
        leaks: ``template_id, value``.
    """
    return float(leaks.groupby("template_id")["value"].mean().abs().mean())


def of_use(table: pd.DataFrame, forms: Collection[str]) -> pd.DataFrame:
    """Return the rows of use of some forms; of all, where there is none of these."""
    used = table[table["measure"] == USE]
    return used[used["template_id"].isin(list(forms))] if forms else used


def choose(measured: pd.DataFrame, base: pd.DataFrame, cost: float, kept: float) -> dict[str, Any] | None:
    """Return variant, strength, target_cost and share of the best at a cost, all by the selection split.

    The least ``leak_size`` of those that cost no more and keep enough of the use. Where none keeps enough, that which
    keeps most. Nothing is asked of a use that the model does not make (``used_forms``). None where nothing can be
    afforded.

    Args:
        measured: ``columns.MEASURED`` of the mitigation, of one model and prompt set.
        base: of no mitigation, likewise.
        cost: percent of perplexity.
        kept: share of the use that is to be kept, 0 to 1.
    """
    selection = measured[measured["split"] == SELECTION]
    # A strength of 0 that was found for a cost is none.
    changed = (selection["strength"] != 0) | selection["target_cost"].isna()
    affordable = selection[changed & (selection["cost_selection"] <= cost) & (selection["kind"] != NONE)]
    if affordable.empty:
        return None
    forms = used_forms(base)
    rows = [rows for _, rows in affordable.groupby(STRENGTH, sort=False, dropna=False)]
    # Of equals that which was found for the cost.
    best = min(rows, key=lambda rows: (*rank(rows, base, forms, kept), rows["target_cost"].iloc[0] != cost))
    variant, *numbers = (best[name].iloc[0] for name in STRENGTH)
    return dict(zip(STRENGTH, [variant, *(None if pd.isna(n) else float(n) for n in numbers)], strict=True))


def rank(values: pd.DataFrame, base: pd.DataFrame, forms: Collection[str], kept: float) -> tuple[float, ...]:
    """Return what the best strength is least by on the selection split: whether it keeps too little use, then the leak.

    Args:
        values: ``columns.MEASURED`` of a strength.
        base: of no mitigation.
        forms: of use that count; none where the model uses nothing.
        kept: share of the use that is to be kept.
    """
    own, plain = (table[table["split"] == SELECTION] for table in (values, base))
    use, whole = (float(of_use(table, forms)["value"].mean()) if forms else 0.0 for table in (own, plain))
    too_little = use < kept * whole - ROUNDING
    return too_little, -use if too_little else 0.0, leak_size(own[own["measure"] == LEAK])


def choose_all(
    measured: pd.DataFrame, base: pd.DataFrame, variants: Mapping[str, Variant], costs: Sequence[float], kept: float
) -> dict[str, dict[str, Any] | None]:
    """Return cost, as text → what ``choose`` says of it with the manifest of the model with it, or None.

    Args:
        measured: as for ``choose``.
        base: likewise.
        variants: by name.
        costs: percents of perplexity.
        kept: as for ``choose``.
    """
    found: dict[str, dict[str, Any] | None] = {}
    for cost in costs:
        best = None if measured.empty else choose(measured, base, cost, kept)
        if best is not None:
            best["manifest"] = variants[best["variant"]].manifest(best["strength"])
        found[f"{cost:g}"] = best
    return found
