"""Comparison of rankings by a base model and by a model trained further from it (SFT, DPO, RLHF, other text)."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pandas as pd

from leakscope.ground.agreement.joined import in_common, scores_of
from leakscope.ground.agreement.kendall_tau import mean_over_subjects, tau_b
from leakscope.ground.agreement.whole import FEWEST_GROUPS

logger = logging.getLogger(__name__)

PAIR = ["base", "aligned", "axis", "language"]


def compare_aligned(
    scores: pd.DataFrame, pairs: Mapping[str, str], score: str, level: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two tables: the agreement of base and aligned model, and the changes of first-ranked groups.

    The first has one row per pair, axis and language: ``n_subjects, tau, ci_low, ci_high, share_first_changed,
    n_lost``. The second has one row per combination of first-ranked groups in base and aligned model: ``n_subjects``.
    For each subject, the groups scored by both models are compared; subjects with fewer than two are lost, and excluded
    from shares.

    Args:
        scores: ``model, axis, language, template_id, subject, group`` and a column for each score.
        pairs: aligned model → base model.
        score: score by which models rank.
        level: nominal coverage of the interval over subjects.
    """
    rows, changes = [], []
    for aligned, base in pairs.items():
        for (axis, language), part in scores.groupby(["axis", "language"], sort=False):
            by_model = {model: part[part["model"] == model] for model in (base, aligned)}
            if any(table.empty for table in by_model.values()):
                continue
            named = in_common(*(scores_of(table, score) for table in by_model.values()))
            known = named[0].notna() & named[1].notna()
            ranked = known.sum(axis=1) >= FEWEST_GROUPS
            before, after = (table.where(known)[ranked] for table in named)
            if before.empty:
                logger.warning("%s (%s): %s and %s score no common pairs", axis, language, base, aligned)
                continue
            tau = mean_over_subjects(tau_b(before, after), level)
            first = pd.DataFrame({"group_base": before.idxmax(axis=1), "group_aligned": after.idxmax(axis=1)})
            changed = (first["group_base"] != first["group_aligned"]).mean()
            rows.append((base, aligned, axis, language, tau.n, *tau[:3], changed, int((~ranked).sum())))
            counted = first.value_counts(sort=False).rename("n_subjects").reset_index()
            changes.append(counted.assign(base=base, aligned=aligned, axis=str(axis), language=str(language)))
    columns = [*PAIR, "n_subjects", "tau", "ci_low", "ci_high", "share_first_changed", "n_lost"]
    names = [*PAIR, "group_base", "group_aligned", "n_subjects"]
    moved = pd.concat(changes, ignore_index=True)[names] if changes else pd.DataFrame(columns=names)
    return pd.DataFrame(rows, columns=columns), moved
