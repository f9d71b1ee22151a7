"""Match rates of people, judges and scorers on the sampled items, and the agreement between them.

Rates are in percent, with cluster-robust intervals for other templates, as for match rates. Intervals of position bias
are by item, since orders are drawn per item. A cell is a model on a prompt set; with several cells, ``all`` pools their
items.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.files.names import POOLED
from leakscope.leak.measures.leak_rate import ROUNDING
from leakscope.leak.rating.answers import (
    JUDGE,
    PEOPLE,
    PERSON,
    SCORER,
)
from leakscope.leak.rating.vocabulary import CANNOT_TELL, FIRST, SECOND, UNPARSABLE
from leakscope.statistics.intervals import cluster_interval, cluster_strata, intervals_of_totals
from leakscope.statistics.reliability import alpha_interval
from leakscope.statistics.seeding import seeded_hash

Floats = NDArray[np.float64]

KINDS = [PEOPLE, PERSON, JUDGE, SCORER]
ANY = "any"
"""Any two people."""
CELL = ["model", "prompt_set"]
RATE_COLUMNS = [
    *CELL,
    "kind",
    "rater",
    "n_items",
    "n_clusters",
    "match_rate",
    "ci_low",
    "ci_high",
    "n_answers",
    "undecided_rate",
    "unparsable_rate",
    "first_bias",
    "first_bias_ci_low",
    "first_bias_ci_high",
]
AGREEMENT_COLUMNS = [
    *CELL,
    "kind_a",
    "rater_a",
    "kind_b",
    "rater_b",
    "n_items",
    "n_decided",
    "agreement",
    "ci_low",
    "ci_high",
    "alpha",
    "alpha_ci_low",
    "alpha_ci_high",
]


class RatedCell(NamedTuple):
    """A cell's items and the answers to them."""

    key: tuple[str, str]
    items: pd.DataFrame
    answers: pd.DataFrame


def rating_table(items: pd.DataFrame, answers: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return ``RATE_COLUMNS``, one row per cell and rater.

    match_rate      mean outcome of items, weighted as in the match rate of all texts; an item asked in several orders
                    counts with its mean outcome
    undecided_rate  percent of answers ``cannot_tell``; for a scorer, of ties
    unparsable_rate percent of answers that could not be parsed; empty for scorers and people
    first_bias      percent of decided answers that are ``first``, minus 50; empty for raters without an order

    Args:
        items: ``items.ITEM_COLUMNS``.
        answers: ``answers.ANSWER_COLUMNS``, of all raters.
        level: of the intervals, 0 to 1.
    """
    rows = [
        (*cell.key, kind, rater, *_rates(cell.items, given, level, can_be_unparsable=kind == JUDGE))
        for cell in _cells(items, answers)
        for (kind, rater), given in _by_rater(cell.answers)
    ]
    return pd.DataFrame(rows, columns=RATE_COLUMNS).round(ROUNDING)


def agreement_table(items: pd.DataFrame, answers: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return ``AGREEMENT_COLUMNS``, one row per cell and pair of raters, and one row ``any`` for all people together.

    n_items    items that both answered; for all people, that two or more answered
    n_decided  items that both decided
    agreement  percent of decided items with equal answers; for all people, mean over items of the share of equal pairs
    alpha      Krippendorff's alpha, nominal: all items count, "cannot tell" is a category. In half of the items, chosen
               by id, the names of the texts are swapped, so that raters who are always right do not always give the
               same category

    Args:
        items: ``items.ITEM_COLUMNS``.
        answers: ``answers.ANSWER_COLUMNS``, of all raters.
        level: of the intervals, 0 to 1.
    """
    rows: list[tuple[object, ...]] = []
    for cell in _cells(items, answers):
        said = {key: _outcomes(cell.items, given) for key, given in _by_rater(cell.answers)}
        people = [values for (kind, _), values in said.items() if kind == PERSON]
        if len(people) > 1:
            rows.append((*cell.key, *(PERSON, ANY) * 2, *_agreement(cell.items, np.stack(people), level)))
        for one, other in combinations(said, 2):
            if {one[0], other[0]} != {PEOPLE, PERSON}:  # who is part of it
                both = np.stack([said[one], said[other]])
                rows.append((*cell.key, *one, *other, *_agreement(cell.items, both, level)))
    return pd.DataFrame(rows, columns=AGREEMENT_COLUMNS).round(ROUNDING)


def _cells(items: pd.DataFrame, answers: pd.DataFrame) -> Iterator[RatedCell]:
    # Templates of different sets are never one cluster, even with equal names.
    items = items.assign(cluster=items["prompt_set"] + "/" + items["cluster"])
    items = items.assign(stratum=items["prompt_set"] + "/" + items["category"].fillna(""))
    groups = [(key, group) for key, group in items.groupby(CELL, sort=False)]
    pooled = [((POOLED, POOLED), items)] if len(groups) > 1 else []
    for key, group in [*groups, *pooled]:
        yield RatedCell((str(key[0]), str(key[1])), group, answers[answers["item_id"].isin(group["item_id"])])


def _by_rater(answers: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Return pairs of (kind, rater) and answers; kinds in table order, raters in order of first appearance."""
    groups = [
        ((str(kind), str(rater)), given) for (kind, rater), given in answers.groupby(["kind", "rater"], sort=False)
    ]
    return sorted(groups, key=lambda group: KINDS.index(group[0][0]))


def _outcomes(items: pd.DataFrame, given: pd.DataFrame) -> Floats:
    """Return a rater's outcome of each item, (items,): the mean over orders; NaN without answer."""
    by_item = given.groupby("item_id")["outcome"].mean()
    return by_item.reindex(items["item_id"]).to_numpy(dtype=float)


def _rates(items: pd.DataFrame, given: pd.DataFrame, level: float, *, can_be_unparsable: bool) -> tuple[object, ...]:
    """Return one rater's ``RATE_COLUMNS`` from ``n_items`` on."""
    outcome = _outcomes(items, given)
    there = ~np.isnan(outcome)
    known = items[there]
    cluster, _ = pd.factorize(known["cluster"])
    weight = known["weight"].to_numpy(dtype=float)
    totals = np.bincount(cluster, weights=100 * weight * outcome[there])
    strata = cluster_strata(cluster, known["stratum"])
    rate = intervals_of_totals(totals, np.bincount(cluster, weights=weight), level, strata=strata)
    answer = given["answer"]
    undecided, unparsable = 100 * (answer == CANNOT_TELL).mean(), 100 * (answer == UNPARSABLE).mean()
    return (
        *(len(known), known["cluster"].nunique()),
        *(rate.mean.item(), rate.low.item(), rate.high.item()),
        *(len(given), undecided, unparsable if can_be_unparsable else np.nan),
        *_first_bias(given, level),
    )


def _first_bias(given: pd.DataFrame, level: float) -> tuple[float, float, float]:
    decided = given[given["answer"].isin([FIRST, SECOND]) & given["order"].notna()]
    if decided.empty:
        return np.nan, np.nan, np.nan
    share = cluster_interval(100.0 * (decided["answer"] == FIRST).to_numpy(), decided["item_id"].to_numpy(), level)
    return share.mean - 50, share.low - 50, share.high - 50


def _agreement(items: pd.DataFrame, outcome: Floats, level: float) -> tuple[object, ...]:
    """Return ``AGREEMENT_COLUMNS`` from ``n_items`` on.

    Args:
        items: of the cell.
        outcome: (raters, items), two raters or more; NaN where one has no answer.
    """
    clusters = items["cluster"].to_numpy()
    right, wrong = (outcome > 0.5).sum(0), (outcome < 0.5).sum(0)  # NaN is neither
    decided = right + wrong > 1
    n = (right + wrong)[decided]
    same = (right * (right - 1) + wrong * (wrong - 1))[decided] / (n * (n - 1))
    equal = cluster_interval(100 * same, clusters[decided], level)
    turned = np.array([seeded_hash(0, "turned", str(name)) % 2 for name in items["item_id"]], dtype=bool)
    counts = np.column_stack([np.where(turned, wrong, right), np.where(turned, right, wrong), (outcome == 0.5).sum(0)])
    alpha = alpha_interval(counts, clusters, level)
    n_items = int((counts.sum(1) > 1).sum())
    return (n_items, int(decided.sum()), equal.mean, equal.low, equal.high, *alpha)
