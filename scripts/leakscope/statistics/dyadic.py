"""Intervals for means over pairs of groups that generalise to new clusters *and* new groups.

Every value compares two groups. Values that share a group or a cluster are not independent, and groups are crossed
with clusters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from leakscope.statistics.intervals import cluster_strata

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

NO_VARIANCE = 1e-20  # below it there are only rounding errors
FEWEST_GROUPS = 4  # with fewer the jackknife is uninformative


class Dyads(NamedTuple):
    """Units and the groups compared in them; one row per unit and group."""

    unit: Integers  # (rows,), from 0
    group: Integers  # (rows,), from 0; each once per unit
    value: Floats  # (rows,), mean over the pairs of this group with the unit's other groups
    cluster: Integers  # (units,), from 0

    @property
    def sizes(self) -> Floats:
        """Number of groups of each unit, (units,)."""
        return np.bincount(self.unit, minlength=len(self.cluster)).astype(float)

    @property
    def means(self) -> Floats:
        """Mean of each unit over its pairs, (units,)."""
        totals: Floats = np.bincount(self.unit, weights=self.value, minlength=len(self.cluster)) / self.sizes
        return totals


def dyadic_interval(
    dyads: Dyads,
    cluster_variance: float,
    level: float,
    alone: tuple[float, float] = (np.inf, -np.inf),
    strata: ArrayLike | None = None,
) -> tuple[float, float]:
    """Return the confidence limits, 0 to 1, of the mean over units, each weighted by its number of groups.

    With T clusters, G groups in all, units u with n_u groups and shares w_u = n_u / Σ n:

        θ₋g   the mean over pairs without group g; units with g then have one group less
        V_T   ``cluster_variance``
        V_G   (G − 1)/G Σ_g (θ₋g − mean of θ₋g)²
        V_TG  Σ_u w_u² × the same jackknife within u, over units with three groups or more
        V     max(V_T + V_G − V_TG, V_T, V_G)

    The limits are logit p ± t_d √V / (p (1 − p)) with d = min(T, G) − 1, or ``alone`` where that is wider.

    Args:
        dyads: the values.
        cluster_variance: variance of the mean over new clusters only.
        level: nominal coverage, 0 to 1.
        alone: limits for new clusters only, 0 to 1. They can be wider when a few clusters carry the variance;
            generalising to new groups as well cannot narrow an interval.
        strata: (rows,), of units, as in ``intervals.cluster_interval``: V_G is summed over strata, each with its own
            groups and mean of θ₋g. Strata that share a group are merged.

    Returns:
        NaN for fewer than four groups, a single cluster, a mean of 0 or 1, or no variance; where no unit remains
        without some group; and where units with three groups or more have less than half of the weight, because two
        groups cannot show how much one of them matters.

    Source: jackknife over groups, Efron & Stein 1981; two-way clusters, Cameron, Gelbach & Miller 2011; dyads, Aronow,
        Samii & Assenova 2015.
    """
    sizes, means = dyads.sizes, dyads.means
    groups = np.unique(dyads.group)
    n_clusters = len(np.unique(dyads.cluster))
    mean = float((sizes * means).sum() / sizes.sum()) if len(sizes) else np.nan
    if len(groups) < FEWEST_GROUPS or n_clusters < 2 or not 0 < mean < 1:
        return np.nan, np.nan
    if sizes[sizes >= 3].sum() < sizes.sum() / 2:
        return np.nan, np.nan
    # Twice the sum over a unit's pairs, and the unit's mean without each of its groups.
    whole = sizes * (sizes - 1) * means
    at = dyads.unit
    with np.errstate(divide="ignore", invalid="ignore"):
        without = (whole[at] - 2 * (sizes[at] - 1) * dyads.value) / ((sizes[at] - 1) * (sizes[at] - 2))
    left = np.empty(len(groups))
    for place, group in enumerate(groups):
        rows = dyads.group == group
        changed = np.where(sizes[at[rows]] > 2, (sizes[at[rows]] - 1) * np.nan_to_num(without[rows]), 0.0)
        weight = np.where(sizes[at[rows]] > 2, sizes[at[rows]] - 1, 0.0)
        total = (sizes * means).sum() - (sizes * means)[at[rows]].sum() + changed.sum()
        left[place] = total / n if (n := sizes.sum() - sizes[at[rows]].sum() + weight.sum()) > 0 else np.nan
    if np.isnan(left).any():
        return np.nan, np.nan
    n = len(groups)
    by_group, within = _jackknife_variance(left, _strata_of(dyads, groups, strata)), 0.0
    for unit in np.flatnonzero(sizes >= 3):
        rows = without[at == unit]
        within += (sizes[unit] / sizes.sum()) ** 2 * (len(rows) - 1) / len(rows) * ((rows - rows.mean()) ** 2).sum()
    variance = max(cluster_variance + by_group - within, cluster_variance, by_group)
    if variance < NO_VARIANCE:
        return np.nan, np.nan
    t = float(special.stdtrit(min(n_clusters, n) - 1, 0.5 + level / 2))
    half = t * np.sqrt(variance) / (mean * (1 - mean))
    low, high = special.expit(special.logit(mean) - half), special.expit(special.logit(mean) + half)
    return min(float(low), alone[0]), max(float(high), alone[1])


def _strata_of(dyads: Dyads, groups: Integers, strata: ArrayLike | None) -> Integers:
    """Return the stratum of each group, in the order of ``groups``."""
    if strata is None:
        return np.zeros(len(groups), dtype=np.intp)
    return cluster_strata(np.searchsorted(groups, dyads.group), strata)


def _jackknife_variance(left: Floats, strata: Integers) -> float:
    """Return the jackknife variance, summed over strata: Σ_h (G_h − 1)/G_h Σ_g (θ₋g − mean of θ₋g in h)²."""
    parts = (left[strata == stratum] for stratum in np.unique(strata))
    return float(sum((len(part) - 1) / len(part) * ((part - part.mean()) ** 2).sum() for part in parts))
