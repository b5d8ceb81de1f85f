import numpy as np
import pytest
from scipy import stats

from training.significance import (
    asimov,
    asimov_uncertainty,
    best_model,
    bootstrap_figure,
    bootstrap_replicas,
    s_over_sqrt_b,
    task_seed,
)


def test_asimov_is_the_poisson_likelihood_ratio() -> None:
    s, b = 0.4, 0.07
    expected = np.sqrt(2 * ((s + b) * np.log((s + b) / b) - s))
    assert float(asimov(s, b)) == pytest.approx(expected, rel=1e-14)
    # q0 with n = s + b, that integer here: arXiv:1007.1727, equation 95.
    n, b = 4, 1.5
    q0 = 2 * (stats.poisson.logpmf(n, n) - stats.poisson.logpmf(n, b))
    assert float(asimov(n - b, b)) == pytest.approx(np.sqrt(q0), rel=1e-12)


def test_asimov_tends_to_s_over_sqrt_b() -> None:
    assert float(asimov(1.0, 1e6)) == pytest.approx(float(s_over_sqrt_b(1.0, 1e6)), rel=1e-5)
    assert float(s_over_sqrt_b(3.0, 4.0)) == 1.5


def test_undefined_and_negative() -> None:
    assert np.isnan(asimov([1.0, 1.0], [0.0, -1.0])).all()
    assert np.isnan(s_over_sqrt_b(1.0, 0.0))
    assert float(asimov(0.0, 2.0)) == 0.0
    assert float(asimov(-0.5, 2.0)) < 0
    assert np.isnan(asimov_uncertainty(1.0, 0.0, 0.1, 0.1))


def test_uncertainty_is_the_numerical_derivative() -> None:
    s, b, ds, db, h = 0.4, 0.09, 0.01, 0.02, 1e-6
    by_s = (asimov(s + h, b) - asimov(s - h, b)) / (2 * h)
    by_b = (asimov(s, b + h) - asimov(s, b - h)) / (2 * h)
    assert asimov_uncertainty(s, b, ds, db) == pytest.approx(float(np.hypot(by_s * ds, by_b * db)), rel=1e-6)


def test_bootstrap_gives_the_error_of_a_sum() -> None:
    weights = np.random.default_rng(3).uniform(-0.5, 2.0, 400)
    sums = [float(draw @ weights) for draw in bootstrap_replicas(len(weights), 3000, 5)]
    figure = bootstrap_figure(float(weights.sum()), sums)
    assert figure["value"] == pytest.approx(weights.sum())
    assert figure["uncertainty"] == pytest.approx(np.sqrt(np.sum(weights**2)), rel=0.05)
    low, high = figure["interval"]
    assert high - low == pytest.approx(2 * figure["uncertainty"], rel=0.1)


def test_bootstrap_is_reproducible_and_leaves_out_undefined() -> None:
    first, second = (np.array(list(bootstrap_replicas(9, 4, 1))) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, np.array(list(bootstrap_replicas(9, 4, 2))))
    assert bootstrap_figure(1.0, [np.nan, 1.0, 3.0])["uncertainty"] == pytest.approx(np.sqrt(2))
    assert bootstrap_figure(float("nan"), [1.0, 2.0]) == {"value": None, "uncertainty": None, "interval": None}


def test_best_model_by_inner_significance() -> None:
    results = [
        {"task": "model", "name": "a", "inner_asimov": 1.1, "yields": {"asimov": {"value": 0.9}}},
        {"task": "model", "name": "b", "inner_asimov": 1.0, "yields": {"asimov": {"value": 1.5}}},
        {"task": "notebook", "name": "notebook"},
    ]
    assert best_model(results) == "a"
    assert best_model(results[2:]) is None


def test_task_seeds_differ_and_stay() -> None:
    seeds = [task_seed(1, "a"), task_seed(1, "b"), task_seed(2, "a")]
    assert len(set(seeds)) == 3
    assert task_seed(1, "a") == seeds[0]
