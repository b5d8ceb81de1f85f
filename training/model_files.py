"""Trained models on disk: skops and .keras files with model.json beside them; nothing here is or reads a pickle."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.backend import backend_name, keras_module
from training.features import feature_matrix, required_columns
from training.files import write_atomically, write_json
from training.keras_network import NetworkClassifier
from training.models import Classifier, SklearnClassifier

PACKAGES = (
    "numpy", "scipy", "scikit-learn", "skops", "keras", "tensorflow", "jax", "pyarrow", "energyflow", "fastjet",
    "xgboost", "xgboost-cpu",
)  # fmt: skip

# The types in our own pipelines that skops does not trust by itself. A file with any other is not loaded.
TRUSTED = (
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
)


@dataclass(frozen=True)
class StoredModel:
    """A loaded model: one classifier per outer fold."""

    name: str
    kind: str
    features: tuple[str, ...]
    classifiers: tuple[Classifier, ...]
    thresholds: tuple[float, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Skim columns that `predict` needs."""
        return required_columns(self.features)

    @property
    def threshold(self) -> float:
        """Mean of the folds' thresholds, for the mean score."""
        return float(np.mean(self.thresholds))

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """(N,) mean score of the folds' models, for events that none of them was trained on.

        Raises:
            ValueError: if a column is missing or a feature not finite.
        """
        missing = [name for name in self.columns if name not in columns]
        if missing:
            raise ValueError(f"The model {self.name} needs the column(s) {', '.join(missing)}.")
        matrix = feature_matrix(columns, self.features)
        bad = ~np.isfinite(matrix).all(axis=0)
        if bad.any():
            name = self.features[int(np.argmax(bad))]
            raise ValueError(f"The feature {name} of the model {self.name} is not finite in some events.")
        return mean_score(self.classifiers, matrix)


def mean_score(classifiers: Sequence[Classifier], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) mean of the classifiers' scores."""
    if not len(matrix):
        return np.empty(0)
    return np.asarray(np.mean([classifier.score(matrix) for classifier in classifiers], axis=0), np.float64)


def package_versions() -> dict[str, str]:
    """Versions of the packages that a model's numbers may depend on.

    `keras_backend` is the name of the backend, where this process has loaded Keras.
    """
    result = {}
    for name in PACKAGES:
        try:
            result[name] = version(name)
        except PackageNotFoundError:
            continue
    if "keras" in sys.modules:
        result["keras_backend"] = backend_name()
    return result


def save_models(directory: Path, classifiers: Sequence[Classifier], facts: Mapping[str, Any]) -> None:
    """Write one file per classifier and model.json, which comes last and names them.

    `facts` needs `name`, `kind`, `features`, `thresholds`; the scalers, files and versions are added.
    """
    directory.mkdir(parents=True, exist_ok=True)
    files, means, scales = [], [], []
    for k, classifier in enumerate(classifiers):
        path = directory / f"fold{k}.{'keras' if isinstance(classifier, NetworkClassifier) else 'skops'}"
        save_classifier(path, classifier)
        files.append(path.name)
        mean, scale = classifier.scaler()
        means.append(mean)
        scales.append(scale)
    scaler = {"mean": means, "scale": scales}
    write_json(directory / "model.json", {**facts, "files": files, "scaler": scaler, "versions": package_versions()})


def save_classifier(path: Path, classifier: Classifier) -> None:
    """Write one classifier: .keras for a network, .skops for a pipeline."""
    if isinstance(classifier, NetworkClassifier):
        write_atomically(path, classifier.model.save)
    elif isinstance(classifier, SklearnClassifier):
        import skops.io

        write_atomically(path, lambda temporary: skops.io.dump(classifier.pipeline, temporary))
    else:
        raise TypeError(f"A {type(classifier).__name__} has no file format.")


def load_model(directory: str | Path) -> StoredModel:
    """Load the model of a training task.

    Raises:
        ValueError: if model.json or a file is missing or damaged, was written by another minor version of
            scikit-learn or another major one of Keras, holds a type that is not expected, or has other features than
            model.json says.
    """
    directory = Path(directory)
    path = directory / "model.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        name, kind = str(facts["name"]), str(facts["kind"])
        features = tuple(str(feature) for feature in facts["features"])
        files, written = [str(file) for file in facts["files"]], dict(facts["versions"])
        thresholds = tuple(float(value) for value in facts["thresholds"])
    except FileNotFoundError:
        raise ValueError(f"{directory} holds no model: there is no model.json.") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not describe a model: {error!r}.") from error
    _check_versions(path, kind, written)
    classifiers = []
    for k, file in enumerate(files):
        if Path(file).name != file or not (directory / file).is_file():
            raise ValueError(f"{path} names the file {file}, which is not in {directory}.")
        classifier = load_classifier(directory / file)
        mean, scale = classifier.scaler()
        stored = facts["scaler"]
        if len(mean) != len(features) or not (
            np.allclose(mean, stored["mean"][k], rtol=1e-6) and np.allclose(scale, stored["scale"][k], rtol=1e-6)
        ):
            raise ValueError(f"{directory / file} is not the model of {path}: its scaler differs.")
        classifiers.append(classifier)
    return StoredModel(name, kind, features, tuple(classifiers), thresholds)


def load_classifier(path: Path) -> Classifier:
    """Load one file of `save_classifier`.

    Raises:
        ValueError: if it cannot be read or contains types other than those of our own models.
    """
    if path.suffix == ".keras":
        try:
            return NetworkClassifier(keras_module().saving.load_model(path, compile=False, safe_mode=True))
        except (OSError, TypeError, KeyError, ValueError) as error:
            raise ValueError(f"{path} is no readable Keras model: {error}.") from error
    import zipfile

    import skops.io

    try:
        unexpected = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED))
        if unexpected:
            raise ValueError(f"{path} contains types that no model of this program has: {', '.join(unexpected)}.")
        pipeline = skops.io.load(path, trusted=list(TRUSTED))
    except (OSError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no readable skops file: {error}.") from error
    return SklearnClassifier(pipeline)


def _check_versions(path: Path, kind: str, written: Mapping[str, str]) -> None:
    package, parts = ("keras", 1) if kind == "network" else ("scikit-learn", 2)
    here = version(package)
    there = str(written.get(package))
    if there.split(".")[:parts] != here.split(".")[:parts]:
        raise ValueError(f"{path} was written with {package} {there}, but {here} is installed: train again.")
