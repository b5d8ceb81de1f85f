"""The compiled functions of a stack: the steps of an epoch in one loop on the device, and the outputs of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from training.backend import (
    added_up,
    compiled,
    has_gpu,
    keras_module,
    one_thread_per_operation,
    scanned,
    side_by_side,
    with_gradients,
)
from training.networks import Network, cross_entropy, probabilities
from training.optimizers import Optimizer, updated
from training.pools import Pool

#: Numbers that a replica computes in a step (`Network.activations`) from which on a processor takes one replica after
#: another: there is nothing to gain from larger arrays, and those of several do not fit into its cache. A GPU takes all
#: at once. Dense networks that learn from all leptons in one step are below it (an epoch is a single step, and turns
#: would cost more than the step does), particle flow networks are above.
LARGE_STEP = 1_000_000
#: Replicas that are under way at a time then: what one step does not divide among the cores leaves room for another's.
TURNS_AT_ONCE = 2
#: Events of a part of a batch where each core takes a part at a time: the activations of so many jets fit into a core's
#: cache, and 25 to 100 take equally long.
PART = 50


@lru_cache(maxsize=32)
def compiled_steps(
    network: Network, optimizer: Optimizer, gather: Callable[..., Any], capacity: int | None
) -> Callable[..., Any]:
    """state, constants, the pool's arrays, rows, labels, weights, dropout masks -> new state, summed losses (S, R).

    Rows, labels and weights are (S, R, B), every mask is (S, R, B, width). The S steps run in one call: nothing returns
    to Python between them, and the memory of a step serves for the next. A replica without a row does not change in a
    step. Without a capacity (`Pool.ragged`) R is 1.
    """

    def steps(
        state: Any, constants: Any, arrays: Any, rows: Any, label: Any, weight: Any, masks: Sequence[Any]
    ) -> tuple[Any, Any]:
        def step(state: Any, batch: Sequence[Any]) -> tuple[Any, Any]:
            return _step(network, optimizer, gather, capacity, state, constants, arrays, batch)

        return scanned(step, state, [rows, label, weight, *masks])

    return compiled(steps, any_shape=capacity is None)


@lru_cache(maxsize=32)
def compiled_outputs(network: Network, gather: Callable[..., Any], capacity: int | None) -> Callable[..., Any]:
    """weights, constants, the pool's arrays, rows (R, B) -> probabilities, see `networks.probabilities`."""

    def outputs(weights: Any, constants: Any, arrays: Any, rows: Any) -> Any:
        def of_part(rows: Any) -> Any:
            return probabilities(network.logits(own, constants, gather(arrays, rows, capacity), ()))

        own = weights if capacity is not None else [w[0] for w in weights]
        batch = rows.shape[1]
        parts = _parts(batch) if capacity is None else 1
        if parts == 1:
            return of_part(rows)
        found = side_by_side(of_part, _divided(rows, parts, arrays[-1].shape[0] - 1))
        return keras_module().ops.reshape(found, (1, -1, *found.shape[3:]))[:, :batch]

    return compiled(outputs, any_shape=capacity is None)


def steps_of(
    network: Network, optimizer: Optimizer, pool: Pool, capacity: int, *, batch: int, replicas: int
) -> Callable[..., Any]:
    """The function of `compiled_steps` for a stack whose batches have so many events, and fit into the capacity."""
    function = compiled_steps(network, optimizer, pool.gather, None if pool.ragged else capacity)
    return one_after_another(function) if replicas > 1 and _alone(network, pool, capacity, batch) else function


def outputs_of(network: Network, pool: Pool, capacity: int, *, batch: int, replicas: int) -> Callable[..., Any]:
    """The function of `compiled_outputs` for a stack whose batches have so many events, and fit into the capacity."""
    function = compiled_outputs(network, pool.gather, None if pool.ragged else capacity)
    return outputs_one_after_another(function) if replicas > 1 and _alone(network, pool, capacity, batch) else function


def _alone(network: Network, pool: Pool, capacity: int, batch: int) -> bool:
    return pool.ragged or in_turns(network, batch, pool.slots(capacity))


def in_turns(network: Network, batch: int, slots: int) -> bool:
    """Whether the replicas of a stack are better computed one after another, see LARGE_STEP."""
    return network.activations(batch, slots) >= LARGE_STEP and not has_gpu()


def one_after_another(steps: Callable[..., Any]) -> Callable[..., Any]:
    """`steps` (of `compiled_steps`) with the same arguments and results, called for each replica on its own.

    A replica's numbers are those that it has alone: nothing of another is in its sums.
    """

    def turns(
        state: Any, constants: Any, arrays: Any, rows: Any, label: Any, weight: Any, masks: Sequence[Any]
    ) -> tuple[Any, Any]:
        keras = keras_module()

        def turn(replica: int) -> tuple[Any, Any]:
            one = slice(replica, replica + 1)
            mine, fixed = keras.tree.map_structure(lambda array: array[one], [state, list(constants)])
            batch = [array[:, one] for array in (rows, label, weight)]
            result: tuple[Any, Any] = steps(mine, fixed, arrays, *batch, [mask[:, one] for mask in masks])
            return result

        found = [turn(0)]  # compiles
        with ThreadPoolExecutor(TURNS_AT_ONCE) as threads:
            found += threads.map(turn, range(1, rows.shape[1]))
        joined = keras.tree.map_structure(
            lambda *arrays: keras.ops.concatenate(arrays, axis=0), *(state for state, _ in found)
        )
        return joined, keras.ops.concatenate([losses for _, losses in found], axis=1)

    return turns


def outputs_one_after_another(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` (of `compiled_outputs`) with the same arguments and results, called for each replica on its own."""

    def turns(weights: Any, constants: Any, arrays: Any, rows: Any) -> Any:
        keras = keras_module()

        def turn(replica: int) -> Any:
            one = slice(replica, replica + 1)
            mine, fixed = keras.tree.map_structure(lambda array: array[one], [list(weights), list(constants)])
            return function(mine, fixed, arrays, rows[one])

        found = [turn(0)]  # compiles
        with ThreadPoolExecutor(TURNS_AT_ONCE) as threads:
            found += threads.map(turn, range(1, rows.shape[0]))
        return keras.ops.concatenate(found, axis=0)

    return turns


def forget_compiled() -> None:
    """Drop the compiled steps, which a process otherwise keeps for later stacks of the same network."""
    compiled_steps.cache_clear()
    compiled_outputs.cache_clear()


def _step(
    network: Network,
    optimizer: Optimizer,
    gather: Callable[..., Any],
    capacity: int | None,
    state: Any,
    constants: Any,
    arrays: Any,
    batch: Sequence[Any],
) -> tuple[Any, Any]:
    """State after one step, and the summed losses (R,) before it."""
    ops = keras_module().ops
    rows, label, weight, *masks = batch
    # The empty event is the last of the pool's index; weights may be zero for others too, these count in the mean.
    number = ops.sum(ops.cast(rows < arrays[-1].shape[0] - 1, "float32"), axis=1)
    parts = _parts(rows.shape[1]) if capacity is None else 1

    # A ragged batch is of one replica, whose weights go without that axis: the plain products are the fast ones.
    own = list(state[0]) if capacity is not None else [w[0] for w in state[0]]

    def of_part(rows: Any, label: Any, weight: Any, *masks: Any) -> tuple[Any, ...]:
        inputs = gather(arrays, rows, capacity)

        def loss(weights: list[Any]) -> tuple[Any, Any]:
            each = cross_entropy(network.logits(weights, constants, inputs, masks), label) * weight
            total = ops.sum(each, axis=1)
            mean = total / ops.maximum(number, 1.0)
            if optimizer.l2:
                penalty = sum(ops.sum(ops.square(kernel), axis=(-2, -1)) for kernel in weights[::2])
                mean = mean + optimizer.l2 / parts * penalty
            # The replicas do not share a weight: the gradient of the sum is that of each.
            return ops.sum(mean), total

        total, gradients = with_gradients(loss, own)
        return total, *gradients

    whole = (rows, label, weight, *masks)
    if parts == 1:
        total, *gradients = of_part(*whole)
    else:
        nothing = tuple(ops.zeros(shape) for shape in ((1,), *network.shapes))
        empty = (arrays[-1].shape[0] - 1, *(0 for _ in whole[1:]))
        divided = [_divided(array, parts, fill) for array, fill in zip(whole, empty, strict=True)]
        total, *gradients = added_up(of_part, nothing, divided)
    if capacity is None:
        gradients = [gradient[None] for gradient in gradients]
    return updated(optimizer, state, gradients, number > 0), total


def _parts(batch: int) -> int:
    """Into how many parts a batch without a capacity is divided."""
    return -(-batch // PART) if one_thread_per_operation() else 1


def _divided(array: Any, parts: int, fill: int) -> Any:
    """(parts, R, n, ...) from (R, B, ...), filled up to parts x n."""
    ops = keras_module().ops
    replicas, batch, *rest = array.shape
    size = -(-batch // parts)
    missing = ((0, 0), (0, parts * size - batch), *((0, 0) for _ in rest))
    whole = ops.pad(array, missing, constant_values=fill) if parts * size > batch else array
    return ops.moveaxis(ops.reshape(whole, (replicas, parts, size, *rest)), 1, 0)
