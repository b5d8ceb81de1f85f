"""Networks as functions of weights with a leading replica axis: equal networks are computed at once.

A network is a frozen description, so that two equal ones share a compiled step. Its weights are a list of kernels and
biases in turn, the order in which a Keras model of `Dense` layers has them. R is the number of replicas.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from training.backend import keras_module

Arrays = list[NDArray[np.float32]]
Initializer = Literal["he_uniform", "glorot_uniform"]


class Network(Protocol):
    """What the stack trains."""

    def __hash__(self) -> int: ...

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the kernels and biases of one replica."""

    @property
    def initializer(self) -> Initializer:
        """Distribution of the initial kernels."""

    @property
    def dropout(self) -> tuple[float, tuple[int, ...]]:
        """Rate, and the width of every layer that units are dropped from; none if the rate is 0."""

    def logits(self, weights: Sequence[Any], constants: Sequence[Any], inputs: Any, masks: Sequence[Any]) -> Any:
        """(R, B, outputs) logits of what the pool's `gather` gave.

        `constants` are the members' own, each with a leading replica axis; `masks` (R, B, width) multiply the layers
        that have dropout, and are empty outside training.
        """

    def activations(self, batch: int, slots: int) -> int:
        """Numbers that one replica computes in one step, forward, for a batch of so many `slots`, see `Pool.slots`."""


def initial_weights(network: Network, generator: np.random.Generator) -> Arrays:
    """Kernels uniform within sqrt(6 / fan), fan = inputs (He) or inputs + outputs (Glorot); biases zero.

    He et al., arXiv:1502.01852, eq. 10 for a uniform distribution; Glorot and Bengio, AISTATS 2010, eq. 16. From numpy,
    so that a replica begins alike on every backend and in every stack.
    """
    result: Arrays = []
    for shape in network.shapes:
        if len(shape) == 1:
            result.append(np.zeros(shape, np.float32))
            continue
        fan = shape[0] if network.initializer == "he_uniform" else sum(shape)
        limit = math.sqrt(6 / fan)
        result.append(generator.uniform(-limit, limit, shape).astype(np.float32))
    return result


def dense_shapes(widths: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Shapes of the kernels and biases between layers of these widths."""
    return tuple(shape for before, after in itertools.pairwise(widths) for shape in ((before, after), (after,)))


def dense_layers(
    x: Any, weights: Sequence[Any], activation: str, *, last: str | None = None, masks: Sequence[Any] = ()
) -> Any:
    """(R, N, out) from (R, N, in) through every kernel (R, in, out) and bias (R, out) of `weights`.

    Without the replica axis, (N, out) from (N, in), they are the plain operations that TensorFlow joins into one.
    """
    keras = keras_module()
    layers = len(weights) // 2
    for number in range(layers):
        kernel, bias = weights[2 * number : 2 * number + 2]
        name = activation if number + 1 < layers else last
        if len(kernel.shape) == 2:
            x = keras.activations.get(name)(keras.ops.matmul(x, kernel) + bias)
        else:
            x = _activated(keras.ops.matmul(x, kernel) + bias[:, None, :], name)
        if number < len(masks):
            x = x * masks[number]
    return x


def _narrow_product(x: Any, kernel: Any) -> Any:
    """(R, N, out) from (R, N, in) and (R, in, out), for few inputs.

    It is written as a sum, which XLA joins with the bias and the activation: the product is never in memory. Its
    gradients are those of a product.
    """
    ops = keras_module().ops

    @ops.custom_gradient  # type: ignore[untyped-decorator]  # Keras has no types
    def product(x: Any, kernel: Any) -> tuple[Any, Callable[..., Any]]:
        def gradients(upstream: Any) -> tuple[Any, Any]:
            of_x = ops.matmul(upstream, ops.transpose(kernel, (0, 2, 1)))
            return of_x, ops.matmul(ops.transpose(x, (0, 2, 1)), upstream)

        return sum(x[:, :, i, None] * kernel[:, None, i, :] for i in range(x.shape[-1])), gradients

    return product(x, kernel)


def _activated(x: Any, name: str | None) -> Any:
    keras = keras_module()
    if name == "relu":
        # The same values, NaN too, and gradients, but for that of NaN, which goes through. TensorFlow takes 10 ms for
        # every relu and every gradient of one to translate it for XLA, and a tenth of a millisecond for this.
        return keras.ops.where(x <= 0, keras.ops.zeros_like(x), x)
    return keras.activations.get(name)(x)


def cross_entropy(logits: Any, label: Any) -> Any:
    """(R, B) cross-entropy of (R, B, 1) logits of class 1, or of (R, B, classes) softmax logits, and labels (R, B)."""
    ops = keras_module().ops
    if logits.shape[-1] == 1:
        z = logits[..., 0]
        return ops.softplus(z) - ops.cast(label, z.dtype) * z
    one_hot = ops.one_hot(label, logits.shape[-1], dtype=logits.dtype)
    return -ops.sum(one_hot * ops.log_softmax(logits, axis=-1), axis=-1)


def probabilities(logits: Any) -> Any:
    """Probability of class 1 where there is one logit, of every class (last axis) where there are several."""
    ops = keras_module().ops
    return ops.sigmoid(logits[..., 0]) if logits.shape[-1] == 1 else ops.softmax(logits, axis=-1)


@dataclass(frozen=True)
class DenseNetwork:
    """Dense layers on standardised features; the members' constants are the means and the inverse scales (F,)."""

    features: int
    hidden_units: tuple[int, ...]
    outputs: int = 1
    activation: str = "relu"
    initializer: Initializer = "glorot_uniform"
    dropout_rate: float = 0.0

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Kernel and bias of every layer."""
        return dense_shapes((self.features, *self.hidden_units, self.outputs))

    @property
    def dropout(self) -> tuple[float, tuple[int, ...]]:
        """After every hidden layer."""
        return self.dropout_rate, self.hidden_units if self.dropout_rate else ()

    def logits(self, weights: Sequence[Any], constants: Sequence[Any], inputs: Any, masks: Sequence[Any]) -> Any:
        """(R, B, outputs) from features (R, B, F)."""
        mean, inverse_scale = constants
        x = (inputs - mean[:, None, :]) * inverse_scale[:, None, :]
        return dense_layers(x, weights, self.activation, masks=masks)

    def activations(self, batch: int, slots: int) -> int:  # noqa: ARG002  (a batch is all there is)
        """Twice the features, and every layer's width, for every event."""
        return batch * (2 * self.features + sum(self.hidden_units) + self.outputs)


@dataclass(frozen=True)
class ParticleFlowNetwork:
    """F(sum of Phi over a jet's particles), Komiske, Metodiev and Thaler, arXiv:1810.05165, eq. 1.2.

    Particles come in rows of several, or as they are, see `training.jets.JetPool`. `add` is how rows are added up to
    jets: `segments` (a segment sum) or `matmul` (a product with a matrix of zeros and ones, whose additions have one
    order also on a GPU, where those of a segment sum come as they come).
    """

    features: int = 4
    phi_units: tuple[int, ...] = (100, 100, 128)
    f_units: tuple[int, ...] = (100, 100, 100)
    outputs: int = 2
    activation: str = "relu"
    initializer: Initializer = "he_uniform"
    add: Literal["segments", "matmul"] = "segments"

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Those of Phi, then those of F with the output layer."""
        phi = dense_shapes((self.features, *self.phi_units))
        return phi + dense_shapes((self.phi_units[-1], *self.f_units, self.outputs))

    @property
    def dropout(self) -> tuple[float, tuple[int, ...]]:
        """None."""
        return 0.0, ()

    def logits(self, weights: Sequence[Any], constants: Sequence[Any], inputs: Any, masks: Sequence[Any]) -> Any:  # noqa: ARG002
        """(R, B, outputs) from particles (R, K, C, features), presence (R, K, C), jets (R, C) and B.

        C rows of K particles; a row's jet is B where it belongs to none. Or, with weights that have no replica axis,
        (1, B, outputs) from particles (P, features), jets (P,) and B; the last particle is of jet B.
        """
        if len(inputs) == 3:
            return self._of_particles(weights, *inputs)[None]
        ops = keras_module().ops
        particles, present, jet, jets = inputs
        replicas, width, capacity, features = particles.shape
        split = 2 * len(self.phi_units)
        flat = ops.reshape(particles, (replicas, width * capacity, features))
        first = _activated(_narrow_product(flat, weights[0]) + weights[1][:, None, :], self.activation)
        phi = dense_layers(first, weights[2:split], self.activation, last=self.activation)
        latent = phi.shape[-1]
        rows = ops.sum(ops.reshape(phi, (replicas, width, capacity, latent)) * present[..., None], axis=1)
        return dense_layers(self._add_up(rows, jet, jets), weights[split:], self.activation)

    def _of_particles(self, weights: Sequence[Any], particles: Any, jet: Any, jets: int) -> Any:
        """(B, outputs) of one replica."""
        ops = keras_module().ops
        split = 2 * len(self.phi_units)
        phi = dense_layers(particles, weights[:split], self.activation, last=self.activation)
        latent = ops.reshape(ops.segment_sum(phi, jet, sorted=True)[:-1], (jets, phi.shape[-1]))
        return dense_layers(latent, weights[split:], self.activation)

    def _add_up(self, rows: Any, jet: Any, jets: int) -> Any:
        """(R, B, latent) from rows (R, C, latent)."""
        ops = keras_module().ops
        replicas, capacity, latent = rows.shape
        if self.add == "matmul":
            of_jet = ops.equal(ops.arange(jets, dtype="int32")[None, :, None], jet[:, None, :])
            return ops.matmul(ops.cast(of_jet, rows.dtype), rows)
        segment = jet + ops.arange(replicas, dtype="int32")[:, None] * (jets + 1)
        total = ops.segment_sum(
            ops.reshape(rows, (replicas * capacity, latent)),
            ops.reshape(segment, (replicas * capacity,)),
            num_segments=replicas * (jets + 1),
        )
        return ops.reshape(total, (replicas, jets + 1, latent))[:, :jets]

    def activations(self, batch: int, slots: int) -> int:
        """Every layer of Phi for every particle slot, and of F for every jet."""
        f = batch * (self.phi_units[-1] + sum(self.f_units) + self.outputs)
        return slots * (2 * self.features + 1 + sum(self.phi_units)) + f
