"""Models' rankings of groups: first and last places, and variation between templates."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from leakscope.ground.agreement.kendall_tau import Floats, mean_over_subjects, tau_b
from leakscope.ground.agreement.whole import whole_templates

KEYS = ["model", "axis", "language"]
ALL = "all"  # the mean over templates


def first_and_last(scores: pd.DataFrame, score: str) -> pd.DataFrame:
    """Return for how many subjects a group ranks first and last, by template and for the mean over templates.

    Tied groups share a place. One row per model, axis, language, template (``all``: the mean) and group.

    Args:
        scores: ``model, axis, language, template_id, subject, group`` and a column for each score.
        score: score by which models rank.
    """
    rows = []
    for keys, templates, groups, values in _cubes(scores, score):
        of_mean = _mean_of_known(values, 0)[None]
        for template_id, table in zip([ALL, *templates], np.concatenate([of_mean, values]), strict=True):
            for group, first, last in zip(groups, _first_places(table), _first_places(-table), strict=True):
                n = int((~np.isnan(table).all(1)).sum())
                rows.append((*keys, template_id, group, first, last, first / max(n, 1), last / max(n, 1), n))
    named = ["template_id", "group", "n_first", "n_last", "share_first", "share_last", "n_subjects"]
    return pd.DataFrame(rows, columns=[*KEYS, *named])


def template_variation(scores: pd.DataFrame, score: str, level: float) -> pd.DataFrame:
    """Return the agreement between templates, one row per model, axis and language.

    ``tau`` is the mean over all pairs of templates, then over subjects, with an interval that generalises to new
    subjects; ``share_modal_first`` is the share of templates that agree with the subject's most common first group.

    Args:
        scores: as in ``first_and_last``.
        score: score by which models rank.
        level: nominal coverage of the interval.
    """
    rows = []
    for keys, templates, _, values in _cubes(scores, score):
        pairs = [tau_b(values[i], values[j]) for i in range(len(values)) for j in range(i)]
        tau = mean_over_subjects(_mean_of_known(np.array(pairs), 0) if pairs else [], level)
        rows.append((*keys, len(templates), values.shape[1], *tau[:3], _share_modal_first(values)))
    named = ["n_templates", "n_subjects", "tau", "ci_low", "ci_high", "share_modal_first"]
    return pd.DataFrame(rows, columns=[*KEYS, *named])


def rank_spread(scores: pd.DataFrame, score: str) -> pd.DataFrame:
    """Return the spread of ranks over templates, one row per model, axis, language, subject and group.

    ``mean_rank`` (1: the highest score), ``rank_sd`` (over templates), ``lowest_rank`` and ``highest_rank``.

    Args:
        scores: as in ``first_and_last``.
        score: score by which models rank.
    """
    parts = []
    for keys, part in scores.groupby(KEYS, sort=False):
        ranks = whole_templates(part, score).rank(axis=1, ascending=False)
        long = ranks.melt(ignore_index=False, value_name="rank").dropna().reset_index()
        grouped = long.groupby(["subject", "group"], sort=True)["rank"]
        spread = grouped.agg(mean_rank="mean", rank_sd="std", lowest_rank="min", highest_rank="max").reset_index()
        parts.append(spread.assign(**dict(zip(KEYS, map(str, keys), strict=True))))
    columns = [*KEYS, "subject", "group", "mean_rank", "rank_sd", "lowest_rank", "highest_rank"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def logprob_differences(scores: pd.DataFrame, score: str, level: float) -> pd.DataFrame:
    """Return each group's score minus the mean over all groups, in nats, averaged over subjects.

    Args:
        scores: as in ``first_and_last``.
        score: score to compare.
        level: nominal coverage of the interval over subjects, which has no bounds.
    """
    rows = []
    for keys, _, groups, values in _cubes(scores, score):
        differences = _mean_of_known(values - _mean_of_known(values, 2)[:, :, None], 0)
        for group, column in zip(groups, differences.T, strict=True):
            mean = mean_over_subjects(column, level, (-np.inf, np.inf))
            rows.append((*keys, group, mean.n, *mean[:3]))
    return pd.DataFrame(rows, columns=[*KEYS, "group", "n_subjects", "difference", "ci_low", "ci_high"])


def _cubes(scores: pd.DataFrame, score: str) -> Iterator[tuple[tuple[str, ...], list[str], list[str], Floats]]:
    """Yield keys, templates, groups and values (templates, subjects, groups) of each model, axis and language.

    Missing groups of a subject, and templates that are not whole for a subject (``whole_templates``), are NaN.
    """
    for keys, part in scores.groupby(KEYS, sort=False):
        templates, groups = list(dict.fromkeys(part["template_id"])), sorted(part["group"].unique())
        wide = whole_templates(part, score)
        subjects = list(dict.fromkeys(wide.index.get_level_values("subject")))
        rows = pd.MultiIndex.from_product([templates, subjects], names=["template_id", "subject"])
        values = wide.swaplevel().reindex(index=rows, columns=groups).to_numpy(dtype=float)
        if len(values):
            yield tuple(map(str, keys)), templates, groups, values.reshape(len(templates), len(subjects), len(groups))


def _share_modal_first(values: Floats) -> float:
    """Return the share of a subject's templates that agree with its most common first group, averaged over subjects."""
    shares = []
    for subject in values.transpose(1, 0, 2):
        firsts = np.nanargmax(subject[~np.isnan(subject).all(1)], axis=1)
        shares.append(np.bincount(firsts).max() / len(firsts))
    return float(np.mean(shares)) if shares else float("nan")


def _mean_of_known(values: Floats, axis: int) -> Floats:
    """Return means over known values; NaN where all are missing."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means: Floats = np.where(known, values, 0).sum(axis) / known.sum(axis)
    return means


def _first_places(table: Floats) -> Floats:
    """Return how often each column has its row's highest value; ties share, rows without values are ignored."""
    table = table[~np.isnan(table).all(1)]
    highest = table == np.nanmax(table, axis=1, keepdims=True) if len(table) else np.zeros(table.shape, dtype=bool)
    shares: Floats = (highest / np.maximum(highest.sum(1, keepdims=True), 1)).sum(0)
    return shares
