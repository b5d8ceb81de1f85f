"""The events of the dijet skims as flat arrays, in an order that no file layout can change."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.samples import Sample
from training.sampling import Doubles, Indices, bin_numbers, generator

#: What sorts the events of a data set: together these identify an event and where it was read.
ORDER = ("file", "run", "lumi", "event", "entry")
PARTICLES = ("pt", "y", "phi", "pid")
PARTON = "jet_parton_id"


@dataclass(frozen=True)
class Particles:
    """Particles of all jets, jet after jet: those of jet j are `offsets[j]` to `offsets[j + 1]`.

    Transverse momentum [GeV], rapidity, azimuth, particle number.
    """

    pt: NDArray[np.float32]
    y: NDArray[np.float32]
    phi: NDArray[np.float32]
    pid: NDArray[np.int32]
    offsets: Indices

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True)
class Pool:
    """N events in the range of the bins, with the same number of jets each; jet k of event i is i * jets + k.

    `mass` [GeV], `weight` and `bins` have the shape (N,), `partons` (N, jets); `particles` is None where only the
    quantities of events were read.
    """

    mass: Doubles
    weight: Doubles
    bins: Indices
    partons: NDArray[np.int32]
    particles: Particles | None = None

    def __len__(self) -> int:
        return len(self.mass)

    @property
    def jets_per_event(self) -> int:
        """Jets of each event."""
        return int(self.partons.shape[1])


def read_pool(
    samples: Sequence[Sample], edges: tuple[float, ...], *, fraction: float, seed: int, particles: bool
) -> Pool:
    """Events of all samples whose mass is in the range of the bins, or a random `fraction` of them.

    Raises:
        ValueError: if there is none, a column is missing, or events differ in their number of jets.
    """
    import pyarrow as pa

    columns = (*ORDER, "mjj", "weight", PARTON, *(f"particle_{name}" for name in PARTICLES if particles))
    tables: list[Any] = []
    jets = 1
    for sample in sorted(samples, key=lambda sample: sample.name):
        table = _read(sample, columns)
        if not table.num_rows:
            continue
        jets = _jets_per_event(table, sample.name, jets if tables else None)
        tables.append(_sorted_in_range(table, edges, sample.scale))
    if not sum(table.num_rows for table in tables):
        names = ", ".join(sample.name for sample in samples) or "no sample"
        raise ValueError(f"bin_edges: no event has a mass of {edges[0]:g} to {edges[-1]:g} GeV ({names}).")
    table = pa.concat_tables(tables).combine_chunks()
    if fraction < 1:
        kept = generator(seed, "fraction").permutation(table.num_rows)[: round(fraction * table.num_rows)]
        if not len(kept):
            raise ValueError(f"fraction = {fraction:g}: that is none of the {table.num_rows} events.")
        table = table.take(pa.array(np.sort(kept)))
    mass = table.column("mjj").to_numpy()
    partons = _flat(table.column(PARTON))[0].astype(np.int32).reshape(-1, jets)
    return Pool(
        mass=mass,
        weight=table.column("weight").to_numpy(),
        bins=bin_numbers(mass, edges),
        partons=partons,
        particles=_particles(table) if particles else None,
    )


def _read(sample: Sample, columns: Sequence[str]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for file in sample.files:
        present = pq.read_schema(file).names
        for column in columns:
            if column not in present:
                near = difflib.get_close_matches(column, present, n=1, cutoff=0.4)
                hint = f"; the nearest column is {near[0]}" if near else ""
                raise ValueError(f"The skim {file} of sample {sample.name} has no column {column}{hint}.")
        tables.append(pq.read_table(file, columns=list(columns), use_threads=False))
    return pa.concat_tables(tables) if tables else pa.table({column: [] for column in columns})


def _jets_per_event(table: Any, name: str, earlier: int | None) -> int:
    import pyarrow.compute as pc

    found = pc.unique(pc.list_value_length(table.column(PARTON))).to_pylist()
    if len(found) != 1 or found[0] < 1 or (earlier is not None and found[0] != earlier):
        numbers = ", ".join(str(number) for number in sorted({*found, *([earlier] if earlier else [])}))
        raise ValueError(f"All events must have the same number of jets, but those of {name} have {numbers}.")
    return int(found[0])


def _sorted_in_range(table: Any, edges: tuple[float, ...], scale: float) -> Any:
    import pyarrow as pa

    mass = table.column("mjj").to_numpy().astype(np.float64)
    if not np.all(np.isfinite(mass)):
        raise ValueError(f"The skim has {np.count_nonzero(~np.isfinite(mass))} events whose mjj is no number.")
    order = np.lexsort([table.column(name).to_numpy() for name in reversed(ORDER)])
    order = order[bin_numbers(mass[order], edges) >= 0]
    table = table.combine_chunks().take(pa.array(order))
    weight = table.column("weight").to_numpy().astype(np.float64) * scale
    table = table.set_column(table.column_names.index("weight"), "weight", pa.array(weight))
    return table.set_column(table.column_names.index("mjj"), "mjj", pa.array(mass[order]))


def _flat(column: Any) -> tuple[NDArray[Any], Any]:
    """Values of a column of lists, and the array of its innermost lists."""
    array = column.combine_chunks()
    inner = array.flatten()
    while hasattr(inner, "offsets"):
        array, inner = inner, inner.flatten()
    return inner.to_numpy(zero_copy_only=False), array


def _particles(table: Any) -> Particles:
    values: dict[str, NDArray[Any]] = {}
    offsets: Indices | None = None
    for name in PARTICLES:
        flat, lists = _flat(table.column(f"particle_{name}"))
        bounds = np.concatenate([[0], np.cumsum(lists.value_lengths().to_numpy(zero_copy_only=False))]).astype(np.int64)
        if offsets is not None and not np.array_equal(bounds, offsets):
            raise ValueError(f"The skim's column particle_{name} has not as many particles as the others.")
        offsets = bounds
        values[name] = flat.astype(np.int32 if name == "pid" else np.float32)
    assert offsets is not None  # noqa: S101  (there are four columns)
    return Particles(**values, offsets=offsets)
