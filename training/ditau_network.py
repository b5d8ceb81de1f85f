"""Building and training one network of the ditau mass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.backend import keras_module
from training.dense_outputs import first_output
from training.ditau_events import DitauEvents, flattening_weights
from training.ditau_losses import make_loss
from training.ditau_symmetry import augmented
from training.keras_network import make_deterministic

if TYPE_CHECKING:
    from training.ditau_settings import ModelSettings

#: What early stopping looks at, and the best weights are those of.
MONITOR = "val_mae"
Scale = tuple[NDArray[np.float32], NDArray[np.float32]]


def build_network(settings: ModelSettings, scale: Scale | None = None) -> Any:
    """The network before its training: hidden layers as set, one linear neuron at the end.

    `scale` is the mean and the deviation of every input where the settings say that it is standardised.
    """
    keras = keras_module()
    parts: list[Any] = [keras.Input((len(settings.input_names()),))]
    if scale is not None:
        parts.append(keras.layers.Normalization(mean=scale[0], variance=scale[1] ** 2, name="scaler"))
    for number, units in enumerate(settings.units()):
        bound = None if settings.max_norm is None else keras.constraints.MaxNorm(settings.max_norm, axis=0)
        penalty = keras.regularizers.L1L2(settings.l1, settings.l2) if settings.l1 or settings.l2 else None
        # The published trainings left the first layer's initialiser at Keras' default.
        initial = settings.initialiser if number else "glorot_uniform"
        parts.append(
            keras.layers.Dense(
                units,
                activation=settings.activation,
                kernel_initializer=initial,
                kernel_constraint=bound,
                kernel_regularizer=penalty,
                dtype=settings.precision,
            )
        )
        if settings.dropout:
            parts.append(keras.layers.Dropout(settings.dropout, dtype=settings.precision))
    parts.append(keras.layers.Dense(1, activation="linear", kernel_initializer=settings.initialiser))
    if scale is not None:
        # Without a start far from all masses; for its place see `start_below`.
        middle, quarter = (settings.max_mass + settings.min_mass) / 4, (settings.max_mass - settings.min_mass) / 4
        parts.append(keras.layers.Rescaling(quarter, offset=middle, name="mass"))
    return keras.Sequential(parts)


def start_below(network: Any, inputs: NDArray[np.float32], settings: ModelSettings) -> None:
    """Scale the last kernel down until no prediction is where the loss has no gradient.

    That is above the middle between the range's high end and the true mass, for no true mass below the ends' middle.
    """
    limit = (settings.max_mass + settings.min_mass) / 4
    outputs = first_output(network, inputs)
    # A standardised network starts around the limit, half way to where it must not be.
    centre = limit if settings.standardise else 0.0
    largest = float(np.max(np.abs(outputs - centre), initial=0.0))
    if largest > limit:
        last = [layer for layer in network.layers if layer.get_weights()][-1]
        kernel, bias = last.get_weights()
        last.set_weights([kernel * (limit / largest), bias])


def fit(settings: ModelSettings, train: DitauEvents, validation: DitauEvents, *, seed: int) -> tuple[Any, Any]:
    """The network with the weights of its best epoch, and the history: lists by name, one value per epoch.

    Whatever the precision of the training, this network computes in single precision.
    """
    make_deterministic(int(np.random.SeedSequence(seed).generate_state(1)[0] % 2**31))
    keras = keras_module()
    scale = _scale(train.inputs) if settings.standardise else None
    network = build_network(settings, scale)
    start_below(network, train.inputs, settings)
    # The metric is weighted as the loss is: the spectrum is flat for both.
    network.compile(
        optimizer=_optimiser(settings),
        loss=make_loss(settings.loss, settings.min_mass, settings.max_mass),
        weighted_metrics=[keras.metrics.MeanAbsoluteError(name="mae")],
    )
    stop = keras.callbacks.EarlyStopping(
        monitor=MONITOR, mode="min", patience=settings.patience, restore_best_weights=True
    )
    trained = augmented(train, settings.input_names(), settings.augment, seed=seed)
    parts = [(part.inputs, part.mass[:, None].astype(np.float32), flattening_weights(part.mass).astype(np.float32))
             for part in (trained, validation)]  # fmt: skip
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
    if settings.precision != "float32":
        network = _in_single_precision(network, settings, scale)
    return network, {name: [float(value) for value in values] for name, values in history.history.items()}


def _optimiser(settings: ModelSettings) -> Any:
    keras = keras_module()
    optimiser = keras.optimizers.get({"class_name": settings.optimiser, "config": {}})
    optimiser.learning_rate = settings.learning_rate
    # Gradients below 6e-8 are 0 in half precision. Keras does this itself only where the whole network has that policy.
    return keras.optimizers.LossScaleOptimizer(optimiser) if settings.precision == "mixed_float16" else optimiser


def _in_single_precision(network: Any, settings: ModelSettings, scale: Scale | None) -> Any:
    """The same weights, which mixed precision keeps in single precision, in layers that compute in it."""
    single = build_network(settings.model_copy(update={"precision": "float32"}), scale)
    single.set_weights(network.get_weights())
    return single


def _scale(inputs: NDArray[np.float32]) -> Scale:
    spread = inputs.std(axis=0, dtype=np.float64)
    return inputs.mean(axis=0, dtype=np.float64).astype(np.float32), np.where(spread > 0, spread, 1).astype(np.float32)
