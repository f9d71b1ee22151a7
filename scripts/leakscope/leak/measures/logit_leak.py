"""The logit leak: the shift that a concept causes in the probability of its associates, exact, without sampling.

For a test prompt t with control c, and A the slot's candidates in the concept's group,

    shift = P(A | t) − P(A | c),    log-odds shift = logit P(A | t) − logit P(A | c),

each P over whole candidates (all their tokens, end included), renormalised over the slot's lexicon.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from leakscope.leak.pairs import tested_rows
from leakscope.statistics.intervals import cluster_interval

ROUNDING = 6
COLUMNS = [
    "model",
    "prompt_set",
    "category",
    "n_prompts",
    "n_clusters",
    "probability_test",
    "probability_control",
    "probability_shift",
    "ci_low",
    "ci_high",
    "log_odds_shift",
    "log_odds_ci_low",
    "log_odds_ci_high",
]


def prompt_shifts(prompts: pd.DataFrame, candidates: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Return one row per model and test prompt: probability (0 to 1) and log-odds (nats) of the associates.

    Args:
        prompts: the prompts table of one set.
        candidates: ``slot, candidate, concept_group``.
        scores: ``model, prompt_id, candidate, logprob`` (nats), any number of models.

    Left out are test prompts without control, without slot, or without an associate in the slot. Clusters are as for
    Leak-Rates.
    """
    tests = tested_rows(prompts)
    tests = tests[(tests["control_kind"] == "without") & tests["slot"].notna()]
    columns = ["prompt_set", "prompt_id", "control_id", "category", "cluster", "slot", "concept_group"]
    pairs = tests[columns].rename(columns={"concept_group": "group"}).merge(candidates, on="slot")
    pairs["associate"] = pairs["concept_group"] == pairs["group"]
    logprob = scores[["model", "prompt_id", "candidate", "logprob"]]
    joined = pairs.merge(logprob, on=["prompt_id", "candidate"]).merge(
        logprob.rename(columns={"prompt_id": "control_id"}),
        on=["model", "control_id", "candidate"],
        suffixes=("_test", "_control"),
    )
    of_prompt = ["model", "prompt_id"]
    joined = joined[joined.groupby(of_prompt)["associate"].transform("nunique") == 2]
    associate, prompt = joined["associate"].to_numpy(dtype=bool), joined.groupby(of_prompt, sort=False).ngroup()
    first = joined.drop_duplicates(of_prompt)
    table = first[["model", "prompt_set", "category", "prompt_id", "cluster"]].copy()
    for kind in ("test", "control"):
        log_odds = _log_odds(joined[f"logprob_{kind}"].to_numpy(), associate, prompt.to_numpy(), len(table))
        table[f"log_odds_{kind}"] = log_odds
        table[f"probability_{kind}"] = 1 / (1 + np.exp(-log_odds))
    return table


def logit_leak(shifts: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return the mean shift by model, prompt set and category (and ``all``) with cluster-robust intervals.

    Probabilities are between 0 and 1, log-odds in nats.
    """
    shifts = shifts.assign(own_category=shifts["category"])
    pooled = pd.concat([shifts[shifts["category"].notna()], shifts.assign(category="all")])
    rows = [
        (*keys, *_summary(group, level))
        for keys, group in pooled.groupby(["model", "prompt_set", "category"], sort=False)
    ]
    return pd.DataFrame(rows, columns=COLUMNS).round(ROUNDING)


def _summary(group: pd.DataFrame, level: float) -> tuple[float, ...]:
    probability = group["probability_test"] - group["probability_control"]
    log_odds = group["log_odds_test"] - group["log_odds_control"]
    clusters, strata = group["cluster"].to_numpy(), group["own_category"].to_numpy()
    # Most templates shift a probability little, some a lot: far from the bounds, and as skewed as log-odds.
    shift, odds = (
        cluster_interval(values.to_numpy(), clusters, level, bounds=(-np.inf, np.inf), strata=strata)
        for values in (probability, log_odds)
    )
    limits = np.clip([shift.low, shift.high], -1.0, 1.0)
    means = group[["probability_test", "probability_control"]].mean()
    return (len(group), shift.n_clusters, *means, shift.mean, *limits, odds.mean, odds.low, odds.high)


def _log_odds(logprob: np.ndarray, associate: np.ndarray, prompt: np.ndarray, n_prompts: int) -> np.ndarray:
    """Return log Σ_A p − log Σ_not A p of each prompt, (prompts,), in log space, so that neither side rounds to 0 or 1.

    Args:
        logprob: of each candidate, nats, (rows,).
        associate: whether the candidate is in A, (rows,).
        prompt: number of the candidate's prompt, (rows,).
        n_prompts: number of prompts.
    """
    total = np.full((2, n_prompts), -np.inf)
    np.logaddexp.at(total, (associate.astype(int), prompt), logprob)
    log_odds: np.ndarray = total[1] - total[0]
    return log_odds
