"""Any number of equal networks trained at once: weights with a leading replica axis, one compiled epoch for all.

Each replica has its own sample, order, initial weights and optimiser state, all from its own seed, so its result does
not depend on the stack it is in, but for the rounding of sums. The pool of all events lies on the device; a batch is
the numbers of its events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.backend import keras_module
from training.networks import Arrays, Network, initial_weights
from training.optimizers import Optimizer, start
from training.pools import Pool
from training.stacked_steps import outputs_of, steps_of

#: Rows of the pool in one evaluation of a replica.
EVALUATION_BATCH = 1000
#: Dropout masks that are sent to the device at once [bytes]; without dropout an epoch is one call.
MASK_BYTES = 64_000_000


@dataclass(frozen=True)
class Part:
    """Rows of the pool (n,), their classes (n,) and weights (n,), 1 where none are given."""

    rows: NDArray[np.integer]
    label: NDArray[np.integer]
    weight: NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        """Checks the lengths."""
        if len(self.rows) != len(self.label) or (self.weight is not None and len(self.weight) != len(self.rows)):
            raise ValueError("Rows, labels and weights of a sample differ in their number.")

    @property
    def weights(self) -> NDArray[np.float64]:
        """(n,) weights."""
        return np.ones(len(self.rows)) if self.weight is None else np.asarray(self.weight, np.float64)


@dataclass(frozen=True)
class Member:
    """One replica: its seed, what it learns from, what decides about its best epoch, constants of its network.

    `initial` are the weights it begins with; from its seed if None.
    """

    seed: np.random.SeedSequence
    train: Part
    validation: Part | None = None
    constants: tuple[NDArray[np.floating], ...] = ()
    initial: tuple[NDArray[np.float32], ...] | None = None

    def generator(self, purpose: Literal["weights", "order", "dropout"]) -> np.random.Generator:
        """A fresh generator, the same for every call."""
        number = ("weights", "order", "dropout").index(purpose)
        key = (*self.seed.spawn_key, number)
        return np.random.default_rng(np.random.SeedSequence(self.seed.entropy, spawn_key=key))


@dataclass(frozen=True)
class Schedule:
    """Batches and epochs; with neither `batch_size` nor `steps` the whole sample is one step, in its own order.

    `steps` divides every replica's sample, whatever its size, into so many batches per epoch; `batch_size` makes
    batches of one size, and who has none left waits for the others.
    With `evaluate_every` N, loss and accuracy of the validation sample are computed after every Nth epoch and the
    last. `patience`: a replica whose validation loss did not improve for so many epochs learns no more, and each ends
    with the weights of its smallest one.
    """

    epochs: int = 10
    batch_size: int | None = None
    steps: int | None = None
    evaluate_every: int | None = None
    patience: int | None = None


class Stack:
    """R replicas of a network: weights, optimiser state and curves."""

    def __init__(self, network: Network, members: Sequence[Member], optimizer: Optimizer) -> None:
        if not members:
            raise ValueError("A stack needs at least one network.")
        self.network, self.optimizer = network, optimizer
        self.members = tuple(members)
        ops = keras_module().ops
        initial = [
            initial_weights(network, member.generator("weights")) if member.initial is None else member.initial
            for member in members
        ]
        weights = [ops.convert_to_tensor(np.stack(layer)) for layer in zip(*initial, strict=True)]
        self.state: list[Any] = start(optimizer, weights)
        constants = zip(*(member.constants for member in members), strict=True)
        self.constants = [ops.convert_to_tensor(np.stack(one).astype(np.float32)) for one in constants]
        self.curves: list[dict[str, list[float]]] = [{} for _ in members]
        self.best_epoch = np.zeros(len(members), int)
        self.smallest = np.full(len(members), np.inf)
        self.best: list[Arrays | None] = [None] * len(members)
        self.active = np.ones(len(members), bool)

    def __len__(self) -> int:
        return len(self.members)

    def weights(self) -> list[Arrays]:
        """Of every replica, as they are now: kernels and biases in turn."""
        layers = [np.asarray(keras_module().ops.convert_to_numpy(layer)) for layer in self.state[0]]
        return [[layer[replica].copy() for layer in layers] for replica in range(len(self))]

    def best_weights(self) -> list[Arrays]:
        """Of every replica, at its smallest validation loss, or as they are now where nothing was evaluated."""
        return [now if best is None else best for best, now in zip(self.best, self.weights(), strict=True)]

    def predict(self, pool: Pool, rows: Sequence[NDArray[np.integer]]) -> list[NDArray[np.float64]]:
        """Outputs of every replica, as it is now, for its own rows; see `predict_stack`."""
        return _evaluate(self.network, self.state[0], self.constants, pool, rows)

    def record(self, replica: int, **values: float) -> None:
        """Add one value to curves of a replica."""
        for name, value in values.items():
            self.curves[replica].setdefault(name, []).append(value)


def train_stack(
    pool: Pool,
    members: Sequence[Member],
    network: Network,
    optimizer: Optimizer,
    schedule: Schedule,
    *,
    on_evaluation: Callable[[int, Stack], None] | None = None,
) -> Stack:
    """Train one network per member, all in one compiled loop over the steps of an epoch.

    `on_evaluation(epoch, stack)` is called after every epoch that the schedule evaluates, with the number of epochs
    done. Members may have samples of different sizes.

    Raises:
        ValueError: if a member has no events to learn from or some that are not in the pool, or if a replica's loss,
            with early stopping that of its validation sample, was not finite after any epoch.
    """
    if any(not len(member.train.rows) for member in members):
        raise ValueError("A network has no events to learn from.")
    if schedule.patience is not None and any(member.validation is None for member in members):
        raise ValueError("Early stopping needs a validation sample for every network.")
    for member in members:
        _check_rows(pool, member.train.rows)
    stack = Stack(network, members, optimizer)
    validated = on_evaluation is not None or any(member.validation is not None for member in members)
    batches = _Batches(pool, stack.members, schedule, network)
    unread: list[list[Any]] = []
    for epoch in range(schedule.epochs):
        losses = []
        for number, batch in enumerate(batches.epoch(stack.active)):
            steps = steps_of(network, optimizer, pool, batches.capacity, batch=max(batches.sizes), replicas=len(stack))
            masks = batches.dropout_masks(network, number, stack.active)
            stack.state, loss = steps(stack.state, stack.constants, pool.arrays, *batch, masks)
            losses.append(loss)
        # A loss is waited for while the next epoch is already under way, so that a GPU does not wait for its batches.
        unread.append(losses)
        if len(unread) > 1:
            _record_losses(stack, unread.pop(0))
        every = schedule.evaluate_every or (1 if schedule.patience is not None else 0)
        if every and validated and ((epoch + 1) % every == 0 or epoch + 1 == schedule.epochs):
            _record_losses(stack, unread.pop())
            _validate(stack, pool, epoch + 1)
            if on_evaluation is not None:
                on_evaluation(epoch + 1, stack)
            if schedule.patience is not None:
                stack.active &= epoch + 1 - stack.best_epoch < schedule.patience
        if not stack.active.any():
            break
    for losses in unread:
        _record_losses(stack, losses)
    for curves, smallest in zip(stack.curves, stack.smallest, strict=True):
        if not np.isfinite(curves["loss"] if schedule.patience is None else smallest).any():
            raise ValueError("The network's loss is not finite after any epoch: lower its learning_rate.")
    return stack


def predict_stack(
    network: Network,
    weights: Sequence[Arrays],
    constants: Sequence[Sequence[NDArray[np.floating]]],
    pool: Pool,
    rows: Sequence[NDArray[np.integer]],
) -> list[NDArray[np.float64]]:
    """For every replica the outputs for its own rows: probabilities (n,) of class 1, or (n, classes).

    The batches have one size whatever the number of rows, so what comes out for a row does not depend on how many
    others come with it, but for the rounding of sums.
    """
    convert = keras_module().ops.convert_to_tensor
    layers = [convert(np.stack(layer)) for layer in zip(*weights, strict=True)]
    fixed = [convert(np.stack(one).astype(np.float32)) for one in zip(*constants, strict=True)]
    return _evaluate(network, layers, fixed, pool, rows)


class _Batches:
    """The order of every epoch, as rows of the pool, labels and weights (S, R, B) of the S steps of a call."""

    def __init__(self, pool: Pool, members: Sequence[Member], schedule: Schedule, network: Network) -> None:
        self.pool, self.members = pool, members
        self.generators = [member.generator("order") for member in members]
        self.dropout = [member.generator("dropout") for member in members]
        events = [len(member.train.rows) for member in members]
        self.shuffled = schedule.steps is not None or schedule.batch_size is not None
        if schedule.steps is not None:
            self.sizes = [-(-n // schedule.steps) for n in events]
        else:
            self.sizes = [min(schedule.batch_size or n, n) for n in events]
        self.own_steps = [-(-n // size) for n, size in zip(events, self.sizes, strict=True)]
        most = max(self.own_steps)
        masks = 4 * len(members) * max(self.sizes) * sum(network.dropout[1])
        self.calls = -(-most * masks // MASK_BYTES) if masks else 1
        self.calls = min(max(self.calls, 1), most)
        #: Of a call; all are of one length, and the last steps of the last call may be empty.
        self.steps = -(-most // self.calls)
        # Known before the first batch, so that no later one that is larger has everything compiled again.
        drawn = most * schedule.epochs * len(members)
        usual = [pool.usual_capacity(its.train.rows, n, drawn) for its, n in zip(members, self.sizes, strict=True)]
        self.capacity = max(usual) if self.shuffled else 0
        self._kept: tuple[NDArray[np.bool_], list[tuple[Any, Any, Any]]] | None = None

    def epoch(self, active: NDArray[np.bool_]) -> list[tuple[Any, Any, Any]]:
        """Batches of one epoch, by calls; those of replicas that are not active are empty."""
        if self._kept is not None and np.array_equal(self._kept[0], active):
            return self._kept[1]
        shape = (self.calls * self.steps, len(self.members), max(self.sizes))
        rows = np.full(shape, len(self.pool), np.int32)
        label, weight = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        for replica, (member, generator) in enumerate(zip(self.members, self.generators, strict=True)):
            part = member.train
            order = generator.permutation(len(part.rows)) if self.shuffled else np.arange(len(part.rows))
            if active[replica]:
                step, position = np.divmod(np.arange(len(order)), self.sizes[replica])
                place = (step, replica, position)
                rows[place], label[place], weight[place] = part.rows[order], part.label[order], part.weights[order]
        self.capacity = max(self.capacity, self.pool.capacity(rows))
        convert = keras_module().ops.convert_to_tensor
        parts = [[convert(its.copy()) for its in np.split(array, self.calls)] for array in (rows, label, weight)]
        batches: list[tuple[Any, Any, Any]] = list(zip(*parts, strict=True))
        if not self.shuffled:
            self._kept = (active.copy(), batches)
        return batches

    def dropout_masks(self, network: Network, call: int, active: NDArray[np.bool_]) -> list[Any]:
        """(S, R, B, width) of zeros and 1 / (1 - rate), from numpy: a replica drops the same units in every stack."""
        rate, widths = network.dropout
        shape = (self.steps, len(self.members), max(self.sizes))
        masks = [np.zeros((*shape, width), np.float32) for width in widths]
        for step in range(self.steps if masks else 0):
            learning = active & (call * self.steps + step < np.array(self.own_steps))
            for mask in masks:
                for replica in np.flatnonzero(learning):
                    size = self.sizes[replica]
                    kept = self.dropout[replica].random((size, mask.shape[-1])) >= rate
                    mask[step, replica, :size] = kept / (1 - rate)
        return [keras_module().ops.convert_to_tensor(mask) for mask in masks]


def _check_rows(pool: Pool, rows: NDArray[np.integer]) -> None:
    """XLA takes the nearest row for one that does not exist, and says nothing."""
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(pool):
        raise ValueError(f"The pool has the rows 0 to {len(pool) - 1}, not {rows.min()} to {rows.max()}.")


def _evaluate(
    network: Network, weights: Any, constants: Any, pool: Pool, rows: Sequence[NDArray[np.integer]]
) -> list[NDArray[np.float64]]:
    ops = keras_module().ops
    longest = max((len(its) for its in rows), default=0)
    batch = EVALUATION_BATCH
    table = np.full((len(rows), -(-longest // batch) * batch), len(pool), np.int32)
    for replica, its in enumerate(rows):
        _check_rows(pool, its)
        table[replica, : len(its)] = its
    parts = table.reshape(len(rows), -1, batch)
    function = outputs_of(network, pool, pool.capacity(parts), batch=batch, replicas=len(rows))
    found = [
        function(weights, constants, pool.arrays, ops.convert_to_tensor(parts[:, i].copy()))
        for i in range(parts.shape[1])
    ]
    outputs = network.shapes[-1][0]
    if not found:
        return [np.empty((0,) if outputs == 1 else (0, outputs)) for _ in rows]
    # Only now is waited for the device, which meanwhile has all batches.
    arrays = [np.asarray(ops.convert_to_numpy(one), np.float64) for one in found]
    joined = np.concatenate(arrays, axis=1)
    return [joined[replica, : len(its)] for replica, its in enumerate(rows)]


def _record_losses(stack: Stack, losses: Sequence[Any]) -> None:
    """Mean training loss of the epoch of every active replica, while it learned."""
    convert = keras_module().ops.convert_to_numpy
    total = np.concatenate([convert(loss) for loss in losses]).astype(np.float64).sum(axis=0)
    for replica in np.flatnonzero(stack.active):
        weight = stack.members[replica].train.weights.sum()
        stack.record(int(replica), loss=float(total[replica] / weight))


def _validate(stack: Stack, pool: Pool, epoch: int) -> None:
    """Loss and accuracy of every replica's validation sample; keeps the weights where the loss is the smallest."""
    parts = [member.validation for member in stack.members]
    nothing = Part(np.empty(0, np.int64), np.empty(0, np.int64))
    found = stack.predict(
        pool, [(part if active and part else nothing).rows for part, active in zip(parts, stack.active, strict=True)]
    )
    improved = []
    for replica, (part, outputs) in enumerate(zip(parts, found, strict=True)):
        if part is None or not stack.active[replica]:
            continue
        loss, accuracy = loss_and_accuracy(outputs, part)
        stack.record(replica, validation_loss=loss, validation_accuracy=accuracy, evaluated_epoch=epoch)
        if loss < stack.smallest[replica]:
            stack.smallest[replica], stack.best_epoch[replica] = loss, epoch
            improved.append(replica)
    if improved:
        now = stack.weights()
        for replica in improved:
            stack.best[replica] = now[replica]


def loss_and_accuracy(outputs: NDArray[np.float64], part: Part) -> tuple[float, float]:
    """Weighted mean cross-entropy and accuracy of probabilities (n,) of class 1 or (n, classes)."""
    classes = outputs if outputs.ndim == 2 else np.column_stack([1 - outputs, outputs])
    # Probabilities come in single precision: 1 - p below its spacing is zero.
    right = np.clip(classes[np.arange(len(classes)), part.label], 1e-7, None)
    weights = part.weights
    accuracy = np.sum(weights * (classes.argmax(axis=1) == part.label)) / weights.sum()
    return float(np.sum(-weights * np.log(right)) / weights.sum()), float(accuracy)
