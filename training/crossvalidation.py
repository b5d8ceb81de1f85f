"""Nested cross-validation: a score and a threshold for every event from models that did not see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.models import Classifier, TrainingSet, fit_models
from training.parameters import Parameters
from training.splits import exclusions
from training.thresholds import Threshold, best_threshold


@dataclass(frozen=True)
class CrossValidation:
    """What K outer folds gave.

    `models[k]`, `thresholds[k]` and `chosen[k]` (index of the parameter combination) belong to outer fold k; `score`
    (N,) is every event's score by the model of its fold; `inner[c][k]` is the threshold that combination c would have
    for fold k.
    """

    models: list[Classifier]
    thresholds: list[Threshold]
    chosen: list[int]
    score: NDArray[np.float64]
    inner: list[list[Threshold]]


def cross_validate(
    kind: str,
    combinations: Sequence[Parameters],
    data: TrainingSet,
    *,
    folds: int,
    minimum_effective: float,
    seed: int,
    threads: int,
) -> CrossValidation:
    """Fit, choose among `combinations`, and choose thresholds; fold k has no part in its own choices.

    Thresholds are in units of the score itself. The scores that choose the threshold of fold k come from K-1 models,
    and fold k is judged by one more. All estimate the same quantity, the signal probability for equal class weights
    (for an SVM the distance to its boundary), from the same starting point and mostly the same events. A mapping to
    background quantiles would need background events that no model has seen, which the thresholds need themselves.
    What mismatch remains makes a threshold less than optimal, never its significance biased: fold k did not choose it.
    """
    outer_sets, inner_sets = exclusions(folds)
    common = {"seed": seed, "threads": threads}
    first: list[Classifier] = []
    inner_scores = []
    for parameters in combinations:
        if len(combinations) == 1:
            fitted = fit_models(kind, parameters, data, [*outer_sets, *inner_sets], **common)
            first, fitted = fitted[:folds], fitted[folds:]
        else:
            fitted = fit_models(kind, parameters, data, inner_sets, **common)
        inner_scores.append(_inner_scores(fitted, inner_sets, data, folds))
    inner = [_thresholds(scores, data, folds, minimum_effective) for scores in inner_scores]
    chosen = [_choice([thresholds[k] for thresholds in inner]) for k in range(folds)]
    models = first or _outer_models(kind, combinations, chosen, data, outer_sets, common)
    score = np.empty(len(data.label))
    for k, model in enumerate(models):
        own = data.fold == k
        score[own] = model.score(data.features[own])
    return CrossValidation(models, [inner[c][k] for k, c in enumerate(chosen)], chosen, score, inner)


def _inner_scores(
    models: Sequence[Classifier], excluded: Sequence[tuple[int, int]], data: TrainingSet, folds: int
) -> NDArray[np.float64]:
    """(N, K): column k has scores by models without fold k and without the event's own fold; NaN in fold k."""
    scores = np.full((len(data.label), folds), np.nan)
    for model, (j, k) in zip(models, excluded, strict=True):
        events = np.flatnonzero((data.fold == j) | (data.fold == k))
        scores[events, np.where(data.fold[events] == j, k, j)] = model.score(data.features[events])
    return scores


def _thresholds(
    scores: NDArray[np.float64], data: TrainingSet, folds: int, minimum_effective: float
) -> list[Threshold]:
    result = []
    for k in range(folds):
        others = data.fold != k
        result.append(
            best_threshold(
                scores[others, k],
                data.label[others],
                data.weight[others],
                minimum_effective=minimum_effective,
                scale=folds / (folds - 1),
            )
        )
    return result


def _choice(thresholds: Sequence[Threshold]) -> int:
    """The combination of the largest significance, those that keep the required background first."""
    return max(range(len(thresholds)), key=lambda c: (thresholds[c].constrained, thresholds[c].asimov))


def _outer_models(
    kind: str,
    combinations: Sequence[Parameters],
    chosen: Sequence[int],
    data: TrainingSet,
    outer_sets: Sequence[tuple[int]],
    common: dict[str, int],
) -> list[Classifier]:
    models: dict[int, Classifier] = {}
    for c in sorted(set(chosen)):
        own = [k for k, its in enumerate(chosen) if its == c]
        fitted = fit_models(kind, combinations[c], data, [outer_sets[k] for k in own], **common)
        models.update(zip(own, fitted, strict=True))
    return [models[k] for k in range(len(outer_sets))]
