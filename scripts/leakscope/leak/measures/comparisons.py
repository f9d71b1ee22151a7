"""Does one model leak more than another on the same prompts? Paired differences and permutation tests."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.leak.measures.families import OTHER, PRIMARY, Chosen, corrected, in_primary
from leakscope.leak.measures.leak_rate import KEYS, ROUNDING, by_category
from leakscope.leak.measures.match_rate import UNIT, unit_values
from leakscope.statistics.intervals import cluster_strata, intervals_of_totals
from leakscope.statistics.permutations import sign_flip_p, smallest_p

Floats = NDArray[np.float64]

COLUMNS = [
    "measure",
    "prompt_set",
    "scorer",
    "category",
    "model_a",
    "model_b",
    "n_clusters",
    "difference",
    "ci_low",
    "ci_high",
    "effect_size",
    "p_value",
    "p_smallest",
    "family",
    "p_corrected",
    "p_corrected_smallest",
]


def compare_models(
    units: pd.DataFrame,
    pairs: pd.DataFrame,
    level: float = 0.95,
    permutations: int = 2**16,
    seed: int = 0,
    primary: Chosen | None = None,
) -> pd.DataFrame:
    """Compare all pairs of models within each prompt set, scorer and category (and ``all``), by two measures.

    ``match_rate`` is the main measure: units are paired, weighted by their numbers of groups. A unit with different
    numbers of groups in the two models is left out. ``leak_rate`` allows comparison with published numbers: outcomes
    are paired by prompt and sample, against the control without the clause. It can differ between models that leak
    equally, if the clause shifts the texts of one model more.

    Model a is the one that appears first. With paired differences d in percentage points:

        difference   mean d, with the cluster-robust interval
        effect_size  Cohen's h = 2 asin √(rate a) − 2 asin √(rate b): .2 small, .5 medium, .8 large. Unlike mean d / sd,
                     h does not depend on the number of pairs or on how many share a cluster, and is defined where all
                     clusters differ equally; 90 against 98 counts for more than 50 against 58
        p_value      ``sign_flip_p`` of the clusters' sums of d, two-sided
        p_smallest   smallest p_value possible with G clusters: 2/2^G (4 clusters: .125)
        family       ``primary`` or ``other``
        p_corrected  Holm within the primary family, else Benjamini-Yekutieli over the rest of the table
        p_corrected_smallest  smallest p_corrected possible in this design

    Args:
        units: as ``matching.match_units`` returns them.
        pairs: as ``outcomes.compare_pairs`` returns them.
        level: of the intervals, 0 to 1.
        permutations: all sign patterns up to this number, else this number of random patterns.
        seed: of the random patterns.
        primary: the primary family, as in ``families.in_primary``.

    Returns:
        ``COLUMNS``, rounded to 6 digits except p-values; NaN for two models without a common prompt; no row for a
        single model.

    Source: effect size, Cohen 1988 (Statistical Power Analysis, ch. 6).
    """
    rows = {"match_rate": _matches(unit_values(units)), "leak_rate": _outcomes(pairs)}
    tables = [_compare(name, each, level, permutations, seed) for name, each in rows.items()]
    return with_corrected(pd.concat([table for table in tables if len(table)] or tables, ignore_index=True), primary)


def compare_values(values: pd.DataFrame, level: float = 0.95, permutations: int = 2**16, seed: int = 0) -> pd.DataFrame:
    """Compare models as ``compare_models`` does, by match rates only: for data without single texts.

    Args:
        values: as ``match_rate.unit_values`` returns them; at least ``KEYS, unit, cluster, n_groups, match``.
        level: of the intervals, 0 to 1.
        permutations: all sign patterns up to this number, else this number of random patterns.
        seed: of the random patterns.

    Returns:
        ``COLUMNS`` without family and corrected p-values; ``with_corrected`` adds both, to all comparisons at once.
    """
    return _compare("match_rate", _matches(values), level, permutations, seed)


def with_corrected(table: pd.DataFrame, primary: Chosen | None) -> pd.DataFrame:
    """Return comparisons with ``family`` and corrected p-values: ``COLUMNS``.

    Args:
        table: as ``compare_values`` returns it, from one or several calls.
        primary: the primary family, as in ``families.in_primary``.
    """
    if table.empty:
        return pd.DataFrame(columns=COLUMNS)
    inside = in_primary(table, primary)
    table = table.assign(family=np.where(inside, PRIMARY, OTHER))
    for name, p_values in (("p_corrected", "p_value"), ("p_corrected_smallest", "p_smallest")):
        table[name] = corrected(table[p_values].to_numpy(dtype=float), inside)
    return table[COLUMNS]


def _compare(measure: str, rows: pd.DataFrame, level: float, permutations: int, seed: int) -> pd.DataFrame:
    """Return one measure's uncorrected comparisons from rows ``KEYS, cluster, id, value, weight``."""
    found = []
    models = list(rows["model"].unique())
    for keys, family in by_category(rows, KEYS[1:]):
        table = _compare_family(family, models, level, permutations, seed)
        found.append(table.assign(measure=measure, **dict(zip(KEYS[1:], map(str, keys), strict=True))))
    kept = [table for table in found if len(table)]
    return pd.concat(kept, ignore_index=True) if kept else pd.DataFrame()


def _matches(values: pd.DataFrame) -> pd.DataFrame:
    """Return the values that a comparison of match rates pairs: ``KEYS, cluster, id, value, weight``."""
    place = values.groupby(["prompt_set", *UNIT], sort=False, dropna=False).ngroup()
    return values.assign(id=place, value=values["match"], weight=values["n_groups"].astype(float))


def _outcomes(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the values that a comparison of Leak-Rates pairs: ``KEYS, cluster, id, value, weight``.

    A sample's value is its mean outcome over its control texts, as models may differ in the number of these.
    """
    rows = pairs[pairs["control_kind"] == "without"]
    rows = rows.assign(id=rows.groupby(["prompt_set", "prompt_id", "sample"], sort=False).ngroup(), weight=1.0)
    of_sample = ["model", "scorer", "id"]
    value = rows.groupby(of_sample, sort=False)["outcome"].transform("mean")
    return rows.assign(value=value).drop_duplicates(of_sample)


def _compare_family(rows: pd.DataFrame, models: list[str], level: float, permutations: int, seed: int) -> pd.DataFrame:
    """Compare the models of one measure, prompt set, scorer and category."""
    rows = rows.assign(stratum=rows["own_category"].cat.codes)
    outcomes = rows.pivot(index=["cluster", "stratum", "id", "weight"], columns="model", values="value")
    present = [model for model in models if model in outcomes]
    a, b = np.array(list(combinations(range(len(present)), 2)), dtype=int).reshape(-1, 2).T
    cluster, names = pd.factorize(outcomes.index.get_level_values("cluster"))
    values = outcomes[present].to_numpy(dtype=float)
    weight = outcomes.index.get_level_values("weight").to_numpy(dtype=float)
    member = (np.arange(len(names))[:, None] == cluster) * weight
    known = np.isfinite(values).astype(float)
    both = known[:, a] * known[:, b]
    won = [member @ (np.nan_to_num(values)[:, side] * both) for side in (a, b)]
    counts = member @ both
    sums = (won[0] - won[1]).T
    strata = cluster_strata(cluster, outcomes.index.get_level_values("stratum"))
    interval = intervals_of_totals(100 * sums, counts.T, level, (-100.0, 100.0), strata)
    n_clusters = (counts > 0).sum(0)
    p_value = np.where(n_clusters > 0, sign_flip_p(sums, permutations, seed), np.nan)
    with np.errstate(invalid="ignore"):
        h = [2 * np.arcsin(np.sqrt(np.clip(wins.sum(0) / counts.sum(0), 0, 1))) for wins in won]
    return pd.DataFrame(
        {
            "model_a": [present[i] for i in a],
            "model_b": [present[i] for i in b],
            "n_clusters": n_clusters,
            "difference": interval.mean.round(ROUNDING),
            "ci_low": interval.low.round(ROUNDING),
            "ci_high": interval.high.round(ROUNDING),
            "effect_size": (h[0] - h[1]).round(ROUNDING),
            "p_value": p_value,
            "p_smallest": [smallest_p(int(n), permutations) for n in n_clusters],
        }
    )
