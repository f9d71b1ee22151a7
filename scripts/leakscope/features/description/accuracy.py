"""Balanced accuracy of answers of yes or no."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def balanced_accuracy(answers: ArrayLike, truth: ArrayLike) -> float:
    """Return the mean over both classes of the share of correct answers; NaN if a class is empty.

    Args:
        answers: (n,), yes or no.
        truth: (n,), the correct answers.
    """
    said, right = np.asarray(answers, dtype=bool), np.asarray(truth, dtype=bool)
    if right.all() or not right.any():
        return float("nan")
    return float((said[right].mean() + (~said[~right]).mean()) / 2)
