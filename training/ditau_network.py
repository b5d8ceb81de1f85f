"""Building and training one network of the ditau mass, and the files it leaves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.backend import keras_module
from training.ditau_events import DitauEvents, flattening_weights, read_ditau
from training.ditau_losses import above_range, check_masses, make_loss
from training.files import write_atomically, write_json
from training.keras_network import make_deterministic, release_memory
from training.model_files import package_versions
from training.samples import Sample

if TYPE_CHECKING:
    from training.ditau_mass import ModelSettings, TrainingTask

#: What early stopping looks at, and the best weights are those of.
MONITOR = "val_mae"
_PREDICTION_BATCH = 8192


def build_network(settings: ModelSettings) -> Any:
    """The network without weights of its own choice: hidden layers as set, one linear neuron at the end."""
    keras = keras_module()
    parts: list[Any] = [keras.Input((len(settings.input_names()),))]
    for number, units in enumerate(settings.units()):
        bound = None if settings.max_norm is None else keras.constraints.MaxNorm(settings.max_norm, axis=0)
        penalty = keras.regularizers.L2(settings.l2) if settings.l2 else None
        # The published trainings left the first layer's initialiser at Keras' default.
        initial = settings.initialiser if number else "glorot_uniform"
        parts.append(
            keras.layers.Dense(
                units,
                activation=settings.activation,
                kernel_initializer=initial,
                kernel_constraint=bound,
                kernel_regularizer=penalty,
            )
        )
        if settings.dropout:
            parts.append(keras.layers.Dropout(settings.dropout))
    parts.append(keras.layers.Dense(1, activation="linear", kernel_initializer=settings.initialiser))
    return keras.Sequential(parts)


def start_below(network: Any, inputs: NDArray[np.float32], settings: ModelSettings) -> None:
    """Scale the last kernel down until no prediction is where the loss has no gradient.

    That is above the middle between the range's high end and the true mass, for no true mass below the ends' middle.
    """
    limit = (settings.max_mass + settings.min_mass) / 4
    largest = float(np.max(np.abs(predict(network, inputs)), initial=0.0))
    if largest > limit:
        kernel, bias = network.layers[-1].get_weights()
        network.layers[-1].set_weights([kernel * (limit / largest), bias])


def fit(settings: ModelSettings, train: DitauEvents, validation: DitauEvents, *, seed: int) -> tuple[Any, Any]:
    """The network with the weights of its best epoch, and the history: lists by name, one value per epoch."""
    make_deterministic(int(np.random.SeedSequence(seed).generate_state(1)[0] % 2**31))
    keras = keras_module()
    network = build_network(settings)
    start_below(network, train.inputs, settings)
    optimiser = keras.optimizers.get({"class_name": settings.optimiser, "config": {}})
    optimiser.learning_rate = settings.learning_rate
    # The metric is weighted as the loss is: the spectrum is flat for both.
    network.compile(
        optimizer=optimiser,
        loss=make_loss(settings.loss, settings.min_mass, settings.max_mass),
        weighted_metrics=[keras.metrics.MeanAbsoluteError(name="mae")],
    )
    stop = keras.callbacks.EarlyStopping(
        monitor=MONITOR, mode="min", patience=settings.patience, restore_best_weights=True
    )
    parts = [(part.inputs, part.mass[:, None].astype(np.float32), flattening_weights(part.mass).astype(np.float32))
             for part in (train, validation)]  # fmt: skip
    history = network.fit(
        parts[0][0],
        parts[0][1],
        sample_weight=parts[0][2],
        validation_data=parts[1],
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        callbacks=[stop, keras.callbacks.TerminateOnNaN()],
        verbose=0,
    )
    return network, {name: [float(value) for value in values] for name, values in history.history.items()}


def predict(network: Any, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N,) mass [GeV]."""
    parts = [
        np.asarray(network(inputs[start : start + _PREDICTION_BATCH], training=False))[:, 0]
        for start in range(0, len(inputs), _PREDICTION_BATCH)
    ]
    return np.concatenate([*parts, np.empty(0)]).astype(np.float64)


def train_and_write(task: TrainingTask, samples: Sequence[Sample], target: Path) -> dict[str, Any]:
    """Train a task's network; writes model.keras, model.json, predictions.parquet (test events) and result.json.

    Raises:
        ValueError: as `training.ditau_mass.run`, or if the loss became infinite.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    started = time.monotonic()
    settings = task.settings
    events = read_ditau(samples, settings.input_names(), task.group, seed=task.seed)
    check_masses(events.mass, settings.min_mass, settings.max_mass)
    network, history = fit(settings, events.of("train"), events.of("validation"), seed=task.seed)
    if not np.isfinite(history[MONITOR]).all():
        raise ValueError(f"The training of {task.name} diverged: a lower learning_rate may help.")
    target.mkdir(parents=True, exist_ok=True)
    test = events.of("test")
    predicted = predict(network, test.inputs)
    write_atomically(target / "model.keras", network.save)
    table = pa.table({"gen_mass": test.mass, "ml_mass": predicted, "channel": test.channel})
    write_atomically(target / "predictions.parquet", lambda path: pq.write_table(table, path))
    facts = {
        "name": task.name, "kind": "ditau_mass", "model": task.model, "group": task.group,
        "features": list(settings.input_names()), "files": ["model.keras"],
        "parameters": settings.model_dump(mode="json"), "versions": package_versions(),
    }  # fmt: skip
    write_json(target / "model.json", facts)
    result = {
        **{key: facts[key] for key in ("name", "model", "group", "features", "parameters")},
        "seed": task.seed,
        "events": {part: len(events.of(part)) for part in ("train", "validation", "test")},
        "without_mass": events.without_mass,
        "best_epoch": int(np.argmin(history[MONITOR])),
        "epochs": len(history[MONITOR]),
        "history": history,
        "test_mae": float(np.mean(np.abs(predicted - test.mass))),
        "above_range": above_range(test.mass, predicted, settings.max_mass),
        "seconds": round(time.monotonic() - started, 3),
    }
    write_json(target / "result.json", result)
    release_memory()
    return result
