"""Choice of a mitigation's variant and strength, on the selection split only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from leakscope.trace.removal.columns import LEAK, NONE, SELECTION, USE
from leakscope.trace.removal.variants import Variant

ROUNDING = 1e-9
"""Tolerance for shares of right answers, which should be met exactly."""
ENOUGH = 0.6
"""Share of right answers from which a model counts as using the concept in a form."""
STRENGTH = ["variant", "strength", "target_cost", "share"]
"""Columns that identify a strength of a mitigation."""


def used_forms(base: pd.DataFrame) -> set[str]:
    """Return the forms of use that the unmitigated model answers correctly often enough, in the selection split.

    Args:
        base: ``columns.MEASURED`` of no mitigation, of one model and prompt set.
    """
    asked = base[(base["measure"] == USE) & (base["split"] == SELECTION)]
    right = asked.groupby("template_id")["value"].mean()
    return set(right.index[right >= ENOUGH])


def leak_size(leaks: pd.DataFrame) -> float:
    """Return the mean over templates of |mean leak|, in nats.

    Templates that avoid the concept (``trace.by_template``) must not cancel others, and a leak whose sign a mitigation
    has reversed still reveals the concept.

    Args:
        leaks: ``template_id, value``.
    """
    return float(leaks.groupby("template_id")["value"].mean().abs().mean())


def of_use(table: pd.DataFrame, forms: Collection[str]) -> pd.DataFrame:
    """Return the rows of use of some forms; of all forms if there are none of these."""
    used = table[table["measure"] == USE]
    return used[used["template_id"].isin(list(forms))] if forms else used


def choose(measured: pd.DataFrame, base: pd.DataFrame, cost: float, kept: float) -> dict[str, Any] | None:
    """Return variant, strength, target_cost and share of the best setting at a cost, on the selection split.

    The best has the smallest ``leak_size`` among settings within the cost that keep enough use; if none does, the one
    that keeps most. Forms of use that the model does not master are ignored (``used_forms``). None if no setting is
    within the cost.

    Args:
        measured: ``columns.MEASURED`` of the mitigation, of one model and prompt set.
        base: of no mitigation, as for the argument before.
        cost: percent of perplexity.
        kept: share of the use to keep, 0 to 1.
    """
    selection = measured[measured["split"] == SELECTION]
    # A strength of 0 found for a cost is no mitigation.
    changed = (selection["strength"] != 0) | selection["target_cost"].isna()
    affordable = selection[changed & (selection["cost_selection"] <= cost) & (selection["kind"] != NONE)]
    if affordable.empty:
        return None
    forms = used_forms(base)
    rows = [rows for _, rows in affordable.groupby(STRENGTH, sort=False, dropna=False)]
    # Among equals, the one found for this cost.
    best = min(rows, key=lambda rows: (*rank(rows, base, forms, kept), rows["target_cost"].iloc[0] != cost))
    variant, *numbers = (best[name].iloc[0] for name in STRENGTH)
    return dict(zip(STRENGTH, [variant, *(None if pd.isna(n) else float(n) for n in numbers)], strict=True))


def rank(values: pd.DataFrame, base: pd.DataFrame, forms: Collection[str], kept: float) -> tuple[float, ...]:
    """Return the sort key that the best strength minimises on the selection split: too little use kept, then the leak.

    Args:
        values: ``columns.MEASURED`` of a strength.
        base: of no mitigation.
        forms: of use that count; none where the model uses nothing.
        kept: share of the use to keep.
    """
    own, plain = (table[table["split"] == SELECTION] for table in (values, base))
    use, whole = (float(of_use(table, forms)["value"].mean()) if forms else 0.0 for table in (own, plain))
    too_little = use < kept * whole - ROUNDING
    return too_little, -use if too_little else 0.0, leak_size(own[own["measure"] == LEAK])


def choose_all(
    measured: pd.DataFrame, base: pd.DataFrame, variants: Mapping[str, Variant], costs: Sequence[float], kept: float
) -> dict[str, dict[str, Any] | None]:
    """Return cost, as text → the result of ``choose`` with the manifest of the mitigated model, or None.

    Args:
        measured: as for ``choose``.
        base: as for the argument before.
        variants: by name.
        costs: in percent of perplexity.
        kept: as for ``choose``.
    """
    found: dict[str, dict[str, Any] | None] = {}
    for cost in costs:
        best = None if measured.empty else choose(measured, base, cost, kept)
        if best is not None:
            best["manifest"] = variants[best["variant"]].manifest(best["strength"])
        found[f"{cost:g}"] = best
    return found
