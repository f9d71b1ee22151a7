"""What a sign-flip test of few clusters can see."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from leakscope.statistics.permutations import sign_flip_p
from leakscope.statistics.power import attained_level, clusters_needed, detectable

FAR = 1e5  # bounds that nothing comes near: clusters are normal


@pytest.mark.parametrize(
    ("level", "n_clusters", "attained"),
    [
        (0.05, 0, 0.0),
        (0.05, 5, 0.0),  # the least is 2/32 = .0625
        (0.05, 6, 2 / 64),
        (0.05, 10, 50 / 1024),
        (0.05 / 15, 9, 0.0),  # the least is 2/512 = .0039
        (0.05 / 15, 10, 2 / 1024),
        (2 / 64, 6, 2 / 64),  # the level itself can be reached
        (0.05, 24, 3276 / 65537),  # drawn patterns
    ],
)
def test_a_level_that_is_attained_is_one_that_p_values_can_have(level: float, n_clusters: int, attained: float) -> None:
    assert attained_level(level, n_clusters) == pytest.approx(attained, rel=1e-12)


def test_fewer_patterns_reach_less() -> None:
    assert attained_level(0.05, 24, patterns=99) == pytest.approx(0.05)
    assert attained_level(0.001, 24, patterns=99) == 0


@pytest.mark.parametrize(("n_clusters", "level"), [(10, 50 / 1024), (24, 3276 / 65537), (200, 218 / 65537)])
@pytest.mark.parametrize("power", [0.8, 0.95])
def test_with_many_p_values_below_the_level_it_is_the_noncentral_t(n_clusters: int, level: float, power: float) -> None:
    shift = detectable(1, n_clusters, level, power, most=FAR)
    quantile = stats.t.ppf(1 - level / 2, n_clusters - 1)
    reached = stats.nct.sf(quantile, n_clusters - 1, shift * np.sqrt(n_clusters))
    assert reached == pytest.approx(power, abs=2e-4)


def test_with_one_p_value_below_the_level_all_clusters_must_lie_on_one_side() -> None:
    # Φ(1.793)^6 = .8, Φ(2.013)^10 = .8
    assert detectable(1, 6, 0.05, most=FAR) == pytest.approx(stats.norm.ppf(0.8 ** (1 / 6)), abs=1e-4)
    assert detectable(1, 10, 0.05 / 15, most=FAR) == pytest.approx(2.013, abs=0.001)


def test_near_a_bound_it_is_half_way_to_what_beta_clusters_need() -> None:
    normal, found = 20.13, detectable(10, 10, 0.05 / 15)
    bounded = 2 * found - normal
    share, variance = 0.5 + bounded / 100, 0.01
    size = share * (1 - share) / variance - 1
    above = stats.beta.sf(0.5, share * size, (1 - share) * size)
    assert above**10 == pytest.approx(0.8, abs=1e-3)
    assert bounded > normal + 1


def test_by_t_bounded_clusters_are_found_where_it_says() -> None:
    found, rng = detectable(15, 10, 0.05), np.random.default_rng(4)
    share, variance = 0.5 + found / 100, 0.15**2
    size = share * (1 - share) / variance - 1
    studies = 100 * rng.beta(share * size, (1 - share) * size, (20_000, 10)) - 50
    assert found > detectable(15, 10, 0.05, most=FAR) + 0.2
    assert (sign_flip_p(studies) <= 0.05).mean() == pytest.approx(0.8, abs=0.025)


@pytest.mark.parametrize(("n_clusters", "level"), [(9, 2 * 2 / 512), (7, 3 * 2 / 128)])
def test_with_two_or_three_it_is_what_sign_flips_find(n_clusters: int, level: float) -> None:
    shift = detectable(1, n_clusters, level, most=FAR)
    studies = np.random.default_rng(3).normal(shift, 1, (20_000, n_clusters))
    found = (sign_flip_p(studies) <= level + 1e-12).mean()
    assert found == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 20_000))


def test_nothing_is_detectable_where_no_p_value_is_small_enough() -> None:
    assert np.isnan(detectable(1, 4, 0.05))
    assert np.isnan(detectable(1, 0, 0.05))
    assert np.isnan(detectable(np.nan, 24, 0.05))


def test_a_mean_that_no_clusters_of_such_an_sd_can_have_is_not_detectable() -> None:
    assert np.isnan(detectable(30, 6, 0.05))  # normal ones: 53.8 points
    assert 53.8 < detectable(30, 6, 0.05, most=100) < 100
    assert np.isnan(detectable(30, 9, 0.05))  # 49.4 by t: with an sd of 30 no mean lies farther than 40 from the middle
    assert np.isnan(detectable(50, 1000, 0.05))
    assert detectable(0, 6, 0.05) == 0


@pytest.mark.parametrize("level", [0.05, 0.05 / 15, 0.05 / 190])
def test_more_clusters_see_no_less(level: float) -> None:
    found = [detectable(1, n_clusters, level) for n_clusters in range(13, 60)]
    assert (np.diff(found) < 0).all()


@pytest.mark.parametrize(("sd", "difference"), [(15, 5), (15, 1), (8, 30), (40, 4)])
def test_the_clusters_that_are_needed_are_the_fewest_that_are_enough(sd: float, difference: float) -> None:
    needed = int(clusters_needed(sd, difference, 0.05 / 6))
    assert detectable(sd, needed, 0.05 / 6) <= difference
    assert not detectable(sd, needed - 1, 0.05 / 6) <= difference


def test_clusters_that_do_not_differ_must_still_be_as_many_as_a_p_value_needs() -> None:
    assert clusters_needed(0, 5, 0.05) == 6
    assert clusters_needed(0, 5, 0.05 / 15) == 10


@pytest.mark.parametrize(("sd", "difference"), [(15, 0), (15, -1), (np.nan, 5), (49, 0.01)])
def test_no_number_of_clusters_finds_a_difference_of_nothing(sd: float, difference: float) -> None:
    assert np.isnan(clusters_needed(sd, difference, 0.05))
