"""Kendall's tau between counts, models and prevalence, with the baseline of a ranking that ignores the subject."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from leakscope.counting.units import MENTIONS
from leakscope.ground.agreement.ceiling import ceiling_tau
from leakscope.ground.agreement.joined import align, in_common, scores_of
from leakscope.ground.agreement.kendall_tau import (
    centred,
    log_counts,
    log_prevalence,
    mean_over_subjects,
    others_mean,
    share_tied,
    tau_b,
)
from leakscope.ground.agreement.whole import FEWEST_GROUPS
from leakscope.ground.imported import SCORES

COUNTS_MODEL, MODEL_PREVALENCE, COUNTS_PREVALENCE = "counts-model", "model-prevalence", "counts-prevalence"
KEYS = ["model", "axis", "comparison", "language"]
TAUS = ["tau", "baseline_tau", "tau_beyond_prior"]
QUARTILES = ("Q1", "Q2", "Q3", "Q4")
REDRAWS = 100
MOST_OUTLIERS = 20


class Axis(NamedTuple):
    """Data of an axis: counts and prevalence (None: not known), subjects × groups, and all scores."""

    name: str
    counts: pd.DataFrame
    prevalence: pd.DataFrame | None
    scores: pd.DataFrame


def taus_by_subject(axis: Axis, score: str) -> pd.DataFrame:
    """Return every subject's taus: ``model, axis, comparison, language, subject, n_groups, total_count, quartile, …``.

    ``baseline_tau`` compares the reference (counts or prevalence) with the groups' mean counts over all other subjects,
    over the same groups. ``tau_beyond_prior`` compares both sides after double centring, counts as log(count + ½),
    prevalence as its log. ``quartile`` is by the subject's total count, Q4 the most frequent. A subject has no taus and
    is excluded from the centring if all its groups are tied on one side, or if fewer than two groups (``n_groups``)
    have values on both sides.

    Args:
        axis: data of the axis.
        score: score by which models rank.
    """
    frames = [_compare(axis, *comparison) for comparison in _comparisons(axis, score)]
    return pd.concat(frames, ignore_index=True)


def kendall_table(by_subject: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return the mean taus over subjects with intervals, one row per model, axis, comparison and language.

    ``n_subjects`` have a tau, ``n_undefined`` have only ties on one side, ``n_lost`` have fewer than two groups with
    values on both sides; these are all common subjects.

    Args:
        by_subject: from ``taus_by_subject``.
        level: nominal coverage of the intervals.
    """
    rows = []
    for keys, part in by_subject.groupby(KEYS, sort=False, dropna=False):
        raw, beyond = (mean_over_subjects(part[name], level) for name in ("tau", "tau_beyond_prior"))
        lost = int((part["n_groups"] < FEWEST_GROUPS).sum())
        rows.append((*keys, raw.n, *raw[:3], part["baseline_tau"].mean(), *beyond[:3], len(part) - raw.n - lost, lost))
    named = ["n_subjects", "tau", "ci_low", "ci_high", "baseline_tau", "tau_beyond_prior"]
    return pd.DataFrame(rows, columns=[*KEYS, *named, "beyond_ci_low", "beyond_ci_high", "n_undefined", "n_lost"])


def expected_rows(axis: Axis, score: str) -> pd.DataFrame:
    """Return the keys of all rows of ``kendall_table``, including comparisons without common subjects."""
    return pd.DataFrame([[keys[key] for key in KEYS] for keys, *_ in _comparisons(axis, score)], columns=KEYS)


def noise_and_ties(axis: Axis, score: str, unit: str) -> pd.DataFrame:
    """Return ``model, axis, comparison, language, ceiling_tau, share_tied``, one row for counts ↔ each model.

    ``ceiling_tau`` is the noise ceiling of the compared counts (``ceiling.ceiling_tau``); NaN for mentions, whose noise
    is unknown because a document may have several. ``share_tied`` is the share of pairs of groups with equal scores.

    Args:
        axis: data of the axis.
        score: score by which models rank.
        unit: unit of the counts; ``imported`` counts are treated as documents.
    """
    rows = []
    for model, language, scores in score_tables(axis, score):
        counts, ranked = align(axis.counts, scores)
        known = counts.where(ranked.notna())
        ceiling = np.nan if unit == MENTIONS else ceiling_tau(known, REDRAWS)
        rows.append((model, axis.name, COUNTS_MODEL, language, ceiling, share_tied(ranked)))
    return pd.DataFrame(rows, columns=[*KEYS, "ceiling_tau", "share_tied"])


def kendall_by_score(axis: Axis, level: float) -> pd.DataFrame:
    """Return ``kendall_table`` for every available score, with the column ``score``."""
    frames = []
    for score in SCORES:
        has = axis.scores[score].notna().groupby([axis.scores["model"], axis.scores["language"]]).transform("any")
        known = axis.scores[has]
        if len(known):
            by_subject = taus_by_subject(axis._replace(scores=known), score)
            by_subject = by_subject[by_subject["comparison"] != COUNTS_PREVALENCE]
            frames.append(kendall_table(by_subject, level).assign(score=score))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*KEYS, "score"])


def kendall_by_quartile(by_subject: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return ``kendall_table`` of counts ↔ model by quartile of the subjects' total counts (``quartile``)."""
    rows = by_subject[by_subject["comparison"] == COUNTS_MODEL]
    frames = [
        kendall_table(part, level).assign(quartile=quartile)
        for quartile, part in rows.groupby("quartile", sort=True, observed=True)
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*KEYS, "quartile"])


def outliers(by_subject: pd.DataFrame) -> pd.DataFrame:
    """Return frequent subjects that models rank unlike their counts, and rare subjects that they rank alike.

    From the most frequent quarter, subjects with a tau below the mean, lowest first; from the rarest quarter, above the
    mean, highest first; at most twenty of each per model, axis and language.
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


def score_tables(axis: Axis, score: str) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield model, language and scores (subjects × groups) of an axis."""
    for (model, language), rows in axis.scores.groupby(["model", "language"], sort=False):
        yield str(model), str(language), scores_of(rows, score)


def _comparisons(axis: Axis, score: str) -> Iterator[tuple[Mapping[str, str], pd.DataFrame, pd.DataFrame, bool]]:
    for model, language, scores in score_tables(axis, score):
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
    """Return the taus of every subject in counts, reference and ranking with a known value in the reference."""
    everywhere = pd.DataFrame(others_mean(axis.counts), index=axis.counts.index, columns=axis.counts.columns)
    named = in_common(axis.counts, everywhere, reference, ranking)
    counts, prior, wanted, ranked = (table[named[2].notna().any(axis=1)] for table in named)
    totals = axis.counts.loc[counts.index].sum(axis=1)
    tau = tau_b(wanted, ranked)
    # The centring would give a subject without a ranking one, and distort those of the others.
    ranks = ~np.isnan(tau)
    known = wanted.notna() & ranked.notna()
    sides = [table.where(known)[ranks] for table in (wanted, ranked)]
    wanted_logs = log_counts(sides[0]) if reference is axis.counts else log_prevalence(sides[0])
    beyond, baseline = np.full(len(tau), np.nan), np.full(len(tau), np.nan)
    beyond[ranks] = tau_b(centred(wanted_logs), centred(log_counts(sides[1]) if counted else sides[1]))
    # The baseline ranks groups by their counts with all other subjects.
    baseline[ranks] = tau_b(wanted.where(known), prior)[ranks]
    return pd.DataFrame(
        {
            **{key: keys[key] for key in KEYS},
            "subject": counts.index,
            "n_groups": known.sum(axis=1).to_numpy(),
            "total_count": totals.to_numpy(),
            "quartile": quartiles(totals),
            "tau": tau,
            "baseline_tau": baseline,
            "tau_beyond_prior": beyond,
        }
    )


def quartiles(totals: pd.Series) -> np.ndarray:
    """Return the quartile of each total, ``Q1`` the smallest; ties are broken by order."""
    if not len(totals):
        return np.array([], dtype=object)
    places = totals.rank(method="first").to_numpy() - 1
    names: np.ndarray = np.array(QUARTILES, dtype=object)
    return np.asarray(names[(places * len(QUARTILES) // len(totals)).astype(int)])
