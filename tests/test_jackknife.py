"""The jackknife over one kind of clusters or two: its samples, their sums, and how wide intervals come out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from leakscope.statistics import jackknife
from leakscope.statistics.intervals import cluster_interval, intervals_of_totals, limits_of_variance
from leakscope.statistics.jackknife import Deletions, leave_out, means, share_interval, t_interval

QUESTIONS, CANDIDATES = (grid.ravel() for grid in np.indices((6, 5)))


def test_samples_are_without_each_cluster_of_either_kind_and_of_both() -> None:
    crossed = leave_out(["b", "a", "b", "c", "a"], [1, 2, 3, 4, 1])
    assert crossed.sizes == (3, 4, 5)
    assert crossed.n_clusters == 3
    weights = np.concatenate(list(crossed.weights()), axis=1)
    assert weights[:, :4].T.tolist() == [[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 1, 0, 1, 1], [1, 1, 1, 0, 1]]
    assert weights[:, 4:8].T.tolist() == [[0, 1, 1, 1, 0], [1, 0, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 1, 0, 1]]
    assert (weights[:, 8:].sum(0) == 4).all()


@pytest.mark.parametrize(
    "candidates", [range(8), [0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 2] * 2 + [0, 1]], ids=["once", "of one question", "three"]
)
def test_few_candidates_and_those_of_one_cluster_alone_are_no_second_way(candidates: list[int]) -> None:
    assert leave_out([0, 0, 1, 1, 2, 2, 3, 3], candidates).sizes == (4,)


@pytest.mark.parametrize("cells", [1, 40, 10**6])
def test_sums_of_samples_are_those_of_their_items_written_out(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jackknife, "CELLS", cells)
    rng = np.random.default_rng(0)
    values, table = rng.normal(size=(30, 2)), rng.normal(size=(30, 30))
    table = table + table.T - 2 * np.diag(np.diag(table))
    deletions = leave_out(QUESTIONS // 2, CANDIDATES)
    assert deletions.sizes == (3, 5, 15)
    weights = np.concatenate(list(deletions.weights()), axis=1)
    np.testing.assert_allclose(deletions.totals(values), values.T @ weights, atol=1e-12)
    pairs = deletions.pair_sums(lambda rows, others: table[np.ix_(rows, others)])
    np.testing.assert_allclose(pairs, np.einsum("id,ij,jd->d", weights, table, weights), atol=1e-11)


def test_the_variance_of_a_mean_of_items_is_the_usual_one() -> None:
    values = np.random.default_rng(1).normal(size=12)
    deletions = leave_out(range(12))
    assert deletions.variance(means(values, deletions)) == pytest.approx(np.var(values, ddof=1) / 12)
    found = t_interval(means(values, deletions), deletions, 0.9)
    half = stats.t.ppf(0.95, 11) * np.std(values, ddof=1) / np.sqrt(12)
    assert found == pytest.approx((values.mean(), values.mean() - half, values.mean() + half))


def test_two_ways_add_up_without_what_they_share() -> None:
    rng = np.random.default_rng(2)
    values = (rng.normal(size=(6, 1)) + rng.normal(size=5) + rng.normal(size=(6, 5))).ravel()
    deletions, samples = leave_out(QUESTIONS, CANDIDATES), None
    samples = means(values, deletions)
    table = values.reshape(6, 5)
    first, second, both = (
        np.var(table.mean(1), ddof=1) / 6,
        np.var(table.mean(0), ddof=1) / 5,
        np.var(values, ddof=1) / 30,
    )
    assert deletions.variance(samples) == pytest.approx(first + second - both)
    found = t_interval(samples, deletions, 0.95)
    assert found.high - found.low == pytest.approx(2 * stats.t.ppf(0.975, 4) * np.sqrt(first + second - both))


def test_two_ways_are_never_less_than_one() -> None:
    # Candidates differ, questions do not, but what both have in common is negative: V_1 + V_2 − V_12 is below V_2.
    values = (np.arange(5) + 10 * np.array([[1], [-1]] * 3) * np.array([1, -1, 1, -1, 0])).ravel()
    deletions = leave_out(QUESTIONS, CANDIDATES)
    assert deletions.variance(means(values, deletions)) == pytest.approx(np.var(np.arange(5), ddof=1) / 5)


def test_without_variance_or_without_a_value_there_is_no_interval() -> None:
    deletions = leave_out([0, 0, 1, 1, 2, 2])
    for values in ([3.0, 3, 3, 3], [3.0, 1, np.nan, 2], [3.0, 1, np.inf, 2]):
        assert np.isnan(t_interval(np.array(values), deletions, 0.9)[1:]).all()
    assert np.isnan(share_interval(np.array([0.3, 0.1, np.nan, 0.2]), deletions, 0.9)[1:]).all()
    alone = leave_out([0, 0])
    for interval in (t_interval, share_interval):
        found = interval(means([0.0, 1.0], alone), alone, 0.9)
        assert found.value == 0.5
        assert np.isnan(found[1:]).all()
    nothing = leave_out([])
    assert np.isnan(share_interval(means([], nothing), nothing, 0.9)).all()


def test_a_share_of_equal_clusters_has_nearly_the_interval_of_clusters() -> None:
    values = np.random.default_rng(3).random((40, 5)) < 0.9
    clusters = np.repeat(np.arange(40), 5)
    deletions: Deletions = leave_out(clusters)
    found = share_interval(means(values.ravel(), deletions), deletions, 0.95)
    expected = cluster_interval(values.ravel(), clusters, 0.95, (0, 1))
    # Degrees of freedom by the residuals' kurtosis, too, which is not far from normal here.
    assert found == pytest.approx((expected.mean, expected.low, expected.high), abs=0.005)


def test_a_share_of_all_has_the_exact_limit_of_its_clusters() -> None:
    deletions = leave_out(QUESTIONS, CANDIDATES)
    found = share_interval(means(np.ones(30), deletions), deletions, 0.95)
    assert found == pytest.approx((1, 0.025 ** (1 / 5), 1))


def test_limits_of_a_variance_are_those_of_totals_with_that_variance() -> None:
    totals, counts = np.array([9.0, 10, 7, 10, 8]), np.full(5, 10)
    expected = intervals_of_totals(totals, counts, 0.95, (0, 1))
    variance = np.var(totals / 10, ddof=1) / 5
    kurtosis = 5 * ((totals - 8.8) ** 4).sum() / ((totals - 8.8) ** 2).sum() ** 2
    low, high = limits_of_variance(0.88, variance, min(4, 10 / (kurtosis - 1)), 5, 0.95)
    assert (low, high) == pytest.approx((expected.low.item(), expected.high.item()))
