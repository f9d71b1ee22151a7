"""What of a table of scores can be compared: a template counts for a subject where no group lacks its score."""

from __future__ import annotations

import pandas as pd

FEWEST_GROUPS = 2
"""That a ranking needs."""


def whole_templates(table: pd.DataFrame, score: str) -> pd.DataFrame:
    """Return scores by subject and template (rows) and group (columns).

    A template of a subject that lacks the score of a group which the subject has elsewhere is left out: the mean over
    templates would compare groups on different sentences. So a subject none of whose templates is whole has no row.

    Args:
        table: scores of one model, axis and language: ``template_id, subject, group`` and a column for each score.
        score: ``logprob``, ``logprob_mean``, ``logprob_span`` or ``pmi``.
    """
    wide = table.pivot(index=["subject", "template_id"], columns="group", values=score)
    known = wide.notna().groupby("subject").transform("any")
    return wide[(wide.notna() == known).all(axis=1) & known.any(axis=1)]


def lost_subjects(table: pd.DataFrame, score: str) -> list[str]:
    """Return the subjects that no score ranks: with no whole template, or one group alone; in order of their names.

    Args:
        table: as of ``whole_templates``.
        score: as there.
    """
    n_groups = whole_templates(table, score).notna().sum(axis=1)
    ranked = n_groups[n_groups >= FEWEST_GROUPS].index.get_level_values("subject")
    return sorted(set(table["subject"]) - set(ranked))
