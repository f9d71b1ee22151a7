"""Accuracy of generator and validator in discriminating right from wrong candidates, and their consistency."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from leakscope.statistics.intervals import cluster_interval
from leakscope.statistics.jackknife import Deletions, Floats, ValueInterval, means, share_interval
from leakscope.validate.gap import concordance
from leakscope.validate.paired import ALL, TunedOn, new_items, parts_of, questions_of

COLUMNS = ["model", "task", "split", "form", "statistic", "value", "ci_low", "ci_high", "n"]
RANK_COLUMNS = ["question", "cluster", "rank", "n_candidates"]
COMPLETION_COLUMNS = ["question", "cluster", "affirmed"]
ACCURACY_AT = (1, 5)

Statistics = Iterator[tuple[str, ValueInterval, int]]
"""Name, value with its interval, number of items or questions."""


def answer_accuracy(
    pairs: pd.DataFrame,
    parts: pd.DataFrame,
    ranks: pd.DataFrame,
    completions: pd.DataFrame,
    tuned_on: TunedOn,
    level: float,
) -> pd.DataFrame:
    """Return ``COLUMNS`` by model, task, split and form; statistics without data have no row.

        validator_accuracy  share of items with l_V > 0 exactly where the candidate is right
        validator_auc       probability that a right candidate has a higher l_V than a wrong one, ties counting half
        generator_auc       the same for l_G
        yes_no_mass         mean total probability of yes and no after the validator prompt
        accuracy_at_k       share of questions, of those with more than k candidates, with a right one among the first k
        mrr                 mean reciprocal rank of a question's best right candidate
        consistency         share of questions whose own completion the validator affirms
        consistency_chance  share of items with l_V > 0, right or wrong: the consistency of a validator that says yes
                            equally often but ignores the completion

    Statistics over questions and ``consistency_chance`` are for the main form only. A question belongs to a part of a
    split if one of its right candidates does. Without questions with more than k candidates, ``accuracy_at_k`` is NaN
    and its ``n`` 0. Intervals generalise to new items, or new questions, and stay within 0 and 1; ``n`` is the number
    of items, or of questions.

    Args:
        pairs: from ``paired.read_pairs``.
        parts: from ``paired.read_parts``.
        ranks: ``model, task`` and ``RANK_COLUMNS``, one row per question; 1 is the best rank.
        completions: ``model, task`` and ``COMPLETION_COLUMNS``, one row per question.
        tuned_on: tuned model → the task and the split that it was trained on (see ``paired.parts_of``).
        level: nominal coverage of the intervals, 0 to 1.

    Source: consistency, Li et al. 2023 (arXiv 2310.01846).
    """
    rows = []
    for (model, task), of_task in pairs.groupby(["model", "task"], sort=False):
        main = of_task["form"].iloc[0]
        by_question = [table[(table["model"] == model) & (table["task"] == task)] for table in (ranks, completions)]
        for split, of_split in parts_of(of_task, parts, tuned_on):
            for form, items in of_split.groupby("form", sort=False):
                statistics = list(_item_statistics(items, level))
                if form == main:
                    of_part = by_question if split == ALL else [questions_of(table, items) for table in by_question]
                    statistics += _question_statistics(of_part[0], of_part[1], level)
                    if len(of_part[1]):
                        statistics.append(("consistency_chance", _share(items["l_v"] > 0, items, level), len(items)))
                rows += [(model, task, split, form, name, *value, n) for name, value, n in statistics]
    return pd.DataFrame(rows, columns=COLUMNS)


def affirmed_rightly(l_v: ArrayLike, positive: ArrayLike) -> Floats:
    """Return 1 for each item where the validator is correct (log-odds above 0 exactly for right candidates), else 0.

    Args:
        l_v: (items,), log-odds of yes against no.
        positive: (items,), whether the candidate is right.
    """
    rightly: Floats = ((np.asarray(l_v, dtype=float) > 0) == np.asarray(positive, dtype=bool)).astype(float)
    return rightly


def roc_auc(scores: ArrayLike, positive: ArrayLike, deletions: Deletions) -> Floats:
    """Return the area under the ROC curve in each sample, exact with ties, (samples,); NaN without both kinds of items.

        AUC = Σ_i Σ_j ([s_i > s_j] + ½ [s_i = s_j]) / (n₊ n₋),  i of n₊ positive, j of n₋ negative items

    Args:
        scores: (items,).
        positive: (items,).
        deletions: jackknife samples of the items.

    Source: the Mann–Whitney statistic, Hanley & McNeil 1982.
    """
    values, right = np.asarray(scores, dtype=float), np.asarray(positive, dtype=float)
    ups, downs = deletions.totals(np.stack([right, 1 - right], axis=1))
    # The concordance counts each pair twice: 1 if the positive item has the higher score, −1 if the negative one has.
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(0.5 + concordance(values, right, deletions) / (4 * ups * downs))


def _item_statistics(items: pd.DataFrame, level: float) -> Statistics:
    deletions, mass = new_items(items), items["p_yes_no"].to_numpy(dtype=float)
    yield "validator_accuracy", _share(affirmed_rightly(items["l_v"], items["positive"]), items, level), len(items)
    for name, side in (("validator_auc", "l_v"), ("generator_auc", "l_g")):
        areas = roc_auc(items[side], items["positive"], deletions)
        yield name, share_interval(areas, deletions, level), len(items)
    if not np.isnan(mass).all():
        yield "yes_no_mass", _share(mass, items, level), len(items)


def _question_statistics(ranked: pd.DataFrame, completed: pd.DataFrame, level: float) -> Statistics:
    for k in ACCURACY_AT if len(ranked) else ():
        contested = ranked[ranked["n_candidates"].astype(int) > k]
        yield f"accuracy_at_{k}", _by_question(contested["rank"].astype(float) <= k, contested, level), len(contested)
    if len(ranked):
        yield "mrr", _by_question(1 / ranked["rank"].astype(float), ranked, level), len(ranked)
    if len(completed):
        yield "consistency", _by_question(completed["affirmed"], completed, level), len(completed)


def _share(values: ArrayLike, items: pd.DataFrame, level: float) -> ValueInterval:
    """Return the mean of values from 0 to 1, (items,), with an interval for new items."""
    deletions = new_items(items)
    return share_interval(means(values, deletions), deletions, level)


def _by_question(values: ArrayLike, questions: pd.DataFrame, level: float) -> ValueInterval:
    """Return the mean of values from 0 to 1, (questions,), with an interval for new clusters of questions."""
    interval = cluster_interval(values, questions["cluster"].str.casefold(), level, bounds=(0.0, 1.0))
    return ValueInterval(interval.mean, interval.low, interval.high)
