"""p-values against plain loops, without signal against their definition, and the interval of their median."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm, t

from analysis.results.dijet_p_values import (
    Bootstrap,
    bonferroni,
    bound_p_values,
    empirical_p_values,
    global_p_values,
    student_p_values,
)

Array = np.ndarray


def empirical(value: float, others: Array) -> float:
    others = others[np.isfinite(others)]
    return float(1 + sum(others >= value)) / (1 + len(others))


def student(value: float, others: Array) -> float:
    others = others[np.isfinite(others)]
    if len(others) < 2:
        return math.nan
    scale = others.std(ddof=1) * math.sqrt(1 + 1 / len(others))
    return float(t.sf((value - others.mean()) / scale, len(others) - 1))


def overall(observed: Array, others: Array) -> float:
    rows = [observed, *(row for row in others if np.isfinite(row).all())]
    if len(rows) < 4 or not np.isfinite(observed).all():
        return math.nan
    largest = []
    for k, row in enumerate(rows):
        rest = np.array([other for j, other in enumerate(rows) if j != k])
        largest.append(max((row - rest.mean(axis=0)) / rest.std(axis=0, ddof=1)))
    return sum(one >= largest[0] for one in largest) / len(rows)


def bound(observed: Array, others: Array) -> float:
    local = [student(v, others[:, p]) for p, v in enumerate(observed) if np.isfinite(v)]
    return min(1.0, len(local) * min(local)) if local else math.nan


def others_of(drawn: Array, k: int) -> Array:
    """Numbers without one copy of k."""
    at = np.flatnonzero(drawn == k)
    return np.delete(drawn, at[:1])


def of_one(function: Callable[..., Array], observed: float | Array, others: Array) -> float:
    """A sample among others, its own without signal left out."""
    null = np.concatenate([np.full_like(others[:1], np.nan), others])
    signal = np.full_like(null, np.nan)
    signal[0] = observed
    return float(function(signal, null, np.ones((1, len(null))))[0, 0])


def _samples(seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    null = rng.normal(0.5, 0.01, (12, 3))
    null[4, 1] = null[7] = np.nan
    signal = null + rng.normal(0.015, 0.004, (12, 3))
    signal[10:] = np.nan
    return signal, null


@pytest.mark.parametrize(("many", "one"), [(empirical_p_values, empirical), (student_p_values, student)])
def test_p_values_of_a_pair_are_those_of_a_loop(many: Callable[..., Array], one: Callable[..., float]) -> None:
    signal, null = (values[:, 1] for values in _samples(1))
    numbers = np.vstack([np.arange(12), Bootstrap.of(12, 20, np.random.default_rng(2)).numbers])
    counts = np.array([np.bincount(row, minlength=12) for row in numbers], float)
    found = many(signal, null, counts)
    for row, drawn in zip(found, numbers, strict=True):
        for k in range(12):
            expected = one(signal[k], null[others_of(drawn, k)]) if np.isfinite(signal[k]) else math.nan
            assert row[k] == pytest.approx(expected, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize(("many", "one"), [(global_p_values, overall), (bound_p_values, bound)])
def test_p_values_of_all_pairs_are_those_of_a_loop(many: Callable[..., Array], one: Callable[..., float]) -> None:
    signal, null = _samples(3)
    numbers = np.vstack([np.arange(12), Bootstrap.of(12, 20, np.random.default_rng(4)).numbers])
    counts = np.array([np.bincount(row, minlength=12) for row in numbers], float)
    found = many(signal, null, counts)
    assert np.isfinite(found).any(axis=1).all()
    for row, drawn in zip(found, numbers, strict=True):
        for k in range(12):
            assert row[k] == pytest.approx(one(signal[k], null[others_of(drawn, k)]), rel=1e-9, nan_ok=True)
    assert not np.isfinite(many(signal[:, :0], null[:, :0], counts)).any()


def test_replicas_in_parts_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    signal, null = _samples(5)
    counts = np.random.default_rng(6).integers(0, 3, (9, 12)).astype(float)
    at_once = global_p_values(signal, null, counts)
    monkeypatch.setattr("analysis.results.dijet_p_values.CHUNK", 2 * signal.size * len(null))
    np.testing.assert_array_equal(global_p_values(signal, null, counts), at_once)


def test_empirical_p_values_count() -> None:
    others = np.array([0.1, 0.2, np.nan, 0.3])
    assert of_one(empirical_p_values, 0.25, others) == 2 / 4
    assert of_one(empirical_p_values, 0.2, others) == 3 / 4
    assert of_one(empirical_p_values, 9.0, others) == 1 / 4


def test_p_values_without_signal_are_as_small_as_they_say() -> None:
    """P(p <= a) <= a for correlated pairs, and nearly equal: also for the few samples that Student's t is for."""
    rng = np.random.default_rng(9)
    trials, n = 1500, 9
    covariance = [[1, 0.5, 0, 0], [0.5, 1, 0.5, 0], [0, 0.5, 1, 0.5], [0, 0, 0.5, 1]]
    values = rng.multivariate_normal(np.zeros(4), covariance, (trials, n + 1))
    of_all = np.array([of_one(global_p_values, one[0], one[1:]) for one in values])
    local = np.array([of_one(empirical_p_values, one[0, 0], one[1:, 0]) for one in values])
    extrapolated = np.array([of_one(student_p_values, one[0, 0], one[1:, 0]) for one in values])
    for p in (of_all, local, extrapolated):
        for level in (0.1, 0.2, 0.5):
            assert np.mean(p <= level + 1e-9) == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / trials))
    assert of_all.min() >= 1 / (n + 1) - 1e-12


def test_student_corrects_the_normal_for_few_samples() -> None:
    few, many = np.random.default_rng(1).normal(0, 1, 6), np.random.default_rng(1).normal(0, 1, 2000)
    assert of_one(student_p_values, few.mean() + 5 * few.std(ddof=1), few) > 100 * norm.sf(5)
    three = of_one(student_p_values, many.mean() + 3 * many.std(ddof=1), many)
    assert three == pytest.approx(norm.sf(3), rel=0.02)
    assert math.isnan(of_one(student_p_values, 1.0, np.array([1.0])))
    assert math.isnan(of_one(student_p_values, 1.0, np.full(5, 0.3)))


def test_too_few_complete_samples_have_no_global_p_value() -> None:
    others = np.random.default_rng(10).normal(0, 1, (12, 3))
    assert of_one(global_p_values, np.ones(3), others[:3]) <= 1
    assert math.isnan(of_one(global_p_values, np.ones(3), others[:2]))
    assert math.isnan(of_one(global_p_values, np.array([0.1, np.nan, 0.2]), others))


def test_a_bound_for_several_tests() -> None:
    assert bonferroni(np.array([0.01, 0.5]), np.array([4, 4])).tolist() == [0.04, 1.0]


def test_the_interval_of_a_median_is_what_new_samples_vary_by() -> None:
    """All p-values of an experiment share one estimate of mean and deviation, which makes them vary together."""
    rng = np.random.default_rng(11)
    samples, medians, lengths, scatter = 16, [], [], []
    for _ in range(150):
        null = rng.normal(0.5, 0.01, samples)
        signal = null + rng.normal(0.04, 0.004, samples)
        drawn = Bootstrap.of(samples, 200, rng)
        value, low, high = drawn.median(lambda counts, s=signal, n=null: student_p_values(s, n, counts))
        assert low <= high
        medians.append(math.log(value))
        lengths.append(math.log(high / low) / 2)
        own = np.log(student_p_values(signal, null, np.ones((1, samples)))[0])
        scatter.append(1.25 * own.std(ddof=1) / math.sqrt(samples))
    assert np.mean(lengths) == pytest.approx(np.std(medians), rel=0.35)
    assert np.mean(scatter) < 0.6 * np.std(medians)  # the samples with signal alone


def test_a_median_of_one_value_has_no_interval_and_one_of_none_no_value() -> None:
    drawn = Bootstrap.of(5, 30, np.random.default_rng(12))
    signal, null = np.full(5, np.nan), np.linspace(0.4, 0.6, 5)
    value, low, high = drawn.median(lambda counts: empirical_p_values(signal, null, counts))
    assert all(math.isnan(one) for one in (value, low, high))
    signal[2] = 0.9
    value, low, high = drawn.median(lambda counts: empirical_p_values(signal, null, counts))
    assert (value, math.isnan(low), math.isnan(high)) == (1 / 5, True, True)
