"""Trained regressions of the ditau mass, for use: from inputs to masses, and where a model extrapolates.

from training.ditau_model import ml_mass
mass = ml_mass(events, "models/DNN1_inclusive")      # events: an awkward array (or dict) with the model's inputs

`ml_mass` reads -10 as an object that is absent and turns phi into (-pi, pi]; the methods take inputs as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.backend import keras_module
from training.dense_outputs import first_output
from training.ditau_columns import input_matrix
from training.ditau_events import CHANNELS, GROUPS, PUBLISHED
from training.ditau_lists import columns_of
from training.ditau_trees import load_trees
from training.files import write_json
from training.model_files import package_versions
from training.published_models import INPUTS_FILE, load_published, read_inputs

KIND = "ditau_mass"
#: What other people's ntuples have in place of an object that is not there; here that is 0.
ABSENT = -10.0
Ranges = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class MassModel:
    """A regression of the mass [GeV] from `inputs`, in their order.

    `ranges` has the smallest and the largest value of each input in the training; None for a model that does not say.
    `network` is the Keras network, None for trees. `channels` are the numbers of those that it was trained on; None
    for all, or for a model that does not say. `convention` is that of the inputs, corrected or published; None for a
    model that does not say.
    """

    name: str
    inputs: tuple[str, ...]
    evaluate: Callable[[NDArray[Any]], NDArray[np.float64]]
    ranges: Ranges | None
    network: Any = None
    channels: tuple[int, ...] | None = None
    convention: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """What the inputs are worked out from: themselves, but pT, eta and phi in place of px, py and pz."""
        return columns_of(self.inputs)

    def predict(self, events: Any) -> NDArray[np.float64]:
        """(N,) mass [GeV] of events with a column for each input: a mapping of arrays, or an awkward array of records.

        In place of px, py and pz there may be pT, eta and phi.

        Raises:
            ValueError: if an input is missing, or not a finite number in some event.
        """
        return self.evaluate(self._matrix(events))

    def extrapolated(self, events: Any) -> NDArray[np.int8] | None:
        """(N,) how many inputs are outside of the trained range; None where the model does not know its range.

        A channel that the model was not trained on counts as one more, where the events have a column `channel`.

        Raises as `predict`.
        """
        if self.ranges is None:
            return None
        matrix = self._matrix(events)
        low, high = (np.array([self.ranges[name][end] for name in self.inputs], np.float32) for end in (0, 1))
        outside = np.sum((matrix < low) | (matrix > high), axis=1)
        present = events.fields if hasattr(events, "fields") else events
        if "channel" in present:
            outside += self.untrained(np.asarray(events["channel"]))
        return np.asarray(outside, np.int8)

    def untrained(self, channel: NDArray[Any]) -> NDArray[np.bool_]:
        """(N,) whether a channel, its place in `CHANNELS`, is none that the model was trained on; -1 is not known."""
        if self.channels is None:
            return np.zeros(len(channel), np.bool_)
        return np.asarray((channel >= 0) & ~np.isin(channel, self.channels))

    def finite(self, events: Any) -> NDArray[np.bool_]:
        """(N,) whether all inputs of an event are finite in single precision; raises as `predict` for missing ones."""
        return np.asarray(np.isfinite(self._values(events)).all(axis=1))

    def prepared(self, events: Any) -> dict[str, NDArray[Any]]:
        """The model's inputs from other people's ntuples as it takes them: absent objects (-10) 0, phi in (-pi, pi].

        Columns that are not there are left out; raises ValueError for one that is not one number per event.
        """
        present = events.fields if hasattr(events, "fields") else events
        names = [name for name in dict.fromkeys((*self.inputs, *self.columns)) if name in present]
        try:
            found = {name: np.asarray(events[name]) for name in names}
            found = {name: np.where(values == ABSENT, 0.0, values) for name, values in found.items()}
            return {name: _wrapped(values) if "phi" in name else values for name, values in found.items()}
        except (ValueError, TypeError) as error:
            raise self._no_numbers(error) from error

    def as_published(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The columns in the convention of the published models: published_NAME in place of NAME, where it is there."""
        return {name: columns.get(f"{PUBLISHED}{name}", values) for name, values in columns.items()}

    def _matrix(self, events: Any) -> NDArray[np.float32]:
        matrix = self._values(events)
        bad = ~np.isfinite(matrix).all(axis=0)
        if bad.any():
            raise ValueError(f"The input {self.inputs[int(np.argmax(bad))]} is not finite in some events.")
        return matrix

    def _values(self, events: Any) -> NDArray[np.float32]:
        present = events.fields if hasattr(events, "fields") else events
        absent = [name for name in self.inputs if name not in present]
        missing = [name for name in columns_of(absent) if name not in present]
        if missing:
            raise ValueError(f"The model {self.name} needs the input(s) {', '.join(missing)}.")
        try:
            # What is not finite is found in the result.
            with np.errstate(over="ignore", invalid="ignore"):
                return input_matrix(events, self.inputs)
        except (ValueError, TypeError) as error:
            raise self._no_numbers(error) from error

    def _no_numbers(self, error: Exception) -> ValueError:
        return ValueError(f"The inputs of the model {self.name} must be one number per event: {error}.")


def _wrapped(angle: NDArray[Any]) -> NDArray[Any]:
    """The angle in (-pi, pi], to the last digit what it was where it is there already."""
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(angle) <= np.pi, angle, np.arctan2(np.sin(angle), np.cos(angle)))


def ml_mass(events: Any, model: MassModel | str | Path) -> NDArray[np.float64]:
    """(N,) mass [GeV] of events with one number for each input of the model, which may be a directory.

    Absent objects may be 0 or -10, azimuths of any turn (`MassModel.prepared`).

    Raises:
        ValueError: as `load_mass_model` and `MassModel.predict`.
    """
    found = model if isinstance(model, MassModel) else load_mass_model(model)
    return found.predict(found.prepared(events))


def load_mass_model(directory: str | Path) -> MassModel:
    """Load a model of this program (a directory with model.json), or one as the source's authors publish them.

    Raises:
        ValueError: one sentence that names the file, if one is missing, damaged, or does not fit the others.
    """
    directory = Path(directory)
    if is_published(directory):
        published = load_published(directory)
        return MassModel(
            published.name, published.inputs, published.predict_matrix, None, published.network,
            convention=convention_of(directory),
        )  # fmt: skip
    facts = _facts(directory)
    path, inputs = directory / facts.file, facts.inputs
    network = load_network(path) if facts.method == "network" else None
    evaluate: Callable[[NDArray[Any]], NDArray[np.float64]]
    if network is not None:
        width, evaluate = int(network.input_shape[-1]), partial(first_output, network)
    else:
        trees = load_trees(path)
        width, evaluate = trees.width, trees.predict
    if width != len(inputs):
        raise ValueError(f"{path} has {width} inputs, but {directory / 'model.json'} lists {len(inputs)}.")
    return MassModel(facts.name, inputs, evaluate, facts.ranges, network, facts.channels, facts.convention)


def inputs_of(directory: str | Path) -> tuple[str, ...]:
    """The columns that a model needs (`MassModel.columns`), without loading it; raises as `load_mass_model`."""
    directory = Path(directory)
    return columns_of(read_inputs(directory / INPUTS_FILE) if is_published(directory) else _facts(directory).inputs)


def convention_of(directory: str | Path) -> str | None:
    """The convention of the inputs that a model was trained with; None where it does not say.

    Raises as `load_mass_model`, without loading the model.
    """
    return "published" if is_published(Path(directory)) else _facts(Path(directory)).convention


def load_network(path: Path) -> Any:
    """A .keras file, without its loss; ValueError where it is damaged."""
    import zipfile

    try:
        network = keras_module().saving.load_model(path, compile=False, safe_mode=True)
        before, after = network.input_shape, network.output_shape
    except (OSError, TypeError, KeyError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        first = str(error).partition("\n")[0]
        raise ValueError(f"{path} is no readable Keras model: {first}.") from error
    if not all(isinstance(shape, tuple) and len(shape) == 2 for shape in (before, after)) or after[1] != 1:
        raise ValueError(f"{path} is no regression of one number from a list of inputs.")
    return network


def write_facts(directory: Path, facts: Mapping[str, Any]) -> None:
    """Write model.json: name, model, group, method (network or trees), features, convention, ranges and files."""
    write_json(directory / "model.json", {**facts, "kind": KIND, "versions": package_versions()})


def trained_ranges(matrix: NDArray[Any], inputs: tuple[str, ...]) -> dict[str, list[float]]:
    """Smallest and largest value of each input."""
    low, high = matrix.min(axis=0), matrix.max(axis=0)
    return {name: [float(low[k]), float(high[k])] for k, name in enumerate(inputs)}


def is_published(directory: Path) -> bool:
    """Whether a directory is one as DiTau_ML_mass publishes them, and none of this program."""
    return (directory / INPUTS_FILE).exists() and not (directory / "model.json").exists()


@dataclass(frozen=True)
class _Facts:
    """What is used of a model.json."""

    name: str
    method: str
    inputs: tuple[str, ...]
    file: str
    ranges: dict[str, tuple[float, float]]
    channels: tuple[int, ...] | None
    convention: str | None


def _facts(directory: Path) -> _Facts:
    path = directory / "model.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["kind"] != KIND or facts["method"] not in ("network", "trees"):
            raise ValueError(f"it is of another kind, {facts['kind']}")
        inputs = tuple(str(name) for name in facts["features"])
        ranges = {name: (float(facts["ranges"][name][0]), float(facts["ranges"][name][1])) for name in inputs}
        (file,) = (str(one) for one in facts["files"])
        written = dict(facts["versions"])
        name, method = str(facts["name"]), str(facts["method"])
        group = tuple(CHANNELS.index(channel) for channel in GROUPS[facts["group"]])
        convention = facts.get("convention")
        if convention not in (None, "corrected", "published"):
            raise ValueError(f"its convention is {convention}, which is neither corrected nor published")
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{directory} holds no model: there is neither model.json nor {INPUTS_FILE}.") from None
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"{path} does not describe a regression of the ditau mass: {error!r}.") from error
    here, there = version("keras"), str(written.get("keras"))
    # XGBoost reads the files of its other versions.
    if method == "network" and there.split(".")[0] != here.split(".")[0]:
        raise ValueError(f"{path} was written with keras {there}, but {here} is installed: train again.")
    if Path(file).name != file or not (directory / file).is_file():
        raise ValueError(f"{path} names the file {file}, which is not in {directory}.")
    return _Facts(name, method, inputs, file, ranges, None if len(group) == len(CHANNELS) else group, convention)
