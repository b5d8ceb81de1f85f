"""Dense Keras networks; those of all folds train at once as one stacked network."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.weights import training_weights

if TYPE_CHECKING:
    from training.models import Matrix, TrainingSet
    from training.parameters import Parameters

_CHUNK = 16384  # events per evaluation of the stacked network
_BLOCK = 2048  # events per evaluation of a single network


def keras_module() -> Any:
    """The keras package, on the TensorFlow backend unless KERAS_BACKEND names another."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    return keras


def make_deterministic(seed: int) -> None:
    """Seed Python, numpy and the backend, and forbid operations whose result depends on scheduling."""
    keras = keras_module()
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def release_memory() -> None:
    """Drop the state that Keras keeps between models, when all of a task are saved."""
    keras_module().backend.clear_session()


@dataclass
class NetworkClassifier:
    """A plain Keras model that standardises its input itself and gives the signal probability."""

    model: Any
    curves: dict[str, Any] | None = field(default=None)

    @property
    def converged(self) -> bool:
        """True: the number of epochs is part of the model, which keeps its best epoch."""
        return True

    def score(self, features: Matrix) -> NDArray[np.float64]:
        """Signal probability."""
        # Blocks of one shape, padded: the rounding of a product depends on its shape, and so would an event's score on
        # how many others come with it.
        keras = keras_module()
        parts = []
        for start in range(0, len(features), _BLOCK):
            rows = np.asarray(features[start : start + _BLOCK], np.float32)
            block = np.pad(rows, ((0, _BLOCK - len(rows)), (0, 0)))
            parts.append(keras.ops.convert_to_numpy(self.model(block, training=False))[: len(rows), 0])
        return np.concatenate([*parts, np.empty(0)]).astype(np.float64)

    def scaler(self) -> tuple[list[float], list[float]]:
        """Of the first layer."""
        layer = self.model.get_layer("scaler")
        keras = keras_module()
        mean = np.ravel(keras.ops.convert_to_numpy(layer.mean))
        variance = np.ravel(keras.ops.convert_to_numpy(layer.variance))
        return [float(x) for x in mean], [float(x) for x in np.sqrt(variance)]


def fit_networks(
    parameters: Parameters, data: TrainingSet, excluded: Sequence[Sequence[int]], *, seed: int
) -> list[NetworkClassifier]:
    """Train one network for every set of folds in `excluded`, all in one stacked network.

    Each replica sees every batch, with weight zero for the events that are not its own: the loss is the sum over the
    replicas, so their gradients, and with Adam their steps, do not mix. All replicas start from the same weights.
    Each ends with the weights of its own smallest validation loss.
    """
    keras = keras_module()
    make_deterministic(seed)
    settings = parameters.model_dump()
    validation = data.validation < settings["validation_fraction"]
    label = data.label.astype(np.float32)
    train = np.zeros((len(label), len(excluded)), np.float32)
    check = np.zeros_like(train)
    means, scales = [], []
    for replica, folds in enumerate(excluded):
        own = data.without(folds)
        for weights, chosen in ((train, own & ~validation), (check, own & validation)):
            weights[chosen, replica] = training_weights(data.label[chosen], data.weight[chosen])
        inputs = data.features[own & ~validation]
        spread = inputs.std(axis=0)
        means.append(inputs.mean(axis=0))
        scales.append(np.where(spread > 0, spread, 1.0))
    layers = _initial_layers(keras, data.features.shape[1], settings, seed)
    stacked = _stacked_model(keras, layers, np.array(means), np.array(scales), settings)
    recorder = _Recorder(stacked, np.asarray(data.features, np.float32), label, train, check, settings["patience"])
    stacked.compile(
        optimizer=keras.optimizers.Adam(settings["learning_rate"]), loss=_replica_loss(keras), jit_compile=False
    )
    target = np.concatenate([label[:, None], train], axis=1)
    generator = np.random.default_rng(seed)
    for epoch in range(settings["epochs"]):
        order = generator.permutation(len(label))
        for start in range(0, len(order), settings["batch_size"]):
            batch = order[start : start + settings["batch_size"]]
            stacked.train_on_batch(recorder.features[batch], target[batch])
        if recorder.record(epoch):
            break
    if not np.isfinite(recorder.smallest).all():
        raise ValueError("The network's loss is not finite after any epoch: lower its learning_rate.")
    return [
        NetworkClassifier(
            _plain_model(keras, recorder.best[replica], means[replica], scales[replica], settings),
            recorder.curves(replica),
        )
        for replica in range(len(excluded))
    ]


def _initial_layers(keras: Any, inputs: int, settings: dict[str, Any], seed: int) -> list[tuple[Any, Any]]:
    """Initial weights and biases of one network, Glorot uniform and zero."""
    widths = [inputs, *settings["hidden_units"], 1]
    result = []
    for number, (before, after) in enumerate(itertools.pairwise(widths)):
        initializer = keras.initializers.GlorotUniform(seed=seed + number)
        result.append((keras.ops.convert_to_numpy(initializer((before, after))), np.zeros(after, np.float32)))
    return result


def _stacked_model(
    keras: Any, layers: Sequence[tuple[Any, Any]], means: Matrix, scales: Matrix, settings: dict[str, Any]
) -> Any:
    """Model from (B, F) features to (B, R) logits; EinsumDense layers with a leading replica axis."""
    replicas, inputs = means.shape
    entry = keras.Input((inputs,))
    x = keras.layers.RepeatVector(replicas)(entry)
    # As weights of a fixed layer the scalers are part of the compiled graph.
    x = keras.layers.Rescaling(scale=(1 / scales).astype(np.float32), offset=(-means / scales).astype(np.float32))(x)
    penalty = keras.regularizers.L2(settings["l2"]) if settings["l2"] else None
    for number, (kernel, bias) in enumerate(layers):
        layer = keras.layers.EinsumDense(
            "bri,rio->bro",
            output_shape=(replicas, len(bias)),
            bias_axes="ro",
            activation=settings["activation"] if number + 1 < len(layers) else None,
            kernel_regularizer=penalty,
        )
        x = layer(x)
        layer.set_weights([np.repeat(kernel[None], replicas, axis=0), np.repeat(bias[None], replicas, axis=0)])
        if settings["dropout"] and number + 1 < len(layers):
            x = keras.layers.Dropout(settings["dropout"])(x)
    return keras.Model(entry, keras.layers.Reshape((replicas,))(x))


def _plain_model(
    keras: Any, layers: Sequence[NDArray[Any]], mean: Matrix, scale: Matrix, settings: dict[str, Any]
) -> Any:
    """One replica as a model of standard layers, from unscaled features to the probability."""
    scaler = keras.layers.Normalization(
        mean=mean.astype(np.float32), variance=(scale**2).astype(np.float32), name="scaler"
    )
    hidden = [keras.layers.Dense(units, activation=settings["activation"]) for units in settings["hidden_units"]]
    model = keras.Sequential(
        [keras.Input((len(mean),)), scaler, *hidden, keras.layers.Dense(1, activation="sigmoid")], name="network"
    )
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    for number, layer in enumerate(dense):
        layer.set_weights([layers[2 * number], layers[2 * number + 1]])
    return model


def _replica_loss(keras: Any) -> Any:
    """Weighted binary cross-entropy, summed over the replicas; the target holds the label, then the R weights."""

    def loss(target: Any, logits: Any) -> Any:
        each = keras.ops.softplus(logits) - target[:, :1] * logits
        return keras.ops.sum(target[:, 1:] * each, axis=1)

    return loss


class _Recorder:
    """Follows every replica: curves, and the weights of its smallest validation loss."""

    def __init__(
        self,
        model: Any,
        features: NDArray[np.float32],
        label: NDArray[np.float32],
        train: NDArray[np.float32],
        check: NDArray[np.float32],
        patience: int,
    ) -> None:
        self.model = model
        self.features = features
        self.label = label[:, None]
        self.weights = {"": train, "validation_": check}
        self.patience = patience
        replicas = train.shape[1]
        self.smallest = np.full(replicas, np.inf)
        self.best_epoch = np.zeros(replicas, int)
        self.best: list[list[NDArray[Any]]] = [[] for _ in range(replicas)]
        self.history: dict[str, list[NDArray[np.float64]]] = {}

    def record(self, epoch: int) -> bool:
        """Evaluate all replicas after an epoch; true if none improved within the patience."""
        blocks = (self.features[start : start + _CHUNK] for start in range(0, len(self.features), _CHUNK))
        logits = np.concatenate([self.model.predict_on_batch(block) for block in blocks]).astype(np.float64)
        each = np.logaddexp(0.0, logits) - self.label * logits
        right = (logits > 0) == (self.label > 0.5)
        for prefix, weights in self.weights.items():
            total = weights.sum(axis=0)
            self.history.setdefault(f"{prefix}loss", []).append((weights * each).sum(axis=0) / total)
            self.history.setdefault(f"{prefix}accuracy", []).append((weights * right).sum(axis=0) / total)
        current = self.history["validation_loss"][-1]
        stacked = self.model.get_weights()
        for replica in np.flatnonzero(current < self.smallest):
            self.smallest[replica] = current[replica]
            self.best_epoch[replica] = epoch
            self.best[replica] = [array[replica].copy() for array in stacked]
        return bool(np.all(epoch - self.best_epoch >= self.patience))

    def curves(self, replica: int) -> dict[str, Any]:
        """Curves of one replica, one value per epoch."""
        values = {name: [float(epoch[replica]) for epoch in epochs] for name, epochs in self.history.items()}
        return {"best_epoch": int(self.best_epoch[replica]), **values}
