"""Power of a planned study: the smallest detectable rate, and the number of clusters that a wished rate needs.

``spread`` gives the standard deviation between clusters, ``statistics.power`` the power of the tests.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from math import comb
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from leakscope.files.names import POOLED
from leakscope.leak.measures.spread import CELL, LEAK_RATE, MATCH_RATE, PILOT, STATED
from leakscope.statistics.power import attained_level, clusters_needed, detectable

COLUMNS = [
    *CELL,
    "basis",
    "n_models",
    "n_samples",
    "n_clusters",
    "template_sd",
    "text_sd",
    "sd",
    "n_tests",
    "attained_level",
    "detectable",
    "clusters_needed",
    "sd_difference",
    "n_comparisons",
    "attained_level_difference",
    "detectable_difference",
    "clusters_needed_difference",
]
ROUNDING = 4
FEW = 10  # clusters: with fewer, the estimate of their standard deviation is poor

Row = Mapping[Hashable, Any]


class Settings(NamedTuple):
    """Settings of a plan."""

    power: float  # .5 to 1
    wish: float  # rate to be distinguished from 50, in percent
    level: float  # family-wise α
    permutations: int  # sign patterns of the tests
    n_cells: int = 1  # prompt sets, scorers and categories of the primary family


def plan(spread: pd.DataFrame, samples: Mapping[str, float], n_models: int, settings: Settings) -> pd.DataFrame:
    """Return what a study of ``n_models`` models can detect in each cell, with the wished power.

    The level is that of Holm's first step: α / number of tests. Tests against 50 number one per model and cell of the
    primary family; comparisons, one per pair of models and cell. All cells use this level.

    Args:
        spread: ``CELL``, ``basis``, ``n_clusters`` of the study, and ``SPREAD``.
        samples: prompt set → texts per prompt.
        n_models: of the primary family.
        settings: power, wish, level, permutations and the number of cells.

    Returns:
        ``COLUMNS``; points and rates rounded to ``ROUNDING`` digits:

        sd                 of a cluster's rate, in points: √(τ² + ω²/k)
        sd_difference      of a cluster's difference between two models
        attained_level     largest attainable p-value of the sign-flip test at or below the corrected level; 0: none
        detectable         smallest rate above 50 that is detected; NaN: none
        clusters_needed    for the wished rate; NaN: a million is too few
        detectable_difference, clusters_needed_difference  for two models, and a difference of wish − 50 points
    """
    rows = [_planned(row, samples[row["prompt_set"]], n_models, settings) for row in spread.to_dict("records")]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.round(dict.fromkeys([name for name in COLUMNS if "attained" not in name], ROUNDING))


def in_words(table: pd.DataFrame, settings: Settings) -> list[str]:
    """Return a plan in words, categories pooled, first scorer: one paragraph per prompt set and measure."""
    pooled = table[table["category"] == POOLED].drop_duplicates(["prompt_set", "measure"])
    said = [
        f"{_given(row)} With {_size(row)}, {_seen_in_words(row, settings)}. {_wished(row, settings)}"
        for row in pooled.to_dict("records")
    ]
    if not said:
        return ["This study compares no texts: nothing to plan."]
    few = "" if pooled["n_clusters"].min() >= FEW else f" Fewer than {FEW} are too few to trust an sd."
    return [*said, f"Clusters are templates; those that share a control are one.{few}"]


def _given(row: Row) -> str:
    """Return a row's prompt set, measure, scorer and standard deviations, in words."""
    name = {MATCH_RATE: "match rate", LEAK_RATE: "Leak-Rate"}[row["measure"]]
    basis = {PILOT: "from the results that are there", STATED: "as `plan` assumes"}[row["basis"]]
    of_pair = f", of the difference of two models {row['sd_difference']:.1f}" if row["n_comparisons"] else ""
    sds = f"sd of a cluster {row['sd']:.1f} points{of_pair}, {basis}"
    return f"{row['prompt_set']}, {name} by {row['scorer']} ({sds})."


def _size(row: Row) -> str:
    counts = (row["n_clusters"], "cluster"), (row["n_samples"], "text"), (row["n_models"], "model")
    clusters, texts, models = (f"{n:g} {name}{'s' if n != 1 else ''}" for n, name in counts)
    return f"{clusters}, {texts} a prompt and {models}"


def _seen_in_words(row: Row, settings: Settings) -> str:
    """Return the detectable rates and differences of models, in words."""
    power = f"at a power of {100 * settings.power:g} %"
    if not row["attained_level"] > 0:
        found = f"no rate is told from 50: no p-value is as small as {settings.level / row['n_tests']:.2g}"
    elif np.isnan(row["detectable"]):
        found = f"no rate is told from 50 {power}"
    else:
        found = f"rates of {_up(row['detectable'])} and more are told from 50 {power}"
    if not row["n_comparisons"]:
        return found
    apart = row["detectable_difference"]
    return f"{found}, and {'no' if np.isnan(apart) else 'any'} two models" + (
        "" if np.isnan(apart) else f" that differ by {_up(apart)} points"
    )


def _wished(row: Row, settings: Settings) -> str:
    """Return the number of clusters that the wish needs, in words."""
    rate = f"A rate of {settings.wish:g} takes {_clusters(row['clusters_needed'])}"
    if not row["n_comparisons"]:
        return f"{rate}."
    return f"{rate}, a difference of {settings.wish - 50:g} points {_clusters(row['clusters_needed_difference'])}."


def _clusters(needed: float) -> str:
    return "more than a million clusters" if np.isnan(needed) else f"{needed:,.0f} clusters"


def _up(value: float) -> str:
    """Return a value with one digit, rounded up, so that the stated value is detectable."""
    return f"{np.ceil(10 * value) / 10:.1f}"


def _planned(row: Row, k: float, n_models: int, settings: Settings) -> dict[str, Any]:
    """Return a row of ``plan``."""
    sd, sd_difference = (
        float(np.sqrt(row[f"template_sd{of}"] ** 2 + np.nan_to_num(row[f"text_sd{of}"]) ** 2 / k))
        for of in ("", "_difference")
    )
    n_tests, n_comparisons = (settings.n_cells * n for n in (n_models, comb(n_models, 2)))
    against, between = (
        _seen(spread, row["n_clusters"], n_tests, most, settings)
        for spread, n_tests, most in ((sd, n_tests, 50.0), (sd_difference, n_comparisons, 100.0))
    )
    return {
        **{name: row[name] for name in (*CELL, "basis", "n_clusters", "template_sd", "text_sd")},
        "n_models": n_models,
        "n_samples": k,
        "sd": sd,
        "n_tests": n_tests,
        "attained_level": against[0],
        "detectable": 50 + against[1],
        "clusters_needed": against[2],
        "sd_difference": sd_difference,
        "n_comparisons": n_comparisons,
        "attained_level_difference": between[0],
        "detectable_difference": between[1],
        "clusters_needed_difference": between[2],
    }


def _seen(sd: float, n_clusters: int, n_tests: int, most: float, settings: Settings) -> tuple[float, float, float]:
    """Return the attained level, the detectable difference from 50 or 0 in points, and the clusters needed."""
    if not n_tests:
        return np.nan, np.nan, np.nan
    level, power, permutations = settings.level / n_tests, settings.power, settings.permutations
    return (
        attained_level(level, n_clusters, permutations),
        detectable(sd, n_clusters, level, power, permutations, most),
        clusters_needed(sd, settings.wish - 50, level, power, permutations, most),
    )
