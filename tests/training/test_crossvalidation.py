from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training import crossvalidation
from training.crossvalidation import cross_validate
from training.models import TrainingSet
from training.parameters import BoostedTreesParameters, Parameters
from training.thresholds import best_threshold

FOLDS = 4


def training_set(n: int = 400) -> TrainingSet:
    """The only feature is the number of the event."""
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, n).astype(np.int8)
    fold = rng.integers(0, FOLDS, n).astype(np.int16)
    return TrainingSet(np.arange(n, dtype=float)[:, None], label, rng.uniform(0.5, 1, n), fold, rng.random(n))


@dataclass
class Memory:
    """Scores 1 for what it was trained on, and less for the rest, by a rule that depends on the combination."""

    seen: NDArray[np.float64]
    label: NDArray[np.int8]
    quality: float
    curves: dict[str, Any] | None = None
    converged: bool = True

    def score(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        number = features[:, 0].astype(int)
        noise = np.random.default_rng(2).random(len(self.label))[number]
        return np.where(
            np.isin(features[:, 0], self.seen), 1.0, 0.9 * noise * (1 - self.quality * (self.label[number] == 0))
        )

    def scaler(self) -> tuple[list[float], list[float]]:
        return [0.0], [1.0]


@pytest.fixture
def remembering(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replaces the fits; gives the list of how many there were."""
    fits: list[int] = []

    def fit(
        kind: str, parameters: Parameters, data: TrainingSet, excluded: Sequence[Sequence[int]], **_: int
    ) -> list[Memory]:
        fits.append(len(excluded))
        quality = parameters.model_dump()["learning_rate"]
        return [Memory(data.features[data.without(folds), 0], data.label, quality) for folds in excluded]

    monkeypatch.setattr(crossvalidation, "fit_models", fit)
    return fits


def validate(data: TrainingSet, *rates: float) -> crossvalidation.CrossValidation:
    combinations = [BoostedTreesParameters(learning_rate=rate) for rate in rates]
    return cross_validate("boosted_trees", combinations, data, folds=FOLDS, minimum_effective=5.0, seed=1, threads=1)


def test_no_event_is_scored_by_a_model_that_saw_it(remembering: list[int]) -> None:
    data = training_set()
    result = validate(data, 0.5)
    assert (result.score < 0.95).all()
    assert all(its.value < 0.95 for its in result.thresholds)
    assert sum(remembering) == FOLDS + FOLDS * (FOLDS - 1) // 2


def test_threshold_of_a_fold_comes_from_the_others(remembering: list[int]) -> None:
    data = training_set()
    result = validate(data, 0.5)
    reference = Memory(np.empty(0), data.label, 0.5)
    for k in range(FOLDS):
        others = data.fold != k
        expected = best_threshold(
            reference.score(data.features[others]),
            data.label[others],
            data.weight[others],
            minimum_effective=5.0,
            scale=FOLDS / (FOLDS - 1),
        )
        assert result.thresholds[k] == expected


def test_changing_a_fold_leaves_its_threshold_alone(remembering: list[int]) -> None:
    data = training_set()
    first = validate(data, 0.5)
    weight = np.where(data.fold == 2, data.weight * 50, data.weight)
    second = validate(TrainingSet(data.features, data.label, weight, data.fold, data.validation), 0.5)
    assert second.thresholds[2] == first.thresholds[2]
    assert second.thresholds[1] != first.thresholds[1]


def test_a_scan_takes_the_better_combination(remembering: list[int]) -> None:
    data = training_set()
    result = validate(data, 0.2, 0.9)
    assert result.chosen == [1] * FOLDS
    assert all(result.inner[1][k].asimov > result.inner[0][k].asimov for k in range(FOLDS))
    assert [its.value for its in result.thresholds] == [its.value for its in result.inner[1]]
    assert (result.score < 0.95).all()
