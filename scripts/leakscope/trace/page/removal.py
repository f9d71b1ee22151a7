"""The leak that remains after mitigations: rows and points of the page's section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from leakscope.trace.page.values import records, value
from leakscope.trace.removal.columns import EVALUATION, NONE

NUMBERS = [
    "strength", "left", "left_ci_low", "left_ci_high", "leak", "leak_ci_low", "leak_ci_high", "use", "use_base",
    "use_kept", "cost", "match", "less_than_none_p_corrected", "less_than_prompt_p_corrected",
]  # fmt: skip
POINT = ["name", "kind", "strength", "left", "use_kept", "cost", "chosen"]


def removal(mitigations: pd.DataFrame, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the page's data on a model's mitigations in a prompt set: values of the evaluation split.

    Args:
        mitigations: their rows of ``mitigations.csv``; if empty, nothing is shown.
        labels: mitigation → display name.

    Returns:
        ``cost``: the highest that anything was chosen at, in percent; ``measured``: whether the model can use a concept
        by itself; ``rows``: what was chosen at that cost, below the model without a mitigation; ``points``: of each
        mitigation all strengths of the variant that was chosen, in order, from no mitigation on.
    """
    if mitigations.empty:
        return {}
    own = mitigations[mitigations["split"] == EVALUATION]
    own = own.assign(name=[labels.get(name, name) for name in own["mitigation"]], variant=own["variant"].fillna(""))
    chosen_at = own["chosen_at"].fillna("").astype(str).str.split()
    cost = max((each for costs in chosen_at for each in costs), key=float, default="")
    own = own.assign(chosen=["yes" if cost in costs else "no" for costs in chosen_at])
    none, chosen = own[own["kind"] == NONE], own[own["chosen"] == "yes"]
    shown = ["name", "kind", "variant", *NUMBERS]
    return {
        "cost": value(cost),
        "measured": bool((own["use_measured"] == "yes").any() and own["use_kept"].notna().any()),
        "rows": records(pd.concat([none, chosen]), shown),
        "points": [point for _, best in chosen.iterrows() for point in _points(own, best)],
    }


def _points(rows: pd.DataFrame, best: pd.Series) -> list[dict[str, Any]]:
    """Return the points of one mitigation."""
    same = (rows["mitigation"] == best["mitigation"]) & (rows["variant"] == best["variant"])
    tried = rows[same].sort_values("strength", kind="stable")
    before = {"name": best["name"], "kind": best["kind"], "strength": 0, "left": 1, "use_kept": 1, "cost": 0}
    listed = records(tried, POINT)
    return [{**before, "chosen": "no"}, *listed] if best["strength"] > 0 else listed
