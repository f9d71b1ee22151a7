"""Penalised logistic regression with two classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Weight of the squared-norm penalty: without it, separable classes have no finite optimum.
PENALTY = 1e-2


class Regression(NamedTuple):
    """A logistic regression on standardised columns: log-odds = ((x − mean) / spread) · weights + bias."""

    mean: Floats
    spread: Floats
    weights: Floats
    bias: float

    def says(self, values: Floats) -> Bools:
        """Return whether each row of values (rows, columns) has a predicted probability above 1/2, (rows,)."""
        says_a: Bools = (values - self.mean) / self.spread @ self.weights + self.bias > 0
        return says_a


def fit_logistic(values: Floats, labels: Bools) -> Regression:
    """Return the logistic regression that minimises class-balanced log loss plus an L2 penalty.

    Args:
        values: (rows, columns).
        labels: (rows,), True for members of the class.
    """
    mean, spread = values.mean(0), values.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    standard = (values - mean) / spread
    sign = np.where(labels, 1.0, -1.0)
    weights = np.where(labels, 0.5 / labels.sum(), 0.5 / (~labels).sum())

    def loss(parameters: Floats) -> tuple[float, Floats]:
        margins = sign * (standard @ parameters[:-1] + parameters[-1])
        slopes = -sign * weights * special.expit(-margins)
        gradient = np.append(slopes @ standard + PENALTY * parameters[:-1], slopes.sum())
        value = -weights @ special.log_expit(margins) + PENALTY / 2 * parameters[:-1] @ parameters[:-1]
        return float(value), gradient

    optimum = optimize.minimize(loss, np.zeros(values.shape[1] + 1), jac=True, method="L-BFGS-B")
    return Regression(mean, spread, optimum.x[:-1], float(optimum.x[-1]))
