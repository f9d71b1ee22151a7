"""A Poisson–gamma model of a table of counts, fitted by empirical Bayes, to simulate further corpora.

With r_i a subject's level, p_j a group's share, and g_ij the interaction of the pair:

    c_ij ~ Poisson(λ_ij),  λ_ij = r_i p_j g_ij,  g_ij ~ Gamma(k, k)   (mean 1, variance 1/k)

so given the level a count is negative binomial. Levels are integrated out under a flat prior on log r, because a level
estimated from a subject's few groups would absorb part of their spread; k and p are maximum-likelihood estimates. Given
the counts, λ_ij ~ Gamma(k + c_ij, k / (r_i p_j) + 1). Missing counts (NaN) are ignored.

Source: Robbins 1956 (An empirical Bayes approach to statistics); the negative binomial as a mixture of Poisson
distributions, Greenwood & Yule 1920.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

Floats = NDArray[np.float64]

# Integration nodes for a level, in standard deviations from its estimate.
NODES = 4 * np.linspace(-1, 1, 41)
LOG_SHAPES = (-3.0, 9.0)  # range of log k; at k = e^9, pairs deviate from level × share by 1 %
STEPS, SHARE_STEPS, FITTED = 30, 5, 1e-3
LEAST = 1e-9


class CountLaw(NamedTuple):
    """A fitted Poisson–gamma model.

    shape: k; the larger, the weaker the interactions.
    shares: (groups,), p, summing to 1.
    levels: (subjects, nodes), values of r.
    weights: (subjects, nodes), posterior probabilities of the levels.
    """

    shape: float
    shares: Floats
    levels: Floats
    weights: Floats


def fit_law(counts: ArrayLike) -> CountLaw:
    """Return the maximum-likelihood fit.

    Args:
        counts: (subjects, groups), whole numbers; every subject has at least one count above 0.
    """
    x = np.asarray(counts, dtype=float)
    known, x = ~np.isnan(x), np.nan_to_num(x)
    shares, shape, before = x.sum(0) / x.sum(), np.nan, np.nan
    for _ in range(STEPS):
        found = optimize.minimize_scalar(
            lambda log_shape, p=shares: -_levels(x, known, p, np.exp(log_shape))[0].sum(),
            bounds=LOG_SHAPES,
            method="bounded",
        ).x
        shape = float(np.exp(found))
        _, levels, weights = _levels(x, known, shares, shape)
        shares = _shares(x, known, (levels * weights).sum(1), shares, shape)
        if abs(found - before) < FITTED:
            break
        before = found
    _, levels, weights = _levels(x, known, shares, shape)
    return CountLaw(shape, shares, levels, weights)


def draw_means(law: CountLaw, counts: ArrayLike, rng: np.random.Generator) -> Floats:
    """Return a posterior draw of λ, (subjects, groups); NaN where a count is missing.

    Args:
        law: fitted to these counts.
        counts: (subjects, groups).
        rng: random number generator.
    """
    x = np.asarray(counts, dtype=float)
    places = (rng.random(len(x))[:, None] > law.weights.cumsum(1)).sum(1).clip(max=len(NODES) - 1)
    level = np.take_along_axis(law.levels, places[:, None], axis=1)
    means: Floats = rng.gamma(law.shape + np.nan_to_num(x)) / (law.shape / (level * law.shares) + 1)
    return np.where(np.isnan(x), np.nan, means)


def _levels(x: Floats, known: NDArray[np.bool_], shares: Floats, shape: float) -> tuple[Floats, Floats, Floats]:
    """Return each subject's log-likelihood, up to a constant, and the nodes of its level with their probabilities."""
    shares = np.maximum(shares, LEAST)
    own = x.sum(1) / (known * shares).sum(1)
    width = np.sqrt(1 / x.sum(1) + 1 / (shape * known.sum(1)))
    levels = own[:, None] * np.exp(NODES * width[:, None])
    means = levels[:, None, :] * shares[None, :, None]
    counts = x[:, :, None]
    logs = special.gammaln(counts + shape) - special.gammaln(shape) + counts * np.log(means / (shape + means))
    logs = (np.where(known[:, :, None], logs - shape * np.log1p(means / shape), 0)).sum(1)
    return special.logsumexp(logs, axis=1) + np.log(width), levels, special.softmax(logs, axis=1)


def _shares(x: Floats, known: NDArray[np.bool_], levels: Floats, shares: Floats, shape: float) -> Floats:
    """Return the shares from the negative binomial's score equations, alternating with updates of the levels."""
    for _ in range(SHARE_STEPS):
        weights = known / (1 + levels[:, None] * shares / shape)
        shares = np.maximum((weights * x).sum(0), LEAST) / np.maximum((weights * levels[:, None]).sum(0), LEAST)
        shares = shares / shares.sum()
        weights = known / (1 + levels[:, None] * shares / shape)
        levels = np.maximum((weights * x).sum(1) / np.maximum((weights * shares).sum(1), LEAST), LEAST)
    return shares
