"""Do intervals of the step ``features`` hold what they are of? Rows of the table of ``benchmarks/coverage.py``.

A study has few items, or few targets of a benchmark with 25 pairs each; the truth is that of very many, or known.

* Gaps: mass · tanh(a / 2), averaged over six templates, with log-odds a in which group, item and template have a part;
  or |gap| by a Gamma law whose coefficient of variation is that of SmolLM2's gaps of gender (.85).
* Benchmarks: of each pair three sentences with normal log-probabilities. By how much the stereotype's exceeds the
  other's, and both the unrelated one's, is the target's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from coverage_row import Floats, Row
from leakscope.features.bias.scores import BiasScore, icat_interval
from leakscope.features.interventions.choosing import difference_interval, gap_interval
from leakscope.statistics.intervals import Intervals, intervals_of_totals

LEVEL = 0.95
MANY = 100_000  # groups or targets of which the truth is the mean
TEMPLATES, TEMPLATE_SD = 6, 0.3
PAIRS = 25
SHAPE, MEAN_GAP = 0.85**-2, 0.05  # of the Gamma law
NATS = (-np.inf, np.inf)


class Gaps(NamedTuple):
    """A law of gaps: mean of the log-odds, their standard deviations over groups and over a group's items."""

    name: str
    lean: float
    of_group: float
    of_item: float = 0.0
    n_items: int = 1


class Benchmark(NamedTuple):
    """By how much the stereotype is likelier, and the unrelated sentence less likely, and the sd over targets."""

    name: str
    lean: float
    margin: float
    of_target: float = 0.7
    fair: bool = False


GAPS = [
    Gaps("gaps to either side", 0.0, 1.5),
    Gaps("gaps near 0", 0.0, 0.1),
    Gaps("large gaps to one side", 2.0, 1.0),
    Gaps("3 items to a group", 0.0, 1.0, 1.0, 3),
]
BENCHMARKS = [
    Benchmark("fair", 0.0, 1.8, fair=True),
    Benchmark("fair, sense always likelier", 0.0, 5.0, fair=True),
    Benchmark("stereotype score 70", 0.8, 1.8),
    Benchmark("stereotype score 80", 1.28, 1.8),
]
NEAR_BOUND = "gaps near 0"


def rows(rng: np.random.Generator, studies: int) -> Iterator[Row]:
    """Yield the rows of the step.

    Args:
        rng: of all draws.
        studies: simulated for each row.
    """
    for n in (5, 10, 30):
        for law in GAPS:
            yield _of_gaps(law, n, rng, studies)
        skewed = rng.gamma(SHAPE, MEAN_GAP / SHAPE, size=(studies, n))
        yield _gap_row(skewed, np.arange(n), MEAN_GAP, f"{n} items, as of SmolLM2", at_bound=True)
        yield _of_differences(n, rng, studies)
        for model in BENCHMARKS:
            yield from _of_benchmark(model, n, rng, studies)


def _of_gaps(law: Gaps, n: int, rng: np.random.Generator, studies: int) -> Row:
    truth = float(np.abs(_gaps(law, MANY, rng)).mean())
    gaps = _gaps(law, studies * n, rng).reshape(studies, n * law.n_items)
    groups = np.repeat(np.arange(n), law.n_items)
    units = "groups" if law.n_items > 1 else "items"
    return _gap_row(gaps, groups, truth, f"{n} {units}, {law.name}", at_bound=law.name == NEAR_BOUND)


def _gap_row(gaps: Floats, groups: np.ndarray, truth: float, design: str, *, at_bound: bool) -> Row:
    found = [gap_interval(values, groups, LEVEL) for values in gaps]
    low, high = (np.array([getattr(one, side) for one in found]) for side in ("low", "high"))
    return Row("features", "mean_abs_gap", design, len(set(groups)), truth, low, high, at_bound)


def _of_differences(n: int, rng: np.random.Generator, studies: int) -> Row:
    """Return the row of an edit that leaves half of each gap, against one that leaves a fifth; both with noise."""
    law = GAPS[0]
    both = [_two_edits(_gaps(law, size, rng), rng) for size in (MANY, studies * n)]
    truth = float((np.abs(both[0][1]) - np.abs(both[0][0])).mean())
    mine, others = (gaps.reshape(studies, n) for gaps in both[1])
    found = [difference_interval(a, b, np.arange(n), LEVEL) for a, b in zip(mine, others, strict=True)]
    low, high = (np.array([getattr(one, side) for one in found]) for side in ("low", "high"))
    return Row("features", "less_than_difference", f"{n} items, {law.name}", n, truth, low, high)


def _two_edits(gaps: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    noise = rng.normal(scale=0.05, size=(2, *gaps.shape))
    return 0.5 * gaps + noise[0], 0.2 * gaps + noise[1]


def _gaps(law: Gaps, n_groups: int, rng: np.random.Generator) -> Floats:
    """Return the gaps of all items, (groups, items)."""
    parts = ((n_groups, 1, 1), law.of_group), ((n_groups, law.n_items, 1), law.of_item)
    log_odds = law.lean + sum(sd * rng.normal(size=size) for size, sd in parts)
    log_odds = log_odds + TEMPLATE_SD * rng.normal(size=(n_groups, law.n_items, TEMPLATES))
    gaps: Floats = (rng.beta(8, 2, size=log_odds.shape) * np.tanh(log_odds / 2)).mean(-1)
    return gaps


def _of_benchmark(model: Benchmark, n: int, rng: np.random.Generator, studies: int) -> Iterator[Row]:
    """Yield the rows of the scores and of the mean difference."""
    score, related, nats = (values.mean().item() for values in _targets(model, MANY, rng))
    if model.fair:
        score, nats = 50.0, 0.0
    drawn = [values.reshape(studies, n) for values in _targets(model, studies * n, rng)]
    of_score, of_related = (intervals_of_totals(values, np.ones(n), LEVEL) for values in drawn[:2])
    icat = icat_interval(BiasScore(*of_score[:3]), BiasScore(*of_related[:3]))
    design = f"{n} targets, {model.name}"
    yield _benchmark_row("stereotype_score", design, n, score, of_score)
    yield _benchmark_row("language_modelling_score", design, n, related, of_related, at_bound=related > 95)
    truth = related * min(score, 100 - score) / 50
    yield Row("features", "icat", design, n, truth, np.asarray(icat.low), np.asarray(icat.high), model.fair)
    of_nats = intervals_of_totals(drawn[2] * PAIRS, np.full(n, PAIRS), LEVEL, NATS)
    yield _benchmark_row("mean_difference", design, n, nats, of_nats)


def _benchmark_row(
    statistic: str, design: str, n: int, truth: float, found: Intervals, *, at_bound: bool = False
) -> Row:
    return Row("features", statistic, design, n, truth, found.low, found.high, at_bound)


def _targets(model: Benchmark, n: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Return each target's stereotype score and language modelling score, in percent, and mean difference in nats."""
    lean = model.lean + model.of_target * rng.normal(size=(n, 1))
    margin = model.margin + 0.5 * model.of_target * rng.normal(size=(n, 1))
    stereotype, anti, unrelated = rng.normal(size=(3, n, PAIRS))
    stereotype, anti, unrelated = stereotype + lean / 2, anti - lean / 2, unrelated - margin
    won = (stereotype > unrelated).astype(float) + (anti > unrelated)
    return 100 * (stereotype > anti).mean(1), 50 * won.mean(1), (stereotype - anti).mean(1)
