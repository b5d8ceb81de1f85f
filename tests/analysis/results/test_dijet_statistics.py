"""Spreads of overlapping samples, composition and significance against Monte Carlo and plain loops."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.results.dijet_statistics import (
    Power,
    Spread,
    auc_error,
    composition_auc,
    correlations,
    crossing,
    power,
    significance,
    spread,
)


def _auc(label: np.ndarray, score: np.ndarray) -> float:
    """By the rank sum, for scores without ties."""
    ranks = np.argsort(np.argsort(score)) + 1
    positives = int(label.sum())
    return float(ranks[label == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(label) - positives))


def test_a_spread_is_mean_and_deviation() -> None:
    values = np.array([0.5, 0.52, np.nan, 0.51])
    found = spread(values, 0.0)
    assert found is not None
    mean = (0.5 + 0.52 + 0.51) / 3
    deviation = math.sqrt(sum((v - mean) ** 2 for v in (0.5, 0.52, 0.51)) / 2)
    assert (found.n, found.mean, found.deviation) == (3, pytest.approx(mean), pytest.approx(deviation))
    assert found.mean_error == pytest.approx(deviation / math.sqrt(3))
    assert found.mean_error_of_pools == pytest.approx(deviation / math.sqrt(3))
    assert found.independent_deviation == found.deviation
    assert spread(values[:1], 0.0) is None
    assert spread(np.full(5, np.nan), 0.0) is None


def test_the_correction_for_overlap_is_right_for_averages() -> None:
    """Many pools, each with samples of an average: its variance between pools, and that of one sample."""
    rng = np.random.default_rng(1)
    pools, events, size, samples = 1500, 200, 80, 8
    shared = size / events
    means, variances, of_pools = [], [], []
    for _ in range(pools):
        pool = rng.exponential(1.0, events)
        found = spread(np.array([pool[rng.permutation(events)[:size]].mean() for _ in range(samples)]), shared)
        assert found is not None
        means.append(found.mean)
        variances.append(found.independent_deviation**2)
        of_pools.append(found.mean_error_of_pools**2)
    one_sample = 1.0 / size  # variance of the mean of `size` exponential numbers
    assert np.mean(variances) == pytest.approx(one_sample, rel=0.05)
    assert np.var(means) == pytest.approx(np.mean(of_pools), rel=0.12)
    # Without the correction both would be far too small.
    assert np.mean(variances) * (1 - shared) == pytest.approx(one_sample * (1 - shared), rel=0.05)
    assert np.var(means) > 2 * np.mean(variances) * (1 - shared) / samples


def test_the_correction_bounds_the_error_of_an_auc_on_a_part_of_the_sample() -> None:
    rng = np.random.default_rng(2)
    pools, events, size, tested, samples = 300, 300, 150, 60, 6
    means, of_pools, naive = [], [], []
    for _ in range(pools):
        label, score = rng.integers(0, 2, events), rng.normal(0, 1, events)
        aucs = []
        for _ in range(samples):
            test = rng.permutation(events)[:size][:tested]
            aucs.append(_auc(label[test], score[test]))
        found = spread(np.array(aucs), size / events)
        assert found is not None
        means.append(found.mean)
        of_pools.append(found.mean_error_of_pools**2)
        naive.append(found.mean_error**2)
    assert np.mean(naive) < 0.8 * np.var(means) < 0.8 * np.mean(of_pools)


def test_samples_as_large_as_the_pool_have_no_independent_error() -> None:
    found = Spread(5, 0.5, 0.01, 1.0)
    assert found.independent_deviation == math.inf
    assert found.mean_error_of_pools == math.inf


def test_the_error_of_a_deviation_is_its_scatter() -> None:
    rng = np.random.default_rng(3)
    found = [spread(rng.normal(0, 2.0, 30), 0.0) for _ in range(2000)]
    deviations = [one.deviation for one in found if one]
    assert np.std(deviations) == pytest.approx(2.0 / math.sqrt(58), rel=0.06)


def test_the_error_of_an_auc_is_its_scatter() -> None:
    rng = np.random.default_rng(4)
    aucs = [_auc(np.repeat([0, 1], [90, 60]), rng.normal(0, 1, 150)) for _ in range(1500)]
    expected = auc_error(np.array([0.5]), np.array([60.0]), np.array([90.0]))
    assert np.std(aucs) == pytest.approx(float(expected[0]), rel=0.06)


def test_the_auc_of_a_composition_is_that_of_mixtures() -> None:
    """Both bins are mixtures of the same quarks and gluons: pairs are counted one by one."""
    rng = np.random.default_rng(5)
    quark, gluon = rng.normal(0, 1, 60), rng.normal(1.0, 1.5, 60)
    a = np.mean([(g > q) + 0.5 * (g == q) for g in gluon for q in quark])

    def mixture(share: float) -> list[tuple[float, float]]:
        return [(s, share / 60) for s in gluon] + [(s, (1 - share) / 60) for s in quark]

    for lower, upper in ((0.45, 0.36), (0.1, 0.9), (0.5, 0.5)):
        exact = sum(wu * wl * ((u > low) + 0.5 * (u == low)) for u, wu in mixture(upper) for low, wl in mixture(lower))
        found = composition_auc(np.array([lower]), np.array([upper]), np.array([a]))
        assert float(found[0]) == pytest.approx(exact, abs=1e-12)


def test_the_significance_is_the_distance_in_null_deviations() -> None:
    null, signal = np.array([0.5, 0.51, np.nan, 0.52]), np.array([0.53, np.nan, 0.55])
    assert significance(signal, null) == pytest.approx((0.54 - 0.51) / 0.01)
    assert math.isnan(significance(signal, np.array([0.5])))
    assert math.isnan(significance(np.array([np.nan]), null))
    assert math.isnan(significance(signal, np.array([0.5, 0.5])))


@given(st.lists(st.floats(-3, 9), min_size=1, max_size=6), st.floats(0.5, 6))
def test_a_crossing_is_the_first_point_of_the_broken_line_at_the_level(z: list[float], level: float) -> None:
    sizes = [100 * (k + 1) for k in range(len(z))]
    found = crossing(sizes, np.array(z), level)
    points = list(zip([0, *sizes], [0.0, *z], strict=True))
    if max(z) < level:
        assert found == math.inf
        return
    (x0, z0), (x1, z1) = next(((a, b) for a, b in pairwise(points) if b[1] >= level))
    assert x0 <= found <= x1
    assert z0 + (found - x0) / (x1 - x0) * (z1 - z0) == pytest.approx(level, abs=1e-6)


def test_an_unknown_significance_leaves_the_crossing_unknown_unless_it_comes_later() -> None:
    assert math.isnan(crossing([10, 20], np.array([np.nan, 9.0]), 3.0))
    assert crossing([10, 20], np.array([6.0, np.nan]), 3.0) == pytest.approx(5.0)


def test_the_bootstrap_interval_of_the_crossing_covers_the_truth() -> None:
    """Signal lifts the AUC by 0.0001 per event, the null scatters by 0.01: 3 sigma at 300 events."""
    rng, truth, covered, trials = np.random.default_rng(6), 300.0, 0, 120
    sizes = (100, 200, 300, 400, 500)
    for _ in range(trials):
        base = rng.normal(0.5, 0.01, 40)
        signals = np.array([base + 1e-4 * size + rng.normal(0, 0.004, 40) for size in sizes])
        value, low, high = power(base, signals, sizes, replicas=120, rng=rng).crossing(3.0)
        assert low <= high
        assert 150 < value < 600
        covered += low <= truth <= high
    assert 0.55 < covered / trials < 0.80


def test_a_level_that_is_not_reached_is_infinite() -> None:
    rng = np.random.default_rng(7)
    base = rng.normal(0.5, 0.01, 20)
    found = power(base, np.array([base + 0.005, base + 0.02]), (10, 40), replicas=50, rng=rng)
    value, low, high = found.crossing(9.0)
    assert value == high == math.inf
    assert low > 40
    assert found.errors.shape == (2,)
    assert np.isfinite(found.errors).all()


def test_samples_without_signal_do_not_count_as_signal() -> None:
    rng = np.random.default_rng(8)
    base = rng.normal(0.5, 0.01, 20)
    part = np.where(np.arange(20) < 10, base + 0.03, np.nan)
    found = power(base, part[None], (10,), replicas=200, rng=rng)
    assert float(found.values[0]) == pytest.approx(significance(base[:10] + 0.03, base))
    nothing = Power((10,), np.array([np.nan]), np.array([np.nan]), np.full((5, 1), np.nan)).crossing(3.0)
    assert all(math.isnan(number) for number in nothing)


def test_correlations_are_those_of_complete_samples() -> None:
    rng = np.random.default_rng(12)
    values = rng.normal(0, 1, (50, 3))
    values[3, 0] = np.nan
    matrix, errors, n = correlations(values)
    kept = np.delete(values, 3, axis=0)
    assert n == 49
    assert matrix[0, 2] == pytest.approx(np.corrcoef(kept[:, 0], kept[:, 2])[0, 1])
    assert errors[0, 2] == pytest.approx((1 - matrix[0, 2] ** 2) / math.sqrt(48))
    assert np.isnan(correlations(values[:2])[0]).all()
