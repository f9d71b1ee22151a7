"""Is a judge fit to measure leakage? Verdicts from its answers, and from organisms whose rates are known.

A judge is unfit if it has a position bias, changes its answer when the texts are swapped, hardly ever names a text, or
misses an organism's rate. It is fit if intervals exclude all of these. Otherwise fitness is not shown: too few items,
no organism with a known rate, or none that leaks enough to distinguish a judge from a coin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from leakscope.files.names import POOLED
from leakscope.leak.measures.leak_rate import ROUNDING
from leakscope.leak.rating.vocabulary import FIRST, SECOND, UNPARSABLE
from leakscope.statistics.intervals import cluster_strata, intervals_of_totals

FIT, UNFIT, NOT_SHOWN = "fit", "unfit", "not shown"
CHANCE = 50.0
# In points: how far a rate may be from the known one, and a bias by position from none.
RATE_MARGIN, BIAS_MARGIN = 15.0, 10.0
# In percent: smallest consistency, and smallest share of answers that name a text.
LEAST_CONSISTENT, LEAST_NAMED = 70.0, 50.0
OF_ITEMS = ["model", "prompt_set", "category", "cluster", "weight"]
VERDICT_COLUMNS = [
    *("judge", "judge_model", "question", "prompt_set", "model", "n_items", "n_clusters"),
    *("match_rate", "ci_low", "ci_high", "exact_rate"),
    *("position_bias", "position_bias_low", "position_bias_high"),
    *("consistency", "consistency_low", "consistency_high"),
    *("undecided_rate", "unparsable_rate", "fit", "reason"),
]


class _Percent(NamedTuple):
    """A value in percent with its interval; NaN where there is none."""

    value: float
    low: float
    high: float

    def lies_within(self, middle: float, margin: float) -> bool | None:
        """Return True if the interval lies within a margin around a value, False if outside, None if neither."""
        if self.low >= middle - margin and self.high <= middle + margin:
            return True
        return False if self.low > middle + margin or self.high < middle - margin else None

    def within_reach(self, middle: float, reach: float) -> _Percent:
        """Return the value with its interval clipped to at most ``reach`` from the middle."""
        if np.isnan(reach):
            return self
        low, high = max(self.low, middle - reach), min(self.high, middle + reach)
        return _Percent(self.value, min(low, self.value), max(high, self.value))


class _Behaviour(NamedTuple):
    """A judge's behaviour on the items of one model, or of all."""

    n_items: int
    n_clusters: int
    rate: _Percent
    position_bias: _Percent
    consistency: _Percent
    undecided: float
    unparsable: float


class _Finding(NamedTuple):
    """A reason against a judge, or a property that is not shown."""

    fit: str
    reason: str


def judge_verdicts(
    judged: Mapping[str, pd.DataFrame],
    items: pd.DataFrame,
    known: pd.DataFrame,
    judges: Mapping[str, Mapping[str, str]],
    level: float = 0.95,
) -> pd.DataFrame:
    """Return ``VERDICT_COLUMNS``: one row per judge, prompt set and model, and one for all models pooled (``all``).

    match_rate       100 × weighted mean outcome of items; an item's outcome is the mean over its orders. For the
                     question ``leak``: how often the concept's own text is named
    exact_rate       for an organism: rate of the ideal judge (``judge_truth``)
    position_bias    percent of named texts that were shown first, minus 50
    consistency      among items with a named text in both orders, percent with the same text
    undecided_rate   percent of answers that name no text
    unparsable_rate  percent of answers that could not be parsed, included in ``undecided_rate``
    fit, reason      the verdict; models that are no organisms get that of the organisms in their prompt set

    Intervals are as for match rates: by cluster, with categories as strata. The interval of the bias is by item, since
    orders are drawn per item, as in ``rating/ratings.csv``.

    Args:
        judged: judge → ``judging.JUDGED_COLUMNS``.
        items: the items that were judged, with ``model, prompt_set, category, cluster, weight``.
        known: ``judge_truth.KNOWN_COLUMNS``; empty where no organism's rate is known.
        judges: judge → its ``model`` and ``question``.
        level: of the intervals, 0 to 1.
    """
    rows: list[tuple[object, ...]] = []
    for judge, table in judged.items():
        asked = judges[judge]
        of_items = table.merge(items[["item_id", *OF_ITEMS]], on="item_id")
        for prompt_set, own in of_items.groupby("prompt_set", sort=False):
            exact = known[(known["prompt_set"] == prompt_set) & (known["question"] == asked["question"])]
            of_model = {str(model): _behaviour(rows, level) for model, rows in own.groupby("model", sort=False)}
            rates = dict(exact[["model", "exact_rate"]].dropna().itertuples(index=False, name=None))
            on_organisms = list(_on_organisms(of_model, rates))
            for model, behaviour in {**of_model, POOLED: _behaviour(own, level)}.items():
                rate = rates.get(model, np.nan)
                verdict = _verdict([*_findings(behaviour, rate), *on_organisms])
                key = (judge, asked["model"], asked["question"], prompt_set, model)
                rows.append((*key, *_cells(behaviour, rate), *verdict))
    return pd.DataFrame(rows, columns=VERDICT_COLUMNS).round(ROUNDING)


def _behaviour(answers: pd.DataFrame, level: float) -> _Behaviour:
    is_named = answers["answer"].isin([FIRST, SECOND])
    named = answers[is_named]
    share = _percent(is_named, answers, level)
    first = _percent(named["answer"] == FIRST, named.assign(cluster=named["item_id"]), level)
    by_item = answers.drop_duplicates("item_id").set_index("item_id")
    outcome = answers.groupby("item_id", sort=False)["outcome"].mean()
    of_named = named.groupby("item_id", sort=False)["outcome"].agg(["size", "nunique"])
    twice = of_named[of_named["size"] == 2]
    consistency = _percent(twice["nunique"] == 1, by_item.loc[twice.index], level)
    rate = _percent(outcome, by_item, level, by_item["weight"])
    # Where clusters do not vary, intervals are those of as many coins. But a rate leaves 50 by no more than half of the
    # answers that name a text, and half of them are first but for items of which another text is named when turned.
    return _Behaviour(
        len(by_item),
        by_item["cluster"].nunique(),
        rate.within_reach(CHANCE, share.high / 2),
        _Percent(*(value - CHANCE for value in first.within_reach(CHANCE, (100 - consistency.low) / 2))),
        consistency,
        100 - share.value,
        100 * float((answers["answer"] == UNPARSABLE).mean()),
    )


def _percent(values: pd.Series, of: pd.DataFrame, level: float, weights: pd.Series | None = None) -> _Percent:
    """Return the mean of values from 0 to 1 in percent, with its interval; equal weights if none are given.

    Args:
        values: (n,).
        of: ``category, cluster`` of each, (n,).
        level: of the interval.
        weights: (n,).
    """
    if values.empty:
        return _Percent(np.nan, np.nan, np.nan)
    weight = np.ones(len(values)) if weights is None else weights.to_numpy(dtype=float)
    code = pd.factorize(of["cluster"])[0]
    totals, sizes = (np.bincount(code, each) for each in (100 * values.to_numpy(float) * weight, weight))
    interval = intervals_of_totals(totals, sizes, level, strata=cluster_strata(code, of["category"]))
    return _Percent(float(interval.mean), float(interval.low), float(interval.high))


def _findings(found: _Behaviour, rate: float) -> Iterator[_Finding]:
    """Yield the reasons against a judge by its answers; naming no text is right for a model known not to leak."""
    if found.undecided > 100 - LEAST_NAMED and not found.rate.lies_within(rate, RATE_MARGIN):
        yield _Finding(UNFIT, f"names no text in {found.undecided:.0f} % of answers")
    within = found.position_bias.lies_within(0.0, BIAS_MARGIN)
    if np.isfinite(found.position_bias.value) and not within:
        bias = f"names the text shown first {found.position_bias.value:+.0f} points too often"
        yield _Finding(UNFIT, bias) if within is False else _Finding(NOT_SHOWN, f"too few items: it {bias}, or not")
    consistency = found.consistency
    if np.isnan(consistency.value):
        yield _Finding(NOT_SHOWN, "no item for which it named a text in both orders")
    elif consistency.low <= CHANCE:
        share = f"names the same text in both orders for {consistency.value:.0f} % of items"
        few = consistency.high >= LEAST_CONSISTENT
        yield (
            _Finding(NOT_SHOWN, f"too few items: it {share}, or any") if few else _Finding(UNFIT, f"{share}, as chance")
        )


def _on_organisms(of_model: Mapping[str, _Behaviour], rates: Mapping[str, float]) -> Iterator[_Finding]:
    """Yield the reasons against a judge from organisms whose rates are known."""
    telling = False
    for model, rate in rates.items():
        if model not in of_model:
            continue
        found, within = of_model[model].rate, of_model[model].rate.lies_within(rate, RATE_MARGIN)
        measured = f"{found.value:.0f} on {model}, where {rate:.0f} is right"
        if within is False:
            yield _Finding(UNFIT, f"a rate of {measured}")
        elif within is None:
            yield _Finding(NOT_SHOWN, f"too few items for its rate of {measured}")
        telling = telling or abs(rate - CHANCE) > RATE_MARGIN
    if not telling:
        yield _Finding(NOT_SHOWN, f"no organism whose known rate is more than {RATE_MARGIN:.0f} points from chance")


def _verdict(findings: list[_Finding]) -> _Finding:
    """Return the gravest finding with all its reasons; ``fit`` without findings."""
    for fit in (UNFIT, NOT_SHOWN):
        reasons = [finding.reason for finding in findings if finding.fit == fit]
        if reasons:
            return _Finding(fit, "; ".join(reasons))
    return _Finding(FIT, "")


def _cells(found: _Behaviour, exact: float) -> tuple[object, ...]:
    """Return the cells from ``n_items`` to ``unparsable_rate``."""
    counts = (found.n_items, found.n_clusters)
    estimates = (*found.rate, exact, *found.position_bias, *found.consistency)
    return (*counts, *estimates, found.undecided, found.unparsable)
