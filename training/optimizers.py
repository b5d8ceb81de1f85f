"""Optimisers of stacked networks: every replica has its own state and its own number of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from training.backend import keras_module


@dataclass(frozen=True)
class Optimizer:
    """Adam (Kingma and Ba, arXiv:1412.6980, algorithm 1 as Keras has it) or plain gradient descent."""

    kind: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    l2: float = 0.0  # strength of the penalty on the squared kernels


def updated(optimizer: Optimizer, state: Any, gradients: Sequence[Any], active: Any) -> list[Any]:
    """State after one step of the active replicas; each has its own number of steps."""
    ops = keras_module().ops
    weights, moments, steps = state

    def per_replica(values: Any, like: Any) -> Any:
        return ops.reshape(values, (-1, *(1,) * (len(like.shape) - 1)))

    def chosen(new: Any, old: Any) -> Any:
        return ops.where(per_replica(active, old), new, old)

    if optimizer.kind == "sgd":
        new = [chosen(w - optimizer.learning_rate * g, w) for w, g in zip(weights, gradients, strict=True)]
        return [new, [], steps]
    steps = steps + ops.cast(active, steps.dtype)
    beta_1, beta_2 = optimizer.beta_1, optimizer.beta_2
    done = ops.maximum(steps, 1.0)
    rate = optimizer.learning_rate * ops.sqrt(1 - ops.power(beta_2, done)) / (1 - ops.power(beta_1, done))
    new, first, second = [], [], []
    for w, g, m, v in zip(weights, gradients, *moments, strict=True):
        first.append(chosen(m + (1 - beta_1) * (g - m), m))
        second.append(chosen(v + (1 - beta_2) * (ops.square(g) - v), v))
        change = per_replica(rate, w) * first[-1] / (ops.sqrt(second[-1]) + optimizer.epsilon)
        new.append(chosen(w - change, w))
    return [new, [first, second], steps]
