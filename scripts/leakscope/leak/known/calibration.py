"""Calibration: the error of measured rates against the exact rates of organisms, with an interval.

    error = measured − true rate of the organism;   mean error = mean over organisms

Intervals for other templates are wide, so even a biased instrument can cover the true rate in nearly every interval.
The mean error over organisms is far more precise: texts of different organisms are independent, so its interval is
mean ± t(G − 1) · sd / √G over G clusters. An interval without 0 shows a bias.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from leakscope.files.names import POOLED
from leakscope.leak.measures.leak_rate import KEYS, ROUNDING
from leakscope.statistics.intervals import cluster_interval

# measure → its columns in truth.csv
TRUE = {
    "match_rate": ("true_match_rate_organism", "true_match_rate_error"),
    "leak_rate": ("true_rate_organism", "true_rate_error"),
}
COLUMNS = [
    "measure",
    "prompt_set",
    "scorer",
    "category",
    "n_organisms",
    "n_seeds",
    "mean_error",
    "ci_low",
    "ci_high",
    "n_intervals",
    "inside",
    "largest_error_share",
]


def calibration(
    measured: Mapping[str, pd.DataFrame], truth: pd.DataFrame, seeds: Mapping[str, int], level: float = 0.95
) -> pd.DataFrame:
    """Return the error of each measure by prompt set, scorer and category, and pooled (``all`` in every key).

    n_organisms  organisms with a known measured rate and a known true rate
    n_seeds      their distinct seeds. Organisms with the same seed share random numbers, hence errors: they form one
                 cluster; a single cluster gives no interval
    mean_error   in points, with ``ci_low, ci_high``
    inside       share, 0 to 1, of the ``n_intervals`` measured intervals that contain the true rate
    largest_error_share  largest standard error of a true rate from drawing, as a share of the width of its measured
                 interval; should be below .1

    The pooled row uses each organism's mean error over the rows ``all`` of prompt sets and scorers, but all intervals.

    Args:
        measured: measure (``TRUE``) → ``KEYS``, a column of that name, ``ci_low, ci_high``.
        truth: ``KEYS`` and the columns of ``TRUE``.
        seeds: organism → the seed of its texts.
        level: of the intervals, 0 to 1.
    """
    rows = []
    for measure, table in measured.items():
        true, error = TRUE[measure]
        cells = table[[*KEYS, measure, "ci_low", "ci_high"]].merge(truth[[*KEYS, true, error]], on=KEYS)
        cells = cells[cells[measure].notna() & cells[true].notna()]
        cells = cells.assign(error=cells[measure] - cells[true], true=cells[true], drawn=cells[error])
        for key, group in cells.groupby(KEYS[1:], sort=False):
            rows.append((measure, *key, *_row(group, group, seeds, level)))
        pooled = cells[cells["category"] == POOLED]
        if len(pooled):
            rows.append((measure, POOLED, POOLED, POOLED, *_row(pooled, cells, seeds, level)))
    return pd.DataFrame(rows, columns=COLUMNS).round(ROUNDING)


def _row(cells: pd.DataFrame, bounded: pd.DataFrame, seeds: Mapping[str, int], level: float) -> tuple[float, ...]:
    """Return a row's values: errors from ``cells``, intervals from ``bounded``."""
    errors = cells.groupby("model", sort=False)["error"].mean()
    seed = errors.index.map(dict(seeds)).to_numpy()
    interval = cluster_interval(errors, seed, level, bounds=(-np.inf, np.inf))
    low, high = (interval.low, interval.high) if interval.n_clusters > 1 else (np.nan, np.nan)
    known = bounded[bounded["ci_low"].notna() & bounded["ci_high"].notna()]
    inside = known["true"].between(known["ci_low"], known["ci_high"]).mean()
    width = (known["ci_high"] - known["ci_low"]).where(lambda width: width > 0)
    share = (known["drawn"] / width).max()
    return (len(errors), interval.n_clusters, interval.mean, low, high, len(known), float(inside), float(share))
