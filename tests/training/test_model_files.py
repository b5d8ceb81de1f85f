import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from training.backend import keras_module
from training.model_files import StoredModel, load_model, package_versions, save_models
from training.models import TrainingSet, fit_models
from training.parameters import KINDS, combinations

FEATURES = ("m4l", "pt4l")


def training_set(n: int = 240) -> TrainingSet:
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, n).astype(np.int8)
    features = np.column_stack([rng.normal(120 + 5 * label, 3), rng.exponential(10, n)])
    return TrainingSet(features, label, np.ones(n), rng.integers(0, 3, n).astype(np.int16), rng.random(n))


def save(directory: Path, kind: str, parameters: dict[str, Any]) -> TrainingSet:
    data = training_set()
    (combination,) = combinations(kind, parameters, where="m")
    models = fit_models(kind, combination, data, [(0,), (1,)], seed=1, threads=1)
    facts = {"name": kind, "kind": kind, "features": list(FEATURES), "thresholds": [0.4, 0.6]}
    save_models(directory, models, facts)
    matrix = data.features
    loaded = load_model(directory)
    expected = np.mean([model.score(matrix) for model in models], axis=0)
    assert np.array_equal(predict(loaded, data), expected)
    return data


def predict(model: StoredModel, data: TrainingSet) -> np.ndarray:
    return model.predict(dict(zip(FEATURES, data.features.T, strict=True)))


SMALL = {
    "mlp": {"max_iter": 5},
    "boosted_trees": {"max_iter": 5},
    "forest": {"n_estimators": 3},
    "svm": {},
    "network": {"hidden_units": [4], "epochs": 2},
}
CASES: list[tuple[str, dict[str, Any]]] = list(SMALL.items())
CASES += [("mlp", {"solver": "sgd", "max_iter": 5}), ("mlp", {"solver": "lbfgs", "max_iter": 5})]


@pytest.mark.parametrize(("kind", "parameters"), CASES)
def test_every_kind_survives_the_disk(tmp_path: Path, kind: str, parameters: dict[str, Any]) -> None:
    save(tmp_path, kind, parameters)
    assert set(SMALL) == set(KINDS)
    assert not list(tmp_path.glob(".*"))
    facts = json.loads((tmp_path / "model.json").read_text())
    suffix = "keras" if kind == "network" else "skops"
    assert facts["files"] == [f"fold0.{suffix}", f"fold1.{suffix}"]
    assert len(facts["scaler"]["mean"][0]) == len(facts["scaler"]["scale"][1]) == 2
    assert facts["scaler"]["mean"][0] != facts["scaler"]["mean"][1]


def edit(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = directory / "model.json"
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda facts: facts["versions"].update({"scikit-learn": "0.9.1"}), "written with scikit-learn 0.9.1"),
        (lambda facts: facts["files"].append("../fold0.skops"), "names the file ../fold0.skops, which is not in"),
        (lambda facts: facts["features"].append("y4l"), "its scaler differs"),
        (lambda facts: facts["scaler"]["mean"][1].reverse(), "fold1.skops is not the model of"),
        (lambda facts: facts.pop("features"), "does not describe a model"),
    ],
)
def test_a_changed_description_is_not_loaded(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    save(tmp_path, "forest", SMALL["forest"])
    edit(tmp_path, change)
    with pytest.raises(ValueError, match=sentence):
        load_model(tmp_path)


def test_no_model_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no model\.json"):
        load_model(tmp_path)
    save(tmp_path, "forest", SMALL["forest"])
    (tmp_path / "fold0.skops").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no readable skops file"):
        load_model(tmp_path)


def test_foreign_types_are_refused(tmp_path: Path) -> None:
    data = save(tmp_path, "forest", SMALL["forest"])
    scaler = StandardScaler().fit(data.features)
    foreign = Pipeline([("scaler", scaler), ("model", FunctionTransformer(np.linalg.norm))])
    skops.io.dump(foreign, tmp_path / "fold0.skops")
    with pytest.raises(ValueError, match=r"types that no model of this program has: numpy\.linalg"):
        load_model(tmp_path)


def test_prediction_needs_its_columns(tmp_path: Path) -> None:
    data = save(tmp_path, "forest", SMALL["forest"])
    model = load_model(tmp_path)
    assert model.columns == FEATURES
    assert model.threshold == pytest.approx(0.5)
    with pytest.raises(ValueError, match=r"needs the column\(s\) pt4l"):
        model.predict({"m4l": data.features[:, 0]})
    with pytest.raises(ValueError, match="feature pt4l of the model forest is not finite"):
        model.predict({"m4l": np.ones(2), "pt4l": np.array([1.0, np.nan])})
    assert model.predict({"m4l": np.empty(0), "pt4l": np.empty(0)}).shape == (0,)


def test_versions_name_the_backend_of_keras_where_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    keras_module()
    assert package_versions()["keras_backend"] == "tensorflow"
    monkeypatch.delitem(sys.modules, "keras")
    found = package_versions()
    assert "keras_backend" not in found
    for name in ("energyflow", "fastjet", "jax"):
        assert (name in found) == (importlib.util.find_spec(name) is not None), name
