"""Gradient-boosted regression trees (XGBoost) for the ditau mass, beside the networks, as in the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.ditau_events import DitauEvents, flattening_weights
from training.ditau_symmetry import augmented
from training.files import write_atomically

if TYPE_CHECKING:
    from training.ditau_settings import TreesSettings

#: XGBoost's own format, which is data and no code.
FILE = "model.ubj"
#: Below so many events one thread is enough: threads wait for each other longer than they work where cores are shared.
_FEW = 100_000
#: Keys of `TreesSettings` that XGBoost has by the same names.
_PARAMETERS = (
    "learning_rate", "max_depth", "max_leaves", "min_child_weight", "gamma", "max_delta_step", "subsample",
    "colsample_bytree", "colsample_bylevel", "colsample_bynode", "reg_alpha", "reg_lambda", "grow_policy", "max_bin",
    "tree_method",
)  # fmt: skip
#: Keys that only one objective has.
_OF_OBJECTIVE = {"pseudohubererror": "huber_slope", "tweedie": "tweedie_variance_power"}


@dataclass(frozen=True)
class Trees:
    """Fitted trees."""

    booster: Any

    @property
    def width(self) -> int:
        """Number of inputs."""
        return int(self.booster.num_features())

    def predict(self, matrix: NDArray[Any]) -> NDArray[np.float64]:
        """(N,) mass [GeV] of events of shape (N, inputs)."""
        if not len(matrix):
            return np.empty(0)
        return np.asarray(self.booster.inplace_predict(np.ascontiguousarray(matrix, np.float32)), np.float64)

    def save(self, path: Path) -> None:
        """Write a file of XGBoost's binary JSON (UBJ)."""
        write_atomically(path, self.booster.save_model)


def fit_trees(
    settings: TreesSettings, train: DitauEvents, validation: DitauEvents, *, seed: int
) -> tuple[Trees, dict[str, list[float]]]:
    """Trees up to the best number on the validation events, and the history of the metric, one value per tree."""
    from xgboost import XGBRegressor

    train = augmented(train, settings.input_names(), settings.augment, seed=seed)
    extra = _OF_OBJECTIVE.get(settings.objective)
    regressor = XGBRegressor(
        **{name: getattr(settings, name) for name in (*_PARAMETERS, *([extra] if extra else []))},
        objective=f"reg:{settings.objective}",
        eval_metric=settings.eval_metric,
        # XGBoost's own start of some objectives is far from all masses.
        base_score=float(np.average(train.mass, weights=flattening_weights(train.mass))),
        n_estimators=settings.n_estimators,
        early_stopping_rounds=settings.patience,
        n_jobs=1 if len(train) < _FEW else None,
        random_state=int(np.random.SeedSequence(seed).generate_state(1)[0] % 2**31),
    )
    weights = [flattening_weights(part.mass) for part in (train, validation)]
    regressor.fit(
        train.inputs,
        train.mass,
        sample_weight=weights[0] * low_mass_factors(train.mass, settings.low_mass_cuts),
        eval_set=[(train.inputs, train.mass), (validation.inputs, validation.mass)],
        sample_weight_eval_set=weights,
        verbose=False,
    )
    # One metric of each of the two sets, whatever it is called.
    (loss,), (validation_loss,) = (tuple(found.values()) for found in regressor.evals_result().values())
    best = int(regressor.best_iteration) + 1
    history = {"loss": [float(one) for one in loss], "val_loss": [float(one) for one in validation_loss]}
    return _trees(regressor.get_booster()[:best]), history


def low_mass_factors(mass: NDArray[np.floating], cuts: Sequence[float]) -> NDArray[np.float64]:
    """(N,) factor cut / mass for each of the cuts [GeV] that the mass is below.

    With squared errors these are the objectives `custom_low_mass` of the source, whose gradient and curvature they
    multiply.
    """
    masses = np.asarray(mass, np.float64)
    factors = np.ones(len(masses))
    for cut in cuts:
        factors *= np.where(masses < cut, cut / masses, 1.0)
    return factors


def load_trees(path: Path) -> Trees:
    """Load a file of `Trees.save`; raises ValueError if it cannot be read."""
    import xgboost

    booster = xgboost.Booster()
    try:
        booster.load_model(path)
    except (xgboost.core.XGBoostError, OSError, ValueError) as error:
        raise ValueError(f"{path} is no readable XGBoost model: it is damaged, or of another program.") from error
    return _trees(booster)


def _trees(booster: Any) -> Trees:
    """For one thread: whoever applies trees to many events has a worker for each core."""
    booster.set_param({"nthread": 1})
    return Trees(booster)
