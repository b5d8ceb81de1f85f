"""Classifiers: scikit-learn pipelines and Keras networks behind one interface."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.parameters import Parameters
from training.weights import training_weights

Matrix = NDArray[np.float64]


class Classifier(Protocol):
    """A fitted model."""

    curves: dict[str, Any] | None
    """Loss and accuracy per epoch, where the training has epochs."""

    @property
    def converged(self) -> bool:
        """Whether the fit ended by its own criterion, for kinds that have one."""

    def score(self, features: Matrix) -> NDArray[np.float64]:
        """(N,) score of (N, F) unscaled features, larger for signal."""

    def scaler(self) -> tuple[list[float], list[float]]:
        """Mean and scale of every feature that the model standardises with."""


@dataclass(frozen=True)
class TrainingSet:
    """What models learn from: N events of both classes, in a fixed order.

    `validation` (N,) numbers in [0, 1) that depend on the event alone: those below a network's validation fraction
    decide about early stopping and do not enter the fit.
    """

    features: Matrix
    label: NDArray[np.int8]
    weight: NDArray[np.float64]
    fold: NDArray[np.int16]
    validation: NDArray[np.float64]

    @property
    def generated(self) -> NDArray[np.intp]:
        """(N,) numbers 0, 1, ... of the generated events: `validation` is the same for all that one of them became."""
        return np.unique(self.validation, return_inverse=True)[1]

    def without(self, folds: Sequence[int]) -> NDArray[np.bool_]:
        """(N,) true for events outside `folds`."""
        return ~np.isin(self.fold, list(folds))


@dataclass
class SklearnClassifier:
    """A pipeline of a StandardScaler and a scikit-learn classifier."""

    pipeline: Any
    curves: dict[str, Any] | None = field(default=None)

    @property
    def converged(self) -> bool:
        """False for an MLP that used all its epochs."""
        model = self.pipeline.named_steps["model"]
        return not (hasattr(model, "loss_curve_") and model.n_iter_ >= model.max_iter)

    def score(self, features: Matrix) -> NDArray[np.float64]:
        """Signal probability, or the decision function where the classifier has no probability."""
        if hasattr(self.pipeline, "predict_proba"):
            return np.asarray(self.pipeline.predict_proba(features)[:, 1], np.float64)
        return np.asarray(self.pipeline.decision_function(features), np.float64)

    def scaler(self) -> tuple[list[float], list[float]]:
        """Of the StandardScaler."""
        scaler = self.pipeline.named_steps["scaler"]
        return [float(x) for x in scaler.mean_], [float(x) for x in scaler.scale_]


def make_pipeline(kind: str, parameters: Parameters, *, seed: int) -> Any:
    """An unfitted scikit-learn Pipeline with the steps `scaler` and `model`."""
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    return Pipeline([("scaler", StandardScaler()), ("model", _estimator(kind, parameters, seed))])


def _estimator(kind: str, parameters: Parameters, seed: int) -> Any:
    values = parameters.model_dump(exclude={"max_training_events"})
    if kind == "mlp":
        from sklearn.neural_network import MLPClassifier

        return MLPClassifier(random_state=seed, **values)
    if kind == "boosted_trees":
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(random_state=seed, **values)
    if kind == "forest":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(random_state=seed, **values)
    if kind == "svm":
        from sklearn.svm import SVC

        return SVC(random_state=seed, **values)
    raise ValueError(f"There is no scikit-learn model of kind {kind!r}.")


def fit_models(
    kind: str,
    parameters: Parameters,
    data: TrainingSet,
    excluded: Sequence[Sequence[int]],
    *,
    seed: int,
    threads: int,
) -> list[Classifier]:
    """One fitted model for every set of folds in `excluded`, which it does not see.

    All start from the same seed: they differ by their events alone, so their scores are comparable.
    """
    if kind == "network":
        from training.keras_network import fit_networks

        return list(fit_networks(parameters, data, excluded, seed=seed))
    import joblib
    from sklearn.exceptions import ConvergenceWarning

    # Fits in parallel, each in one thread: these samples are too small for threads within a fit, which wait for each
    # other most of the time, on a shared machine nearly all of it.
    jobs = (joblib.delayed(_fit)(kind, parameters, data, folds, seed) for folds in excluded)
    with warnings.catch_warnings():
        # What did not converge is in the result's flags.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return list(joblib.Parallel(n_jobs=min(threads, len(excluded)), prefer="threads")(jobs))


def _fit(kind: str, parameters: Parameters, data: TrainingSet, excluded: Sequence[int], seed: int) -> SklearnClassifier:
    chosen = np.flatnonzero(data.without(excluded))
    limit = getattr(parameters, "max_training_events", None)
    if limit is not None:
        chosen = _subsample(chosen, data.label, limit, seed)
    from threadpoolctl import threadpool_limits

    features, label = data.features[chosen], data.label[chosen]
    weight = training_weights(label, data.weight[chosen])
    pipeline = make_pipeline(kind, parameters, seed=seed)
    # The limit of OpenMP belongs to the thread that sets it.
    with threadpool_limits(1):
        pipeline.fit(features, label, model__sample_weight=weight)
    losses = getattr(pipeline.named_steps["model"], "loss_curve_", None)
    if losses is None:
        return SklearnClassifier(pipeline)
    curves = {
        "best_epoch": int(np.argmin(losses)),
        "loss": [float(x) for x in losses],
        "validation_loss": None,
        "accuracy": None,
        "validation_accuracy": None,
    }
    return SklearnClassifier(pipeline, curves)


def _subsample(chosen: NDArray[np.intp], label: NDArray[np.int8], limit: int, seed: int) -> NDArray[np.intp]:
    """At most limit/2 events of each class, drawn without replacement; the order of the events is kept."""
    generator = np.random.default_rng(seed)
    parts = []
    for value in (0, 1):
        of_class = chosen[label[chosen] == value]
        if len(of_class) > limit // 2:
            of_class = generator.choice(of_class, limit // 2, replace=False)
        parts.append(of_class)
    return np.sort(np.concatenate(parts))
