"""The notebook's own training, step by step: one feature, one split, no weights."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.diagnostics import confusion, report
from training.features import checked_features
from training.model_files import package_versions, save_models
from training.models import SklearnClassifier, make_pipeline
from training.parameters import MLPParameters
from training.samples import Events, require_both_classes

if TYPE_CHECKING:
    from training.higgs4l import Settings

FEATURES = ("m4l",)
CUTS = ("four_leptons",)


def train_notebook(name: str, events: Events, settings: Settings, *, seed: int, directory: Path) -> dict[str, Any]:
    """Train and judge the notebook's MLPClassifier.

    Steps 14 to 30 of "How to rediscover the Higgs with a neural network": every simulated event with four leptons,
    the feature m4l, a random test sample, StandardScaler, MLPClassifier, confusion matrix and classification report of
    the test events. Only the seed of the split and of the network is ours.
    """
    from sklearn.model_selection import train_test_split

    started = time.perf_counter()
    chosen = events.select(events.simulated & events.passed(CUTS))
    require_both_classes(chosen, ())
    features, label = checked_features(chosen, FEATURES), chosen.label
    parameters = MLPParameters.model_validate(settings.notebook.model_dump(exclude={"test_fraction"}))
    train_x, test_x, train_y, test_y = train_test_split(
        features, label, test_size=settings.notebook.test_fraction, random_state=seed
    )
    pipeline = make_pipeline("mlp", parameters, seed=seed)
    pipeline.fit(train_x, train_y)
    network = pipeline.named_steps["model"]
    predicted = pipeline.predict(test_x)
    classifier = SklearnClassifier(pipeline)
    save_models(
        directory,
        [classifier],
        {
            "name": name,
            "kind": "mlp",
            "feature_set": "m4l",
            "features": list(FEATURES),
            "thresholds": [0.5],
            "parameters": parameters.model_dump(mode="json"),
            "settings": settings.model_dump(mode="json"),
            "seed": seed,
        },
    )
    matrix = confusion(test_y, predicted == 1, np.ones(len(test_y)))
    mean, scale = classifier.scaler()
    return {
        "name": name,
        "task": "notebook",
        "seed": seed,
        "features": list(FEATURES),
        "parameters": parameters.model_dump(mode="json"),
        "events": {
            "signal": int(np.sum(label == 1)),
            "background": int(np.sum(label == 0)),
            "train": len(train_y),
            "test": len(test_y),
        },
        "accuracy": float(np.mean(predicted == test_y)),
        "confusion_matrix": {"labels": matrix["labels"], "raw": matrix["raw"]},
        "classification_report": report(test_y, predicted),
        "weights": [matrix.tolist() for matrix in network.coefs_],
        "biases": [vector.tolist() for vector in network.intercepts_],
        "layer_sizes": [len(FEATURES), *parameters.hidden_layer_sizes, 1],
        "loss_curve": [float(x) for x in network.loss_curve_],
        "iterations": int(network.n_iter_),
        "converged": bool(network.n_iter_ < parameters.max_iter),
        "scaler": {"mean": mean, "scale": scale},
        "flags": [] if network.n_iter_ < parameters.max_iter else [f"not converged after {network.n_iter_} epochs"],
        "versions": package_versions(),
        "seconds": {"total": time.perf_counter() - started},
    }
