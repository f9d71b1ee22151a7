"""All agreement tables of a study, over its axes."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from leakscope.ground.agreement.joined import UNMATCHED, counts_of, counts_used, prevalence_of, unmatched
from leakscope.ground.agreement.kendall import (
    KEYS,
    Axis,
    expected_rows,
    kendall_by_quartile,
    kendall_by_score,
    kendall_table,
    noise_and_ties,
    outliers,
    score_tables,
    taus_by_subject,
)


def agree(
    counts: Mapping[str, pd.DataFrame],
    scores: pd.DataFrame,
    prevalence: Mapping[str, pd.DataFrame],
    *,
    window: int | None,
    unit: str,
    score: str,
    level: float,
) -> dict[str, pd.DataFrame]:
    """Return the tables ``tau, by_score, by_subject, by_quartile, outliers, unmatched``; see ``kendall``.

    ``tau`` also has the columns of ``noise_and_ties``, and the ``window`` and ``unit`` of the counts that were used.

    Args:
        counts: axis → ``subject, group, window, unit, count``.
        scores: of all axes: ``model, axis, language, template_id, subject, group`` and a column for each score.
        prevalence: axis → ``subject, group, prevalence``, for axes with prevalence.
        window: window of the counts to rank by, in words; None: anywhere in a document.
        unit: unit of the counts.
        score: score by which models rank.
        level: nominal coverage of the intervals.
    """
    parts: dict[str, list[pd.DataFrame]] = {"tau": [], "by_score": [], "by_subject": [], "unmatched": []}
    for name, counted in counts.items():
        used = counts_used(counted, window, unit)
        known = prevalence_of(prevalence[name]) if name in prevalence else None
        axis = Axis(name, counts_of(counted, window, unit), known, scores[scores["axis"] == name])
        by_subject = taus_by_subject(axis, score)
        table = expected_rows(axis, score).merge(kendall_table(by_subject, level), on=KEYS, how="left")
        # A comparison without common subjects also has a row, with 0 subjects and no tau.
        numbers = ["n_subjects", "n_undefined", "n_lost"]
        table = table.fillna(dict.fromkeys(numbers, 0)).astype(dict.fromkeys(numbers, int))
        table = table.merge(noise_and_ties(axis, score, used.unit), on=KEYS, how="left")
        parts["tau"].append(table.assign(window=pd.array([used.window] * len(table), "Int64"), unit=used.unit))
        parts["by_subject"].append(by_subject)
        parts["by_score"].append(kendall_by_score(axis, level))
        others = {} if known is None else {"prevalence": known}
        others |= {f"the scores of {model} ({language})": table for model, language, table in score_tables(axis, score)}
        parts["unmatched"].append(unmatched(name, {"the counts": axis.counts, **others}))
    tables = {name: pd.concat(frames, ignore_index=True) for name, frames in parts.items()}
    tables["by_quartile"] = kendall_by_quartile(tables["by_subject"], level)
    tables["outliers"] = outliers(tables["by_subject"])
    tables["unmatched"] = tables["unmatched"][UNMATCHED]
    return tables
