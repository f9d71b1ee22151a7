"""How models rank groups: which is first and last, and how far that depends on the template."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from leakscope.ground.agreement import Floats, mean_tau, tau_b

KEYS = ["model", "axis", "language"]
ALL = "all"  # the mean over templates


def first_and_last(scores: pd.DataFrame, score: str) -> pd.DataFrame:
    """Return in how many subjects a group is ranked first and last, by template and for the mean over templates.

    Groups that are equal share a place. One row a model, axis, language, template (``all``: the mean) and group.

    Args:
        scores: ``model, axis, language, template_id, subject, group`` and a column for each score.
        score: by which models rank.
    """
    rows = []
    for keys, templates, groups, values in _cubes(scores, score):
        of_mean = values.mean(0, keepdims=True)
        for template_id, table in zip([ALL, *templates], np.concatenate([of_mean, values]), strict=True):
            for group, first, last in zip(groups, _places(table), _places(-table), strict=True):
                n = len(table)
                rows.append((*keys, template_id, group, first, last, first / n, last / n, n))
    named = ["template_id", "group", "n_first", "n_last", "share_first", "share_last", "n_subjects"]
    return pd.DataFrame(rows, columns=[*KEYS, *named])


def template_variation(scores: pd.DataFrame, score: str, level: float, resamples: int) -> pd.DataFrame:
    """Return how far templates rank alike: one row a model, axis and language.

    ``tau``: of two templates, mean over all pairs of templates and then over subjects, with the bootstrap interval over
    subjects; ``share_modal_first``: of templates that agree with the subject's most common first place.

    Args:
        scores: as in ``first_and_last``.
        score: by which models rank.
        level: of the interval.
        resamples: of the bootstrap.
    """
    rows = []
    for keys, templates, _, values in _cubes(scores, score):
        pairs = [tau_b(values[i], values[j]) for i in range(len(values)) for j in range(i)]
        tau = mean_tau(np.nanmean(pairs, axis=0) if pairs else [], level, resamples)
        firsts = values.argmax(2)
        modal = np.mean([np.bincount(subject).max() for subject in firsts.T]) / len(values)
        rows.append((*keys, len(templates), values.shape[1], *tau[:3], modal))
    named = ["n_templates", "n_subjects", "tau", "ci_low", "ci_high", "share_modal_first"]
    return pd.DataFrame(rows, columns=[*KEYS, *named])


def rank_spread(scores: pd.DataFrame, score: str) -> pd.DataFrame:
    """Return the ranks of every group over templates: one row a model, axis, language, subject and group.

    ``mean_rank`` (1: the highest score), ``rank_sd`` (over templates), ``lowest_rank`` and ``highest_rank``.

    Args:
        scores: as in ``first_and_last``.
        score: by which models rank.
    """
    by = [*KEYS, "template_id", "subject"]
    ranks = scores.groupby(by, sort=False)[score].rank(ascending=False)
    grouped = scores.assign(rank=ranks).groupby([*KEYS, "subject", "group"], sort=False)["rank"]
    named = {"mean_rank": "mean", "rank_sd": "std", "lowest_rank": "min", "highest_rank": "max"}
    table: pd.DataFrame = grouped.agg(**named).reset_index()  # type: ignore[call-overload]
    return table


def logprob_differences(scores: pd.DataFrame, score: str, level: float, resamples: int) -> pd.DataFrame:
    """Return by how much a group's score lies above the mean of all groups, in nats, averaged over subjects.

    Args:
        scores: as in ``first_and_last``.
        score: whose differences.
        level: of the bootstrap interval over subjects.
        resamples: of the bootstrap.
    """
    rows = []
    for keys, _, groups, values in _cubes(scores, score):
        differences = (values - values.mean(2, keepdims=True)).mean(0)
        for group, column in zip(groups, differences.T, strict=True):
            mean = mean_tau(column, level, resamples)
            rows.append((*keys, group, mean.n, *mean[:3]))
    return pd.DataFrame(rows, columns=[*KEYS, "group", "n_subjects", "difference", "ci_low", "ci_high"])


def _cubes(scores: pd.DataFrame, score: str) -> Iterator[tuple[tuple[str, ...], list[str], list[str], Floats]]:
    """Yield keys, templates, groups and values (templates, subjects, groups) of each model, axis and language.

    A subject that lacks a value in some template is left out.
    """
    for keys, part in scores.groupby(KEYS, sort=False):
        templates = list(dict.fromkeys(part["template_id"]))
        wide = part.pivot(index="subject", columns=["template_id", "group"], values=score).dropna()
        groups = sorted(part["group"].unique())
        columns = pd.MultiIndex.from_product([templates, groups])
        values = wide.reindex(columns=columns).to_numpy(dtype=float)
        if len(values):
            yield (
                tuple(map(str, keys)),
                templates,
                groups,
                values.reshape(len(wide), len(templates), len(groups)).transpose(1, 0, 2),
            )


def _places(table: Floats) -> Floats:
    """Return how often each column holds its row's highest value; equal ones share."""
    highest = table == table.max(1, keepdims=True)
    shares: Floats = (highest / highest.sum(1, keepdims=True)).sum(0)
    return shares
