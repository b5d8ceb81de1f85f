"""A particle flow network on the backend of this process: outputs, gradients and weights after one epoch.

python -m support.pfn_backend FILE.npz, with KERAS_BACKEND set.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.pfn_cost import Work
from training.backend import backend_name, compiled, keras_module, with_gradients
from training.jets import WIDTH, JetPool, preprocess
from training.networks import ParticleFlowNetwork, cross_entropy
from training.optimizers import Optimizer
from training.pfn import PFNClassifier, PFNParameters, train_pfns
from training.stack_size import bytes_of_training
from training.stacked import Member, Part, Stack
from training.stacked_steps import _step, compiled_steps

PARAMETERS = PFNParameters(phi_units=(20, 24), f_units=(16,), epochs=1, batch_size=50)


def jets_and_labels(width: int | None = None) -> tuple[JetPool, np.ndarray]:
    rng = np.random.default_rng(8)
    label = rng.integers(0, 2, 250)
    offsets = np.concatenate([[0], np.cumsum(rng.poisson(20 + 8 * label) + 1)])
    n = offsets[-1]
    pid = rng.choice([211, -211, 22], n)
    jets = preprocess(rng.exponential(5, n), rng.normal(0, 0.1, n), rng.normal(0, 0.1, n), pid, offsets)
    return JetPool(jets, width), label


def measure() -> dict[str, np.ndarray]:
    ops = keras_module().ops
    pool, label = jets_and_labels()
    rectangular, _ = jets_and_labels(WIDTH)
    rows = [np.random.default_rng(replica).permutation(250) for replica in range(2)]
    members = [
        Member(np.random.SeedSequence(6, spawn_key=(replica,)), Part(its[:225], label[its[:225]]))
        for replica, its in enumerate(rows)
    ]
    network = PARAMETERS.network()
    stack = Stack(network, members, PARAMETERS.optimizer())
    result = {f"output{replica}": its for replica, its in enumerate(stack.predict(pool, rows))}
    batch = np.stack([its[:50] for its in rows]).astype(np.int32)
    capacity = rectangular.capacity(batch)

    def gradients(weights: list, arrays: list, chosen: object, classes: object) -> list:
        inputs = rectangular.gather(arrays, chosen, capacity)

        def loss(its: list) -> tuple:
            return ops.sum(cross_entropy(network.logits(its, [], inputs, []), classes)), ops.zeros(())

        return with_gradients(loss, list(weights))[1]

    found = compiled(gradients)(
        stack.state[0],
        rectangular.arrays,
        ops.convert_to_tensor(batch),
        ops.convert_to_tensor(label[batch].astype(np.int32)),
    )
    result |= {f"gradient{number}": ops.convert_to_numpy(array) for number, array in enumerate(found)}
    for replica, one in enumerate(train_pfns(pool, members, PARAMETERS)):
        result |= {f"weight{replica}_{number}": array for number, array in enumerate(one.weights)}
    if backend_name() == "jax":
        result |= memory(pool, label) | cost(pool, label)
    return result


def memory(pool: JetPool, label: np.ndarray) -> dict[str, np.ndarray]:
    """What XLA sets aside for two steps of two networks of the usual size, and what we say it does [bytes]."""
    ops = keras_module().ops
    network, rows = ParticleFlowNetwork(), np.tile(np.arange(200, dtype=np.int32).reshape(2, 100), (2, 1, 1))
    members = [Member(np.random.SeedSequence(1), Part(rows[0, 0], label[rows[0, 0]])) for _ in range(2)]
    stack, capacity = Stack(network, members, Optimizer()), pool.capacity(rows)
    steps = compiled_steps(network, Optimizer(), pool.gather, capacity)
    batch = (rows, label[rows].astype(np.int32), np.ones((2, 2, 100), np.float32))
    lowered = steps.lower(stack.state, [], pool.arrays, *(ops.convert_to_tensor(array) for array in batch), [])
    analysis = lowered.compile().memory_analysis()
    own = sum(array.nbytes for array in pool.arrays)
    used = analysis.temp_size_in_bytes + analysis.argument_size_in_bytes + analysis.output_size_in_bytes - own
    return {"memory": np.array([used, 2 * bytes_of_training(network, 100, pool.slots(capacity))])}


def cost(pool: JetPool, label: np.ndarray) -> dict[str, np.ndarray]:
    """FLOP and bytes of a step of two networks, by XLA's cost analysis and as the benchmark counts them."""
    import jax

    rows = np.tile(np.arange(100, dtype=np.int32), (2, 1))
    members = [Member(np.random.SeedSequence(1), Part(rows[0], label[:100])) for _ in range(2)]
    capacity, optimizer, result = pool.capacity(rows), Optimizer(), {}
    for add in ("segments", "matmul"):
        network = ParticleFlowNetwork(add=add)
        step = partial(_step, network, optimizer, pool.gather, capacity)
        batch = [rows, label[rows].astype(np.int32), np.ones((2, 100), np.float32)]
        lowered = jax.jit(step).lower(Stack(network, members, optimizer).state, [], pool.arrays, batch)
        found = lowered.compile().cost_analysis()
        work = Work(network, 2, 2, 100, 1, pool.slots(capacity), capacity, 0.0)
        result[f"cost_{add}"] = np.array([found["flops"], work.executed, found["bytes accessed"], work.traffic])
    return result


if __name__ == "__main__":
    if len(sys.argv) == 2:
        np.savez(sys.argv[1], **measure())
    else:  # a model to read, and where its scores go
        pool, _ = jets_and_labels()
        from training.pfn import load_pfn

        classifier: PFNClassifier = load_pfn(Path(sys.argv[2]))
        np.savez(sys.argv[1], score=classifier.score(pool))
