"""Coverage of the intervals of the step ``leak``: Leak-Rates, match rates, differences of models, logit leak.

*Pairs.* A template has one control (5 texts) and 5 to 35 test prompts (5 texts each). Pair k of prompt i is won if

    a = μ + u_g + e_gik − c_gk,   u ~ N(0, τ²), c ~ N(0, 0.5²), e ~ N(0, 1)

is above 0.1, tied within ±0.1, lost below −0.1; μ makes the population rate the one wanted. τ = 0.4 spreads the rates
of templates with a standard deviation of 12 points around 70, about what small chat models show.

*Matches.* Text x after concept i is told from text y after concept j of template u if

    D = μ + u_u + s_i + s_j + b_ui + b_uj + e_x + e_y + e_xy > 0

s being what a concept's name does in every template, b in one alone, e texts and pairs of texts; three texts a prompt.
By templates alone the truth is that of the same concepts; for other templates and concepts it is that of all.

*Log-odds.* A template's mean shift is normal, exponential, or lognormal; prompts of a template differ by N(0, 0.3²).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm, t

from coverage_row import Floats, Row
from leakscope.statistics.dyadic import Dyads, dyadic_interval
from leakscope.statistics.intervals import intervals_of_totals, linearised_variance

SAMPLES = 5
LEAST_PROMPTS, MOST_PROMPTS = 5, 35
CONTROL_SD, TIE = 0.5, 0.1
TEXTS = 3
SDS = TEMPLATE_SD, OWN_SD, TEXT_SD = 0.5, 0.3, 0.7  # of u, b and e; that of e_xy is 1
SPREAD = float(np.sqrt(TEMPLATE_SD**2 + 2 * OWN_SD**2 + 2 * TEXT_SD**2 + 1))
CELLS = 20_000_000  # of a block of studies
INFINITE = (-np.inf, np.inf)


def rows(rng: np.random.Generator, studies: int) -> Iterator[Row]:
    """Yield all rows of the step."""
    row = partial(Row, "leak")
    for n in (4, 10, 24):
        for rate in (50, 70, 90, 98):
            low, high = _pooled(*_pairs(rng, studies, n, rate, 0.4))
            yield row("leak_rate", f"{n} templates, they differ by 12 points", n, rate, low, high, rate > 80)
    for rate in (70, 98):
        totals, counts = _pairs(rng, studies, 10, rate, 0.4)
        for name, limits in (("plain t", _plain_t), ("all pairs independent", _independent)):
            low, high = limits(totals, counts)
            yield row(
                f"leak_rate, {name}", "10 templates, they differ by 12 points", 10, rate, low, high, compared=True
            )
    for n in (10, 24):
        for rate in (90, 98):
            low, high = _pooled(*_pairs(rng, studies, n, rate, 1.0))
            yield row("leak_rate", f"{n} templates, some 30 points lower", n, rate, low, high, at_bound=True)
    yield from _strata(rng, studies, row)
    yield from _differences(rng, studies, row)
    yield from _match_rates(rng, studies, row)
    yield from _pooled_categories(rng, studies, row)
    yield from _logit_leak(rng, studies, row)
    for n in (3, 10, 54):
        errors = rng.normal(0, 2, (studies, n))
        found = intervals_of_totals(errors, np.ones_like(errors), bounds=INFINITE)
        yield row("mean_error", f"{n} seeds of organisms", n, 0, found.low, found.high)


def _population_rate(mu: float, template_sd: float) -> float:
    """Return the share of pairs won (ties count half) over all templates there could be."""
    spread = np.sqrt(1 + CONTROL_SD**2 + template_sd**2)
    return float(norm.cdf((mu - TIE) / spread) + norm.cdf((mu + TIE) / spread)) / 2


def _pairs(rng: np.random.Generator, studies: int, n: int, rate: float, template_sd: float) -> tuple[Floats, Floats]:
    """Return sums of outcomes in percent and numbers of pairs, each (studies, templates)."""
    mu = brentq(lambda x: _population_rate(x, template_sd) - rate / 100, -20, 20)
    n_prompts = rng.integers(LEAST_PROMPTS, MOST_PROMPTS + 1, size=(studies, n))
    template = rng.normal(0, template_sd, (studies, n, 1, 1))
    control = rng.normal(0, CONTROL_SD, (studies, n, 1, SAMPLES))
    advantage = mu + template + rng.normal(size=(studies, n, MOST_PROMPTS, SAMPLES)) - control
    outcomes = np.where(np.abs(advantage) <= TIE, 50.0, np.where(advantage > 0, 100.0, 0.0))
    outcomes *= (np.arange(MOST_PROMPTS) < n_prompts[..., None])[..., None]
    return outcomes.sum((2, 3)), (n_prompts * SAMPLES).astype(float)


def _pooled(totals: Floats, counts: Floats, strata: NDArray[np.intp] | None = None) -> tuple[Floats, Floats]:
    found = intervals_of_totals(totals, counts, strata=strata)
    return found.low, found.high


def _plain_t(totals: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Return mean ± t(G − 1) linearised standard errors, clipped to 0 and 100."""
    n_clusters, n = counts.shape[1], counts.sum(1)
    mean = totals.sum(1) / n
    residuals = (totals - mean[:, None] * counts) / n[:, None]
    half = t.ppf(0.975, n_clusters - 1) * np.sqrt(n_clusters / (n_clusters - 1) * (residuals**2).sum(1))
    return np.maximum(mean - half, 0.0), np.minimum(mean + half, 100.0)


def _independent(totals: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Return the interval of a share that takes all pairs for independent."""
    n = counts.sum(1)
    mean = totals.sum(1) / n
    half = norm.ppf(0.975) * np.sqrt(mean * (100 - mean) / n)
    return mean - half, mean + half


def _strata(rng: np.random.Generator, studies: int, row: partial[Row]) -> Iterator[Row]:
    """Yield ``all`` over three categories that differ by 30 points."""
    for n in (4, 8):
        parts = [_pairs(rng, studies, n, rate, 0.4) for rate in (55, 70, 85)]
        # Numbers of prompts are those of the study: its categories weigh as they do.
        totals, counts = (np.concatenate(values, axis=1) for values in zip(*parts, strict=True))
        counts, totals = np.full_like(counts, 100.0), totals / counts * 100.0
        for strata, said in ((np.repeat(np.arange(3), n), "stratified"), (None, "not stratified")):
            low, high = _pooled(totals, counts, strata)
            design = f"3 categories × {n} templates, {said}"
            yield row("leak_rate, all categories", design, 3 * n, 70, low, high, compared=strata is None)


def _differences(rng: np.random.Generator, studies: int, row: partial[Row]) -> Iterator[Row]:
    """Yield differences of two models, or of Leak-Rate and swapped rate, of 0 and 15 points.

    On the same templates of 4 to 11 concepts; rates are normal with a standard deviation of 12 and a correlation of .3.
    """
    for n in (4, 10, 24):
        for truth in (0.0, 15.0):
            sizes = rng.integers(4, 12, (studies, n)).astype(float)
            common = np.sqrt(0.3) * rng.normal(0, 12, (studies, n))
            a, b = (common + np.sqrt(0.7) * rng.normal(0, 12, (studies, n)) for _ in range(2))
            found = intervals_of_totals((truth + a - b) * sizes, sizes, bounds=(-100.0, 100.0))
            yield row("difference of two rates", f"{n} templates", n, truth, found.low, found.high)


def _match_rates(rng: np.random.Generator, studies: int, row: partial[Row]) -> Iterator[Row]:
    """Yield match rates for other templates, and for other templates and concepts."""
    designs = (
        (4, 11, 0.3, "", False),
        (10, 11, 0.3, "", False),
        (24, 11, 0.3, "", False),
        (10, 8, 0.3, "", False),
        (10, 11, 0.8, ", shift by name", False),
        (24, 11, 0.8, ", shift by name", False),
        (24, 11, 0.5, ", 4 to 11 concepts a template", True),
    )
    for n_templates, n_concepts, concept_sd, said, unequal in designs:
        for rate in (65, 90):
            found, truths = _matched(rng, studies, n_templates, n_concepts, concept_sd, rate / 100, unequal)
            design = f"{n_templates} templates × {n_concepts} concepts{said}"
            of_templates, of_both = found
            # The truth of the templates alone differs by study, with its concepts: limits are taken from it.
            shift = rate - 100 * truths
            at_bound = rate > 80
            name = "match_rate, templates"
            yield row(name, design, n_templates, rate, of_templates[0] + shift, of_templates[1] + shift, at_bound)
            fewest = min(n_templates, n_concepts) if not unequal else n_templates
            yield row("match_rate, templates and concepts", design, fewest, rate, *of_both, at_bound)


def _pooled_categories(rng: np.random.Generator, studies: int, row: partial[Row]) -> Iterator[Row]:
    """Yield ``all`` over three categories of eight templates that differ by 15 points, for templates and concepts."""
    n_templates, n_concepts = 8, 11
    category = np.repeat(np.arange(3), n_templates)
    for own, said in ((False, "the same concepts"), (True, "concepts of their own")):
        mus = [norm.ppf(rate / 100) * np.sqrt(SPREAD**2 + 2 * 0.3**2) for rate in (55, 70, 85)]
        limits = np.empty((2, studies))
        for study in range(studies):
            shift = rng.normal(0, 0.3, (3 if own else 1, n_concepts))
            values = [_wins(rng, mu, shift[[place % len(shift)]], n_templates, SDS)[0] for place, mu in enumerate(mus)]
            groups = np.arange(n_concepts) + own * n_concepts * category[:, None]
            limits[:, study] = _limits_of_all(np.concatenate(values), groups, category)
        design = f"3 categories × {n_templates} templates × {n_concepts} concepts, {said}"
        yield row("match_rate of all, templates and concepts", design, n_concepts, 70, *(100 * limits))


def _limits_of_all(
    values: Floats, groups: NDArray[np.intp], category: NDArray[np.intp]
) -> tuple[float, float]:  # fmt: skip
    """Return the limits for templates and concepts of a study, 0 to 1, stratified by category."""
    n_units, n_concepts = groups.shape
    unit = np.repeat(np.arange(n_units), n_concepts)
    of_group = values.sum(2).reshape(-1) / (n_concepts - 1)
    dyads = Dyads(unit, groups.reshape(-1), of_group, np.arange(n_units))
    totals = dyads.sizes * dyads.means
    alone = intervals_of_totals(100 * totals, dyads.sizes, strata=category)
    variance = float(linearised_variance(totals, dyads.sizes, category))
    return dyadic_interval(dyads, variance, 0.95, (float(alone.low) / 100, float(alone.high) / 100), category[unit])


def _matched(
    rng: np.random.Generator, studies: int, n_templates: int, n_concepts: int, concept_sd: float, rate: float,
    unequal: bool,
) -> tuple[tuple[tuple[Floats, Floats], tuple[Floats, Floats]], Floats]:  # fmt: skip
    """Return both intervals in percent, and each study's rate, 0 to 1, over all templates with its own concepts."""
    mu = norm.ppf(rate) * np.sqrt(SPREAD**2 + 2 * concept_sd**2)
    limits = np.empty((4, studies))
    truths = np.empty(studies)
    step = max(1, CELLS // (n_templates * (n_concepts * TEXTS) ** 2))
    pairs = np.triu_indices(n_concepts, 1)
    for start in range(0, studies, step):
        size = min(step, studies - start)
        shift = rng.normal(0, concept_sd, (size, n_concepts))
        truths[start : start + size] = norm.cdf((mu + shift[:, pairs[0]] + shift[:, pairs[1]]) / SPREAD).mean(1)
        values = _wins(rng, mu, shift, n_templates, SDS)
        for study in range(size):
            there = np.ones((n_templates, n_concepts), dtype=bool)
            if unequal:
                sizes = rng.integers(4, n_concepts + 1, n_templates)
                there = rng.permuted(np.arange(n_concepts) < sizes[:, None], axis=1)
            limits[:, start + study] = _limits(values[study], there)
    limits *= 100
    return ((limits[0], limits[1]), (limits[2], limits[3])), truths


def _wins(
    rng: np.random.Generator, mu: float, shift: Floats, n_templates: int, sds: tuple[float, float, float]
) -> Floats:
    """Return V_u(i, j), (studies, templates, concepts, concepts)."""
    size, n_concepts = shift.shape
    template_sd, own_sd, text_sd = sds
    side = shift[:, None, :] + rng.normal(0, own_sd, (size, n_templates, n_concepts))
    texts = side[..., None] + rng.normal(0, text_sd, (*side.shape, TEXTS))
    flat = texts.reshape(size, n_templates, -1)
    level = mu + rng.normal(0, template_sd, (size, n_templates, 1, 1))
    noise = rng.standard_normal((size, n_templates, flat.shape[-1], flat.shape[-1]), dtype=np.float32)
    won = level + flat[..., :, None] + flat[..., None, :] + noise > 0
    shaped = won.reshape(size, n_templates, n_concepts, TEXTS, n_concepts, TEXTS)
    means: Floats = shaped.mean((3, 5), dtype=np.float64)
    upper = np.triu(means, 1)
    symmetric: Floats = upper + np.swapaxes(upper, 2, 3)
    return symmetric


def _limits(values: Floats, there: NDArray[np.bool_]) -> tuple[float, ...]:
    """Return the limits for templates and for both, 0 to 1, of one study: V_u(i, j) and which concepts a unit has."""
    unit, group = np.nonzero(there)
    of_group = (values * there[:, None, :]).sum(2)[unit, group] / (there.sum(1)[unit] - 1)
    dyads = Dyads(unit, group, of_group, np.arange(len(values)))
    totals = dyads.sizes * dyads.means
    alone = intervals_of_totals(100 * totals, dyads.sizes)
    limits = float(alone.low) / 100, float(alone.high) / 100
    both = dyadic_interval(dyads, float(linearised_variance(totals, dyads.sizes)), 0.95, limits)
    return *limits, *both


def _logit_leak(rng: np.random.Generator, studies: int, row: partial[Row]) -> Iterator[Row]:
    """Yield shifts of log-odds and of probabilities."""
    laws = {
        "normal": (partial(rng.normal, 1.0, 1.0), 1.0),
        "exponential": (partial(rng.exponential, 1.0), 1.0),
        "lognormal, .8": (partial(rng.lognormal, 0.0, 0.8), float(np.exp(0.32))),
    }
    for n in (4, 10, 24):
        for name, (law, truth) in laws.items():
            shifts = law((studies, n))
            counts = rng.integers(LEAST_PROMPTS, MOST_PROMPTS + 1, (studies, n)).astype(float)
            means = shifts + rng.normal(0, 0.3, (studies, n)) / np.sqrt(counts)
            found = intervals_of_totals(means * counts, counts, bounds=INFINITE)
            yield row("log_odds_shift", f"{n} templates, {name}", n, truth, found.low, found.high)
    strata = np.repeat(np.arange(3), 8)
    shifts = np.repeat([0.0, 1.0, 2.0], 8) + rng.exponential(1.0, (studies, 24))
    found = intervals_of_totals(10 * shifts, np.full_like(shifts, 10.0), bounds=INFINITE, strata=strata)
    yield row("log_odds_shift of all", "3 categories × 8 templates, exponential", 24, 2.0, found.low, found.high)
    for n in (4, 10, 24):
        for a, b in ((2.0, 3.0), (0.5, 4.5)):
            means = rng.beta(a, b, (studies, n))
            counts = rng.integers(LEAST_PROMPTS, MOST_PROMPTS + 1, (studies, n)).astype(float)
            found = intervals_of_totals(means * counts, counts, bounds=INFINITE)
            design = f"{n} templates, beta({a:g}, {b:g})"
            yield row("probability_shift", design, n, a / (a + b), found.low, found.high, at_bound=a < 1)
