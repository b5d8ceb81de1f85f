"""How many networks fit into one stack, from the memory that the device has left."""

from __future__ import annotations

import math
import os
import subprocess
import sys

from training.backend import backend_name, has_gpu
from training.networks import Network
from training.stacked import EVALUATION_BATCH

#: A step keeps every activation for the gradient, and holds gradients and transposed copies of some at a time: XLA on
#: a CPU sets aside 2.5 times the activations, which `tests/training/test_backends.py` watches.
ACTIVATION_COPIES = 3
#: Weights, their gradient, two moments of Adam, and the new weights and moments.
WEIGHT_COPIES = 7
#: Share of the free memory that a stack may fill: the allocator's fragments and the code need the rest.
SHARE = 0.8


def bytes_per_replica(network: Network, batch: int, slots: int) -> int:
    """Memory of one replica [bytes], estimated from above: of a training step or of an evaluation, which takes more.

    `slots` is the number of particles that a batch is gathered into (`JetPool.slots`), and is not used by networks
    without particles.
    """
    return max(bytes_of_training(network, batch, slots), bytes_of_evaluation(network, batch, slots))


def bytes_of_training(network: Network, batch: int, slots: int) -> int:
    """Of a step: 4 bytes x (ACTIVATION_COPIES x activations + WEIGHT_COPIES x parameters)."""
    return 4 * (ACTIVATION_COPIES * network.activations(batch, slots) + WEIGHT_COPIES * _parameters(network))


def bytes_of_evaluation(network: Network, batch: int, slots: int) -> int:
    """Of EVALUATION_BATCH rows at once: every activation, though XLA frees most of them, and what the state takes.

    The state is weights and two moments, which stay while a stack is evaluated; and a copy of the weights, the best.
    """
    activations = network.activations(EVALUATION_BATCH, math.ceil(slots * EVALUATION_BATCH / batch))
    return 4 * (activations + 4 * _parameters(network))


def _parameters(network: Network) -> int:
    return sum(math.prod(shape) for shape in network.shapes)


def replicas_that_fit(network: Network, batch: int, slots: int, *, free: int, pool: int = 0) -> int:
    """floor((SHARE x free - pool) / bytes_per_replica): none where it is not positive."""
    return max(int((SHARE * free - pool) // bytes_per_replica(network, batch, slots)), 0)


def replicas_per_stack(
    network: Network,
    batch: int,
    slots: int,
    *,
    free: int,
    pool: int = 0,
    most: int = 256,
    advice: str = "make batch_size smaller",
) -> int:
    """As many replicas as fit, at least 1 and at most `most`.

    Args:
        network: what is stacked.
        batch: jets or events of a batch.
        slots: particles that a batch is gathered into.
        free: memory that is free before the pool is on the device [bytes].
        pool: size of the pool [bytes].
        most: networks there are, or beyond which nothing is gained.
        advice: what the error says that one can do beside giving the worker more memory.

    Raises:
        ValueError: if not even one replica fits.
    """
    fitting = replicas_that_fit(network, batch, slots, free=free, pool=pool)
    if fitting < 1:
        each = bytes_per_replica(network, batch, slots)
        raise ValueError(
            f"Training one network takes about {(each + pool) / 1e9:.2f} GB, but only {SHARE * free / 1e9:.2f} GB of "
            f"memory may be used: give the worker more memory, or {advice}."
        )
    return min(fitting, most)


def in_equal_turns(networks: int, at_once: int) -> int:
    """How many of `networks` to train at once so that no more than `at_once` are, in stacks that hardly differ.

    A smaller stack at the end would be compiled anew.
    """
    return math.ceil(networks / math.ceil(networks / at_once)) if networks else 1


def worker_limit() -> int | None:
    """Memory that the Dask worker of this process may take [bytes]; None where there is no worker or no limit."""
    if "distributed" not in sys.modules:
        return None
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:  # distributed is loaded, but this process is no worker of it
        return None
    limit = worker.memory_manager.memory_limit
    return int(limit) if limit else None


def free_memory(limit: int | None = None) -> int:
    """Memory that a stack may use on this process' device [bytes].

    Of a GPU: its size less what the backend holds. Otherwise that of the machine, and no more than `limit` (of the
    Dask worker, see `worker_limit`) less what the process has taken.
    """
    if has_gpu():
        return _free_on_gpu()
    import psutil

    available = int(psutil.virtual_memory().available)
    if limit is not None:
        available = min(available, max(limit - int(psutil.Process().memory_info().rss), 0))
    return available


def _free_on_gpu() -> int:
    if backend_name() == "jax":
        import jax

        stats = jax.devices()[0].memory_stats()
        return int(stats["bytes_limit"] - stats["bytes_in_use"])
    import tensorflow as tf

    # TensorFlow reserves nearly all memory at once, so what the driver calls free is not what a stack has.
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] or "0"
    query = ["nvidia-smi", f"--id={device}", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    total = int(subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]) * 2**20
    return total - int(tf.config.experimental.get_memory_info("GPU:0")["current"])
