"""Ways to train a particle flow network, each run by `benchmarks.pfn` in a process of its own."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from benchmarks.pfn_cost import Device, Work, measured_device
from benchmarks.pfn_jets import PADDED, Sample

T = TypeVar("T")
#: Rounds of a stack against one by one: their difference is small.
ROUNDS_OF_TURNS = 12


@dataclass(frozen=True)
class Plan:
    """Epochs, jets per batch, and the largest stack (0: as memory allows)."""

    epochs: int
    batch: int
    stack: int = 0


@dataclass(frozen=True)
class Clock:
    """Wall time and processor time of this process [s]."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Training:
    """Clocks of a whole training with everything compiled in it and of another without; scores by the first."""

    first: Clock
    again: Clock
    scores: np.ndarray


@dataclass(frozen=True)
class Stacks:
    """Many trainings in stacks: clocks of all and of each stack, how many epochs were compiled and in how long [s].

    Scores are (N, n); the work was done on the device. `on_gpu` are the particle slots and rows of a batch there.
    """

    clock: Clock
    each: list[Clock]
    compilations: int
    compile_wall: float
    scores: np.ndarray
    work: Work
    on_gpu: tuple[int, int]
    device: Device


def clocked(call: Callable[[], T]) -> tuple[Clock, T]:
    """How long a call takes, and what it gives."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return Clock(time.perf_counter() - wall, time.process_time() - cpu), result


def gpu_seen() -> bool | None:
    """Whether the backend of this process computes on a GPU; None if it is not installed."""
    from training.backend import has_gpu

    try:
        return has_gpu()
    except ImportError:
        return None


def _members(sample: Sample, number: int) -> list[Any]:
    """The same jets in other orders, and other initial weights."""
    from training.stacked import Member, Part

    rows = np.arange(sample.train)
    part = Part(rows, sample.label[: sample.train])
    return [Member(np.random.SeedSequence(7, spawn_key=(replica,)), part) for replica in range(number)]


def hepbatch(sample: Sample, plan: Plan) -> Training:
    """One network of ours; the pool of jets is made beforehand, as the padded tables of the others are."""
    from training.backend import has_gpu
    from training.jets import JetPool
    from training.pfn import PFNParameters, train_pfns

    has_gpu()  # imports the backend before the clock starts, as the others do
    pool, members = JetPool(sample.jets), _members(sample, 1)
    parameters = PFNParameters(epochs=plan.epochs, batch_size=plan.batch)
    first, (network,) = clocked(lambda: train_pfns(pool, members, parameters))
    scores = network.score(pool, np.arange(sample.train, len(sample.label)))
    again, _ = clocked(lambda: train_pfns(pool, members, parameters))
    return Training(first, again, scores)


def keras_padded(sample: Sample, plan: Plan) -> Training:
    """The network as a Keras model on padded jets, compiled by XLA."""
    from training.backend import keras_module
    from training.networks import ParticleFlowNetwork

    keras = keras_module()
    network = ParticleFlowNetwork()

    class Mask(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, particles: Any, latent: Any) -> Any:
            present = keras.ops.any(particles != 0, axis=-1, keepdims=True)
            return keras.ops.sum(latent * keras.ops.cast(present, latent.dtype), axis=1)

    def build() -> Any:
        entry = keras.Input((PADDED, 4))
        x = entry
        for units in network.phi_units:
            x = keras.layers.Dense(units, "relu", kernel_initializer="he_uniform")(x)
        x = Mask()(entry, x)
        for units in network.f_units:
            x = keras.layers.Dense(units, "relu", kernel_initializer="he_uniform")(x)
        model = keras.Model(entry, keras.layers.Dense(2, "softmax", kernel_initializer="he_uniform")(x))
        model.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy", jit_compile=True)
        return model

    keras.utils.set_random_seed(7)
    return _fitted(build, sample, plan)


def energyflow(sample: Sample, plan: Plan) -> Training:
    """EnergyFlow's own PFN (Keras 2 on TensorFlow), as the source of the analysis uses it."""
    import tensorflow as tf

    from training.energyflow_import import import_energyflow

    PFN = import_energyflow("archs").PFN

    from training.networks import ParticleFlowNetwork

    network = ParticleFlowNetwork()
    tf.random.set_seed(7)
    return _fitted(
        lambda: PFN(input_dim=4, Phi_sizes=network.phi_units, F_sizes=network.f_units, summary=False), sample, plan
    )


def _fitted(build: Callable[[], Any], sample: Sample, plan: Plan) -> Training:
    """The first training of a new model; the other goes on with it, so that nothing is compiled again."""
    table, target = sample.padded(), np.eye(2, dtype=np.float32)[sample.label]
    train = slice(sample.train)
    options = {"batch_size": plan.batch, "epochs": plan.epochs, "verbose": 0}

    def first() -> Any:
        model = build()
        model.fit(table[train], target[train], **options)
        return model

    clock, model = clocked(first)
    scores = np.asarray(model.predict(table[sample.train :], batch_size=1000, verbose=0))[:, 1]
    again, _ = clocked(lambda: model.fit(table[train], target[train], **options))
    return Training(clock, again, scores)


def stack_against_alone(sample: Sample, plan: Plan, replicas: int) -> tuple[list[Clock], list[Clock]]:
    """Clocks of an epoch of so many networks one by one, and of their stack, in turns; all is compiled before.

    Every other round begins with the stack: neither has the memory as only the other leaves it.
    """
    from training.jets import JetPool
    from training.pfn import PFNParameters, train_pfns

    pool, members = JetPool(sample.jets), _members(sample, replicas)
    parameters = PFNParameters(epochs=1, batch_size=plan.batch)

    def each() -> None:
        alone.append(clocked(lambda: [train_pfns(pool, [member], parameters) for member in members])[0])

    def together() -> None:
        stacked.append(clocked(lambda: train_pfns(pool, members, parameters))[0])

    alone: list[Clock] = []
    stacked: list[Clock] = []
    # The orders of a member are the same in every round, and so are the shapes.
    for number in range(1 + ROUNDS_OF_TURNS):
        for what in (each, together) if number % 2 else (together, each):
            what()
    return alone[1:], stacked[1:]


def device() -> Device:
    """What this process computes on, with all cores of a processor: measured apart, as a pool of jets divides them."""
    from training.backend import has_gpu

    return measured_device(gpu=has_gpu())


def many(sample: Sample, plan: Plan, trainings: int, device: Device) -> Stacks:
    """So many trainings in the fewest equal stacks that the memory holds; the pool goes to the device once."""
    from training.jets import WIDTH, JetPool
    from training.pfn import PFNParameters, scores, train_pfns
    from training.stack_size import free_memory, replicas_per_stack
    from training.stacked_steps import compiled_steps, forget_compiled

    members = _members(sample, trainings)
    parameters = PFNParameters(epochs=plan.epochs, batch_size=plan.batch)
    network = parameters.network()
    batch = min(plan.batch, sample.train)
    pool = JetPool(sample.jets)
    steps = -(-sample.train // batch) * plan.epochs
    rows = pool.usual_capacity(np.arange(sample.train), batch, steps * trainings)
    slots = pool.slots(rows)

    def train() -> tuple[list[Clock], list[Any], int]:
        size = sum(array.nbytes for array in (sample.particles, sample.offsets)) * 2
        most = plan.stack or 256
        free = free_memory()
        fitting = replicas_per_stack(network, batch, slots, free=free, pool=size, most=most)
        stacks = -(-trainings // fitting)
        at_once = -(-trainings // stacks)
        each, networks = [], []
        for start in range(0, trainings, at_once):
            clock, found = clocked(lambda its=members[start : start + at_once]: train_pfns(pool, its, parameters))  # type: ignore[misc]
            each.append(clock)
            networks += found
        return each, networks, at_once

    clock, (each, networks, at_once) = clocked(train)
    compilations = compiled_steps.cache_info().misses
    test = np.arange(sample.train, len(sample.label))
    found: list[Any] = []
    for start in range(0, trainings, at_once):
        its = networks[start : start + at_once]
        found += scores(its, pool, [test] * len(its))
    particles = float(sample.offsets[sample.train]) / sample.train * batch
    if pool.ragged:
        slots = rows = round(particles)
    work = Work(network, trainings, at_once, batch, steps, slots, rows, particles)
    wide = JetPool(sample.jets, WIDTH)
    wide_rows = wide.usual_capacity(np.arange(sample.train), batch, steps * trainings)
    # One epoch of the first stack with what is compiled, and with nothing.
    first, short = members[:at_once], parameters.model_copy(update={"epochs": 1})
    train_pfns(pool, first, short)
    warm, _ = clocked(lambda: train_pfns(pool, first, short))
    forget_compiled()
    cold, _ = clocked(lambda: train_pfns(pool, first, short))
    on_gpu, compile_wall = (wide.slots(wide_rows), wide_rows), max(cold.wall - warm.wall, 0.0)
    return Stacks(clock, each, compilations, compile_wall, np.array(found), work, on_gpu, device)
