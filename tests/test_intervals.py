"""Intervals of pooled means: worked by hand, against simple formulas, and by their properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from leakscope.statistics.intervals import clopper_pearson, cluster_interval, intervals_of_totals

INFINITE = (-np.inf, np.inf)


def test_interval_of_nothing_is_nan() -> None:
    found = cluster_interval([], [])
    assert np.isnan([found.mean, found.low, found.high]).all()
    assert (found.n, found.n_clusters, found.method) == (0, 0, "none")


def test_mean_is_pooled_over_values_not_over_clusters() -> None:
    found = cluster_interval([0, 100, 100, 100], ["a", "b", "b", "b"])
    assert (found.mean, found.n, found.n_clusters) == (75, 4, 2)


def test_equal_clusters_give_mean_and_t_with_one_degree_less() -> None:
    # cluster means 1, 2, 3: standard deviation 1, standard error 1/√3, and t(2) because kurtosis is 1.5
    found = cluster_interval([1, 1, 2, 2, 3, 3], [0, 0, 1, 1, 2, 2], bounds=INFINITE)
    half = stats.t.ppf(0.975, 2) / np.sqrt(3)
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half))
    assert found.method == "t"


def test_unequal_clusters_give_the_linearised_variance() -> None:
    # Totals 0, 6, 3 of 1, 2, 1 values: mean 9/4; residuals −9/4, 3/2, 3/4 over 4; shares 1/4, 1/2, 1/4.
    # V = (81/16 / (3/4) + 9/4 / (1/2) + 9/16 / (3/4)) / 16 = 12/16; 1/Σw² − 1 = 8/3 − 1 = 5/3, below 2G/(κ − 1)
    found = cluster_interval([0, 3, 3, 3], ["a", "b", "b", "c"], bounds=INFINITE)
    half = stats.t.ppf(0.975, 5 / 3) * np.sqrt(12 / 16)
    assert (found.mean, found.low, found.high) == pytest.approx((9 / 4, 9 / 4 - half, 9 / 4 + half))


def test_one_cluster_that_differs_leaves_few_degrees_of_freedom() -> None:
    # 8 clusters of 0 and one of 9: residuals −1 (eight times) and 8: κ = 9 (8 + 8⁴) / 72² = 7.125, 18/6.125 = 2.939
    found = cluster_interval([0] * 8 + [9], range(9), bounds=INFINITE)
    assert found.high == pytest.approx(1 + stats.t.ppf(0.975, 18 / 6.125))


def test_ten_clusters_with_a_long_side_have_halls_limit_there_and_t_on_the_other() -> None:
    # residuals −1/10 nine times and 9/10: V = .9/.9 = 1, Σ r³ = .72, over .9 · .8: a = 1; κ = 8.111, d = 20/7.111
    found = cluster_interval([0] * 9 + [10], range(10), bounds=INFINITE)
    t = stats.t.ppf(0.975, 2.8125)
    assert found.method == "hall"
    assert found.high == pytest.approx(1 - 3 * (np.cbrt(1 - t - 1 / 6) - 1))
    assert found.low == pytest.approx(1 - t)
    turned = cluster_interval([0] * 9 + [-10], range(10), bounds=INFINITE)
    assert (-turned.high, -turned.low) == pytest.approx((found.low, found.high))


def test_what_strata_differ_by_is_no_variance() -> None:
    # Two strata of three clusters of one value each: 10, 20, 30 and 70, 80, 90: V_h = 100/3 each, V = (100/3) / 2
    values, strata = [10, 20, 30, 70, 80, 90], ["a"] * 3 + ["b"] * 3
    found = cluster_interval(values, range(6), bounds=INFINITE, strata=strata)
    half = stats.t.ppf(0.975, 4) * np.sqrt(100 / 6)  # Satterthwaite of two equal variances of two degrees each
    assert (found.mean, found.low, found.high) == pytest.approx((50, 50 - half, 50 + half))
    without = cluster_interval(values, range(6), bounds=INFINITE)
    assert without.high > found.high + 10


def test_strata_have_a_third_moment_by_their_weights() -> None:
    # Six clusters of one value and a long side, W = 1/4, and six of three, W = 3/4, that hardly differ.
    values = [0, 0, 0, 0, 0, 6] + [v for v in (10, 10.1, 9.9, 10, 10.1, 9.9) for _ in range(3)]
    clusters = [*range(6), *np.repeat(range(6, 12), 3)]
    found = cluster_interval(values, clusters, bounds=INFINITE, strata=[0] * 6 + [1] * 18)
    v, third = np.zeros(2), np.zeros(2)
    for place, (own, share) in enumerate(((values[:6], 1 / 4), ((10, 10.1, 9.9, 10, 10.1, 9.9), 3 / 4))):
        residuals = (np.array(own) - np.mean(own)) / 6
        v[place] = share**2 * (residuals**2).sum() * 6 / 5
        third[place] = share**3 * (residuals**3).sum() * 36 / 20
    kappa = 6 * (5 + 5**4) / (5 + 25) ** 2
    t = stats.t.ppf(0.975, v.sum() ** 2 / (v[0] ** 2 / (12 / (kappa - 1)) + v[1] ** 2 / 5))
    a = third.sum() / v.sum() ** 1.5
    assert found.high == pytest.approx(7.75 - np.sqrt(v.sum()) * 3 / a * (np.cbrt(1 + a * (-t - a / 6)) - 1), rel=1e-6)


def test_strata_that_share_a_cluster_are_one() -> None:
    values, clusters = [10, 20, 30, 70, 80, 90], ["x", "y", "z", "z", "u", "v"]
    found = cluster_interval(values, clusters, strata=["a"] * 3 + ["b"] * 3)
    assert found == cluster_interval(values, clusters)


def test_strata_of_one_cluster_are_put_together() -> None:
    values = [10, 20, 30, 70, 80, 95, 5]
    found = cluster_interval(values, range(7), bounds=INFINITE, strata=["a", "a", "a", "b", "c", "d", "d"])
    joined = cluster_interval(values, range(7), bounds=INFINITE, strata=["a", "a", "a", "b", "b", "d", "d"])
    assert found == joined
    # One alone goes with the smallest of the others.
    found = cluster_interval(values, range(7), bounds=INFINITE, strata=["a", "a", "a", "b", "d", "d", "d"])
    assert found == cluster_interval(values, range(7), bounds=INFINITE, strata=["a", "a", "a", "a", "d", "d", "d"])
    alone = cluster_interval([1.0, 5.0], ["x", "y"], bounds=INFINITE, strata=["a", "b"])
    assert alone == cluster_interval([1.0, 5.0], ["x", "y"], bounds=INFINITE)


def test_studies_with_other_clusters_have_other_strata() -> None:
    strata = np.array([0, 0, 0, 1, 1, 1])
    counts = np.array([[2, 3, 4, 5, 6, 7], [2, 3, 4, 5, 0, 0], [0, 3, 4, 5, 6, 7]])
    totals = counts * np.array([20.0, 40, 30, 70, 80, 95])
    together = intervals_of_totals(totals, counts, strata=strata)
    for i in range(3):
        there = counts[i] > 0
        alone = intervals_of_totals(totals[i, there], counts[i, there], strata=strata[there])
        assert (together.low[i], together.high[i]) == pytest.approx((alone.low.item(), alone.high.item()))


def test_rate_in_the_middle_is_near_the_plain_t_interval() -> None:
    rng = np.random.default_rng(0)
    values, clusters = rng.choice([0.0, 100.0], 4000), np.repeat(np.arange(40), 100)
    means = values.reshape(40, 100).mean(1)
    half = stats.t.ppf(0.975, 39) * means.std(ddof=1) / np.sqrt(40)
    found = cluster_interval(values, clusters)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1)
    assert found.method == "korn-graubard"


def test_interval_near_the_bound_is_longer_away_from_it() -> None:
    found = cluster_interval([100] * 95 + [0] * 5, np.arange(100) % 20)
    assert found.high < 100
    assert found.mean - found.low > found.high - found.mean


def test_clusters_that_do_not_differ_fall_back_to_clopper_pearson() -> None:
    found = cluster_interval([100.0] * 12, np.repeat(np.arange(4), 3))
    assert found.low == pytest.approx(100 * 0.025 ** (1 / 4))  # 4 of 4: (α/2)^(1/4)
    assert found.high == 100
    assert found.method == "clopper-pearson"


def test_fallback_is_mapped_onto_other_bounds() -> None:
    found = cluster_interval([0.0] * 4, range(4), bounds=(-100, 100))
    exact = stats.binomtest(2, 4).proportion_ci(0.95, "exact")
    assert (found.low, found.high) == pytest.approx((200 * exact.low - 100, 200 * exact.high - 100))


def test_one_cluster_says_next_to_nothing() -> None:
    found = cluster_interval([100, 0, 100], ["a", "a", "a"])
    assert found.low < 5
    assert found.high > 95
    assert np.isnan(cluster_interval([1.0, 2.0], ["a", "a"], bounds=INFINITE).low)


def test_clusters_are_wider_than_independent_pairs() -> None:
    values = np.repeat([100.0, 0.0, 100.0, 0.0, 100.0, 100.0], 20)
    clustered = cluster_interval(values, np.repeat(np.arange(6), 20))
    alone = cluster_interval(values, np.arange(120))
    assert clustered.high - clustered.low > 3 * (alone.high - alone.low)


def test_missing_cluster_label_is_an_error() -> None:
    with pytest.raises(ValueError, match="cluster label"):
        cluster_interval([1.0, 2.0], ["a", None])


def test_many_studies_at_once_equal_one_by_one() -> None:
    rng = np.random.default_rng(1)
    counts = rng.integers(1, 9, (6, 5))
    totals = 100.0 * rng.binomial(counts, 0.8)
    together = intervals_of_totals(totals, counts)
    for i in range(6):
        alone = intervals_of_totals(totals[i], counts[i])
        assert (together.low[i], together.high[i]) == pytest.approx((alone.low.item(), alone.high.item()))


def test_a_cluster_without_values_does_not_count() -> None:
    with_empty = intervals_of_totals([100.0, 250.0, 0.0], [2, 3, 0])
    without = intervals_of_totals([100.0, 250.0], [2, 3])
    assert with_empty.low.item() == pytest.approx(without.low.item())
    assert with_empty.high.item() == pytest.approx(without.high.item())


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (3, 7), (7, 7), (980, 1000)])
def test_clopper_pearson_equals_scipy(successes: int, n: int) -> None:
    exact = stats.binomtest(successes, n).proportion_ci(0.9, "exact")
    low, high = clopper_pearson(successes / n, n, 0.9)
    assert (float(low), float(high)) == pytest.approx((exact.low, exact.high))


@st.composite
def clustered(draw: st.DrawFn, low: float, high: float) -> tuple[list[float], list[int]]:
    n = draw(st.integers(1, 40))
    whole = st.sampled_from([low, (low + high) / 2, high])
    value = st.one_of(whole, st.floats(low, high))
    return (
        draw(st.lists(value, min_size=n, max_size=n)),
        draw(st.lists(st.integers(0, 6), min_size=n, max_size=n)),
    )


@given(clustered(0, 100), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_interval_of_a_rate_contains_it_and_stays_within_bounds(
    data: tuple[list[float], list[int]], level: float
) -> None:
    found = cluster_interval(*data, level)
    assert 0 <= found.low <= found.mean <= found.high <= 100
    assert found.mean == pytest.approx(np.mean(data[0]), abs=1e-9)


@given(clustered(-100, 100))
def test_interval_of_a_difference_contains_it_and_stays_within_bounds(data: tuple[list[float], list[int]]) -> None:
    found = cluster_interval(*data, bounds=(-100, 100))
    assert -100 <= found.low <= found.mean <= found.high <= 100


@given(clustered(0, 100))
def test_interval_of_the_complement_is_mirrored(data: tuple[list[float], list[int]]) -> None:
    values, clusters = data
    found = cluster_interval(values, clusters)
    mirrored = cluster_interval(100 - np.array(values), clusters)
    if found.method == mirrored.method:  # on the verge of no variance, rounding decides
        assert (100 - mirrored.high, 100 - mirrored.low) == pytest.approx((found.low, found.high), abs=1e-4)


@given(clustered(0, 100))
def test_order_of_values_does_not_matter(data: tuple[list[float], list[int]]) -> None:
    values, clusters = data
    found, turned = cluster_interval(values, clusters), cluster_interval(values[::-1], clusters[::-1])
    if found.method == turned.method:
        assert (turned.low, turned.high) == pytest.approx((found.low, found.high), abs=1e-4)
