"""Kendall's tau, centring, the prior and intervals, against scipy and by their properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from leakscope.ground.agreement.ceiling import ceiling_tau
from leakscope.ground.agreement.count_law import draw_means, fit_law
from leakscope.ground.agreement.kendall_tau import (
    centred,
    log_counts,
    mean_over_subjects,
    mean_tau,
    others_mean,
    redrawn_tau,
    tau_b,
)

TABLES = arrays(float, st.tuples(st.integers(1, 5), st.integers(2, 6)), elements=st.integers(0, 4).map(float))


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_tau_is_that_of_scipy_for_every_row(data: st.DataObject) -> None:
    x = data.draw(TABLES)
    y = data.draw(arrays(float, x.shape, elements=st.integers(0, 3).map(float)))
    expected = [stats.kendalltau(a, b).statistic for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(tau_b(x, y), expected, atol=1e-12)


def test_a_missing_value_takes_its_group_out() -> None:
    x, y = [[1.0, 2.0, np.nan, 4.0]], [[3.0, 1.0, 9.0, 5.0]]
    assert tau_b(x, y)[0] == pytest.approx(stats.kendalltau([1, 2, 4], [3, 1, 5]).statistic)


def test_labels_do_not_decide_the_order() -> None:
    counts, scores = np.array([[30.0, 20.0, 10.0]]), np.array([[-1.0, -2.0, -3.0]])
    assert tau_b(counts, scores)[0] == 1
    assert tau_b(counts[:, ::-1], scores)[0] == -1


@given(TABLES.filter(lambda x: x.shape[0] > 1))
@settings(max_examples=50, deadline=None)
def test_centring_takes_off_what_subjects_and_groups_have_alone(x: np.ndarray) -> None:
    shifted = x + np.arange(len(x))[:, None] * 3 - np.arange(x.shape[1]) * 2
    np.testing.assert_allclose(centred(x), centred(shifted), atol=1e-8)
    np.testing.assert_allclose(centred(x), x - x.mean(0) - x.mean(1)[:, None] + x.mean(), atol=1e-8)


def test_centring_of_an_additive_table_with_holes_leaves_nothing() -> None:
    table = np.add.outer([0.0, 2.0, 5.0, 1.0], [1.0, -1.0, 4.0])
    table[0, 1] = table[2, 2] = np.nan
    left = centred(table)
    assert np.nanmax(np.abs(left)) < 1e-8
    assert np.isnan(left).sum() == 2


def test_a_model_of_the_prior_alone_has_nothing_beyond_it() -> None:
    rng = np.random.default_rng(0)
    prior, frequent = 2 * rng.normal(size=5), rng.normal(size=60)
    counts = rng.poisson(np.exp(4 + np.add.outer(frequent, prior) + rng.normal(size=(60, 5))))
    scores = np.add.outer(rng.normal(size=60), prior) + rng.normal(scale=0.1, size=(60, 5))
    raw = mean_over_subjects(tau_b(counts, scores), 0.95)
    beyond = mean_over_subjects(tau_b(centred(log_counts(counts)), centred(scores)), 0.95)
    assert raw.low > 0.2
    assert beyond.low < 0 < beyond.high


def test_the_prior_of_a_subject_leaves_it_out() -> None:
    np.testing.assert_array_equal(others_mean([[1, 2], [10, 20], [100, np.nan]]), [[55, 20], [50.5, 2], [5.5, 11]])


def test_the_mean_has_an_interval_over_subjects_and_counts_what_is_defined() -> None:
    values = np.r_[np.random.default_rng(1).normal(0.1, 0.2, size=80), np.nan]
    mean = mean_over_subjects(values, 0.95)
    half = stats.t.ppf(0.975, 79) * np.nanstd(values, ddof=1) / np.sqrt(80)
    assert mean.n == 80
    assert mean.mean == pytest.approx(np.nanmean(values))
    # Far from the bounds it is nearly that of t, whose degrees are a few less where values are more spread than normal.
    assert (mean.low, mean.high) == pytest.approx((mean.mean - half, mean.mean + half), abs=0.003)
    # Without bounds as well, but for the little that these values are skewed.
    nats = mean_over_subjects(values, 0.95, (-np.inf, np.inf))
    assert (nats.low, nats.high) == pytest.approx((mean.mean - half, mean.mean + half), abs=0.003)


@pytest.mark.parametrize(
    # Exact limits of so many ones of as many, on the scale on which −1 is 0: 2 · .025^(1/n) − 1.
    ("values", "low"),
    [([1.0], -0.95), ([1.0] * 2, -0.6838), ([1.0] * 5, -0.0436)],
)
def test_equal_taus_say_as_little_of_others_as_they_are_few(values: list[float], low: float) -> None:
    mean = mean_over_subjects([*values, np.nan], 0.95)
    assert (mean.mean, mean.high, mean.n) == (1, 1, len(values))
    assert mean.low == pytest.approx(low, abs=1e-4)
    opposed = mean_over_subjects(-np.array(values), 0.95)
    assert (opposed.mean, opposed.low, opposed.high) == (-1, -1, pytest.approx(-low, abs=1e-4))


@pytest.mark.parametrize("values", [[], [np.nan], [0.3], [0.3, 0.3]])
def test_equal_values_without_bounds_have_no_interval(values: list[float]) -> None:
    mean = mean_over_subjects(values, 0.95, (-np.inf, np.inf))
    assert np.isnan([mean.low, mean.high]).all()
    assert mean.n == np.isfinite(values).sum()
    assert mean.mean == pytest.approx(0.3 if mean.n else np.nan, nan_ok=True)


def test_a_group_that_no_other_subject_counts_has_no_prior() -> None:
    np.testing.assert_array_equal(others_mean([[1, 2, np.nan], [10, 20, 30]]), [[10, 20, 30], [1, 2, np.nan]])


def test_a_missing_count_is_redrawn_as_missing() -> None:
    whole = redrawn_tau([[30, 32, 31]] * 40, 400)
    assert redrawn_tau([[30, 32, 31, np.nan]] * 40, 400) == pytest.approx(whole, abs=1e-12)
    assert whole == pytest.approx(0.13, abs=0.02)


def two_corpora(means: np.ndarray, rng: np.random.Generator) -> float:
    """Return the agreement of two corpora of one law, averaged over many such."""
    return float(np.mean([mean_tau(rng.poisson(means), rng.poisson(means)) for _ in range(50)]))


@pytest.mark.parametrize(
    ("mean_count", "shared", "redrawn"), [(3, 0.22, 0.64), (10, 0.43, 0.68), (30, 0.62, 0.76), (100, 0.78, 0.85)]
)
def test_the_ceiling_is_what_two_corpora_of_one_law_share(mean_count: int, shared: float, redrawn: float) -> None:
    rng = np.random.default_rng(mean_count)
    law = np.exp(0.4 * rng.normal(size=(2000, 5)))
    means = mean_count * law / law.mean()
    counts = rng.poisson(means)
    truth = two_corpora(means, rng)
    assert truth == pytest.approx(shared, abs=0.02)
    assert ceiling_tau(counts, 20) == pytest.approx(truth, abs=0.03)
    assert redrawn_tau(counts, 20) == pytest.approx(redrawn, abs=0.02)


def test_the_ceiling_is_of_split_halves_where_the_fitted_law_is_wrong() -> None:
    rng = np.random.default_rng(7)
    spread = np.where(np.arange(1000)[:, None] % 2, 0.1, 0.8)
    means = 30 * np.exp(spread * rng.normal(size=(1000, 5)))
    counts, truth = rng.poisson(means), two_corpora(means, rng)
    by_law = mean_tau(counts, rng.poisson(draw_means(fit_law(counts), counts, rng)))
    assert by_law > truth + 0.1
    assert ceiling_tau(counts, 20) == pytest.approx(truth, abs=0.03)


def test_the_law_behind_counts_is_found_from_them() -> None:
    rng = np.random.default_rng(8)
    shares, levels = np.array([0.5, 0.3, 0.15, 0.05]), 40 * np.exp(rng.normal(size=(1500, 1)))
    means = levels * shares * rng.gamma(4, size=(1500, 4)) / 4
    counts = np.where(rng.random(means.shape) < 0.1, np.nan, rng.poisson(means))
    seen = np.nansum(counts, axis=1) > 0
    counts, means = counts[seen], means[seen]
    law = fit_law(counts)
    np.testing.assert_allclose(law.shares, shares, rtol=0.05)
    assert law.shape == pytest.approx(4, rel=0.15)
    drawn = draw_means(law, counts, rng)
    assert (np.isnan(drawn) == np.isnan(counts)).all()
    # Drawn given the counts, means are as far from these as the true ones are.
    missed, expected = (np.nanmean(np.abs(np.sqrt(x) - np.sqrt(counts))) for x in (drawn, means))
    assert missed == pytest.approx(expected, rel=0.05)


def test_a_group_that_is_missing_here_and_there_does_not_move_the_ceiling() -> None:
    rng = np.random.default_rng(5)
    means = 10 * np.exp(0.8 * rng.normal(size=(1, 5)) + 0.4 * rng.normal(size=(1500, 5)))
    missing = rng.random(means.shape) < 0.2
    first, second = (np.where(missing, np.nan, rng.poisson(means)) for _ in range(2))
    assert ceiling_tau(first, 20) == pytest.approx(mean_tau(first, second), abs=0.03)


def test_the_ceiling_is_near_one_where_counts_are_large_and_apart_and_empty_without_counts() -> None:
    assert ceiling_tau([[1e6, 1e5, 1e4]] * 3, 20) == 1
    assert ceiling_tau([[12, 10, 11]] * 30, 20) < 0.5
    assert np.isnan([ceiling_tau(np.zeros((n, 3)), 5) for n in (0, 4)]).all()
    assert np.isnan(ceiling_tau([[3, np.nan]], 5))
