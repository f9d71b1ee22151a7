"""Which of two classes is a row of numbers of? A logistic regression."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Of the squared weights, against a mean loss: separable sides have no largest likelihood.
PENALTY = 1e-2


class Regression(NamedTuple):
    """A logistic regression of standardised values: log-odds = ((x − mean) / spread) · weights + bias."""

    mean: Floats
    spread: Floats
    weights: Floats
    bias: float

    def says(self, values: Floats) -> Bools:
        """Return whether each row, (rows, columns), is more likely of the class than not."""
        says_a: Bools = (values - self.mean) / self.spread @ self.weights + self.bias > 0
        return says_a


def fit_logistic(values: Floats, labels: Bools) -> Regression:
    """Return the logistic regression with the least mean loss, both classes counting alike, plus a penalty.

    Args:
        values: (rows, columns).
        labels: (rows,), the class.
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
