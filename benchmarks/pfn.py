"""What an epoch of a particle flow network costs: stacked, one by one, padded to 160 particles, and EnergyFlow's own.

    python -m benchmarks.pfn_training [--replicas 1,4] [--jets 12000] [--rounds 3] [--file MOD.h5] [--without NAMES]

All have the same layers, batches of 500 and Adam. Without `--file` the jets are made: 45 particles on average with the
long tail of real ones, some of more than 100. Who is measured takes turns, one epoch per round, after one epoch in
which everything is compiled; the figure is the shortest. The padded peers read padded batches prepared beforehand;
ours gather theirs in every step. On a GPU: `--replicas 1,8,64`. KERAS_BACKEND chooses the backend; EnergyFlow always
runs on TensorFlow.

Exit status 1 if an epoch of one network is not faster than EnergyFlow's and than the padded one, or if a stack takes
more than 1.15 of the time of its networks one by one. Wall time decides on a GPU and on an idle machine; where other
work keeps the cores busy, the processor time that the process used does.
"""

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

PADDED = 160  # particles, as the source
LOSS_OF_A_STACK = 1.15
BATCH = 500


@dataclass
class Entry:
    """One way to train: what runs an epoch, how many networks it trains, and the seconds of each epoch."""

    name: str
    epoch: Callable[[], object]
    replicas: int = 1
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    @property
    def wall(self) -> float:
        """Shortest epoch per network [s]."""
        return min(self.seconds) / self.replicas

    @property
    def cpu(self) -> float:
        """Least processor time of an epoch per network [s]."""
        return min(self.processor) / self.replicas


def made_jets(number: int) -> tuple[np.ndarray, ...]:
    """pt, y, phi, pid, offsets of jets with gamma-distributed numbers of particles, 45 on average."""
    rng = np.random.default_rng(1)
    counts = np.minimum(rng.poisson(rng.gamma(9.0, 5.0, number)) + 1, PADDED)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    n = int(offsets[-1])
    pid = rng.choice([211, -211, 22, 130, 321, 11], n)
    return rng.exponential(8.0, n), rng.normal(0, 0.15, n), rng.normal(0, 0.15, n), pid, offsets


def jets_of(path: Path, number: int) -> tuple[np.ndarray, ...]:
    """The jets of a MOD file with pT above 375 GeV, repeated to `number` where there are fewer."""
    import h5py

    with h5py.File(path) as file:
        names = [name.decode() for name in file["jets_f"].attrs["cols"]]
        hard = np.flatnonzero(file["jets_f"][:, names.index("jet_pt")] > 375)
        chosen = np.resize(hard, number)
        index = file["pfcs_index"][:].astype(np.int64)
        names = [name.decode() for name in file["pfcs"].attrs["cols"]]
        particles = file["pfcs"][:][:, [names.index(name) for name in ("pt", "y", "phi", "pid")]]
    counts = np.diff(index)[chosen]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    source = np.arange(offsets[-1]) + np.repeat(index[:-1][chosen] - offsets[:-1], counts)
    pt, y, phi, pid = particles[source].T
    return pt, y, phi, pid, offsets


def ours(pool: Any, labels: Sequence[np.ndarray], replicas: int) -> list[Entry]:
    """One stack of so many networks, and the same networks one by one."""
    from training.pfn import PFNParameters, train_pfns
    from training.stacked import Member, Part

    parameters = PFNParameters(epochs=1, batch_size=BATCH)
    rows = np.arange(len(pool))
    members = [
        Member(np.random.SeedSequence(7, spawn_key=(replica,)), Part(rows, labels[replica]))
        for replica in range(replicas)
    ]
    if replicas == 1:
        return [Entry("alone", lambda: train_pfns(pool, members, parameters))]
    return [Entry(f"stack of {replicas}", lambda: train_pfns(pool, members, parameters), replicas)]


def padded(jets: Any) -> np.ndarray:
    """(J, 160, 4); particles beyond are left out."""
    result = np.zeros((len(jets), PADDED, 4), np.float32)
    jet = np.repeat(np.arange(len(jets)), np.diff(jets.offsets))
    slot = np.arange(len(jet)) - jets.offsets[jet]
    kept = slot < PADDED
    result[jet[kept], slot[kept]] = jets.particles[kept]
    return result


def keras_padded(table: np.ndarray, label: np.ndarray) -> Entry:
    """The network as a Keras model on padded jets, compiled by XLA."""
    from training.backend import keras_module
    from training.networks import ParticleFlowNetwork

    keras = keras_module()
    network = ParticleFlowNetwork()

    class Mask(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, particles: Any, latent: Any) -> Any:
            present = keras.ops.any(particles != 0, axis=-1, keepdims=True)
            return keras.ops.sum(latent * keras.ops.cast(present, latent.dtype), axis=1)

    entry = keras.Input((PADDED, 4))
    x = entry
    for units in network.phi_units:
        x = keras.layers.Dense(units, "relu", kernel_initializer="he_uniform")(x)
    x = Mask()(entry, x)
    for units in network.f_units:
        x = keras.layers.Dense(units, "relu", kernel_initializer="he_uniform")(x)
    model = keras.Model(entry, keras.layers.Dense(2, "softmax", kernel_initializer="he_uniform")(x))
    model.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy", jit_compile=True)
    target = np.eye(2, dtype=np.float32)[label]
    return Entry(f"Keras padded to {PADDED}", lambda: model.fit(table, target, batch_size=BATCH, epochs=1, verbose=0))


def energyflow_pfn(table: np.ndarray, label: np.ndarray) -> Entry:
    """EnergyFlow's own PFN (Keras 2)."""
    from energyflow.archs import PFN

    from training.networks import ParticleFlowNetwork

    network = ParticleFlowNetwork()
    model = PFN(input_dim=4, Phi_sizes=network.phi_units, F_sizes=network.f_units, summary=False)
    target = np.eye(2, dtype=np.float32)[label]
    return Entry("EnergyFlow", lambda: model.fit(table, target, epochs=1, batch_size=BATCH, verbose=0))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and compares; 1 if a requirement is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", default="1,4", help="networks per stack, with commas")
    parser.add_argument("--jets", type=int, default=12000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--file", type=Path, help="MOD HDF5 file")
    parser.add_argument("--without", default="", help="peers left out, with commas: keras, energyflow")
    options = parser.parse_args(arguments)
    from training.backend import backend_name, has_gpu
    from training.jets import JetPool, preprocess

    jets = preprocess(*(jets_of(options.file, options.jets) if options.file else made_jets(options.jets)))
    sizes = sorted({1, *(int(one) for one in options.replicas.split(","))})
    generator = np.random.default_rng(3)
    labels = [generator.integers(0, 2, len(jets)) for _ in range(max(sizes))]
    pool = JetPool(jets)
    entries = [entry for size in sizes for entry in ours(pool, labels, size)]
    left_out = options.without.split(",")
    if "energyflow" not in left_out and importlib.util.find_spec("tf_keras") is None:
        raise SystemExit("EnergyFlow's networks need the package tf_keras (extra `dev`), or --without energyflow.")
    table = padded(jets)
    if "keras" not in left_out:
        entries.append(keras_padded(table, labels[0]))
    if "energyflow" not in left_out:
        entries.append(energyflow_pfn(table, labels[0]))
    say(
        f"{len(jets)} jets of {len(jets.particles) / len(jets):.1f} particles, batches of {BATCH}, {backend_name()}, "
        f"{'GPU' if has_gpu() else f'{len(os.sched_getaffinity(0))} cores'}, load {os.getloadavg()[0]:.1f}"
    )
    for number in range(options.rounds + 1):
        for entry in entries:
            start, used = time.perf_counter(), time.process_time()
            entry.epoch()
            if number:
                entry.seconds.append(time.perf_counter() - start)
                entry.processor.append(time.process_time() - used)
    busy = not has_gpu() and os.getloadavg()[0] > 1.5 * len(os.sched_getaffinity(0))
    say(f"load at the end {os.getloadavg()[0]:.1f}: {'processor' if busy else 'wall'} time decides")
    return report(entries, -(-len(jets) // BATCH), busy)


def report(entries: Sequence[Entry], steps: int, busy: bool) -> int:
    """Prints the table with ratios to one network alone, the first entry; 1 if a requirement is missed."""
    alone, status = entries[0], 0
    say(f"{'per network':22} {'wall/epoch':>10} {'cpu/epoch':>10} {'wall/step':>10} {'wall':>7} {'cpu':>7}  of alone")
    for entry in entries:
        wall, cpu = entry.wall / alone.wall, entry.cpu / alone.cpu
        say(
            f"{entry.name:22} {entry.wall:8.2f} s {entry.cpu:8.2f} s {entry.wall / steps * 1e3:7.1f} ms "
            f"{wall:7.2f} {cpu:7.2f}"
        )
        ratio = cpu if busy else wall
        if ratio > LOSS_OF_A_STACK if entry.replicas > 1 else entry is not alone and ratio <= 1:
            say(f"MISSED: {entry.name}")
            status = 1
    return status


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
