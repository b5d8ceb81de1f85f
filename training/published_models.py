"""Models as the project DiTau_ML_mass publishes them: Keras 2.3 architecture, HDF5 weights, list of inputs.

A directory has `*.json` (what `model.to_json()` of Keras 2 gave), `NN_weights-*.h5` (`model.save_weights()`) and
`inputs_for_models_in_this_dir.py`. All three are read as data: nothing in them is executed.
"""

from __future__ import annotations

import ast
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.backend import keras_module
from training.dense_outputs import first_output

INPUTS_FILE = "inputs_for_models_in_this_dir.py"
WEIGHTS = "NN_weights-*.h5"
#: Activations of Keras 2.3 that have the same name and values in Keras 3.
ACTIVATIONS = (
    "linear", "relu", "softplus", "softmax", "softsign", "elu", "selu", "tanh", "sigmoid", "exponential",
)  # fmt: skip
#: Layers without weights that change nothing in a prediction.
_IDLE = ("InputLayer", "Dropout", "GaussianNoise", "GaussianDropout", "ActivityRegularization")


@dataclass(frozen=True)
class Layer:
    """A dense layer, or an activation by itself (`units` is None)."""

    name: str
    units: int | None
    activation: str
    use_bias: bool = True


@dataclass(frozen=True)
class PublishedModel:
    """A network that gives the mass [GeV] of a ditau event from `inputs`, in their order."""

    name: str
    inputs: tuple[str, ...]
    network: Any

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """(N,) mass [GeV] of events given by one array for each input.

        Raises:
            ValueError: if an input is missing, or not finite in some event.
        """
        missing = [name for name in self.inputs if name not in columns]
        if missing:
            raise ValueError(f"The model {self.name} needs the input(s) {', '.join(missing)}.")
        matrix = np.stack([np.asarray(columns[name], np.float32) for name in self.inputs], axis=1)
        bad = ~np.isfinite(matrix).all(axis=0)
        if bad.any():
            raise ValueError(f"The input {self.inputs[int(np.argmax(bad))]} is not finite in some events.")
        return self.predict_matrix(matrix)

    def predict_matrix(self, matrix: NDArray[Any]) -> NDArray[np.float64]:
        """(N,) mass [GeV] of events of shape (N, inputs)."""
        return first_output(self.network, matrix)


def load_published(directory: str | Path) -> PublishedModel:
    """Load the model of a directory.

    Raises:
        ValueError: one sentence that names the file, if one is missing, damaged, or does not fit the others, or the
            network is not a chain of dense layers to one number.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise ValueError(f"{directory} is no directory of a published model.")
    inputs = read_inputs(directory / INPUTS_FILE)
    architecture, weights = _only(directory, "*.json"), _only(directory, WEIGHTS)
    width, layers = read_architecture(architecture)
    if width != len(inputs):
        raise ValueError(
            f"{directory / INPUTS_FILE} lists {len(inputs)} inputs, but the network of {architecture.name} has {width}."
        )
    arrays = read_weights(weights, width, layers)
    return PublishedModel(directory.name, inputs, _network(width, layers, arrays))


def read_inputs(path: Path) -> tuple[str, ...]:
    """The names that a file of Python assigns to `inputs`, parsed and never executed.

    Raises:
        ValueError: if the file holds anything but that one list of different names.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path.parent} holds no published model: there is no {path.name}.") from None
    except (SyntaxError, UnicodeDecodeError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{path} is no list of inputs: it cannot be parsed ({error}).") from error
    found: list[Any] = []
    for statement in tree.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        if not (
            isinstance(statement, ast.Assign)
            and isinstance(statement.value, (ast.List, ast.Tuple))
            and all(isinstance(target, ast.Name) for target in statement.targets)
        ):
            raise ValueError(
                f"{path}, line {statement.lineno}: only the assignment of a list of names is read here, no other code."
            )
        found.append(statement.value)
    if len(found) != 1:
        raise ValueError(f"{path} must assign one list of inputs, it has {len(found)}.")
    names = [one.value if isinstance(one, ast.Constant) else None for one in found[0].elts]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{path}: the inputs must be a list of names in quotes.")
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path} lists the input {twice[0]} twice.")
    return tuple(str(name) for name in names)


def read_architecture(path: Path) -> tuple[int, tuple[Layer, ...]]:
    """The number of inputs and the layers with an effect, of a Keras 2 JSON file.

    Raises:
        ValueError: if it is not one, or has other layers than a chain of dense ones can be made of.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        # Some programs stored the text of the JSON as a JSON string.
        content = json.loads(content) if isinstance(content, str) else content
        kind, config = content["class_name"], content["config"]
        entries = config if isinstance(config, list) else config["layers"]
        parts = [(str(one["class_name"]), dict(one["config"]), one.get("inbound_nodes")) for one in entries]
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is no architecture of Keras 2 as JSON: {type(error).__name__} {error}.") from error
    if kind not in ("Sequential", "Model", "Functional"):
        raise ValueError(f"{path} describes a {kind}: only chains of dense layers can be read.")
    if kind != "Sequential":
        _check_chain(path, parts)
    try:
        layers = [layer for name, config, _ in parts if (layer := _layer(path, name, config)) is not None]
        shapes = [config.get("batch_input_shape", config.get("batch_shape")) for _, config, _ in parts]
        shape = next((one for one in shapes if one is not None), None)
        if not isinstance(shape, list) or len(shape) != 2 or not isinstance(shape[1], int) or shape[1] < 1:
            raise ValueError(f"{path}: the first layer does not say how many inputs it has.")
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: a layer lacks or has a wrong {error}.") from error
    dense = [layer for layer in layers if layer.units is not None]
    if not dense or dense[-1].units != 1:
        raise ValueError(f"{path}: the network must end in one number, not {dense[-1].units if dense else 'nothing'}.")
    return int(shape[1]), tuple(layers)


def read_weights(path: Path, width: int, layers: Sequence[Layer]) -> list[NDArray[np.float32]]:
    """Kernels and biases of the dense layers, in their order, from a weights file of Keras 2.

    Raises:
        ValueError: if the file is damaged, or its weights are not those of the layers.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            root = file["model_weights"] if "model_weights" in file and "layer_names" not in file.attrs else file
            stored = {
                name: [np.asarray(root[name][weight][()]) for weight in _names(root[name], "weight_names")]
                for name in _names(root, "layer_names")
            }
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no readable weights file of Keras 2: {error}.") from error
    stored = {name: arrays for name, arrays in stored.items() if arrays}
    wanted = _shapes(width, layers)
    if list(stored) != list(wanted):
        raise ValueError(
            f"{path} has weights of the layers {', '.join(stored) or 'none'}, the architecture has {', '.join(wanted)}."
        )
    result = []
    for name, shapes in wanted.items():
        found = [array.shape for array in stored[name]]
        if found != shapes:
            raise ValueError(f"{path}: the weights of {name} have the shapes {found}, the architecture needs {shapes}.")
        for array in stored[name]:
            if array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ValueError(f"{path}: the weights of {name} are not all finite numbers.")
            result.append(array.astype(np.float32))
    return result


def _layer(path: Path, kind: str, config: Mapping[str, Any]) -> Layer | None:
    name = str(config["name"])
    if kind in _IDLE:
        return None
    if kind not in ("Dense", "Activation"):
        raise ValueError(f"{path}: the layer {name} is a {kind}; known are Dense, Activation, {', '.join(_IDLE)}.")
    activation = config["activation"]
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"{path}: the layer {name} has the activation {activation!r}, known: {', '.join(ACTIVATIONS)}."
        )
    if kind == "Activation":
        return Layer(name, None, activation)
    units = config["units"]
    if not isinstance(units, int) or units < 1:
        raise ValueError(f"{path}: the layer {name} has {units!r} neurons.")
    return Layer(name, units, activation, bool(config["use_bias"]))


def _check_chain(path: Path, parts: Sequence[tuple[str, Mapping[str, Any], Any]]) -> None:
    """That each layer of a functional model takes the output of the one before."""
    for (_, before, _), (_, config, nodes) in itertools.pairwise(parts):
        try:
            ((source,),) = nodes
            origin = source[0]
        except (TypeError, ValueError, IndexError, KeyError):
            origin = None
        if origin != before.get("name"):
            raise ValueError(f"{path}: the layer {config.get('name')} does not simply follow {before.get('name')}.")


def _shapes(width: int, layers: Sequence[Layer]) -> dict[str, list[tuple[int, ...]]]:
    shapes: dict[str, list[tuple[int, ...]]] = {}
    for layer in layers:
        if layer.units is not None:
            shapes[layer.name] = [(width, layer.units), *([(layer.units,)] if layer.use_bias else [])]
            width = layer.units
    return shapes


def _network(width: int, layers: Sequence[Layer], weights: Sequence[NDArray[np.float32]]) -> Any:
    keras = keras_module()
    parts: list[Any] = [keras.Input((width,))]
    for layer in layers:
        if layer.units is None:
            parts.append(keras.layers.Activation(layer.activation))
        else:
            parts.append(keras.layers.Dense(layer.units, activation=layer.activation, use_bias=layer.use_bias))
    network = keras.Sequential(parts)
    network.set_weights(list(weights))
    return network


def _names(group: Any, attribute: str) -> list[str]:
    """A list of names, which Keras cuts into several attributes where it is long."""
    pieces = [group.attrs[attribute]] if attribute in group.attrs else []
    if not pieces:
        pieces = [group.attrs[f"{attribute}0"]]
        while f"{attribute}{len(pieces)}" in group.attrs:
            pieces.append(group.attrs[f"{attribute}{len(pieces)}"])
    return [name.decode() if isinstance(name, bytes) else str(name) for piece in pieces for name in piece]


def _only(directory: Path, pattern: str) -> Path:
    found = sorted(directory.glob(pattern))
    if len(found) != 1:
        names = f": {', '.join(path.name for path in found)}" if found else ""
        raise ValueError(f"{directory} must hold one file {pattern}, it has {len(found) or 'none'}{names}.")
    return found[0]
