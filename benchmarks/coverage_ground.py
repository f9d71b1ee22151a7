"""Do intervals of the step ``ground`` hold what they are of? Rows of the table of ``benchmarks/coverage.py``.

A study has few subjects of a law; the truth is the mean over very many of them. Counts are Poisson, their logarithms
those of the subject (sd 1), of the group (−1 to 1, for all subjects alike) and of the pair (sd 1). A model's scores are
what group and pair have, with noise. Intervals are those of ``mean_over_subjects``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from coverage_row import Floats, Row
from leakscope.ground.agreement.kendall_tau import centred, log_counts, mean_over_subjects, tau_b

LEVEL = 0.95
TAU, NATS = (-1.0, 1.0), (-np.inf, np.inf)
MANY = 100_000  # subjects of which the truth is the mean
LOG_COUNT = 4.0

Draw = Callable[[np.random.Generator, int], Floats]  # one value of each of so many subjects


class Tau(NamedTuple):
    """Counts against a model's scores, whose noise has this standard deviation; with two groups each tau is −1 or 1."""

    n_subjects: int
    n_groups: int
    noise: float


TAUS = [
    Tau(5, 2, 1.0), Tau(5, 4, 1.0), Tau(10, 2, 1.0), Tau(10, 4, 1.0), Tau(10, 6, 4.0), Tau(30, 2, 1.0), Tau(30, 6, 1.0),
    Tau(5, 4, 0.05), Tau(10, 2, 0.05), Tau(10, 4, 0.05), Tau(30, 6, 0.05),
]  # fmt: skip
NEAR_ONE = 0.1  # noise
BEYOND = [Tau(5, 4, 1.0), Tau(10, 4, 1.0), Tau(30, 6, 1.0)]
TEMPLATES = 4
DIFFERENCE = 0.5  # nats


def rows(rng: np.random.Generator, studies: int) -> Iterator[Row]:
    """Yield the rows of the step.

    Args:
        rng: of all draws.
        studies: simulated for each row.
    """
    for tau in TAUS:
        near_bound = tau.n_groups == 2 or tau.noise <= NEAR_ONE
        draw = partial(_taus, tau.n_groups, tau.noise)
        yield _row(rng, studies, draw, "tau", _design(tau), tau.n_subjects, TAU, at_bound=near_bound)
    for tau in BEYOND:
        truth = float(_beyond(tau.n_groups, tau.noise, rng, MANY).mean())
        drawn = np.array([_beyond(tau.n_groups, tau.noise, rng, tau.n_subjects) for _ in range(studies)])
        yield _of(drawn, truth, "tau_beyond_prior", _design(tau), TAU)
    for n_subjects in (5, 10, 30):
        design = f"{n_subjects} subjects × 4 groups, {TEMPLATES} templates"
        yield _row(rng, studies, _of_templates, "tau of two templates", design, n_subjects, TAU)
    for n_subjects in (5, 10, 30):
        design = f"{n_subjects} subjects, differences with tails (t of 5)"
        drawn = DIFFERENCE + rng.standard_t(5, size=(studies, n_subjects))
        yield _of(drawn, DIFFERENCE, "difference, nats", design, NATS)


def _row(
    rng: np.random.Generator,
    studies: int,
    draw: Draw,
    statistic: str,
    design: str,
    n_subjects: int,
    bounds: tuple[float, float],
    *,
    at_bound: bool = False,
) -> Row:
    """Return the row of subjects that are independent of each other."""
    truth = float(np.nanmean(draw(rng, MANY)))
    return _of(draw(rng, studies * n_subjects).reshape(studies, n_subjects), truth, statistic, design, bounds, at_bound)


def _of(
    drawn: Floats, truth: float, statistic: str, design: str, bounds: tuple[float, float], at_bound: bool = False
) -> Row:
    """Return the row of values, (studies, subjects)."""
    found = [mean_over_subjects(values, LEVEL, bounds) for values in drawn]
    low, high = (np.array([getattr(one, side) for one in found]) for side in ("low", "high"))
    return Row("ground", statistic, design, drawn.shape[1], truth, low, high, at_bound)


def _design(tau: Tau) -> str:
    agreement = ", nearly equal rankings" if tau.noise <= NEAR_ONE else ", hardly alike" if tau.noise > 1 else ""
    return f"{tau.n_subjects} subjects × {tau.n_groups} groups{agreement}"


def _law(n_groups: int, rng: np.random.Generator, n: int) -> Floats:
    """Return what groups and pairs have of their own, (n, groups), on the scale of logarithms."""
    return np.linspace(-1, 1, n_groups) + rng.normal(size=(n, n_groups))


def _counts(law: Floats, rng: np.random.Generator) -> Floats:
    return rng.poisson(np.exp(LOG_COUNT + rng.normal(size=(len(law), 1)) + law)).astype(float)


def _taus(n_groups: int, noise: float, rng: np.random.Generator, n: int) -> Floats:
    law = _law(n_groups, rng, n)
    return tau_b(_counts(law, rng), law + noise * rng.normal(size=law.shape))


def _beyond(n_groups: int, noise: float, rng: np.random.Generator, n: int) -> Floats:
    """Return taus after double centring, by which subjects of a study hang together."""
    law = _law(n_groups, rng, n)
    scores = law + noise * rng.normal(size=law.shape)
    return tau_b(centred(log_counts(_counts(law, rng))), centred(scores))


def _of_templates(rng: np.random.Generator, n: int) -> Floats:
    """Return each subject's mean tau of two templates, which share the law and differ by their noise."""
    law = _law(4, rng, n)
    scores = [law + rng.normal(size=law.shape) for _ in range(TEMPLATES)]
    pairs = [tau_b(scores[i], scores[j]) for i in range(TEMPLATES) for j in range(i)]
    means: Floats = np.mean(pairs, axis=0)
    return means
