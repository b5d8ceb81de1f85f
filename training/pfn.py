"""Particle flow networks of the analysis dijet_anomaly: parameters, training in stacks, files, prediction."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from training.backend import has_gpu, keras_module
from training.files import write_atomically, write_json
from training.jets import FEATURES, JetPool, Jets
from training.networks import Arrays, ParticleFlowNetwork
from training.optimizers import Optimizer
from training.parameters import Parameters
from training.stacked import Member, Schedule, Stack, predict_stack, train_stack


class PFNParameters(Parameters):
    """Parameters of a particle flow network and its training; the defaults are those of the source."""

    phi_units: tuple[int, ...] = Field((100, 100, 128), min_length=1, description="widths of the layers per particle")
    f_units: tuple[int, ...] = Field((100, 100, 100), description="widths of the layers after the sum over particles")
    activation: Literal["relu", "tanh", "elu", "gelu", "silu"] = "relu"
    initializer: Literal["he_uniform", "glorot_uniform"] = "he_uniform"
    learning_rate: float = Field(1e-3, gt=0, description="step size of Adam")
    beta_1: float = Field(0.9, ge=0, lt=1)
    beta_2: float = Field(0.999, ge=0, lt=1)
    epsilon: float = Field(1e-7, gt=0)
    l2: float = Field(0.0, ge=0, description="strength of the L2 penalty on the weights")
    batch_size: int = Field(500, ge=1, description="jets per step")
    epochs: int = Field(10, ge=1, description="largest number of epochs")
    patience: int | None = Field(
        None, ge=1, description="epochs without a better validation loss before a training ends; null: all epochs"
    )
    evaluate_every: int | None = Field(
        None,
        ge=1,
        description="epochs between two evaluations of the validation jets; null: after the last, with patience after "
        "each",
    )

    def network(self) -> ParticleFlowNetwork:
        """The network; on a GPU its sums have a fixed order, so that a seed gives one result."""
        return ParticleFlowNetwork(
            len(FEATURES),
            self.phi_units,
            self.f_units,
            2,
            self.activation,
            self.initializer,
            "matmul" if has_gpu() else "segments",
        )

    def optimizer(self) -> Optimizer:
        """Adam with these parameters."""
        return Optimizer("adam", self.learning_rate, self.beta_1, self.beta_2, self.epsilon, self.l2)

    def schedule(self) -> Schedule:
        """Batches and epochs."""
        every = self.evaluate_every or (self.epochs if self.patience is None else 1)
        return Schedule(self.epochs, self.batch_size, evaluate_every=every, patience=self.patience)


def train_pfns(
    pool: JetPool,
    members: Sequence[Member],
    parameters: PFNParameters,
    *,
    on_evaluation: Callable[[int, Stack], None] | None = None,
) -> list[PFNClassifier]:
    """One particle flow network per member, trained at once; rows of the members are jets of the pool.

    With `patience` each has the weights of its smallest validation loss, otherwise those after the last epoch.

    Raises:
        ValueError: as `train_stack`, or if the loss of a network is not finite at the end.
    """
    network = parameters.network()
    stack = train_stack(
        pool, members, network, parameters.optimizer(), parameters.schedule(), on_evaluation=on_evaluation
    )
    if parameters.patience is None and not all(np.isfinite(curves["loss"][-1]) for curves in stack.curves):
        raise ValueError("The loss of a particle flow network is not finite: lower its learning_rate.")
    weights = stack.weights() if parameters.patience is None else stack.best_weights()
    return [PFNClassifier(parameters, its, curves) for its, curves in zip(weights, stack.curves, strict=True)]


@dataclass
class PFNClassifier:
    """A trained particle flow network."""

    parameters: PFNParameters
    weights: Arrays
    curves: dict[str, list[float]] | None = None

    def score(self, pool: JetPool, rows: NDArray[np.integer] | None = None) -> NDArray[np.float64]:
        """(n,) probability of class 1 for jets of the pool, all by default."""
        return scores([self], pool, [np.arange(len(pool)) if rows is None else rows])[0]

    def save(self, directory: Path) -> None:
        """Write `pfn.keras` and `pfn.json`, which has the ordered features, the parameters and the curves."""
        directory.mkdir(parents=True, exist_ok=True)
        model = keras_model(self.parameters)
        model.set_weights(self.weights)
        write_atomically(directory / "pfn.keras", model.save)
        facts = {"features": list(FEATURES), "parameters": self.parameters.model_dump(mode="json")}
        write_json(directory / "pfn.json", {**facts, "curves": self.curves})


def scores(
    classifiers: Sequence[PFNClassifier], pool: JetPool, rows: Sequence[NDArray[np.integer]]
) -> list[NDArray[np.float64]]:
    """For every classifier the probability of class 1 for its own jets; all must have equal layers."""
    network = classifiers[0].parameters.network()
    if any(one.parameters.network() != network for one in classifiers):
        raise ValueError("Only particle flow networks of equal layers are evaluated at once.")
    constants: list[list[NDArray[np.floating]]] = [[] for _ in classifiers]
    found = predict_stack(network, [one.weights for one in classifiers], constants, pool, rows)
    return [outputs[:, 1] for outputs in found]


def load_pfn(directory: Path) -> PFNClassifier:
    """Read what `save` wrote; nothing in it is code.

    Raises:
        ValueError: if a file is missing, damaged, or does not fit the other.
    """
    path = directory / "pfn.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        features, curves = tuple(facts["features"]), facts["curves"]
        parameters = PFNParameters(**facts["parameters"])
    except FileNotFoundError:
        raise ValueError(f"{directory} holds no particle flow network: there is no pfn.json.") from None
    except (KeyError, TypeError, ValidationError, ValueError) as error:
        raise ValueError(f"{path} does not describe a particle flow network: {error!r}.") from error
    if features != FEATURES:
        raise ValueError(f"{path} has the features {', '.join(features)}; they must be {', '.join(FEATURES)}.")
    keras_model(parameters)  # its class must be known before the file is read
    model_file = directory / "pfn.keras"
    try:
        model = keras_module().saving.load_model(model_file, compile=False, safe_mode=True)
        weights = [np.asarray(array, np.float32) for array in model.get_weights()]
    except (OSError, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{model_file} is no readable Keras model: {error}.") from error
    if tuple(array.shape for array in weights) != parameters.network().shapes:
        raise ValueError(f"{model_file} is not the network of {path}: its layers differ.")
    return PFNClassifier(parameters, weights, curves)


def predict(directory: Path, jets: Jets) -> NDArray[np.float64]:
    """(J,) probability of class 1 by the network of a directory."""
    return load_pfn(directory).score(JetPool(jets))


def keras_model(parameters: PFNParameters) -> Any:
    """An untrained Keras model of standard layers, for files and for users of Keras.

    It takes particles (P, 4), the number of the jet of each (P,), and how many jets there are:
    `model(particles, jet, jets=n)` gives (n, 2) probabilities.
    """
    model = _model_class()(parameters.phi_units, parameters.f_units, parameters.activation, parameters.initializer)
    model.build()
    return model


@lru_cache(maxsize=1)
def _model_class() -> Any:
    keras = keras_module()

    @keras.saving.register_keras_serializable(package="hepbatch")
    class ParticleFlowModel(keras.Model):  # type: ignore[misc, name-defined]
        """Phi per particle, segment sum per jet, F per jet, softmax over two classes."""

        def __init__(
            self,
            phi_units: Sequence[int],
            f_units: Sequence[int],
            activation: str,
            initializer: str,
            **kwargs: Any,
        ) -> None:
            super().__init__(**kwargs)
            self.settings = {
                "phi_units": list(phi_units),
                "f_units": list(f_units),
                "activation": activation,
                "initializer": initializer,
            }

            def layers(units: Sequence[int]) -> list[Any]:
                return [keras.layers.Dense(n, activation=activation, kernel_initializer=initializer) for n in units]

            self.phi = keras.Sequential([keras.Input((len(FEATURES),)), *layers(phi_units)], name="phi")
            output = keras.layers.Dense(2, activation="softmax", kernel_initializer=initializer)
            self.f = keras.Sequential([keras.Input((phi_units[-1],)), *layers(f_units), output], name="f")

        def build(self, input_shape: Any = None) -> None:  # noqa: ARG002  (both parts are built with the model)
            self.built = True

        def call(self, particles: Any, jet: Any, jets: int) -> Any:
            return self.f(keras.ops.segment_sum(self.phi(particles), jet, num_segments=jets))

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), **self.settings}

    return ParticleFlowModel
