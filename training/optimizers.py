"""Optimisers of stacked networks: every replica has its own state and its own number of steps."""

from __future__ import annotations

import itertools
import math
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


def start(optimizer: Optimizer, weights: Sequence[Any]) -> list[Any]:
    """State of the replicas before the first step: weights, moments of all of them (R, P), numbers of steps (R,)."""
    ops = keras_module().ops
    replicas = weights[0].shape[0]
    size = sum(math.prod(w.shape[1:]) for w in weights)
    moments = [ops.zeros((replicas, size), "float32") for _ in range(2)] if optimizer.kind == "adam" else []
    return [list(weights), moments, ops.zeros((replicas,), "float32")]


def updated(optimizer: Optimizer, state: Any, gradients: Sequence[Any], active: Any) -> list[Any]:
    """State after one step of the active replicas; each has its own number of steps."""
    ops = keras_module().ops
    weights, moments, steps = state
    replicas = weights[0].shape[0]
    # One array for all weights: an operation for each of them takes longer to compile, and to start on a GPU.
    gradient = ops.concatenate([ops.reshape(g, (replicas, -1)) for g in gradients], axis=1)
    learning = active[:, None]
    if optimizer.kind == "sgd":
        change = optimizer.learning_rate * gradient
    else:
        steps = steps + ops.cast(active, steps.dtype)
        beta_1, beta_2 = optimizer.beta_1, optimizer.beta_2
        done = ops.maximum(steps, 1.0)
        rate = optimizer.learning_rate * ops.sqrt(1 - ops.power(beta_2, done)) / (1 - ops.power(beta_1, done))
        m, v = moments
        m = ops.where(learning, m + (1 - beta_1) * (gradient - m), m)
        v = ops.where(learning, v + (1 - beta_2) * (ops.square(gradient) - v), v)
        moments = [m, v]
        change = rate[:, None] * m / (ops.sqrt(v) + optimizer.epsilon)
    change = ops.where(learning, change, ops.zeros_like(change))
    ends = list(itertools.accumulate(math.prod(w.shape[1:]) for w in weights))
    parts = ops.split(change, ends[:-1], axis=1)
    new = [w - ops.reshape(part, w.shape) for w, part in zip(weights, parts, strict=True)]
    return [new, moments, steps]
