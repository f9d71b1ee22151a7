"""Agreement between scorers: on single pairs of texts, and on the ranking of models.

Two scorers are independent evidence only if they are built differently: SentenceBERT and BERTScore on one encoder agree
on nine pairs out of ten.
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
    """Return the agreement of each two scorers, by prompt set and category, and over all categories (``all``).

    Computed from the pairs of texts of all models against the control without the clause, d = s(test) − s(control):

        correlation    Pearson correlation of d between the two scorers, −1 to 1; pairs with an empty text have no d
        equal_rate     percent of pairs with the same outcome
        opposite_rate  percent of pairs with outcome 1 by one scorer and 0 by the other; the rest are ties by one scorer
        rank_tau       Kendall's tau-b between the models' rates by the two scorers, −1 to 1

    The correlation is NaN if d is constant for either scorer; tau is NaN with fewer than two models, or if all models
    have the same rate.

    Args:
        pairs: as ``outcomes.compare_pairs`` returns them, of any number of prompt sets and scorers.
        rates: ``model, prompt_set, scorer, category`` and the rate that ranks the models.
        rate: name of the column with that rate.

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
    """Return one row per pair of texts with difference and outcome by every scorer; NaN where a scorer lacks a pair."""
    wide = pairs[[*PAIR, "category"]].drop_duplicates(PAIR)
    difference = pairs["similarity_test"] - pairs["similarity_control"]
    for scorer, part in pairs.assign(difference=difference).groupby("scorer", sort=False):
        own = part[[*PAIR, "difference", "outcome"]]
        wide = wide.merge(
            own.set_axis([*PAIR, f"{scorer}:difference", f"{scorer}:outcome"], axis=1), on=PAIR, how="left"
        )
    return wide


def _of_pairs(part: pd.DataFrame, left: str, right: str) -> tuple[float, ...]:
    """Return the number of pairs, the correlation of differences, and the rates of equal and opposite outcomes."""
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
    """Return the number of models with a rate by both scorers, and Kendall's tau between the two rankings."""
    both = rates.reindex(columns=[left, right]).dropna()
    if len(both) < 2 or (both.nunique() < 2).any():
        return len(both), np.nan
    return len(both), float(kendalltau(both[left], both[right]).statistic)
