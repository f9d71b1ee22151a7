"""Kendall's tau between counts, models and prevalence, beside what a ranking that knows no subject reaches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from leakscope.ground.agreement import centred, log_counts, mean_tau, others_total, redrawn_tau, tau_b
from leakscope.ground.imported import SCORES
from leakscope.ground.joined import align, scores_of

COUNTS_MODEL, MODEL_PREVALENCE, COUNTS_PREVALENCE = "counts-model", "model-prevalence", "counts-prevalence"
KEYS = ["model", "axis", "comparison", "language"]
TAUS = ["tau", "baseline_tau", "tau_beyond_prior"]
QUARTILES = ("Q1", "Q2", "Q3", "Q4")
REDRAWS = 100
MOST_OUTLIERS = 20


class Axis(NamedTuple):
    """What is known of an axis: subjects × groups of counts and (None: not known) prevalence, and all scores."""

    name: str
    counts: pd.DataFrame
    prevalence: pd.DataFrame | None
    scores: pd.DataFrame


def taus_by_subject(axis: Axis, score: str) -> pd.DataFrame:
    """Return every subject's taus: ``model, axis, comparison, language, subject, total_count, quartile, tau, …``.

    ``baseline_tau``: of the groups' total counts over all other subjects, instead of the ranking compared, with the
    reference (the counts, or the prevalence). ``tau_beyond_prior``: of both sides after double centring, counts and
    prevalence as log(value + ½). ``quartile`` is the subject's, by its total count, Q4 the most frequent.

    Args:
        axis: all that is known of it.
        score: by which models rank.
    """
    frames = [_compare(axis, *comparison) for comparison in _comparisons(axis, score)]
    return pd.concat(frames, ignore_index=True)


def kendall_table(by_subject: pd.DataFrame, level: float, resamples: int) -> pd.DataFrame:
    """Return the mean taus over subjects with their intervals; one row a model, axis, comparison and language.

    Args:
        by_subject: of ``taus_by_subject``.
        level: of the intervals.
        resamples: of the bootstrap over subjects.
    """
    rows = []
    for keys, part in by_subject.groupby(KEYS, sort=False, dropna=False):
        raw, beyond = (mean_tau(part[name], level, resamples) for name in ("tau", "tau_beyond_prior"))
        rows.append((*keys, raw.n, *raw[:3], part["baseline_tau"].mean(), *beyond[:3], len(part) - raw.n))
    named = ["n_subjects", "tau", "ci_low", "ci_high", "baseline_tau", "tau_beyond_prior"]
    return pd.DataFrame(rows, columns=[*KEYS, *named, "beyond_ci_low", "beyond_ci_high", "n_undefined"])


def ceiling(axis: Axis) -> float:
    """Return the tau of the axis's counts with themselves redrawn."""
    return redrawn_tau(axis.counts, REDRAWS)


def kendall_by_score(axis: Axis, level: float, resamples: int) -> pd.DataFrame:
    """Return ``kendall_table`` for every score that is known, with the column ``score``."""
    frames = []
    for score in SCORES:
        known = axis.scores[axis.scores[score].notna()]
        if len(known):
            by_subject = taus_by_subject(axis._replace(scores=known), score)
            by_subject = by_subject[by_subject["comparison"] != COUNTS_PREVALENCE]
            frames.append(kendall_table(by_subject, level, resamples).assign(score=score))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*KEYS, "score"])


def kendall_by_quartile(by_subject: pd.DataFrame, level: float, resamples: int) -> pd.DataFrame:
    """Return counts ↔ model by quartile of the subjects' total counts, with the column ``quartile``."""
    rows = by_subject[by_subject["comparison"] == COUNTS_MODEL]
    frames = [
        kendall_table(part, level, resamples).assign(quartile=quartile)
        for quartile, part in rows.groupby("quartile", sort=True, observed=True)
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*KEYS, "quartile"])


def outliers(by_subject: pd.DataFrame) -> pd.DataFrame:
    """Return the subjects that are frequent and yet ranked unlike their counts, and the rare that are ranked alike.

    Of the most frequent quarter those with a tau below the mean, lowest first, and of the rarest those above it,
    highest first; at most twenty each for a model, axis and language.
    """
    rows = by_subject[(by_subject["comparison"] == COUNTS_MODEL) & by_subject["tau"].notna()]
    frames = []
    for _, part in rows.groupby(["model", "axis", "language"], sort=False):
        mean = part["tau"].mean()
        for case, quartile, ascending in (("many counts, low tau", "Q4", True), ("few counts, high tau", "Q1", False)):
            beyond = part["tau"] < mean if ascending else part["tau"] > mean
            chosen = part[(part["quartile"] == quartile) & beyond]
            chosen = chosen.sort_values("tau", ascending=ascending, kind="stable").head(MOST_OUTLIERS)
            frames.append(chosen.assign(case=case))
    columns = ["model", "axis", "language", "case", "subject", "total_count", "tau"]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def scored(axis: Axis, score: str) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield model, language and scores (subjects × groups) of an axis."""
    for (model, language), rows in axis.scores.groupby(["model", "language"], sort=False):
        yield str(model), str(language), scores_of(rows, score)


def _comparisons(axis: Axis, score: str) -> Iterator[tuple[Mapping[str, str], pd.DataFrame, pd.DataFrame, bool]]:
    for model, language, scores in scored(axis, score):
        keys = {"model": model, "axis": axis.name, "language": language}
        yield {**keys, "comparison": COUNTS_MODEL}, axis.counts, scores, False
        if axis.prevalence is not None:
            yield {**keys, "comparison": MODEL_PREVALENCE}, axis.prevalence, scores, False
    if axis.prevalence is not None:
        keys = {"model": "", "axis": axis.name, "language": ""}
        yield {**keys, "comparison": COUNTS_PREVALENCE}, axis.prevalence, axis.counts, True


def _compare(
    axis: Axis, keys: Mapping[str, str], reference: pd.DataFrame, ranking: pd.DataFrame, counted: bool
) -> pd.DataFrame:
    """Return the taus of every subject that both sides and the counts have."""
    everywhere = pd.DataFrame(others_total(axis.counts), index=axis.counts.index, columns=axis.counts.columns)
    counts, prior, wanted, ranked = align(axis.counts, everywhere, reference, ranking)
    totals = axis.counts.loc[counts.index].sum(axis=1)
    known = ranked.where(wanted.notna())
    beyond = tau_b(centred(log_counts(wanted)), centred(log_counts(known) if counted else known))
    return pd.DataFrame(
        {
            **{key: keys[key] for key in KEYS},
            "subject": counts.index,
            "total_count": totals.to_numpy(),
            "quartile": quartiles(totals),
            "tau": tau_b(wanted, ranked),
            "baseline_tau": tau_b(wanted, prior),
            "tau_beyond_prior": beyond,
        }
    )


def quartiles(totals: pd.Series) -> np.ndarray:
    """Return the quartile of each total, ``Q1`` the smallest; equal totals are told apart by their order."""
    if not len(totals):
        return np.array([], dtype=object)
    places = totals.rank(method="first").to_numpy() - 1
    names: np.ndarray = np.array(QUARTILES, dtype=object)
    return np.asarray(names[(places * len(QUARTILES) // len(totals)).astype(int)])
