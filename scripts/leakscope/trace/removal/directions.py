"""Directions in the residual stream along which tests differ from their controls.

Each function takes residuals at the last token, in pairs, and returns orthonormal rows, (directions, hidden).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from leakscope.statistics.logistic import fit_logistic

Floats = NDArray[np.float64]
Directions = Callable[[Floats, Floats, Sequence[str]], Floats]

MOST_DIRECTIONS = 8
LEAST_SHARE = 0.01  # of the largest singular value; smaller ones are noise


def group_differences(tests: Floats, controls: Floats, groups: Sequence[str]) -> Floats:
    """Return a basis of the span of the mean differences of concept groups, largest singular value first.

    Singular values above ``LEAST_SHARE`` of the largest, at most ``MOST_DIRECTIONS``. Without any difference, no row.

    Args:
        tests: (tests, hidden).
        controls: the control of each test, (tests, hidden).
        groups: of each test.
    """
    names = np.asarray(groups)
    means = np.stack([(tests - controls)[names == name].mean(0) for name in dict.fromkeys(groups)])
    return _right_vectors(means)[:MOST_DIRECTIONS]


def principal_direction(tests: Floats, controls: Floats, groups: Sequence[str]) -> Floats:
    """Return the first principal direction of the differences of single prompts, uncentred."""
    del groups
    return _right_vectors(tests - controls)[:1]


def probe_direction(tests: Floats, controls: Floats, groups: Sequence[str]) -> Floats:
    """Return the direction in which a logistic regression distinguishes tests from controls."""
    del groups
    if np.array_equal(tests, controls):
        return np.empty((0, tests.shape[1]))
    labels = np.repeat([True, False], [len(tests), len(controls)])
    probe = fit_logistic(np.concatenate([tests, controls]), labels)
    direction = probe.weights / probe.spread
    unit: Floats = direction[None] / np.linalg.norm(direction)
    return unit


DIRECTIONS: dict[str, Directions] = {
    "difference": group_differences,
    "principal": principal_direction,
    "probe": probe_direction,
}


def _right_vectors(rows: Floats) -> Floats:
    """Return the right singular vectors of rows, with signs such that the projection of the rows' mean is positive."""
    _, sizes, vectors = np.linalg.svd(rows, full_matrices=False)
    kept: Floats = vectors[sizes > LEAST_SHARE * sizes.max(initial=0)]
    return kept * np.where(kept @ rows.mean(0) < 0, -1.0, 1.0)[:, None]
