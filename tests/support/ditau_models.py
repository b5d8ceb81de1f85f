"""Small untrained networks as the training of ditau_mass leaves them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from training.ditau_model import write_facts
from training.ditau_network import build_network
from training.ditau_settings import FULL, ModelSettings
from training.published_models import INPUTS_FILE


def make_model(
    directory: Path,
    ranges: dict[str, tuple[float, float]] | None = None,
    seed: int = 3,
    group: str = "inclusive",
    convention: str | None = None,
    layers: int = 2,
    neurons: int = 16,
) -> Path:
    """A directory with a network, not trained, on all inputs; ranges that are not given hold every number."""
    from training.backend import keras_module

    keras_module().utils.set_random_seed(seed)
    settings = ModelSettings(layers=layers, neurons=neurons)
    directory.mkdir(parents=True)
    build_network(settings).save(directory / "model.keras")
    wide = dict.fromkeys(FULL, (-1e9, 1e9))
    write_facts(
        directory,
        {
            "name": "small_inclusive", "model": "small", "group": group, "method": "network",
            "features": list(FULL), "ranges": {**wide, **(ranges or {})}, "files": ["model.keras"],
            "convention": convention, "parameters": settings.model_dump(mode="json"),
        },
    )  # fmt: skip
    return directory


def make_published(directory: Path, weights: Mapping[str, float], bias: float) -> Path:
    """A directory as DiTau_ML_mass publishes them: the mass is a sum of inputs with these weights, and `bias`."""
    directory.mkdir(parents=True)
    dense = {
        "name": "dense_1", "units": 1, "activation": "linear", "use_bias": True, "batch_input_shape": [None, len(FULL)]
    }  # fmt: skip
    content = {"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": dense}]}}
    (directory / "DNN.json").write_text(json.dumps(content))
    with h5py.File(directory / "NN_weights-DNN.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense_1"]
        group = file.create_group("dense_1")
        group.attrs["weight_names"] = [b"dense_1/kernel:0", b"dense_1/bias:0"]
        group["dense_1/kernel:0"] = np.array([[weights.get(name, 0.0)] for name in FULL], np.float32)
        group["dense_1/bias:0"] = np.array([bias], np.float32)
    (directory / INPUTS_FILE).write_text(f"inputs = {list(FULL)!r}\n")
    return directory
