"""The best network of lepton_id on disk: a .keras file for each sample, what to give it, and what it says.

`model.json` names the files, the ordered features and their scaling; nothing here is or reads a pickle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.backend import keras_module
from training.files import write_atomically, write_json
from training.lepton_data import Doubles, Leptons, scaling_of
from training.lepton_networks import OUTPUTS, Task, Trained
from training.lepton_settings import REPRESENTATIONS, Settings
from training.model_files import package_versions

#: Rows that a loaded network is given at once.
_BLOCK = 65536
#: Columns of scores.parquet that say which lepton it is.
_LEPTON = ("pt", "eta", "phi", "e")
Raw = Mapping[str, Any]
Networks = Mapping[str, Sequence[tuple[Task, Trained]]]


@dataclass(frozen=True)
class LeptonNetwork:
    """A loaded network: (features - offset) / factor, in double precision, is what it is given."""

    features: tuple[str, ...]
    offset: Doubles
    factor: Doubles
    model: Any

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> Doubles:
        """(N,) probability of a muon from columns of the skim. Raises ValueError where a column is missing."""
        missing = [name for name in self.features if name not in columns]
        if missing:
            raise ValueError(f"The network needs the column(s) {', '.join(missing)}.")
        table = np.stack([np.asarray(columns[name], np.float64) for name in self.features], axis=1)
        inputs = ((table - self.offset) / self.factor).astype(np.float32)
        convert = keras_module().ops.convert_to_numpy
        blocks = (inputs[start : start + _BLOCK] for start in range(0, len(inputs), _BLOCK))
        parts = [convert(self.model(block, training=False))[:, 1] for block in blocks]
        return np.concatenate([*parts, np.empty(0)]).astype(np.float64)


def best_representation(of_sample: Mapping[str, Sequence[Raw]]) -> str:
    """The best representation by the validation leptons: the test leptons have no say.

    Of those within one standard error of the highest mean accuracy, one with the fewest inputs (the rule of Breiman,
    Friedman, Olshen and Stone, 1984), and of these the highest.
    """
    # Beyond these digits is the rounding of sums.
    accuracy = {
        name: round(float(np.mean([one["validation_accuracy"] for one in its])), 12) for name, its in of_sample.items()
    }
    highest = max(accuracy, key=lambda name: accuracy[name])
    enough = accuracy[highest] - float(of_sample[highest][0]["validation_error"])
    inputs = {name: len(columns) for name, columns in REPRESENTATIONS.items()}
    near = [name for name, value in accuracy.items() if value >= enough]
    return min(near, key=lambda name: (inputs[name], -accuracy[name]))  # type: ignore[index]


def save_best(
    directory: Path,
    data: Mapping[str, Leptons],
    found: Mapping[str, Mapping[str, Sequence[Raw]]],
    networks: Mapping[str, Networks],
    settings: Settings,
) -> dict[str, dict[str, Any]]:
    """Write each sample's best network, model.json and scores.parquet with the scores of its test leptons.

    Of the best representation the training is taken that is right for most validation leptons. Gives what model.json
    says of each sample.
    """
    directory.mkdir(parents=True, exist_ok=True)
    described, scores = {}, []
    for sample, leptons in data.items():
        name = best_representation(found[sample])
        repeat = int(np.argmax([one["validation_accuracy"] for one in found[sample][name]]))
        (task, trained), facts = networks[sample][name][repeat], found[sample][name][repeat]
        offset, factor = scaling_of(leptons.features(name), task.train, settings.improved.scaling)
        file = f"{sample}.keras"
        write_atomically(directory / file, _plain_model(trained.layers, task.hidden).save)
        described[sample] = {
            "file": file,
            "representation": name,
            "features": list(REPRESENTATIONS[name]),  # type: ignore[index]
            "scaler": {"offset": offset.tolist(), "factor": factor.tolist()},
            "training": repeat,
            **{key: facts[key] for key in ("accuracy", "error", "validation_accuracy")},
        }
        scores.append(_scores(sample, leptons, trained.scores))
    _write_scores(directory / "scores.parquet", scores)
    facts = {"settings": settings.model_dump(mode="json"), "versions": package_versions()}
    write_json(directory / "model.json", {"name": "improved", "kind": "lepton_id", "samples": described, **facts})
    return described


def load_networks(directory: str | Path) -> dict[str, LeptonNetwork]:
    """The networks of `save_best`, by sample.

    Raises:
        ValueError: if model.json or a file is missing or damaged, or does not fit the other.
    """
    path = Path(directory) / "model.json"
    try:
        samples = json.loads(path.read_text(encoding="utf-8"))["samples"]
        return {name: _load(path.parent, facts) for name, facts in samples.items()}
    except FileNotFoundError:
        raise ValueError(f"{directory} holds no network: there is no model.json.") from None
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} does not describe networks of lepton_id: {error!r}.") from error


def _load(directory: Path, facts: Raw) -> LeptonNetwork:
    features = tuple(str(name) for name in facts["features"])
    offset, factor = (np.array(facts["scaler"][key], np.float64) for key in ("offset", "factor"))
    path = directory / str(facts["file"])
    if path.parent != directory or not path.is_file():
        raise ValueError(f"{directory / 'model.json'} names the file {facts['file']}, which is not in {directory}.")
    try:
        model = keras_module().saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is no readable Keras model: {error}.") from error
    if not model.input_shape[-1] == len(features) == len(offset) == len(factor) or model.output_shape[-1] != OUTPUTS:
        raise ValueError(f"{path} is not the network of {directory / 'model.json'}: it has other inputs or outputs.")
    return LeptonNetwork(features, offset, factor, model)


def _plain_model(layers: Sequence[NDArray[np.float32]], hidden: Sequence[int]) -> Any:
    """The network as a model of standard layers, from scaled features to the probabilities of electron and muon."""
    keras = keras_module()
    dense = [keras.layers.Dense(nodes, activation="tanh") for nodes in hidden]
    dense.append(keras.layers.Dense(OUTPUTS, activation="softmax"))
    model = keras.Sequential([keras.Input((len(layers[0]),)), *dense], name="network")
    for number, layer in enumerate(dense):
        layer.set_weights(list(layers[2 * number : 2 * number + 2]))
    return model


def _scores(sample: str, leptons: Leptons, scores: Doubles) -> dict[str, Any]:
    test = leptons.test
    own = {name: np.asarray(leptons[name][test], np.float64) for name in _LEPTON}
    return {
        "sample": np.full(len(test), sample, object), **own, "is_muon": leptons.label[test].astype(np.int8),
        "score": scores, "selected": scores > 0.5,
    }  # fmt: skip


def _write_scores(path: Path, parts: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.concat_tables([pa.table(dict(part)) for part in parts])
    write_atomically(path, lambda temporary: pq.write_table(table, temporary))
