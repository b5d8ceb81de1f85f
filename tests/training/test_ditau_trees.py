"""XGBoost's trees for the ditau mass: each objective learns, the best tree is the last, seeds fix what is drawn."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from training.ditau_events import DitauEvents
from training.ditau_settings import Settings, TreesSettings
from training.ditau_trees import fit_trees, load_trees, low_mass_factors


def events(number: int, seed: int) -> DitauEvents:
    """Events one of whose inputs says the mass within 10%."""
    rng = np.random.default_rng(seed)
    mass = rng.uniform(50, 1000, number)
    inputs = rng.normal(0, 1, (number, 27)).astype(np.float32)
    inputs[:, 3] = mass * (1 + 0.1 * rng.normal(size=number))
    none = np.zeros(number, np.int8)
    return DitauEvents(inputs, mass, none, none, 0)


TRAIN, VALIDATION = events(3000, 1), events(800, 2)


@pytest.mark.parametrize("objective", ["squarederror", "absoluteerror", "pseudohubererror", "gamma", "tweedie"])
def test_every_objective_learns(objective: str, tmp_path: Path) -> None:
    settings = TreesSettings.model_validate({"objective": objective, "n_estimators": 100, "subsample": 0.8})
    trees, history = fit_trees(settings, TRAIN, VALIDATION, seed=3)
    predicted = trees.predict(VALIDATION.inputs)
    assert np.mean(np.abs(predicted - VALIDATION.mass)) < 80, "the deviation from the mean is 240 GeV"
    assert trees.booster.num_boosted_rounds() == 1 + int(np.argmin(history["val_loss"]))
    assert len(history["loss"]) == len(history["val_loss"])
    trees.save(tmp_path / "model.ubj")
    loaded = load_trees(tmp_path / "model.ubj")
    np.testing.assert_array_equal(loaded.predict(VALIDATION.inputs[:9]), predicted[:9])
    again, same = fit_trees(settings, TRAIN, VALIDATION, seed=3)
    assert same == history
    np.testing.assert_array_equal(again.predict(VALIDATION.inputs), predicted)
    other, _ = fit_trees(settings, TRAIN, VALIDATION, seed=4)
    assert not np.array_equal(other.predict(VALIDATION.inputs), predicted), "the seed draws the events of each tree"


@pytest.mark.parametrize(
    "change",
    [
        {"max_depth": 2}, {"max_depth": 0, "max_leaves": 4, "grow_policy": "lossguide"}, {"min_child_weight": 300},
        {"gamma": 1e7}, {"max_delta_step": 1}, {"colsample_bytree": 0.2}, {"colsample_bylevel": 0.2},
        {"colsample_bynode": 0.2}, {"reg_alpha": 1e4}, {"reg_lambda": 300}, {"max_bin": 8}, {"learning_rate": 0.5},
        {"tree_method": "approx"}, {"low_mass_cuts": [400, 400]}, {"subsample": 0.3}, {"n_estimators": 3},
        {"objective": "pseudohubererror", "huber_slope": 400}, {"objective": "tweedie", "tweedie_variance_power": 1.1},
    ],
)  # fmt: skip
def test_every_parameter_reaches_xgboost(change: dict[str, object]) -> None:
    usual = {"n_estimators": 10, **{key: value for key, value in change.items() if key == "objective"}}
    one, other = (fit_trees(TreesSettings.model_validate(settings), TRAIN, VALIDATION, seed=3)[0].predict(TRAIN.inputs)
                  for settings in (usual, usual | change))  # fmt: skip
    assert not np.array_equal(one, other)


def test_early_stopping_looks_at_the_metric_that_is_set() -> None:
    for metric, least in (("mae", 1), ("mape", 0.001)):
        settings = TreesSettings.model_validate({"eval_metric": metric, "n_estimators": 40})
        trees, history = fit_trees(settings, TRAIN, VALIDATION, seed=3)
        error = np.abs(trees.predict(VALIDATION.inputs) - VALIDATION.mass)
        plain = np.mean(error if metric == "mae" else error / VALIDATION.mass)
        # Weighted to a flat spectrum, which this one nearly is.
        assert least < min(history["val_loss"]) == pytest.approx(plain, rel=0.1)


def test_low_masses_count_more() -> None:
    found = low_mass_factors(np.array([50.0, 150.0, 200.0, 500.0]), (100, 200, 200))
    assert found.tolist() == pytest.approx([2 * 4 * 4, (200 / 150) ** 2, 1, 1])


def test_lists_make_scans_of_trees() -> None:
    content = {"trees": {"b": {"objective": ["gamma", "squarederror"], "low_mass_cuts": [[100], [100, 200]]}}}
    names = [f"b-objective={objective}-low_mass_cuts={cuts}"
             for objective in ("gamma", "squarederror") for cuts in ("100", "100x200")]  # fmt: skip
    assert list(Settings.model_validate(content).trees) == names


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"objective": "logistic"}, "objective"),
        ({"eval_metric": "auc"}, "eval_metric"),
        ({"subsample": 0}, "subsample"),
        ({"max_iter": 3}, "max_iter"),
        ({"min_mass": 1000}, "min_mass: 1000 must be below"),
        ({"low_mass_cuts": [-1]}, "low_mass_cuts"),
    ],
)
def test_wrong_settings_name_their_key(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        TreesSettings.model_validate(settings)
