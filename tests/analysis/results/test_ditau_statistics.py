"""Response, resolution and bins of the ditau_mass report."""

import numpy as np
import pytest

from analysis.results.ditau_statistics import (
    RANGES,
    bin_edges,
    is_compared,
    rank_correlation,
    resampled,
    response,
    score,
)


def test_the_resolution_of_a_gaussian_is_its_relative_width() -> None:
    rng = np.random.default_rng(1)
    ratio = rng.normal(0.8, 0.08, 4000)
    found = response(ratio, resampled(len(ratio), 100, rng))
    assert found.median == pytest.approx(0.8, abs=0.005)
    assert found.resolution == pytest.approx(0.1, rel=0.05)
    # Of a median: sqrt(pi/2) s/sqrt(n); of half the 68% interval of a Gaussian about 0.94 s/sqrt(n).
    assert found.median_error == pytest.approx(1.253 * 0.08 / np.sqrt(4000), rel=0.3)
    assert found.resolution_error == pytest.approx(0.94 * 0.1 / np.sqrt(4000), rel=0.4)
    assert (found.low, found.high) == pytest.approx((0.8 - 1.96 * 0.08, 0.8 + 1.96 * 0.08), abs=0.01)
    assert response(3 * ratio, None).resolution == pytest.approx(found.resolution), "no factor changes a resolution"


def test_bins_have_one_width_but_at_the_ends() -> None:
    edges = bin_edges(50, 90, np.array([51.0, 400.0, 998.0]))
    assert edges[:3].tolist() == [50, 90, 140]
    assert edges[-2:].tolist() == [990, 1000]
    assert [low for low in edges if is_compared(low, (90, 800))] == [90 + 50 * k for k in range(15)]
    assert bin_edges(50, 90, np.array([125.0])).tolist() == [120, 130]


def test_a_rank_correlation_does_not_see_a_calibration() -> None:
    rng = np.random.default_rng(2)
    mass = rng.uniform(50, 1000, 500)
    estimate = mass * rng.normal(1, 0.2, 500)
    found = rank_correlation(estimate, mass)
    assert found == pytest.approx(rank_correlation(np.log(estimate) - 7, mass))
    assert 0.9 < found < 1
    assert rank_correlation(mass**3, mass) == pytest.approx(1)


def test_models_are_ranked_by_bias_and_width_of_all_ranges() -> None:
    rng = np.random.default_rng(3)
    good, biased = (response(rng.normal(centre, 0.1, 1000), None) for centre in (1.0, 1.3))
    assert len(RANGES) == 3
    assert score([good, good, good]) == pytest.approx(0.1, rel=0.15)
    assert score([good, good, biased]) == pytest.approx(0.1 + 0.1, rel=0.15)
    assert score([good, None, good]) is None
