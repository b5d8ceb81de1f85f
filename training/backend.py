"""What differs between the backends of Keras: how a function is compiled, repeated on the device, differentiated.

Everything else of the networks is written with `keras.ops` and runs on TensorFlow (the default) and JAX alike.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

DEFAULT = "tensorflow"


def chosen_backend() -> str:
    """The backend that networks are trained with from here on; loads nothing."""
    return os.environ.get("KERAS_BACKEND") or DEFAULT


def keras_module() -> Any:
    """The keras package, on the TensorFlow backend unless KERAS_BACKEND names another."""
    os.environ["KERAS_BACKEND"] = chosen_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" not in sys.modules:
        # Loaded after TensorFlow, XRootD's library ends the process (SIGSEGV); before it, all is well.
        with suppress(ImportError):
            importlib.import_module("XRootD.client")
    import keras

    return keras


def backend_name() -> str:
    """`tensorflow` or `jax`.

    Raises:
        ValueError: for any other backend.
    """
    name = str(keras_module().backend.backend())
    if name not in ("tensorflow", "jax"):
        raise ValueError(f"KERAS_BACKEND={name}: networks are trained with tensorflow or jax.")
    return name


def takes_any_shape() -> bool:
    """Whether arrays whose size differs from batch to batch are better left as they are: TensorFlow on a processor.

    Its own kernels take any shape, and its products are oneDNN's, with bias and activation in them. XLA compiles every
    shape, for seconds, so that all batches are filled up to one, and its products are the slower ones.
    """
    return backend_name() == "tensorflow" and not has_gpu()


def take_one_thread_per_operation() -> None:
    """Have TensorFlow use one core for an operation, and more of them for several at a time.

    Nothing changes where it has already begun to compute in this process.
    """
    import tensorflow as tf

    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)


def one_thread_per_operation() -> bool:
    """Whether TensorFlow uses one core for an operation, see `take_one_thread_per_operation`."""
    import tensorflow as tf

    return bool(tf.config.threading.get_intra_op_parallelism_threads() == 1)


def compiled(function: Callable[..., Any], *, any_shape: bool = False) -> Callable[..., Any]:
    """`function` of nested lists of arrays, compiled by XLA, once for every set of shapes.

    With `any_shape` it is made a graph of TensorFlow's own kernels, see `takes_any_shape`.
    """
    if any_shape and not takes_any_shape():
        raise ValueError("Only TensorFlow on a processor computes with arrays of any shape.")
    if backend_name() == "jax":
        import jax

        jitted: Callable[..., Any] = jax.jit(function)
        return jitted
    import tensorflow as tf

    traced: Callable[..., Any] = tf.function(
        function, jit_compile=not any_shape, autograph=False, reduce_retracing=False
    )
    return traced


def scanned(
    function: Callable[[Any, Sequence[Any]], tuple[Any, Any]], state: Any, batches: Sequence[Any]
) -> tuple[Any, Any]:
    """The last state and all results (S, ...) of `state, result = function(state, batch)`; traced, one loop.

    The state is nested lists of arrays, the batches are the S entries of arrays' first axis, a result is one array (R,)
    of single precision, R being the second axis of the batches.
    """
    if backend_name() == "jax":
        import jax

        scan: tuple[Any, Any] = jax.lax.scan(function, state, list(batches))
        return scan
    import tensorflow as tf

    # `keras.ops.scan` takes all parts of the state to have one shape on this backend. Results are written into a plain
    # array: with a TensorArray TensorFlow translates the whole body for XLA a second time.
    steps, replicas = (int(length) for length in batches[0].shape[:2])

    def once(step: Any, flat: Any, results: Any) -> tuple[Any, Any, Any]:
        new, result = function(tf.nest.pack_sequence_as(state, flat), [array[step] for array in batches])
        return step + 1, tf.nest.flatten(new), tf.tensor_scatter_nd_update(results, [[step]], result[None])

    start = (tf.constant(0), tf.nest.flatten(state), tf.zeros((steps, replicas)))
    _, flat, results = tf.while_loop(
        lambda step, *_: step < steps, once, start, maximum_iterations=steps, parallel_iterations=1
    )
    return tf.nest.pack_sequence_as(state, flat), results


def added_up(function: Callable[..., tuple[Any, ...]], start: tuple[Any, ...], parts: Sequence[Any]) -> tuple[Any, ...]:
    """`start` and the arrays `function(*entries)` for all entries of the parts' first axis; traced, on TensorFlow.

    As many entries as there are cores are under way at a time; they are added in their order.
    """
    import tensorflow as tf

    length = int(parts[0].shape[0])

    def once(number: Any, *sums: Any) -> tuple[Any, ...]:
        new = function(*(array[number] for array in parts))
        return number + 1, *(before + one for before, one in zip(sums, new, strict=True))

    _, *sums = tf.while_loop(
        lambda number, *_: number < length, once, (tf.constant(0), *start),
        maximum_iterations=length, parallel_iterations=available_cores(),
    )  # fmt: skip
    return tuple(sums)


def side_by_side(function: Callable[[Any], Any], parts: Any) -> Any:
    """(P, ...) single precision of `function` for each of the P entries of the first axis; traced, on TensorFlow.

    As many entries as there are cores are under way at a time.
    """
    import tensorflow as tf

    return tf.map_fn(function, parts, parallel_iterations=available_cores(), fn_output_signature=tf.float32)


def with_gradients(function: Callable[[list[Any]], tuple[Any, Any]], weights: list[Any]) -> tuple[Any, list[Any]]:
    """(auxiliary, gradients): `function(weights)` gives a number, which is differentiated, and an auxiliary value."""
    if backend_name() == "jax":
        import jax

        (_, auxiliary), gradients = jax.value_and_grad(function, has_aux=True)(weights)
        return auxiliary, gradients
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(weights)
        number, auxiliary = function(weights)
    return auxiliary, tape.gradient(number, weights)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_gpu() -> bool:
    """Whether this process computes on a GPU."""
    if backend_name() == "jax":
        import jax

        return any(device.platform == "gpu" for device in jax.devices())
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
