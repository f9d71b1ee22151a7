"""One row of the table of coverage: an interval of the library over many simulated studies of one design."""

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
