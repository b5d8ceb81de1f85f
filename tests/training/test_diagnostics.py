import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from training.diagnostics import (
    confusion,
    permutation_importance,
    roc_points,
    weighted_auc,
    weighted_ks,
)
from training.models import SklearnClassifier, TrainingSet, fit_models
from training.parameters import ForestParameters


def scores(n: int = 3000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, n)
    return np.round(rng.normal(label * 0.8, 1.0), 1), label, rng.uniform(0.1, 2.0, n)


def test_auc_of_a_bootstrap_replica_is_that_of_scikit_learn() -> None:
    score, label, weight = scores()
    figure = weighted_auc(score, label, weight, np.arange(len(score)), replicas=50, seed=1)
    assert figure["value"] == pytest.approx(roc_auc_score(label, score, sample_weight=weight))
    # With ties and weights, the mean of the replicas can agree only if each replica's area is right.
    assert np.mean(figure["interval"]) == pytest.approx(figure["value"], abs=2 * figure["uncertainty"] / np.sqrt(10))
    # Hanley and McNeil (1982) for unweighted events; weights enlarge it by the loss of effective events.
    assert 0.005 < figure["uncertainty"] < 0.015


def test_roc_points_ascend_and_have_the_area() -> None:
    score, label, weight = scores()
    roc = roc_points(score, label, weight)
    signal, background = np.array(roc["signal_efficiency"]), np.array(roc["background_efficiency"])
    assert (np.diff(signal) >= 0).all()
    assert (np.diff(background) >= 0).all()
    assert (signal[0], background[0], signal[-1], background[-1]) == (0, 0, 1, 1)
    assert roc["threshold"][0] is None
    assert len(signal) <= 203
    area = np.trapezoid(signal, background)
    assert area == pytest.approx(roc_auc_score(label, score, sample_weight=weight), abs=0.003)


def test_ks_with_equal_weights_is_that_of_scipy() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(0, 1, 700), rng.normal(0.1, 1, 500)
    distance, probability = weighted_ks(first, np.full(700, 3.0), second, np.full(500, 0.1))
    expected = stats.ks_2samp(first, second, method="asymp")
    assert distance == pytest.approx(expected.statistic)
    assert probability == pytest.approx(expected.pvalue, rel=0.1)


def test_ks_counts_weights_as_repetitions() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(0, 1, 80), rng.normal(0, 1, 90)
    times = rng.integers(1, 4, 80)
    distance, _ = weighted_ks(first, times.astype(float), second, np.ones(90))
    assert distance == pytest.approx(stats.ks_2samp(np.repeat(first, times), second).statistic)


def test_confusion_matrix() -> None:
    label = np.array([0, 0, 1, 1, 1])
    selected = np.array([False, True, True, True, False])
    found = confusion(label, selected, np.array([1.0, 2.0, 3.0, -4.0, 5.0]))
    assert found["raw"] == [[1, 1], [1, 2]]
    assert found["weighted"] == [[1.0, 2.0], [5.0, -1.0]]


def test_permutation_importance_finds_the_feature_that_matters() -> None:
    rng = np.random.default_rng(4)
    n = 1200
    label = rng.integers(0, 2, n).astype(np.int8)
    features = np.column_stack([rng.normal(size=n), rng.normal(label * 2.0, 1.0), rng.normal(size=n)])
    data = TrainingSet(features, label, np.ones(n), rng.integers(0, 3, n).astype(np.int16), rng.random(n))
    models = fit_models("forest", ForestParameters(n_estimators=20), data, [(0,), (1,), (2,)], seed=1, threads=2)
    assert all(isinstance(model, SklearnClassifier) for model in models)
    found = permutation_importance(models, data, ("a", "b", "c"), events=600, repeats=3, seed=1)
    assert found[0]["feature"] == "b"
    assert found[0]["value"] > 0.3
    assert abs(found[1]["value"]) < 0.05
    again = permutation_importance(models, data, ("a", "b", "c"), events=600, repeats=3, seed=1)
    assert again == found
