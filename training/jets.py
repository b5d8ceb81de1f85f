"""Jets as one flat array of particles with offsets: what the particle flow networks learn from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.backend import keras_module, take_one_thread_per_operation, takes_any_shape
from training.energyflow_import import import_energyflow

FEATURES = ("pt", "y", "phi", "pid")
#: Particles of a row in a `JetPool` whose batches have one shape: rows are fetched and added up as a whole, and half a
#: row per jet is empty. Where rows are added up by a product with a matrix (on a GPU) long ones cost less.
WIDTH = 8
#: Capacities lie so close, relative to each other: what is compiled for one batch serves most others.
BUCKETS_PER_OCTAVE = 32
#: Probability that any batch of a stack does not fit into the capacity chosen for all, and what is larger is compiled.
BEYOND_CAPACITY = 0.01


@dataclass(frozen=True)
class Jets:
    """Preprocessed particles (P, 4), float32, in the order of `FEATURES`; jet j has `offsets[j]` to `offsets[j+1]`."""

    particles: NDArray[np.float32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1


def preprocess(
    pt: NDArray[Any], y: NDArray[Any], phi: NDArray[Any], pid: NDArray[Any], offsets: NDArray[np.integer]
) -> Jets:
    """Centre y and phi on the pT-weighted mean of each jet, divide pT by the jet's sum, map particle ids to numbers.

    Args:
        pt: (P,) transverse momenta of the particles of all jets [any unit].
        y: (P,) rapidities.
        phi: (P,) azimuths [radian, any multiple of 2 pi added].
        pid: (P,) PDG numbers.
        offsets: (J + 1,) where the jets begin and end.

    The azimuth relative to the centre is in [-pi, pi). Computed in double precision, kept in single.

    Raises:
        ValueError: for an unknown PDG number, a jet whose pT do not add up to more than zero, or numbers that are not
            finite.
    """
    pt, y, phi = (np.asarray(values, np.float64) for values in (pt, y, phi))
    edges: NDArray[np.int64] = np.asarray(offsets, np.int64)
    counts = np.diff(edges)
    if not edges.size or edges[0] != 0 or edges[-1] != len(pt) or (counts < 0).any():
        raise ValueError(f"The offsets of the jets do not divide the {len(pt)} particles.")
    jet = np.repeat(np.arange(len(counts)), counts)

    def per_jet(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(jet, weights=values, minlength=len(counts)), np.float64)

    total = per_jet(pt)
    bad = ~(np.isfinite(total) & (total > 0) & np.isfinite(per_jet(y)) & np.isfinite(per_jet(phi)))
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} of {len(counts)} jets, the first number {int(np.argmax(bad))}, have no particles, "
            "a sum of pT that is not above zero, or numbers that are not finite."
        )
    # Around the direction of the vector sum no jet reaches over the edge of the azimuth, so the mean there is plain.
    reference = np.arctan2(per_jet(pt * np.sin(phi)), per_jet(pt * np.cos(phi)))
    relative = wrapped(phi - reference[jet])
    particles = np.empty((len(pt), len(FEATURES)), np.float32)
    particles[:, 0] = pt / total[jet]
    particles[:, 1] = y - (per_jet(pt * y) / total)[jet]
    particles[:, 2] = wrapped(relative - (per_jet(pt * relative) / total)[jet])
    particles[:, 3] = remapped_pids(pid)
    return Jets(particles, edges)


def wrapped(phi: NDArray[np.float64]) -> NDArray[np.float64]:
    """Azimuth in [-pi, pi)."""
    return np.mod(phi + np.pi, 2 * np.pi) - np.pi


def remapped_pids(pid: NDArray[Any]) -> NDArray[np.float64]:
    """The small number that EnergyFlow gives to each PDG number.

    Raises:
        ValueError: naming PDG numbers that it does not know.
    """
    remap_pids = import_energyflow("utils").remap_pids
    present, inverse = np.unique(np.asarray(pid).astype(np.int64), return_inverse=True)
    table = present.astype(np.float64).reshape(1, -1, 1)
    try:
        remap_pids(table, pid_i=0)
    except KeyError as error:
        raise ValueError(
            f"A particle has the PDG number {error.args[0]}, which energyflow.utils.remap_pids does not know."
        ) from None
    return np.asarray(table[0, :, 0][inverse.reshape(-1)])


def read_jets(files: Sequence[str | Path]) -> Jets:
    """Both jets of every event of Parquet skims, preprocessed: event i of all files has jets 2i and 2i + 1.

    Raises:
        ValueError: if a column is missing or an event has not two jets.
    """
    import awkward as ak

    columns = [f"particle_{name}" for name in FEATURES]
    parts: dict[str, list[NDArray[Any]]] = {column: [] for column in columns}
    counts = []
    for file in files:
        events = ak.from_parquet(os.fspath(file), columns=columns)
        for column in columns:
            if column not in events.fields:
                raise ValueError(f"The skim {file} has no column {column}.")
        if not ak.all(ak.num(events[columns[0]], axis=1) == 2):
            raise ValueError(f"The skim {file} has events without exactly two jets.")
        counts.append(ak.to_numpy(ak.flatten(ak.num(events[columns[0]], axis=2), axis=1)))
        for column in columns:
            parts[column].append(ak.to_numpy(ak.flatten(events[column], axis=None)))
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([*counts, np.empty(0, np.int64)]))]).astype(np.int64)
    pt, y, phi, pid = (np.concatenate([*parts[column], np.empty(0)]) for column in columns)
    return preprocess(pt, y, phi, pid, offsets)


def jet_pool(files: Sequence[str | Path]) -> JetPool:
    """The pool of these skims; a process keeps the last one, on its device too, until a file changes."""
    states = tuple((os.fspath(file), (state := Path(file).stat()).st_size, state.st_mtime_ns) for file in files)
    return _cached_pool(states)


@lru_cache(maxsize=1)
def _cached_pool(states: tuple[tuple[str, int, int], ...]) -> JetPool:
    return JetPool(read_jets([path for path, _, _ in states]))


class JetPool:
    """Jets on the device, as rows of `width` particles, the last row of a jet filled up with empty ones.

    A batch gathers the rows of its jets into an array of a fixed number of rows, the capacity. Its cost follows the
    number of particles, not the longest jet; the capacity is one of a few, as each is compiled once. Without a width
    the backend decides: where it computes with arrays of any shape the pool is `ragged`, and a batch is its particles.
    """

    def __init__(self, jets: Jets, width: int | None = None) -> None:
        self.ragged = width is None and takes_any_shape()
        if self.ragged:
            take_one_thread_per_operation()
        width = width or (1 if self.ragged else WIDTH)
        self.width = width
        counts = np.diff(jets.offsets)
        rows = -(-counts // width)
        first = np.concatenate([[0], np.cumsum(rows)])
        slot = np.arange(len(jets.particles)) - np.repeat(jets.offsets[:-1] - first[:-1] * width, counts)
        # One row more, which is empty and fills a batch up, and one jet more, without rows.
        self._table = np.zeros((first[-1] + 1, width, jets.particles.shape[1]), np.float32)
        self._table.reshape(-1, jets.particles.shape[1])[slot] = jets.particles
        # Unsigned: TensorFlow keeps signed 32-bit integers off the GPU, and would send them there in every step.
        self._filled = np.zeros(first[-1] + 1, np.uint32)
        within = np.arange(first[-1]) - np.repeat(first[:-1], rows)
        self._filled[:-1] = np.minimum(np.repeat(counts, rows) - within * width, width)
        self._first = first.astype(np.uint32)
        self._rows = np.append(rows, 0).astype(np.uint32)

    def __len__(self) -> int:
        return len(self._rows) - 1

    @cached_property
    def arrays(self) -> list[Any]:
        """Everything `gather` reads, on the device: sent once."""
        ops = keras_module().ops
        return [ops.convert_to_tensor(array) for array in (self._table, self._filled, self._first, self._rows)]

    @property
    def on_device(self) -> bool:
        """Whether `arrays` were sent already."""
        return "arrays" in self.__dict__

    def capacity(self, rows: NDArray[np.integer]) -> int:
        """Rows that every batch (last axis of `rows`) fits into, rounded up to a bucket."""
        return bucket(int(self._rows[rows].sum(axis=-1).max(initial=1)))

    def usual_capacity(self, rows: NDArray[np.integer], batch: int, batches: int) -> int:
        """Capacity that `batches` of so many of the jets `rows`, drawn by chance, exceed with BEYOND_CAPACITY.

        Sums of many are near a normal distribution; those drawn without replacement spread less, and all `rows` at
        once not at all.
        """
        from scipy.stats import norm

        counts = self._rows[rows]
        spread = counts.std() * np.sqrt(batch * (1 - batch / len(rows)))
        return bucket(int(np.ceil(batch * counts.mean() + norm.isf(BEYOND_CAPACITY / batches) * spread)))

    def slots(self, capacity: int) -> int:
        """Particles that `capacity` rows hold."""
        return capacity * self.width

    @staticmethod
    def gather(arrays: Sequence[Any], rows: Any, capacity: int | None) -> tuple[Any, ...]:
        """Inputs of a `ParticleFlowNetwork` for the jets `rows` (R, B); traced, on the device."""
        if capacity is None:
            return _gather_particles(arrays, rows)
        ops = keras_module().ops
        table, filled, first, of_jet = arrays
        jets = int(rows.shape[1])
        number = _numbers(of_jet, rows)
        end = ops.cumsum(number, axis=1)
        position = ops.arange(capacity, dtype="int32")
        # How many jets end before a position: the jet it belongs to, B after the last. Each adds one from its end on.
        replica = ops.arange(rows.shape[0], dtype="int32")[:, None] * (capacity + 1)
        ends = ops.segment_sum(
            ops.ones((rows.shape[0] * jets,), "int32"),
            ops.reshape(end + replica, (-1,)),
            num_segments=rows.shape[0] * (capacity + 1),
        )
        jet = ops.cumsum(ops.reshape(ends, (-1, capacity + 1)), axis=1)[:, :capacity]
        shift = _numbers(first, rows) - end + number
        source = ops.take_along_axis(shift, ops.minimum(jet, jets - 1), axis=1) + position[None, :]
        source = ops.where(jet < jets, source, filled.shape[0] - 1)
        width = table.shape[1]
        slot = ops.arange(width, dtype="int32")[None, :, None]
        present = ops.cast(slot < _numbers(filled, source)[:, None, :], table.dtype)
        particles = ops.transpose(ops.take(table, source, axis=0), (0, 2, 1, 3))
        return particles, present, jet, jets


def _numbers(of: Any, where: Any) -> Any:
    ops = keras_module().ops
    return ops.cast(ops.take(of, where, axis=0), "int32")


def _gather_particles(arrays: Sequence[Any], rows: Any) -> tuple[Any, Any, int]:
    """Particles (P + 1, features), their jets (P + 1,) and B, for the jets `rows` (1, B) of a pool of width 1.

    The last particle is empty and of jet B, so that a segment sum has a segment for every jet, also for empty ones.
    """
    ops = keras_module().ops
    table, _, first, of_jet = arrays
    jets, last = int(rows.shape[1]), table.shape[0] - 1
    number = ops.concatenate([_numbers(of_jet, rows[0]), ops.ones((1,), "int32")])
    shift = ops.concatenate([_numbers(first, rows[0]), ops.full((1,), last, "int32")]) - ops.cumsum(number) + number
    jet = ops.repeat(ops.arange(jets + 1, dtype="int32"), number)
    source = ops.take(shift, jet) + ops.arange(ops.shape(jet)[0], dtype="int32")
    return ops.reshape(ops.take(table, source, axis=0), (-1, table.shape[-1])), jet, jets


def bucket(rows: int) -> int:
    """The smallest capacity of a geometric series that holds `rows`."""
    step = int(np.ceil(BUCKETS_PER_OCTAVE * np.log2(max(rows, 1)) - 1e-9))
    return max(int(np.ceil(2 ** (step / BUCKETS_PER_OCTAVE))), rows)
