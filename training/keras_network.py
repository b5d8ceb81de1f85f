"""Dense Keras networks; those of all folds train at once as one stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.backend import keras_module
from training.networks import Arrays, DenseNetwork
from training.optimizers import Optimizer
from training.pools import FeaturePool
from training.stacked import Member, Part, Schedule, Stack, loss_and_accuracy, train_stack
from training.stacked_steps import forget_compiled
from training.weights import training_weights

if TYPE_CHECKING:
    from training.models import Matrix, TrainingSet
    from training.parameters import Parameters

_BLOCK = 2048  # events per evaluation of a single network


def make_deterministic(seed: int) -> None:
    """Seed Python, numpy and the backend, and forbid operations whose result depends on scheduling."""
    keras = keras_module()
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def release_memory() -> None:
    """Drop compiled steps and the state that Keras keeps between models, when all of a task are saved."""
    forget_compiled()
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
    """Train one network for every set of folds in `excluded`, all in one stack.

    All replicas start from the same weights and seed, and take one step per `batch_size` events of all folds, in which
    each sees its own share of them. Each ends with the weights of its own smallest validation loss.
    """
    make_deterministic(seed)
    settings = parameters.model_dump()
    members = [
        _member(data, data.without(folds), settings["validation_fraction"], np.random.SeedSequence(seed))
        for folds in excluded
    ]
    network = DenseNetwork(
        data.features.shape[1],
        tuple(settings["hidden_units"]),
        activation=settings["activation"],
        dropout_rate=settings["dropout"],
    )
    pool = FeaturePool(data.features)
    accuracies: list[list[float]] = [[] for _ in members]

    def training_accuracy(_: int, stack: Stack) -> None:
        outputs = stack.predict(pool, [member.train.rows for member in members])
        for replica in np.flatnonzero(stack.active):
            accuracies[replica].append(loss_and_accuracy(outputs[replica], members[replica].train)[1])

    stack = train_stack(
        pool,
        members,
        network,
        Optimizer(learning_rate=settings["learning_rate"], l2=settings["l2"]),
        Schedule(
            settings["epochs"],
            steps=-(-len(data.label) // settings["batch_size"]),
            evaluate_every=1,
            patience=settings["patience"],
        ),
        on_evaluation=training_accuracy,
    )
    result = []
    for replica, weights in enumerate(stack.best_weights()):
        curves: dict[str, Any] = {**stack.curves[replica], "accuracy": accuracies[replica]}
        del curves["evaluated_epoch"]
        curves["best_epoch"] = int(stack.best_epoch[replica]) - 1
        mean, inverse_scale = members[replica].constants
        result.append(NetworkClassifier(_plain_model(weights, mean, 1 / inverse_scale, settings), curves))
    return result


def _member(data: TrainingSet, own: NDArray[np.bool_], fraction: float, seed: np.random.SeedSequence) -> Member:
    """The events in `own`, those below the validation fraction apart; the scaler comes from the others alone."""

    def part(chosen: NDArray[np.bool_]) -> Part:
        weight = training_weights(data.label[chosen], data.weight[chosen])
        return Part(np.flatnonzero(chosen), data.label[chosen], weight)

    train, validation = part(own & (data.validation >= fraction)), part(own & (data.validation < fraction))
    inputs = data.features[train.rows]
    spread = inputs.std(axis=0)
    return Member(seed, train, validation, (inputs.mean(axis=0), 1 / np.where(spread > 0, spread, 1.0)))


def _plain_model(layers: Arrays, mean: NDArray[Any], scale: NDArray[Any], settings: dict[str, Any]) -> Any:
    """One replica as a model of standard layers, from unscaled features to the probability."""
    keras = keras_module()
    scaler = keras.layers.Normalization(
        mean=mean.astype(np.float32), variance=(scale**2).astype(np.float32), name="scaler"
    )
    hidden = [keras.layers.Dense(units, activation=settings["activation"]) for units in settings["hidden_units"]]
    model = keras.Sequential(
        [keras.Input((len(mean),)), scaler, *hidden, keras.layers.Dense(1, activation="sigmoid")], name="network"
    )
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    for number, layer in enumerate(dense):
        layer.set_weights(layers[2 * number : 2 * number + 2])
    return model
