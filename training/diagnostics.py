"""Quality of a cross-validated classifier: ROC, overtraining, confusion matrix, feature importance.

Weights enter with their absolute value: a ROC curve of negative weights is not monotonic and has no area.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.models import Classifier, TrainingSet
from training.significance import bootstrap_figure, bootstrap_replicas
from training.weights import effective_events

CLASSES = ("background", "signal")
_POINTS = 201
Array = NDArray[np.float64]


def weighted_auc(
    score: Array,
    label: NDArray[np.integer],
    weight: Array,
    generated: NDArray[np.intp],
    *,
    replicas: int,
    seed: int,
) -> dict[str, Any]:
    """Area under the weighted ROC curve, with bootstrap uncertainty.

    Events with equal numbers in `generated` (0, 1, ...) come from one generated event and are drawn together.
    """
    from sklearn.metrics import roc_auc_score

    value = float(roc_auc_score(label, score, sample_weight=np.abs(weight)))
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(score[order]) > 0))
    signal = np.where(label == 1, np.abs(weight), 0.0)[order]
    background = np.where(label == 1, 0.0, np.abs(weight))[order]
    areas = []
    group = generated[order]
    for draw in bootstrap_replicas(int(generated.max(initial=-1)) + 1, replicas, seed):
        s = np.add.reduceat(signal * draw[group], starts)
        b = np.add.reduceat(background * draw[group], starts)
        norm = s.sum() * b.sum()
        # Events of equal score count one half (Mann-Whitney).
        areas.append(float(s @ (np.cumsum(b) - b / 2)) / norm if norm > 0 else float("nan"))
    return bootstrap_figure(value, areas)


def roc_points(score: Array, label: NDArray[np.integer], weight: Array) -> dict[str, list[float | None]]:
    """The weighted ROC curve at about 200 points; the first threshold is None (nothing selected)."""
    from sklearn.metrics import roc_curve

    background, signal, thresholds = roc_curve(label, score, sample_weight=np.abs(weight))
    grid = np.linspace(0, 1, _POINTS)
    kept = np.unique(np.clip(np.searchsorted(signal, grid), 0, len(signal) - 1))
    kept = np.unique(np.concatenate([[0], kept, [len(signal) - 1]]))
    return {
        "signal_efficiency": [float(x) for x in signal[kept]],
        "background_efficiency": [float(x) for x in background[kept]],
        "threshold": [float(x) if np.isfinite(x) else None for x in thresholds[kept]],
    }


def confusion(label: NDArray[np.integer], selected: NDArray[np.bool_], weight: Array) -> dict[str, Any]:
    """Confusion matrices, rows true class, columns predicted, of event counts and of signed weights."""
    weighted = np.zeros((2, 2))
    np.add.at(weighted, (label.astype(int), selected.astype(int)), weight)
    raw = np.zeros((2, 2), int)
    np.add.at(raw, (label.astype(int), selected.astype(int)), 1)
    return {"labels": list(CLASSES), "raw": raw.tolist(), "weighted": weighted.tolist()}


def report(label: NDArray[np.integer], predicted: NDArray[Any]) -> dict[str, Any]:
    """scikit-learn's classification report of event counts, as text and values."""
    from sklearn.metrics import classification_report

    common = {"labels": [0, 1], "target_names": list(CLASSES), "zero_division": 0.0}
    predicted = predicted.astype(int)
    values = classification_report(label, predicted, output_dict=True, **common)
    return {"text": str(classification_report(label, predicted, **common)), "values": _plain(values)}


def training_scores(models: Sequence[Classifier], data: TrainingSet) -> list[Array]:
    """For every outer fold k the (N,) scores by model k of its training events, NaN in fold k."""
    result = []
    for k, model in enumerate(models):
        scores = np.full(len(data.label), np.nan)
        seen = data.fold != k
        scores[seen] = model.score(data.features[seen])
        result.append(scores)
    return result


def train_auc(train: Sequence[Array], data: TrainingSet) -> float:
    """Mean AUC of the outer models on the events they were trained on."""
    from sklearn.metrics import roc_auc_score

    areas = []
    for scores in train:
        seen = np.isfinite(scores)
        areas.append(roc_auc_score(data.label[seen], scores[seen], sample_weight=np.abs(data.weight[seen])))
    return float(np.mean(areas))


def fold_auc(score: Array, data: TrainingSet) -> list[float | None]:
    """AUC of every outer fold, None where a fold has events of one class only."""
    from sklearn.metrics import roc_auc_score

    result: list[float | None] = []
    for k in range(int(data.fold.max()) + 1):
        own = data.fold == k
        both = len(np.unique(data.label[own])) == len(CLASSES)
        area = roc_auc_score(data.label[own], score[own], sample_weight=np.abs(data.weight[own])) if both else None
        result.append(None if area is None else float(area))
    return result


def score_histograms(
    train: Sequence[Array], test: Array, data_scores: Array, data: TrainingSet, *, bins: int
) -> dict[str, Any]:
    """Weighted yields per bin of score, on training and on unseen events.

    A training histogram is the mean over the outer models, scaled to all events. Its variances treat an event's
    entries in the different models as fully correlated, which they nearly are.
    """
    finite = np.concatenate([test, data_scores, *(scores[np.isfinite(scores)] for scores in train)])
    low, high = float(finite.min()), float(finite.max())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
    result: dict[str, Any] = {"edges": edges.tolist()}
    for value, name in ((1, "signal"), (0, "background")):
        of_class = data.label == value
        values, variances = np.zeros(bins), np.zeros(bins)
        for scores in train:
            seen = of_class & np.isfinite(scores)
            values += np.histogram(scores[seen], edges, weights=data.weight[seen])[0]
            variances += np.histogram(scores[seen], edges, weights=data.weight[seen] ** 2)[0]
        # Every event is a training event of K-1 models.
        times = max(len(train) - 1, 1)
        result[name] = {
            "train": {"values": (values / times).tolist(), "variances": (variances / times).tolist()},
            "test": {
                "values": np.histogram(test[of_class], edges, weights=data.weight[of_class])[0].tolist(),
                "variances": np.histogram(test[of_class], edges, weights=data.weight[of_class] ** 2)[0].tolist(),
            },
        }
    result["data"] = {"values": np.histogram(data_scores, edges)[0].astype(float).tolist()}
    return result


def overtraining(train: Sequence[Array], test: Array, data: TrainingSet) -> dict[str, Any]:
    """Kolmogorov-Smirnov distance between the scores of training and of unseen events, per class and fold."""
    result = {}
    for value, name in ((1, "signal"), (0, "background")):
        folds = []
        for k, scores in enumerate(train):
            seen = (data.label == value) & np.isfinite(scores)
            unseen = (data.label == value) & (data.fold == k)
            if unseen.any():
                statistic, probability = weighted_ks(
                    scores[seen], np.abs(data.weight[seen]), test[unseen], np.abs(data.weight[unseen])
                )
                folds.append({"statistic": statistic, "p_value": probability})
        result[name] = {
            "statistic": float(np.mean([fold["statistic"] for fold in folds])) if folds else None,
            "p_value": float(np.median([fold["p_value"] for fold in folds])) if folds else None,
            "folds": folds,
        }
    return result


def weighted_ks(first: Array, first_weight: Array, second: Array, second_weight: Array) -> tuple[float, float]:
    """Two-sample Kolmogorov-Smirnov test of weighted samples: distance and asymptotic p-value.

    The p-value takes the effective numbers of events for the numbers of events; with equal weights it is the
    asymptotic one of scipy.stats.ks_2samp.
    """
    from scipy.stats import kstwobign

    points = np.concatenate([first, second])
    order = np.argsort(points, kind="stable")
    steps = np.concatenate([first_weight / first_weight.sum(), -second_weight / second_weight.sum()])[order]
    last = np.append(np.diff(points[order]) > 0, True)
    distance = float(np.max(np.abs(np.cumsum(steps)[last])))
    n, m = effective_events(first_weight), effective_events(second_weight)
    return distance, float(kstwobign.sf(distance * np.sqrt(n * m / (n + m))))


def permutation_importance(
    models: Sequence[Classifier],
    data: TrainingSet,
    features: Sequence[str],
    *,
    events: int,
    repeats: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Loss of AUC on unseen events when a feature's values are permuted among them (Breiman 2001).

    At most `events` events enter, by halves signal and background, each scored by the model of its fold. The
    uncertainty is the standard deviation over the repeats. Features that carry the same information share it:
    permuting one of them then costs little.
    """
    from sklearn.metrics import roc_auc_score

    generator = np.random.default_rng(seed)
    parts = []
    for value in (0, 1):
        of_class = np.flatnonzero(data.label == value)
        parts.append(generator.permutation(of_class)[: max(events // 2, 1)])
    chosen = np.sort(np.concatenate(parts))
    matrix, fold = data.features[chosen], data.fold[chosen]
    label, weight = data.label[chosen], np.abs(data.weight[chosen])
    variants = [matrix]
    for column in range(len(features)):
        for _ in range(repeats):
            changed = matrix.copy()
            changed[:, column] = generator.permutation(changed[:, column])
            variants.append(changed)
    scores = np.empty((len(variants), len(chosen)))
    for k, model in enumerate(models):
        own = fold == k
        if own.any():
            block = np.concatenate([variant[own] for variant in variants])
            scores[:, own] = model.score(block).reshape(len(variants), -1)
    areas = np.array([roc_auc_score(label, row, sample_weight=weight) for row in scores])
    drops = (areas[0] - areas[1:]).reshape(len(features), repeats)
    spread = np.std(drops, axis=1, ddof=1) if repeats > 1 else np.full(len(features), np.nan)
    return ranked(features, np.mean(drops, axis=1), spread)


def impurity_importance(models: Sequence[Any], features: Sequence[str]) -> list[dict[str, Any]] | None:
    """Mean decrease of impurity per feature, averaged over the outer models; None where a model has none."""
    rows = []
    for model in models:
        pipeline = getattr(model, "pipeline", None)
        values = getattr(pipeline.named_steps["model"], "feature_importances_", None) if pipeline is not None else None
        if values is None:
            return None
        rows.append(values)
    return ranked(features, np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1))


def ranked(features: Sequence[str], values: Array, uncertainties: Array) -> list[dict[str, Any]]:
    """Features with figures, largest first."""
    return [
        {
            "feature": features[i],
            "value": float(values[i]),
            "uncertainty": float(uncertainties[i]) if np.isfinite(uncertainties[i]) else None,
        }
        for i in np.argsort(-values, kind="stable")
    ]


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): _plain(value) if isinstance(value, Mapping) else float(value) for name, value in values.items()}
