"""Yields, intervals and comparisons against numbers from elsewhere."""

import numpy as np
import pytest
from scipy import stats

from analysis.results.statistics import agreement, effective_events, poisson_interval, pulls, weighted_yield


def test_weighted_yield() -> None:
    result = weighted_yield(np.array([1.0, -0.5, 2.0], np.float32), 2.0)
    assert result.value == pytest.approx(5.0)
    assert result.uncertainty == pytest.approx(2 * np.sqrt(5.25))
    assert result.unit == "events"


def test_a_yield_without_scale_is_unknown() -> None:
    result = weighted_yield(np.array([1.0, 2.0]), None)
    assert result.value is None
    assert result.uncertainty is None
    assert result.flags


def test_effective_events() -> None:
    assert effective_events(np.full(40, 0.3)) == pytest.approx(40)
    assert effective_events(np.array([1.0, 1.0, 2.0])) == pytest.approx(16 / 6)
    assert effective_events(np.empty(0)) == 0


def test_poisson_interval_of_the_review_of_particle_physics() -> None:
    """Its chapter on statistics tabulates one-sided 95 % limits: the two ends of a central 90 % interval."""
    low, high = poisson_interval(np.array([0.0, 1.0, 5.0, 10.0]), coverage=0.9)
    np.testing.assert_allclose(low, [0.0, 0.051, 1.97, 5.43], atol=0.006)
    np.testing.assert_allclose(high, [3.00, 4.74, 10.51, 16.96], atol=0.006)


def test_poisson_interval_covers() -> None:
    """Each end leaves the tail probability of one standard deviation."""
    low, high = poisson_interval(np.array([4.0]))
    tail = stats.norm.sf(1)
    assert stats.poisson.sf(3, low[0]) == pytest.approx(tail)
    assert stats.poisson.cdf(4, high[0]) == pytest.approx(tail)


def test_pulls() -> None:
    result = pulls(np.array([9.0, 0.0, 1.0]), np.array([4.0, 1.0, 0.0]), np.array([0.0, 3.0, 0.0]))
    np.testing.assert_allclose(result, [2.5, -0.5, np.nan])


def test_agreement_merges_until_enough_is_expected() -> None:
    expected = np.array([3.0, 3.0, 1.0, 6.0, 0.5])
    result = agreement(np.array([4.0, 4.0, 2.0, 5.0, 1.0]), expected, np.zeros(5))
    # Bins 1 and 2 (8 on 6), then 3 to 5 (8 on 7.5).
    assert result.ndf == 2
    assert result.chi2 == pytest.approx(4 / 6 + 0.25 / 7.5)
    assert result.p_value == pytest.approx(stats.chi2.sf(4 / 6 + 0.25 / 7.5, 2))


def test_agreement_says_when_there_is_too_little() -> None:
    result = agreement(np.array([1.0, 0.0]), np.array([0.5, 0.4]), np.zeros(2))
    assert result.chi2 is None
    assert "too few" in result.reason
