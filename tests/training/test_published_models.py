"""Published models predict as Keras 2 does, which writes them here; what does not fit together is one sentence."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from training.published_models import INPUTS_FILE, load_published, read_inputs

INPUTS = [f"input_{i}_reco" for i in range(27)]


def as_keras_2_3(text: str) -> dict[str, Any]:
    """The architecture as Keras 2.3.1 wrote it: without what later versions added."""
    content: dict[str, Any] = json.loads(text)
    layers = content["config"]["layers"]
    for layer in layers:
        for key in ("module", "registered_name", "build_config"):
            layer.pop(key, None)
        for key, value in layer["config"].items():
            if isinstance(value, dict) and "class_name" in value:
                layer["config"][key] = {name: value[name] for name in ("class_name", "config")}
    if content["class_name"] == "Sequential":
        first = next(layer for layer in layers if layer["class_name"] == "InputLayer")
        layers.remove(first)
        layers[0]["config"]["batch_input_shape"] = first["config"]["batch_input_shape"]
    content["class_name"] = {"Functional": "Model"}.get(content["class_name"], content["class_name"])
    return content | {"keras_version": "2.3.1", "backend": "tensorflow"}


def network(keras2: Any, kind: str, activation: str, neurons: int, dropout: float = 0.0) -> Any:
    layers = keras2.layers
    initial = "glorot_uniform" if activation == "softplus" else "glorot_normal"
    parts = []
    for _ in range(3):
        bound = keras2.constraints.MaxNorm(3, axis=0)
        parts.append(
            layers.Dense(
                neurons, activation=activation, kernel_initializer=initial, bias_initializer="random_normal",
                kernel_constraint=bound,
            )
        )  # fmt: skip
        if dropout:
            parts.append(layers.Dropout(dropout))
    parts.append(layers.Dense(1, activation="linear"))
    if kind == "Sequential":
        return keras2.Sequential([layers.Input((27,)), *parts])
    first = current = layers.Input((27,))
    for part in parts:
        current = part(current)
    return keras2.Model(first, current)


def write(directory: Path, model: Any, *, whole: bool = False, as_text: bool = False) -> Path:
    """A directory as it is published."""
    directory.mkdir(parents=True)
    content = as_keras_2_3(model.to_json())
    (directory / "DNN.json").write_text(json.dumps(json.dumps(content) if as_text else content))
    weights = directory / "NN_weights-DNN.h5"
    if whole:
        model.save(weights)
    else:
        model.save_weights(weights)
    names = ",\n".join(f"    '{name}'" for name in INPUTS)
    (directory / INPUTS_FILE).write_text(f'"""Ordered."""\ninputs = [\n{names},\n]\n')
    return directory


def events(number: int = 700) -> np.ndarray:
    rng = np.random.default_rng(4)
    scale = rng.choice([1.0, 3.0, 60.0, 400.0], 27)
    return (rng.normal(0, 1, (number, 27)) * scale).astype(np.float32)


@pytest.fixture(scope="module")
def keras2() -> Any:
    module = pytest.importorskip("tf_keras", reason="published models are written with tf_keras (extra `dev`)")
    module.utils.set_random_seed(3)
    return module


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize(
    ("kind", "activation", "neurons", "options"),
    [
        ("Sequential", "softplus", 1000, {}),  # DNN1
        ("Sequential", "relu", 1000, {}),  # DNN2
        ("Model", "relu", 50, {}),
        ("Sequential", "elu", 40, {"whole": True}),
        ("Sequential", "selu", 40, {"as_text": True}),
    ],
)
def test_predictions_are_those_of_keras_2(
    keras2: Any, tmp_path: Path, kind: str, activation: str, neurons: int, options: dict[str, bool]
) -> None:
    theirs = network(keras2, kind, activation, neurons, dropout=0.2 if neurons == 50 else 0.0)
    ours = load_published(write(tmp_path / "DNN1", theirs, **options))
    assert ours.name == "DNN1"
    assert ours.inputs == tuple(INPUTS)
    matrix = events()
    expected = theirs.predict(matrix, verbose=0)[:, 0]
    found = ours.predict({name: matrix[:, i] for i, name in enumerate(INPUTS)})
    assert found.shape == expected.shape
    assert np.std(expected) > 1
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert ours.predict_matrix(matrix[:0]).shape == (0,)


def test_columns_must_be_there_and_finite(keras2: Any, tmp_path: Path) -> None:
    model = load_published(write(tmp_path / "m", network(keras2, "Sequential", "relu", 8)))
    columns = {name: events(3)[:, i] for i, name in enumerate(INPUTS)}
    with pytest.raises(ValueError, match=r"needs the input\(s\) input_5_reco"):
        model.predict({name: column for name, column in columns.items() if name != "input_5_reco"})
    columns["input_7_reco"] = np.array([1.0, np.nan, 2.0])
    with pytest.raises(ValueError, match="input_7_reco is not finite"):
        model.predict(columns)


def test_the_list_of_inputs_is_data(tmp_path: Path) -> None:
    path, proof = tmp_path / INPUTS_FILE, tmp_path / "executed"
    attack = f"__import__('pathlib').Path({str(proof)!r}).touch()"
    for text, sentence in (
        (attack, "line 1: only the assignment"),
        (f"inputs = [{attack}, 'a']", "names in quotes"),
        ("import os\ninputs = ['a']", "line 1: only the assignment"),
        ("inputs = ['a', 'b', 'a']", "input a twice"),
        ("inputs = ['a', 3]", "names in quotes"),
        ("inputs = []", "names in quotes"),
        ("inputs = ['a'", "cannot be parsed"),
        ("x = ['a']\ny = ['b']", "must assign one list"),
        ("", "must assign one list"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=sentence):
            read_inputs(path)
    assert not proof.exists()
    path.write_text("# in their order\ninputs = ['b', 'a']\n")
    assert read_inputs(path) == ("b", "a")


@pytest.fixture(scope="module")
def small(keras2: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("published") / "DNN", network(keras2, "Sequential", "relu", 8))


def copied(source: Path, target: Path) -> Path:
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def edited(directory: Path, change: Any) -> None:
    content = json.loads((directory / "DNN.json").read_text())
    change(content["config"]["layers"])
    (directory / "DNN.json").write_text(json.dumps(content))


def test_a_truncated_or_damaged_weights_file(small: Path, tmp_path: Path) -> None:
    for number, size in enumerate((0, 100, 3000)):
        directory = copied(small, tmp_path / str(number))
        weights = directory / "NN_weights-DNN.h5"
        assert size < weights.stat().st_size
        weights.write_bytes(weights.read_bytes()[:size])
        with pytest.raises(ValueError, match=r"NN_weights-DNN\.h5 is no readable weights file"):
            load_published(directory)


def test_weights_that_are_not_numbers(small: Path, tmp_path: Path) -> None:
    directory = copied(small, tmp_path / "nan")
    with h5py.File(directory / "NN_weights-DNN.h5", "r+") as file:
        name = file.attrs["layer_names"][0]
        name = name.decode() if isinstance(name, bytes) else name
        weight = file[name].attrs["weight_names"][0]
        file[name][weight][0, 0] = np.nan
    with pytest.raises(ValueError, match="not all finite"):
        load_published(directory)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda layers: layers[1]["config"].update(units=9), "have the shapes .* the architecture needs"),
        (lambda layers: layers[1]["config"].update(name="other"), "has weights of the layers .* other"),
        (lambda layers: layers.pop(), "must end in one number, not 8"),
        (lambda layers: layers.pop(1), "has weights of the layers"),
        (lambda layers: layers[1].update(class_name="Lambda"), "is a Lambda; known are"),
        (lambda layers: layers[1]["config"].update(activation="evil"), "activation 'evil'"),
        (lambda layers: layers[1]["config"].pop("units"), "lacks or has a wrong 'units'"),
        (lambda layers: layers[0]["config"].update(batch_input_shape=[None, 26]), "lists 27 inputs, .* has 26"),
        (lambda layers: layers[0]["config"].pop("batch_input_shape"), "how many inputs"),
    ],
)
def test_an_architecture_that_does_not_fit(small: Path, tmp_path: Path, change: Any, sentence: str) -> None:
    directory = copied(small, tmp_path / "model")
    edited(directory, change)
    with pytest.raises(ValueError, match=sentence):
        load_published(directory)


def test_files_that_are_missing_or_of_another_kind(small: Path, tmp_path: Path) -> None:
    for number, (name, sentence) in enumerate(
        (
            ("DNN.json", r"one file \*\.json, it has none"),
            ("NN_weights-DNN.h5", "it has none"),
            (INPUTS_FILE, "no published model"),
        )
    ):
        directory = copied(small, tmp_path / str(number))
        (directory / name).unlink()
        with pytest.raises(ValueError, match=sentence):
            load_published(directory)
    directory = copied(small, tmp_path / "two")
    (directory / "other.json").write_text("{}")
    with pytest.raises(ValueError, match=r"it has 2: DNN\.json, other\.json"):
        load_published(directory)
    for text in (
        "",
        "[1, 2]",
        '"x"',
        '{"class_name": "Sequential"}',
        "\x00",
        '{"class_name": "Sequential", "config": 3}',
    ):
        directory = copied(small, tmp_path / f"text{len(text)}")
        (directory / "DNN.json").write_text(text)
        with pytest.raises(ValueError, match=r"DNN\.json is no architecture of Keras 2"):
            load_published(directory)
    with pytest.raises(ValueError, match="no directory of a published model"):
        load_published(tmp_path / "nowhere")
