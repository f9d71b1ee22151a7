"""The law behind a table of counts, fitted to them: what two corpora of this law have in common is then simulated.

With r_i a subject's level, p_j a group's share, and g_ij what the pair has of its own:

    c_ij ~ Poisson(λ_ij),  λ_ij = r_i p_j g_ij,  g_ij ~ Gamma(k_i, k_i)   (mean 1, variance 1/k_i)

so that given its level a count is negative binomial. Subjects differ in k_i; its law, on a grid, is that of the
greatest likelihood. Levels are integrated out under a flat prior on log r, since a level fitted to its subject's few
groups would take part of their spread. Given the counts, λ_ij has the law Gamma(k_i + c_ij, k_i / (r_i p_j) + 1). A
missing count (NaN) takes no part.

Source: Robbins 1956 (An empirical Bayes approach to statistics); the negative binomial as a mixture of Poisson laws,
Greenwood & Yule 1920; mixing laws of the greatest likelihood, Kiefer & Wolfowitz 1956, by EM, Laird 1978.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]

# Values of a level that its integral is a sum over: so many standard deviations to each side of its own estimate.
NODES = 4 * np.linspace(-1, 1, 41)
# The grid of k: from pairs that are nearly all their own to ones that differ from level and share by 3 %.
LOG_SHAPES = np.linspace(-2, 7, 10)
STEPS, EM_STEPS, SHARE_STEPS, FITTED = 6, 200, 5, 1e-4
LEAST = 1e-9


class CountLaw(NamedTuple):
    """A fitted law.

    shares: (groups,), p, their sum 1.
    levels: (subjects, nodes, shapes), values of r.
    weights: (subjects, nodes, shapes), the probability of each level and shape given the counts.
    """

    shares: Floats
    levels: Floats
    weights: Floats


def fit_law(counts: ArrayLike) -> CountLaw:
    """Return the law of the greatest likelihood; its shapes are exp(``LOG_SHAPES``).

    Args:
        counts: (subjects, groups), whole numbers; every subject has one above 0 at least.
    """
    x = np.asarray(counts, dtype=float)
    known, x = ~np.isnan(x), np.nan_to_num(x)
    shares = x.sum(0) / x.sum()
    for _ in range(STEPS):
        tables = [_likelihood(x, known, shares, shape) for shape in np.exp(LOG_SHAPES)]
        logs, levels = (np.stack(parts, axis=2) for parts in zip(*tables, strict=True))
        prior = _shape_law(special.logsumexp(logs, axis=1))
        weights = special.softmax(logs + np.log(np.maximum(prior, 1e-300)), axis=(1, 2))
        law = CountLaw(shares, levels, weights)
        shares = _shares(x, known, (levels * weights).sum((1, 2)), shares, float(np.exp(prior @ LOG_SHAPES)))
        if np.abs(shares - law.shares).max() < FITTED:
            break
    return law


def draw_means(law: CountLaw, counts: ArrayLike, rng: np.random.Generator) -> Floats:
    """Return λ, (subjects, groups), drawn from its law given the counts; NaN where a count is missing.

    Args:
        law: fitted to these counts.
        counts: (subjects, groups).
        rng: what it is drawn by.
    """
    x, rows = np.asarray(counts, dtype=float), np.arange(len(law.levels))
    weights, levels = (table.reshape(len(rows), -1) for table in (law.weights, law.levels))
    places = (rng.random(len(rows))[:, None] > weights.cumsum(1)).sum(1).clip(max=weights.shape[1] - 1)
    level, shape = levels[rows, places][:, None], np.exp(LOG_SHAPES)[places % len(LOG_SHAPES)][:, None]
    means: Floats = rng.gamma(shape + np.nan_to_num(x)) / (shape / (level * np.maximum(law.shares, LEAST)) + 1)
    return np.where(np.isnan(x), np.nan, means)


def _likelihood(x: Floats, known: NDArray[np.bool_], shares: Floats, shape: float) -> tuple[Floats, Floats]:
    """Return log likelihood times distance for values of each subject's level, and these; both (subjects, nodes)."""
    shares = np.maximum(shares, LEAST)
    own = x.sum(1) / (known * shares).sum(1)
    width = np.sqrt(1 / x.sum(1) + 1 / (shape * known.sum(1)))[:, None]
    levels = own[:, None] * np.exp(NODES * width)
    means = levels[:, None, :] * shares[None, :, None]
    counts = x[:, :, None]
    logs = special.gammaln(counts + shape) - special.gammaln(shape) + counts * np.log(means / (shape + means))
    return np.where(known[:, :, None], logs - shape * np.log1p(means / shape), 0).sum(1) + np.log(width), levels


def _shape_law(logs: Floats) -> Floats:
    """Return the probabilities of the shapes, (shapes,), by EM from subjects' log likelihoods, (subjects, shapes)."""
    likelihood = np.exp(logs - logs.max(axis=1, keepdims=True))
    prior = np.full(logs.shape[1], 1 / logs.shape[1])
    for _ in range(EM_STEPS):
        joint = prior * likelihood
        prior = (joint / joint.sum(1, keepdims=True)).mean(0)
    return prior


def _shares(x: Floats, known: NDArray[np.bool_], levels: Floats, shares: Floats, shape: float) -> Floats:
    """Return the shares that the negative binomial's score equations give at these levels, which follow them.

    With one shape for all: it weighs subjects, and moves no share on average.
    """
    for _ in range(SHARE_STEPS):
        weights = known / (1 + levels[:, None] * shares / shape)
        shares = np.maximum((weights * x).sum(0), LEAST) / np.maximum((weights * levels[:, None]).sum(0), LEAST)
        shares = shares / shares.sum()
        weights = known / (1 + levels[:, None] * shares / shape)
        levels = np.maximum((weights * x).sum(1) / np.maximum((weights * shares).sum(1), LEAST), LEAST)
    return shares
