"""Do generator and validator tell right candidates from wrong ones, and does the validator affirm what is generated?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from leakscope.statistics.resampling import Draws, Floats, draw_clusters, estimate, running_totals, weighted_means
from leakscope.validate.paired import ALL, TunedOn, parts_of, questions_of

COLUMNS = ["model", "task", "split", "form", "statistic", "value", "ci_low", "ci_high", "n"]
RANK_COLUMNS = ["question", "cluster", "rank", "n_candidates"]
COMPLETION_COLUMNS = ["question", "cluster", "affirmed"]
ACCURACY_AT = (1, 5)

Statistics = Iterator[tuple[str, Floats, Draws]]
"""Name, value of each draw, the draws."""


def answer_accuracy(
    pairs: pd.DataFrame,
    parts: pd.DataFrame,
    ranks: pd.DataFrame,
    completions: pd.DataFrame,
    tuned_on: TunedOn,
    level: float,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Return ``COLUMNS``, by model, task, split and form; what a model does not have has no row.

        validator_accuracy  share of items with l_V > 0 exactly where the candidate is right
        validator_auc       probability that a right candidate has a higher l_V than a wrong one, ties counting half
        generator_auc       the same of l_G
        yes_no_mass         mean probability of yes and no together after the validator prompt
        accuracy_at_k       share of questions with more than k candidates of which a right one is among the first k
        mrr                 mean reciprocal rank of a question's best right candidate
        consistency         share of questions whose own completion the validator affirms
        consistency_chance  share of items with l_V > 0, right or wrong: the consistency of a validator that says yes as
                            often as this one, whatever is generated

    What counts questions is of the main form alone, and so is ``consistency_chance``. The questions of a part of a
    split are those of which a right candidate is in it. A place among the first k of k candidates is no merit: without
    a question that has more, ``accuracy_at_k`` is NaN and its ``n`` 0. Intervals are of the bootstrap over clusters;
    ``n`` is the number of items, or of questions.

    Args:
        pairs: as ``paired.read_pairs`` returns them.
        parts: as ``paired.read_parts`` returns them.
        ranks: ``model, task`` and ``RANK_COLUMNS``, one row a question; 1 the best rank.
        completions: ``model, task`` and ``COMPLETION_COLUMNS``, one row a question.
        tuned_on: tuned model → the task and the split that it was trained on (see ``paired.parts_of``).
        level: of the intervals, 0 to 1.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Source: consistency, Li et al. 2023 (arXiv 2310.01846).
    """
    rows = []
    for (model, task), of_task in pairs.groupby(["model", "task"], sort=False):
        main = of_task["form"].iloc[0]
        by_question = [table[(table["model"] == model) & (table["task"] == task)] for table in (ranks, completions)]
        for split, of_split in parts_of(of_task, parts, tuned_on):
            for form, items in of_split.groupby("form", sort=False):
                statistics = list(_item_statistics(items, resamples, seed))
                if form == main:
                    of_part = by_question if split == ALL else [questions_of(table, items) for table in by_question]
                    statistics += _question_statistics(of_part[0], of_part[1], items, resamples, seed)
                for name, values, draws in statistics:
                    interval = estimate(values, draws, level)
                    rows.append((model, task, split, form, name, *interval, len(draws.codes)))
    return pd.DataFrame(rows, columns=COLUMNS)


def affirmed_rightly(l_v: ArrayLike, positive: ArrayLike) -> Floats:
    """Return for each item 1 where a validator says yes (log-odds above 0) to a right candidate or no to a wrong one.

    Args:
        l_v: (items,), log-odds of yes against no.
        positive: (items,), whether the candidate is right.
    """
    rightly: Floats = ((np.asarray(l_v, dtype=float) > 0) == np.asarray(positive, dtype=bool)).astype(float)
    return rightly


def roc_auc(scores: ArrayLike, positive: ArrayLike, draws: Draws) -> Floats:
    """Return the area under the ROC curve of each draw, exact with ties, (draws,); NaN where one kind is lacking.

        AUC = Σ_i Σ_j w_i w_j ([s_i > s_j] + ½ [s_i = s_j]) / (Σ_i w_i · Σ_j w_j),  i positive, j negative

    Args:
        scores: (items,).
        positive: (items,).
        draws: of the items.

    Source: the Mann–Whitney statistic, Hanley & McNeil 1982.
    """
    values, right = np.asarray(scores, dtype=float), np.asarray(positive, dtype=bool)
    ups = values[right]
    order = np.argsort(values[~right], kind="stable")
    downs = values[~right][order]
    first, last = (np.searchsorted(downs, ups, side) for side in ("left", "right"))
    parts = []
    for block in draws.blocks():
        weights = block.weights()
        below = running_totals(weights[~right][order])
        won = (weights[right] * (below[first] + below[last])).sum(0) / 2
        with np.errstate(invalid="ignore"):
            parts.append(won / (weights[right].sum(0) * below[-1]))
    return np.concatenate(parts)


def _item_statistics(items: pd.DataFrame, resamples: int, seed: int) -> Statistics:
    draws = draw_clusters(items["cluster"], resamples, seed)
    positive, mass = items["positive"].to_numpy(dtype=bool), items["p_yes_no"].to_numpy(dtype=float)
    yield "validator_accuracy", weighted_means(affirmed_rightly(items["l_v"], positive), draws), draws
    yield "validator_auc", roc_auc(items["l_v"], positive, draws), draws
    yield "generator_auc", roc_auc(items["l_g"], positive, draws), draws
    if not np.isnan(mass).all():
        yield "yes_no_mass", weighted_means(mass, draws), draws


def _question_statistics(
    ranked: pd.DataFrame, completed: pd.DataFrame, items: pd.DataFrame, resamples: int, seed: int
) -> Statistics:
    for k in ACCURACY_AT if len(ranked) else ():
        contested = ranked[ranked["n_candidates"].astype(int) > k]
        draws = draw_clusters(contested["cluster"].str.casefold(), resamples, seed)
        yield f"accuracy_at_{k}", weighted_means(contested["rank"].to_numpy(dtype=float) <= k, draws), draws
    if len(ranked):
        draws = draw_clusters(ranked["cluster"].str.casefold(), resamples, seed)
        yield "mrr", weighted_means(1 / ranked["rank"].to_numpy(dtype=float), draws), draws
    if len(completed):
        draws = draw_clusters(completed["cluster"].str.casefold(), resamples, seed)
        yield "consistency", weighted_means(completed["affirmed"].astype(float), draws), draws
        draws = draw_clusters(items["cluster"], resamples, seed)
        yield "consistency_chance", weighted_means(items["l_v"].to_numpy(dtype=float) > 0, draws), draws
