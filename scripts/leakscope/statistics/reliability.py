"""Agreement between raters: Krippendorff's alpha for nominal values, with a jackknife interval.

Where m_u ≥ 2 raters gave a value to item u, N_uc of them the value c, with n_c = Σ_u N_uc and n = Σ_c n_c:

    agreement  o = Σ_u Σ_c N_uc (N_uc − 1) / (m_u − 1)
    alpha      1 − (n − 1)(n − o) / (n² − Σ_c n_c²)

1: all agree; 0: agreement at chance. Raters may skip items; items with a single rating are ignored. The interval is a
jackknife over clusters.

Source: Krippendorff 2011 (Computing Krippendorff's alpha-reliability); interval, as in ``jackknife``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leakscope.statistics.jackknife import Deletions, ValueInterval, leave_out, t_interval

Floats = NDArray[np.float64]


def alpha_interval(counts: ArrayLike, clusters: ArrayLike, level: float) -> ValueInterval:
    """Return alpha with its confidence limits, within −1 and 1.

    Alpha is NaN where all ratings are equal; the limits are NaN with a single cluster.

    Args:
        counts: N_uc, (items, values), whole numbers.
        clusters: (items,), labels.
        level: nominal coverage, 0 to 1.
    """
    said = np.asarray(counts, dtype=float)
    known = said.sum(1) > 1
    if not known.any():
        return ValueInterval(np.nan, np.nan, np.nan)
    deletions = leave_out(np.asarray(clusters)[known])
    alpha = _alphas(said[known], deletions)
    if deletions.n_clusters < 2:
        return ValueInterval(float(alpha[0]), np.nan, np.nan)
    value, low, high = t_interval(alpha, deletions, level)
    return ValueInterval(value, *np.clip([low, high], -1, 1).tolist())


def _alphas(said: Floats, deletions: Deletions) -> Floats:
    """Return alpha in each jackknife sample, (samples,), from N_uc, (items, values)."""
    agreeing = (said * (said - 1)).sum(1) / (said.sum(1) - 1)
    agreement, *by_value = deletions.totals(np.column_stack([agreeing, said]))
    values = np.stack(by_value)
    n = values.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        alpha: Floats = 1 - (n - 1) * (n - agreement) / (n**2 - (values**2).sum(0))
    return alpha
