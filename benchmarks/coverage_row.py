"""Rows of the tables of coverage: an interval, or a test, of the library over many simulated studies of one design."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Row(NamedTuple):
    """What an interval of the library did in each of the simulated studies of a design."""

    step: str  # leak, ground, validate, features
    statistic: str  # as the tables call it, and what the interval is for: "match_rate, templates and concepts"
    design: str  # what was simulated: "10 templates × 11 concepts, shift by name"
    n_clusters: int  # of the kind of which there are fewest
    truth: float
    low: Floats  # (studies,), NaN where the library gives no interval
    high: Floats  # likewise
    at_bound: bool = False  # near a bound an interval that covers more than 98.5 % is no fault
    compared: bool = False  # an obvious alternative, to compare with: not judged


class TestRow(NamedTuple):
    """What a test of the library said in each of the simulated studies of a design."""

    test: str  # as the tables call it
    truth: str  # what was simulated: "blind models, skewed similarities"
    n_clusters: int
    p_values: Floats  # (studies,)
    attained: float  # the share of p-values of at most .05 if the null hypothesis holds; NaN: it does not
