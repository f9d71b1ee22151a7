"""Rows of the table of coverage for the step validate: how often do its intervals hold what is true of new items?

An item is of a question and a candidate, and each of its two log-odds is

    l = √s_q u_question + √s_c u_candidate + √s_e u_item,   all u ~ N(0, 1),  s_q + s_c + s_e = 1

In each part the u of generator and validator correlate, by ρ_q, ρ_c and ρ_e: in the population of questions and
candidates, over items, their Pearson is r = s_q ρ_q + s_c ρ_c + s_e ρ_e, Spearman's 6/π asin(r/2), Kendall's tau
2/π asin(r). A right candidate's score is δ higher than a wrong one's, and their u correlate by ½, as what a question
adds to one it need not add to the other: the AUC is Φ(δ/√2). A verdict is right where a score is below a bar.
Items are of every question with every candidate, or, as those of hypernymy, of 80 questions with 3 of 20 candidates.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from coverage_row import Row

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from leakscope.statistics.intervals import cluster_interval
from leakscope.statistics.jackknife import Deletions, leave_out, means, share_interval, z_interval
from leakscope.validate.closing import closed_interval
from leakscope.validate.discrimination import roc_auc
from leakscope.validate.gap import STATISTICS, pearson

Floats = NDArray[np.float64]

STEP = "validate"
LEVEL = 0.95
SHARES = (0.3, 0.3, 0.4)  # of question, candidate and item; not those of any model
TRUE_CORRELATION: dict[str, Callable[[float], float]] = {
    "pearson": lambda r: r,
    "spearman": lambda r: 6 / np.pi * np.arcsin(r / 2),
    "kendall": lambda r: 2 / np.pi * np.arcsin(r),
}


class Design(NamedTuple):
    """Which items a study has: numbers of their questions and candidates, (items,), and which are right."""

    name: str
    question: NDArray[np.intp]
    candidate: NDArray[np.intp]
    positive: NDArray[np.bool_]

    @property
    def deletions(self) -> Deletions:
        return leave_out(self.question, self.candidate)

    def scores(self, rng: np.random.Generator, rhos: tuple[float, ...], shares: tuple[float, ...] = SHARES) -> Floats:
        """Return l_G and, correlated with it by each of ``rhos``, one or more others: (1 + others, items)."""
        items = np.arange(len(self.question))
        total = np.zeros((1 + len(rhos), len(items)))
        for share, codes in zip(shares, (self.question, self.candidate, items), strict=True):
            u = rng.normal(size=(1 + len(rhos), codes.max() + 1))
            for other, rho in enumerate(rhos, start=1):
                u[other] = rho * u[0] + np.sqrt(1 - rho**2) * u[other]
            total += np.sqrt(share) * u[:, codes]
        return total


def crossed(n_questions: int, n_candidates: int) -> Design:
    """Every question with every candidate, every other of which is right."""
    question, candidate = (grid.ravel() for grid in np.indices((n_questions, n_candidates)))
    name = f"{n_questions} questions × {n_candidates} candidates"
    return Design(name, question, candidate, (question + candidate) % 2 == 0)


def hypernymy() -> Design:
    """80 questions, each with its own one of 20 candidates, which is right, and with two others."""
    question = np.repeat(np.arange(80), 3)
    candidate = (question + np.tile([0, 7, 12], 80) + np.tile([0, 0, 1], 80) * (question // 20)) % 20
    return Design("80 questions, 3 of 20 candidates each", question, candidate, np.tile([True, False, False], 80))


def rows(rng: np.random.Generator, studies: int) -> Iterator[Row]:
    """Yield what the intervals of each statistic did."""
    small, wide, large, least = (crossed(*sizes) for sizes in ((10, 10), (10, 30), (30, 30), (5, 5)))
    for design in (least, small, wide, large, hypernymy()):
        for r in (0.0, 0.9):
            yield _correlation(rng, studies, design, "pearson", r)
    for statistic in ("spearman", "kendall"):
        yield _correlation(rng, studies, small, statistic, 0.6)
    for design in (least, small, wide, hypernymy()):
        for area in (0.7, 0.97):
            yield _area(rng, studies, design, area)
    for design in (least, small, wide, large, hypernymy()):
        yield _accuracy(rng, studies, design, 0.97)
    yield _accuracy(rng, studies, small, 0.7)
    for design in (small, hypernymy()):
        yield _mass(rng, studies, design)
    for n_clusters, n_questions in ((4, 10), (10, 10), (80, 1)):
        for rate in (0.7, 0.95):
            yield _consistency(rng, studies, n_clusters, n_questions, rate)
    for design, before, after in ((least, 0.5, 0.8), (small, 0.5, 0.8), (small, 0.5, 0.98), (large, 0.5, 0.8)):
        yield _closed(rng, studies, design, before, after)
    yield _closed(rng, studies, hypernymy(), 0.5, 0.4)


def _row(
    statistic: str, design: Design, detail: str, truth: float, limits: list[tuple[float, float]], bound: bool
) -> Row:
    low, high = np.array(limits).T
    of_new = f"{statistic}, questions and candidates"
    return Row(STEP, of_new, f"{design.name}, {detail}", design.deletions.n_clusters, truth, low, high, bound)


def _correlation(rng: np.random.Generator, studies: int, design: Design, statistic: str, r: float) -> Row:
    deletions, limits = design.deletions, []
    for _ in range(studies):
        x, y = design.scores(rng, (r,))
        limits.append(z_interval(STATISTICS[statistic](x, y, deletions), deletions, LEVEL)[1:])
    return _row(statistic, design, f"r = {r:g}", TRUE_CORRELATION[statistic](r), limits, bound=False)


def _area(rng: np.random.Generator, studies: int, design: Design, area: float) -> Row:
    deletions, limits, delta = design.deletions, [], np.sqrt(2) * norm.ppf(area)
    for _ in range(studies):
        right, wrong = design.scores(rng, (0.5,))
        areas = roc_auc(np.where(design.positive, right + delta, wrong), design.positive, deletions)
        limits.append(share_interval(areas, deletions, LEVEL)[1:])
    return _row("validator_auc", design, f"AUC {area:g}", area, limits, bound=area > 0.9)


def _accuracy(rng: np.random.Generator, studies: int, design: Design, rate: float) -> Row:
    deletions, limits = design.deletions, []
    for _ in range(studies):
        right = design.scores(rng, ())[0] < norm.ppf(rate)
        limits.append(share_interval(means(right, deletions), deletions, LEVEL)[1:])
    return _row("validator_accuracy", design, f"rate {rate:g}", rate, limits, bound=rate > 0.9)


def _mass(rng: np.random.Generator, studies: int, design: Design) -> Row:
    """A probability whose logarithm is normal, of median .03, mean .049, cut at 1."""
    deletions, limits = design.deletions, []
    for _ in range(studies):
        mass = np.minimum(0.03 * np.exp(design.scores(rng, ())[0]), 1.0)
        limits.append(share_interval(means(mass, deletions), deletions, LEVEL)[1:])
    above = norm.sf(np.log(1 / 0.03))
    truth = 0.03 * np.exp(0.5) * norm.cdf(np.log(1 / 0.03) - 1) + above
    return _row("yes_no_mass", design, "log-normal", float(truth), limits, bound=True)


def _consistency(rng: np.random.Generator, studies: int, n_clusters: int, n_questions: int, rate: float) -> Row:
    """Questions of one cluster are as alike as items that share a question."""
    limits, clusters = [], np.repeat(np.arange(n_clusters), n_questions)
    for _ in range(studies):
        score = np.sqrt(0.3) * rng.normal(size=n_clusters)[clusters] + np.sqrt(0.7) * rng.normal(size=len(clusters))
        interval = cluster_interval(score < norm.ppf(rate), clusters, LEVEL, (0.0, 1.0))
        limits.append((interval.low, interval.high))
    low, high = np.array(limits).T
    design = f"{n_clusters} clusters, questions in each: {n_questions}, rate {rate:g}"
    return Row(STEP, "consistency, questions", design, n_clusters, rate, low, high, rate > 0.9)


def _closed(rng: np.random.Generator, studies: int, design: Design, before: float, after: float) -> Row:
    deletions, limits = design.deletions, []
    for _ in range(studies):
        x, first, second = design.scores(rng, (before, after))
        r = (pearson(x, y, deletions) for y in (first, second))
        limits.append(closed_interval(*r, deletions, LEVEL)[1:])
    return _row("closed", design, f"r {before:g} to {after:g}", (after - before) / (1 - before), limits, bound=False)
