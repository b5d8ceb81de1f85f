"""The compiled functions of a stack: the steps of an epoch in one loop on the device, and the outputs of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from training.backend import compiled, has_gpu, keras_module, scanned, with_gradients
from training.networks import Network, cross_entropy, probabilities
from training.optimizers import Optimizer, updated

#: Numbers that a replica computes in a step (`Network.activations`) from which on a processor takes one replica after
#: another: there is nothing to gain from larger arrays, and those of several do not fit into its cache. A GPU takes all
#: at once. Dense networks that learn from all leptons in one step are below it (an epoch is a single step, and turns
#: would cost more than the step does), particle flow networks are above.
LARGE_STEP = 1_000_000
#: Replicas that are under way at a time then: what one step does not divide among the cores leaves room for another's.
TURNS_AT_ONCE = 2


@lru_cache(maxsize=32)
def compiled_steps(
    network: Network, optimizer: Optimizer, gather: Callable[..., Any], capacity: int
) -> Callable[..., Any]:
    """state, constants, the pool's arrays, rows, labels, weights, dropout masks -> new state, summed losses (S, R).

    Rows, labels and weights are (S, R, B), every mask is (S, R, B, width). The S steps run in one call: nothing returns
    to Python between them, and the memory of a step serves for the next. A replica without a row does not change in a
    step.
    """

    def steps(
        state: Any, constants: Any, arrays: Any, rows: Any, label: Any, weight: Any, masks: Sequence[Any]
    ) -> tuple[Any, Any]:
        def step(state: Any, batch: Sequence[Any]) -> tuple[Any, Any]:
            return _step(network, optimizer, gather, capacity, state, constants, arrays, batch)

        return scanned(step, state, [rows, label, weight, *masks])

    return compiled(steps)


@lru_cache(maxsize=32)
def compiled_outputs(network: Network, gather: Callable[..., Any], capacity: int) -> Callable[..., Any]:
    """weights, constants, the pool's arrays, rows (R, B) -> probabilities, see `networks.probabilities`."""

    def outputs(weights: Any, constants: Any, arrays: Any, rows: Any) -> Any:
        return probabilities(network.logits(weights, constants, gather(arrays, rows, capacity), ()))

    return compiled(outputs)


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
    capacity: int,
    state: Any,
    constants: Any,
    arrays: Any,
    batch: Sequence[Any],
) -> tuple[Any, Any]:
    """State after one step, and the summed losses (R,) before it."""
    ops = keras_module().ops
    rows, label, weight, *masks = batch
    inputs = gather(arrays, rows, capacity)
    # The empty event is the last of the pool's index; weights may be zero for others too, these count in the mean.
    number = ops.sum(ops.cast(rows < arrays[-1].shape[0] - 1, "float32"), axis=1)

    def loss(weights: list[Any]) -> tuple[Any, Any]:
        each = cross_entropy(network.logits(weights, constants, inputs, masks), label) * weight
        total = ops.sum(each, axis=1)
        mean = total / ops.maximum(number, 1.0)
        if optimizer.l2:
            mean = mean + optimizer.l2 * sum(ops.sum(ops.square(w), axis=(1, 2)) for w in weights if w.ndim == 3)
        # The replicas do not share a weight: the gradient of the sum is that of each.
        return ops.sum(mean), total

    total, gradients = with_gradients(loss, list(state[0]))
    return updated(optimizer, state, gradients, number > 0), total
