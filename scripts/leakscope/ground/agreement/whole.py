"""Comparable scores: a template is used for a subject only if it has scores for all the subject's groups."""

from __future__ import annotations

import pandas as pd

FEWEST_GROUPS = 2
"""Smallest number of groups in a ranking."""


def whole_templates(table: pd.DataFrame, score: str) -> pd.DataFrame:
    """Return scores by subject and template (rows) and group (columns).

    A template is excluded for a subject if it lacks a score of a group that other templates have, because means over
    templates would compare groups on different sentences. A subject without whole templates has no row.

    Args:
        table: scores of one model, axis and language: ``template_id, subject, group`` and a column for each score.
        score: ``logprob``, ``logprob_mean``, ``logprob_span`` or ``pmi``.
    """
    wide = table.pivot(index=["subject", "template_id"], columns="group", values=score)
    known = wide.notna().groupby("subject").transform("any")
    return wide[(wide.notna() == known).all(axis=1) & known.any(axis=1)]


def lost_subjects(table: pd.DataFrame, score: str) -> list[str]:
    """Return the subjects that cannot be ranked, without a whole template or with only one group; sorted.

    Args:
        table: as in ``whole_templates``.
        score: as in ``whole_templates``.
    """
    n_groups = whole_templates(table, score).notna().sum(axis=1)
    ranked = n_groups[n_groups >= FEWEST_GROUPS].index.get_level_values("subject")
    return sorted(set(table["subject"]) - set(ranked))
