"""Krippendorff's alpha against the package krippendorff, by hand, and its interval in simulated studies."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from numpy.typing import NDArray

from leakscope.statistics.reliability import alpha_interval


def counts_of(values: NDArray[np.float64], n_values: int) -> NDArray[np.int_]:
    """Return how many raters gave each value to each item, of (raters, items); NaN where one gave none."""
    return np.stack([(values == value).sum(0) for value in range(n_values)], axis=1)


def said(rng: np.random.Generator, shape: tuple[int, int], n_values: int, agreeing: float) -> NDArray[np.float64]:
    """Return values of raters who say with some probability what is true of an item, else anything, or nothing."""
    truth = rng.integers(n_values, size=shape[1])
    values = np.where(rng.random(shape) < agreeing, truth, rng.integers(n_values, size=shape)).astype(float)
    values[rng.random(shape) < 0.25] = np.nan
    return values


@pytest.mark.parametrize("seed", range(12))
def test_alpha_is_that_of_the_package(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_values = 2 + seed % 3
    values = said(rng, (2 + seed % 4, 30), n_values, agreeing=seed / 12)
    expected = krippendorff.alpha(reliability_data=values, level_of_measurement="nominal")
    found = alpha_interval(counts_of(values, n_values), np.arange(30), 0.95)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.low < found.value < found.high <= 1


def test_alpha_by_hand() -> None:
    """Two raters, four items: equal on three. o = 6 of n = 8 values, 5 of one kind: 1 − 7 · 2 / (64 − 25 − 9)."""
    values = np.array([[0, 0, 1, 0], [0, 0, 1, 1]])
    assert alpha_interval(counts_of(values, 2), range(4), 0.95).value == pytest.approx(1 - 14 / 30)


def test_items_of_one_value_say_nothing() -> None:
    values = np.array([[0, 1, 0, 1], [0, 1, 1, np.nan]])
    assert alpha_interval(counts_of(values, 2), range(4), 0.95) == alpha_interval(
        counts_of(values[:, :3], 2), range(3), 0.95
    )
    assert np.isnan(alpha_interval(counts_of(values[:1], 2), range(4), 0.95)).all()


def test_without_any_difference_there_is_no_alpha_or_no_interval() -> None:
    alike = np.zeros((2, 5))
    assert np.isnan(alpha_interval(counts_of(alike, 2), range(5), 0.95).value)
    alike[:, 3:] = 1
    found = alpha_interval(counts_of(alike, 2), range(5), 0.95)
    assert found.value == 1
    assert np.isnan(found.low)
    # Of one cluster nothing is known of others.
    assert np.isnan(alpha_interval(np.array([[1, 1], [2, 0], [0, 2]]), ["a"] * 3, 0.95).low)


def test_intervals_hold_the_alpha_of_many_items() -> None:
    rng = np.random.default_rng(0)
    true = alpha_interval(counts_of(said(rng, (4, 40_000), 3, 0.6), 3), np.arange(40_000) % 2, 0.95).value
    studies = [alpha_interval(counts_of(said(rng, (4, 60), 3, 0.6), 3), np.arange(60), 0.95) for _ in range(300)]
    held = np.mean([found.low <= true <= found.high for found in studies])
    assert 0.92 < held < 0.98
