"""Do scorers agree? Pair by pair, and on which model leaks more.

Two scorers are two witnesses only where they are built differently: SentenceBERT and BERTScore on one encoder say the
same of nine pairs out of ten.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from leakscope.files.names import POOLED
from leakscope.leak.measures.leak_rate import ROUNDING, by_category

PAIR = ["model", "prompt_set", "prompt_id", "sample", "sample_control"]
KEYS = ["prompt_set", "category", "scorer_a", "scorer_b"]
COLUMNS = [*KEYS, "n_pairs", "correlation", "equal_rate", "opposite_rate", "n_models", "rank_tau"]


def scorer_agreement(pairs: pd.DataFrame, rates: pd.DataFrame, rate: str) -> pd.DataFrame:
    """Return how far each two scorers agree, by prompt set and category, and over all categories (``all``).

    Of the pairs of texts of all models, against the control without the clause, with d = s(test) − s(control):

        correlation    Pearson's, of d by one scorer with d by the other, −1 to 1; pairs with an empty text have no d
        equal_rate     percent of pairs with the same outcome
        opposite_rate  percent of pairs of which one scorer says 1, the other 0; the rest is a tie by one of them
        rank_tau       Kendall's tau-b of the models' rates by one scorer with those by the other, −1 to 1

    A correlation is NaN where d is constant by either scorer, a tau where there are fewer than two models, or all have
    one rate.

    Args:
        pairs: as ``outcomes.compare_pairs`` returns them, of any number of prompt sets and scorers.
        rates: ``model, prompt_set, scorer, category`` and a rate, by which models are ranked.
        rate: the name of its column.

    Returns:
        ``COLUMNS``, scorers in the order of the pairs; no row for a single scorer.
    """
    scorers = list(dict.fromkeys(pairs["scorer"]))
    without = pairs[pairs["control_kind"] == "without"]
    rows = []
    for keys, part in by_category(_by_scorer(without, scorers), ["prompt_set", "category"]):
        prompt_set, category = map(str, keys)
        here = _rates_by_scorer(rates, prompt_set, category, rate)
        for left, right in combinations(scorers, 2):
            rows.append((*keys, left, right, *_of_pairs(part, left, right), *_of_models(here, left, right)))
    return pd.DataFrame(rows, columns=COLUMNS).round(ROUNDING)


def _by_scorer(pairs: pd.DataFrame, scorers: list[str]) -> pd.DataFrame:
    """Return a row for each pair of texts, with difference and outcome by every scorer; NaN where one lacks it."""
    wide = pairs[[*PAIR, "category"]].drop_duplicates(PAIR)
    difference = pairs["similarity_test"] - pairs["similarity_control"]
    for scorer, part in pairs.assign(difference=difference).groupby("scorer", sort=False):
        own = part[[*PAIR, "difference", "outcome"]]
        wide = wide.merge(
            own.set_axis([*PAIR, f"{scorer}:difference", f"{scorer}:outcome"], axis=1), on=PAIR, how="left"
        )
    return wide


def _of_pairs(part: pd.DataFrame, left: str, right: str) -> tuple[float, ...]:
    """Return the number of pairs, the correlation of differences, the shares of equal and of opposite outcomes."""
    outcomes = part[[f"{left}:outcome", f"{right}:outcome"]].dropna().to_numpy()
    a, b = part[[f"{left}:difference", f"{right}:difference"]].dropna().to_numpy().T
    gap = np.abs(outcomes[:, 0] - outcomes[:, 1])
    constant = len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0
    correlation = np.nan if constant else float(np.corrcoef(a, b)[0, 1])
    if not len(gap):
        return 0, np.nan, np.nan, np.nan
    return len(gap), correlation, 100 * float((gap == 0).mean()), 100 * float((gap == 1).mean())


def _rates_by_scorer(rates: pd.DataFrame, prompt_set: str, category: str, rate: str) -> pd.DataFrame:
    """Return the rates of one prompt set and category, models × scorers."""
    here = rates[(rates["prompt_set"] == prompt_set) & (rates["category"].fillna(POOLED) == category)]
    return here.pivot(index="model", columns="scorer", values=rate)


def _of_models(rates: pd.DataFrame, left: str, right: str) -> tuple[float, ...]:
    """Return the number of models that have a rate by both scorers, and the tau of the two rankings."""
    both = rates.reindex(columns=[left, right]).dropna()
    if len(both) < 2 or (both.nunique() < 2).any():
        return len(both), np.nan
    return len(both), float(kendalltau(both[left], both[right]).statistic)
