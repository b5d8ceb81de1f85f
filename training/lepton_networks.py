"""Small tanh networks of many shapes as one stack: narrower ones are padded with weights that stay zero.

A node whose weights into and out of it are zero gives tanh(0) = 0 and gets no gradient: not into it, because nothing
leaves it, and not out of it, because it is zero. So a padded network learns as it would alone, and all shapes take one
compiled step. The same holds for features that are zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.backend import available_cores, has_gpu
from training.lepton_settings import Steps
from training.networks import DenseNetwork, initial_weights
from training.optimizers import Optimizer
from training.pools import FeaturePool
from training.stack_size import free_memory, replicas_per_stack, replicas_that_fit, worker_limit
from training.stacked import Member, Part, Schedule, Stack, loss_and_accuracy, train_stack

Doubles = NDArray[np.float64]
OUTPUTS = 2
#: Memory of a feature of a lepton [bytes]: in double precision padded and joined with other tables, in single precision
#: joined, padded and on the device.
TABLE_BYTES = 28
#: Memory of a lepton that a network learns from or is tested with [bytes]: its row, label and weight twice, the two
#: probabilities in single precision and twice in double.
ROW_BYTES = 80


@dataclass(frozen=True)
class Task:
    """One network: scaled features (N, F), labels (N,), rows to learn from, test and choose with, hidden layers."""

    features: Doubles
    label: NDArray[np.int64]
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    hidden: tuple[int, ...]
    seed: np.random.SeedSequence
    validation: NDArray[np.int64] | None = None


@dataclass
class Trained:
    """What a training gave: the probability of a muon for its test and validation leptons, and its history.

    `history` has lists of `epoch`, `loss` (training, after the epoch), `train_accuracy`, `test_accuracy`, `test_loss`;
    `weights` the kernels and biases at each epoch of the history, flat; `layers` are those of the end, without what
    the network was padded with, and `largest_weight` is the largest of them.
    """

    scores: Doubles
    validation_scores: Doubles = field(default_factory=lambda: np.empty(0))
    history: dict[str, list[float]] = field(default_factory=dict)
    weights: list[list[float]] = field(default_factory=list)
    layers: list[NDArray[np.float32]] = field(default_factory=list)

    @property
    def largest_weight(self) -> float:
        """In absolute value."""
        return max(float(np.abs(layer).max()) for layer in self.layers)


def network_of(features: int, hidden: Sequence[int]) -> DenseNetwork:
    """Features -> hidden layers -> 2, tanh, softmax; Glorot's initial weights."""
    return DenseNetwork(features, tuple(hidden), OUTPUTS, "tanh")


def train(
    tasks: Sequence[Task], recipe: Steps, *, keep_weights: bool = False, threads: int | None = None
) -> list[Trained]:
    """Train all networks with the recipe, each with its own hidden layers: one stack, or one for each of `threads`.

    A step of such small networks keeps one core busy, so without a GPU each core has a stack (None). Where memory does
    not suffice for all networks, stacks train in turns. What a network learns does not depend on either, but for the
    rounding of sums.

    Raises:
        ValueError: if the networks have different numbers of hidden layers, or not even one fits into the memory.
    """
    if len({len(task.hidden) for task in tasks}) > 1:
        raise ValueError("Networks of one stack have the same number of hidden layers.")
    width = max(task.features.shape[1] for task in tasks)
    hidden = tuple(max(nodes) for nodes in zip(*(task.hidden for task in tasks), strict=True))
    network = network_of(width, hidden)
    number = min(threads or (1 if has_gpu() else available_cores()), len(tasks))
    # Of the process: the threads of the executor are no workers of Dask.
    parts, at_once = _divided(tasks, network, number, free_memory(worker_limit()))

    def train_part(part: Sequence[Task]) -> list[Trained]:
        turns = (part[start : start + at_once] for start in range(0, len(part), at_once))
        return [one for turn in turns for one in _train_stack(turn, network, recipe, keep_weights=keep_weights)]

    with ThreadPoolExecutor(len(parts)) as executor:
        return [one for part in executor.map(train_part, parts) for one in part]


def _divided(tasks: Sequence[Task], network: DenseNetwork, threads: int, free: int) -> tuple[list[Sequence[Task]], int]:
    """Parts that train at the same time, at most `threads`, and how many networks of a part fit into one stack.

    As few turns as there are with a stack on every thread; where that leaves too little memory for one network, there
    are fewer threads.

    Raises:
        ValueError: if not even one network fits into the memory that is `free` [bytes].
    """
    for number in range(threads, 0, -1):
        parts = [tasks[len(tasks) * part // number : len(tasks) * (part + 1) // number] for part in range(number)]
        longest = max(len(part) for part in parts)
        for turns in range(1, longest + 1):
            at_once = math.ceil(longest / turns)
            stacks = [part[start : start + at_once] for part in parts for start in range(0, len(part), at_once)]
            if all(_fits(stack, network, free // number) for stack in stacks):
                return parts, at_once
    largest = max(tasks, key=lambda task: _bytes_beside([task], network) + len(task.train))
    batch = len(largest.train)
    advice = "let training.leptons or training.study_leptons be fewer"
    replicas_per_stack(network, batch, batch, free=free, pool=_bytes_beside([largest], network), advice=advice)
    raise AssertionError("a network that fits was not found")  # pragma: no cover


def _fits(stack: Sequence[Task], network: DenseNetwork, free: int) -> bool:
    batch = max(len(task.train) for task in stack)
    return replicas_that_fit(network, batch, batch, free=free, pool=_bytes_beside(stack, network)) >= len(stack)


def _bytes_beside(stack: Sequence[Task], network: DenseNetwork) -> int:
    """Memory of a stack beside its networks: tables of features, and for each network its rows and its answers."""
    tables = {id(task.features): len(task.features) for task in stack}
    rows = sum(len(task.train) + len(task.test) for task in stack)
    return TABLE_BYTES * network.features * sum(tables.values()) + ROW_BYTES * rows


def _train_stack(tasks: Sequence[Task], network: DenseNetwork, recipe: Steps, *, keep_weights: bool) -> list[Trained]:
    pool, starts = _pool(tasks, network.features)
    members = [_member(task, network, start) for task, start in zip(tasks, starts, strict=True)]
    found = [Trained(np.empty(0)) for _ in tasks]

    def record(epoch: int, stack: Stack) -> None:
        outputs = stack.predict(pool, [member.train.rows for member in members])
        weights = stack.weights() if keep_weights else []
        for number, (one, task, member) in enumerate(zip(found, tasks, members, strict=True)):
            loss, accuracy = loss_and_accuracy(outputs[number], member.train)
            curves = stack.curves[number]
            now = {
                "epoch": epoch, "loss": loss, "train_accuracy": accuracy,
                "test_accuracy": curves["validation_accuracy"][-1], "test_loss": curves["validation_loss"][-1],
            }  # fmt: skip
            for name, value in now.items():
                one.history.setdefault(name, []).append(value)
            if keep_weights:
                layers = [layer.ravel() for layer in _unpadded(weights[number], task)]
                one.weights.append([float(value) for value in np.concatenate(layers)])

    optimizer = Optimizer(recipe.optimizer, recipe.learning_rate)
    schedule = Schedule(epochs=recipe.epochs, evaluate_every=recipe.evaluate_every)
    stack = train_stack(pool, members, network, optimizer, schedule, on_evaluation=record)
    rows = [task.test + start for task, start in zip(tasks, starts, strict=True)]
    for one, task, outputs, weights in zip(found, tasks, stack.predict(pool, rows), stack.weights(), strict=True):
        one.scores = outputs[:, 1]
        one.layers = _unpadded(weights, task)
    nothing = np.empty(0, np.int64)
    rows = [
        (nothing if (own := task.validation) is None else own) + start
        for task, start in zip(tasks, starts, strict=True)
    ]
    for one, outputs in zip(found, stack.predict(pool, rows), strict=True):
        one.validation_scores = outputs[:, 1]
    return found


def _pool(tasks: Sequence[Task], width: int) -> tuple[FeaturePool, list[int]]:
    """The features of all tasks, each table once, with zeros where one is narrower; and where each task's begins."""
    tables: dict[int, int] = {}
    parts: list[Any] = []
    length = 0
    for task in tasks:
        if id(task.features) not in tables:
            tables[id(task.features)] = length
            parts.append(np.pad(task.features, ((0, 0), (0, width - task.features.shape[1]))))
            length += len(task.features)
    return FeaturePool(np.concatenate(parts)), [tables[id(task.features)] for task in tasks]


def _member(task: Task, network: DenseNetwork, start: int) -> Member:
    constants = (np.zeros(network.features), np.ones(network.features))
    own = network_of(task.features.shape[1], task.hidden)
    train, test = (Part(rows + start, task.label[rows]) for rows in (task.train, task.test))
    bare = Member(task.seed, train, test, constants)
    padded = tuple(
        np.pad(values, [(0, wanted - there) for wanted, there in zip(shape, values.shape, strict=True)])
        for values, shape in zip(initial_weights(own, bare.generator("weights")), network.shapes, strict=True)
    )
    return Member(task.seed, train, test, constants, padded)


def _unpadded(weights: Sequence[NDArray[np.float32]], task: Task) -> list[NDArray[np.float32]]:
    """The kernels and biases of a network without what it was padded with."""
    own = network_of(task.features.shape[1], task.hidden).shapes
    return [layer[tuple(slice(n) for n in shape)] for layer, shape in zip(weights, own, strict=True)]
