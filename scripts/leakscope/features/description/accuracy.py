"""How often answers of yes or no are right, whatever the numbers of both."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def balanced_accuracy(answers: ArrayLike, truth: ArrayLike) -> float:
    """Return the mean over both classes of the share that is answered rightly; NaN where one is empty.

    Args:
        answers: (n,), yes or no.
        truth: (n,), what is right.
    """
    said, right = np.asarray(answers, dtype=bool), np.asarray(truth, dtype=bool)
    if right.all() or not right.any():
        return float("nan")
    return float((said[right].mean() + (~said[~right]).mean()) / 2)
