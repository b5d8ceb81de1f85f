"""Gradient-boosted regression trees for the ditau mass, beside the networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.ditau_events import DitauEvents, flattening_weights
from training.ditau_symmetry import augmented
from training.files import write_atomically
from training.model_files import TRUSTED

if TYPE_CHECKING:
    from training.ditau_settings import TreesSettings

# The types in a regressor that skops does not trust by itself, besides those of the classifiers.
_TRUSTED = (
    *TRUSTED,
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.LogLink",
    "sklearn._loss.loss.AbsoluteError",
    "sklearn._loss.loss.HalfGammaLoss",
    "sklearn._loss.loss.HalfPoissonLoss",
    "sklearn._loss.loss.HalfSquaredError",
)

#: Below so many events one thread is enough.
_FEW = 100_000


@dataclass(frozen=True)
class Trees:
    """Fitted trees."""

    regressor: Any

    @property
    def width(self) -> int:
        """Number of inputs."""
        return int(self.regressor.n_features_in_)

    def predict(self, matrix: NDArray[Any]) -> NDArray[np.float64]:
        """(N,) mass [GeV] of events of shape (N, inputs)."""
        if not len(matrix):
            return np.empty(0)
        with _threads(len(matrix)):
            return np.asarray(self.regressor.predict(np.asarray(matrix, np.float32)), np.float64)

    def save(self, path: Path) -> None:
        """Write a skops file."""
        import skops.io

        write_atomically(path, lambda temporary: skops.io.dump(self.regressor, temporary))


def fit_trees(
    settings: TreesSettings, train: DitauEvents, validation: DitauEvents, *, seed: int
) -> tuple[Trees, dict[str, list[float]]]:
    """Trees up to the best number on the validation events, and the history of the loss, one value per tree."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    names = ("loss", "learning_rate", "max_leaf_nodes", "max_depth", "min_samples_leaf", "l2_regularization",
             "max_features")  # fmt: skip
    state = int(np.random.SeedSequence(seed).generate_state(1)[0])
    regressor = HistGradientBoostingRegressor(
        **{name: getattr(settings, name) for name in names},
        max_iter=settings.max_iter,
        early_stopping=True,
        n_iter_no_change=settings.patience,
        random_state=state,
    )
    train = augmented(train, settings.input_names(), settings.augment, seed=seed)
    with _threads(len(train)):
        regressor.fit(
            train.inputs,
            train.mass,
            sample_weight=flattening_weights(train.mass),
            X_val=validation.inputs,
            y_val=validation.mass,
            sample_weight_val=flattening_weights(validation.mass),
        )
    # Scores are negative losses; the first one is that of no tree.
    scores = {"loss": regressor.train_score_, "val_loss": regressor.validation_score_}
    return Trees(regressor), {name: [-float(value) for value in values] for name, values in scores.items()}


def load_trees(path: Path) -> Trees:
    """Load a file of `Trees.save`.

    Raises:
        ValueError: if it cannot be read or contains types other than those of our own models.
    """
    import zipfile

    import skops.io
    from sklearn.ensemble import HistGradientBoostingRegressor

    try:
        unexpected = sorted(set(skops.io.get_untrusted_types(file=path)) - set(_TRUSTED))
        if unexpected:
            raise ValueError(f"{path} contains types that no model of this program has: {', '.join(unexpected)}.")
        regressor = skops.io.load(path, trusted=list(_TRUSTED))
    except (OSError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no readable skops file: {error}.") from error
    if not isinstance(regressor, HistGradientBoostingRegressor):
        raise ValueError(f"{path} holds a {type(regressor).__name__}, no regressor.")
    return Trees(regressor)


def _threads(events: int) -> Any:
    """One thread for few events: OpenMP's threads wait for each other longer than they work where cores are shared."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1 if events < _FEW else None, user_api="openmp")
