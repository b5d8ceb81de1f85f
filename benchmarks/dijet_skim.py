"""The dijet_anomaly skim of one worker against energyflow.mod with a grouping in Python: the same jets and cuts.

    python -m benchmarks.dijet_skim [--data DIR] [--jets N] [--repetitions N] [--chunk-size N]

Input: the files of `--data` (`mod/*.h5`), repeated with other event numbers in one file of at least `--jets` jets,
chunked and compressed as `energyflow` writes them.

Contestants, each in a process of its own, one thread, taking turns:

- `hepbatch`: entry ranges moved to event boundaries, read, selected, grouped, masses, Parquet with all particles;
- `hepbatch without writing`: the same and no Parquet;
- `energyflow`: `MODDataset` with the selection strings, a dictionary from event to jets, masses with
  `energyflow.ms_from_p4s`. Nothing is written;
- `energyflow with gens`: the same with the generated particles, too, which is its default and what the source of this
  analysis did;
- `h5py`: the tables of jets and reconstructed particles into memory, and nothing else.

All must find the same events. Rates are jets per second of CPU time. Memory is the largest resident size less that
before the work. Exit status 1 if the events differ, or hepbatch, writing, takes more CPU time than the source's way.
"""

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SELECTIONS = ("350 <= corr_jet_pts <= 450", "abs_jet_eta < 1.9", "quality >= 2")
MASS = (660.0, 1160.0)
TABLES, INDICES = ("jets_i", "jets_f", "pfcs", "gens"), ("pfcs_index", "gens_index")
#: Two ways to the sum of the masses differ by rounding.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Found:
    """Events in the mass range and the sum of their masses; None where a contestant looks for none."""

    events: int
    masses: float


@dataclass(frozen=True)
class Turn:
    """What one pass found, CPU and wall time [s], and how much the process grew [bytes]."""

    found: Found | None
    cpu: float
    wall: float
    growth: int


def make_input(sources: Sequence[Path], output: Path, jets: int) -> int:
    """Repeats files until there are `jets` jets, with other luminosity blocks each time; gives their number."""
    import h5py
    import numpy as np

    stored = {"compression": "gzip", "compression_opts": 4}
    tables: dict[str, list[Any]] = defaultdict(list)
    names: dict[str, Any] = {}
    total, turn = 0, 0
    while total < jets:
        with h5py.File(sources[turn % len(sources)]) as file:
            for name in TABLES:
                tables[name].append(file[name][:])
                names[name] = file[name].attrs["cols"]
            for name in INDICES:
                tables[name].append(np.diff(file[name][:].astype(np.int64)))
            filenames = file["filenames"][:]
        tables["jets_i"][-1][:, [one.decode() for one in names["jets_i"]].index("lbn")] = turn
        total += len(tables["jets_i"][-1])
        turn += 1
    with h5py.File(output, "w") as file:
        for name in TABLES:
            file.create_dataset(name, data=np.concatenate(tables[name]), **stored).attrs.create("cols", names[name])
        for name in INDICES:
            index = np.concatenate([[0], np.cumsum(np.concatenate(tables[name]))])
            file.create_dataset(name, data=index.astype(np.uint32), **stored)
        file.create_dataset("filenames", data=filenames)
    return total


def hepbatch(path: str, directory: str | None, chunk_size: int) -> Found:
    """The processor on every work item of the file, as a worker does it."""
    from processors.dijet_anomaly import EVENT, Settings, build
    from processors.event_ranges import event_range, events_adjoin
    from processors.formats import reader_of

    reader = reader_of("mod_hdf5")
    entries = reader.facts(path, "", EVENT).entries
    if not events_adjoin(reader, path, "", EVENT, entries):
        raise ValueError(f"the jets of an event lie apart in {path}")
    processor = build(Settings(), luminosity=None, skim_directory=directory)
    metadata = {"dataset": "jets", "role": "background"}
    events, masses = 0, 0.0
    pieces = -(-entries // chunk_size)
    for piece in range(pieces):
        ends = piece * entries // pieces, (piece + 1) * entries // pieces
        start, stop = event_range(reader, path, "", EVENT, *ends, entries)
        chunk = reader.read(path, "", processor.branches("background"), start, stop, metadata)
        result = processor.process(chunk)["jets"]
        events += result["cutflow"]["events_mass"]["events"]
        for record in result["skims"]:
            masses += _sum_of_masses(Path(str(directory)) / record["file"])
    return Found(events, masses)


def _sum_of_masses(path: Path) -> float:
    import pyarrow.parquet as pq

    return float(pq.read_table(path, columns=["mjj"])["mjj"].to_numpy().sum())


def energyflow_with_gens(path: str, *_: Any) -> Found:
    """What the source did."""
    return energyflow(path, gens=True)


def energyflow(path: str, *_: Any, gens: bool = False) -> Found:
    """What the source did, with the rapidity: load, group in a loop, masses of the pairs."""
    import numpy as np

    from processors.energyflow_import import import_energyflow

    dataset = import_energyflow("datasets.mod").MODDataset(path, *SELECTIONS, store_gens=gens)
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    identity = zip(*(column.tolist() for column in (dataset.fns, dataset.rns, dataset.lbns, dataset.evns)), strict=True)
    for jet, event in enumerate(identity):
        groups[event].append(jet)
    pairs = np.array([jets for jets in groups.values() if len(jets) == 2])
    particles = import_energyflow("utils.particle_utils")
    momenta = particles.p4s_from_ptyphims(
        np.column_stack([dataset.jet_pts, dataset.jet_ys, dataset.jet_phis, dataset.jet_ms])
    )
    mass = particles.ms_from_p4s(momenta[pairs].sum(axis=1))
    inside = (mass >= MASS[0]) & (mass < MASS[1])
    kept = [(dataset.pfcs[first], dataset.pfcs[second]) for first, second in pairs[inside]]
    return Found(len(kept), float(mass[inside].sum()))


def h5py_read(path: str, *_: Any) -> None:
    """The tables into memory."""
    import h5py

    with h5py.File(path) as file:
        for name in ("jets_i", "jets_f", "pfcs", "pfcs_index"):
            file[name][:]


def turn(contestant: Callable[..., Found | None], path: str, write: bool, chunk_size: int) -> Turn:
    """One pass, in a process that has done nothing before; imports are not counted."""
    import coffea.processor
    import hist
    import pyarrow.parquet

    import processors.dijet_anomaly_processor
    from processors.energyflow_import import import_energyflow

    del coffea, hist, pyarrow, processors
    import_energyflow("datasets.mod")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _peak()
    with tempfile.TemporaryDirectory() as directory:
        cpu, wall = time.process_time(), time.perf_counter()
        found = contestant(path, directory if write else None, chunk_size)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Turn(found, cpu, wall, _peak() - before)


def _peak() -> int:
    """The largest resident size of this process [bytes]."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


CONTESTANTS: dict[str, tuple[Callable[..., Found | None], bool]] = {
    "hepbatch": (hepbatch, True),
    "hepbatch without writing": (hepbatch, False),
    "energyflow": (energyflow, False),
    "energyflow with gens": (energyflow_with_gens, False),
    "h5py": (h5py_read, False),
}


def measure(path: str, repetitions: int, chunk_size: int) -> dict[str, list[Turn]]:
    """Turns of every contestant, in new processes with one thread."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    turns: dict[str, list[Turn]] = {name: [] for name in CONTESTANTS}
    for _ in range(repetitions):
        for name, (contestant, write) in CONTESTANTS.items():
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                turns[name].append(pool.submit(turn, contestant, path, write, chunk_size).result())
    return turns


def report(turns: dict[str, list[Turn]], jets: int) -> bool:
    """Prints the table; whether the events are the same and hepbatch is not slower than the source's way."""
    ours = statistics.median(one.cpu for one in turns["hepbatch without writing"])
    sys.stdout.write(f"{jets} jets; median of {len(turns['hepbatch'])} turns, one core\n")
    sys.stdout.write(f"{'':26s}{'CPU [s]':>9s}{'wall [s]':>9s}{'jets/s':>10s}{'ratio':>7s}{'MB':>7s}{'events':>9s}\n")
    for name, of_one in turns.items():
        cpu, wall = statistics.median(one.cpu for one in of_one), statistics.median(one.wall for one in of_one)
        events = "" if of_one[0].found is None else str(of_one[0].found.events)
        grown = max(one.growth for one in of_one) / 1e6
        sys.stdout.write(
            f"{name:26s}{cpu:9.2f}{wall:9.2f}{jets / cpu:10,.0f}{cpu / ours:7.2f}{grown:7.0f}{events:>9s}\n"
        )
    found = [of_one[0].found for of_one in turns.values()]
    numbers = {one.events for one in found if one is not None}
    masses = [one.masses for one in found if one is not None and one.masses]
    same = len(numbers) == 1 and max(masses) - min(masses) <= TOLERANCE * max(masses)
    whole = statistics.median(one.cpu for one in turns["hepbatch"])
    peer = statistics.median(one.cpu for one in turns["energyflow with gens"])
    sys.stdout.write(f"events and masses are {'the same' if same else 'NOT the same'}; ")
    sys.stdout.write(f"hepbatch takes {whole / peer:.2f} of the CPU time of the source's way\n")
    return same and whole <= peer


def main(arguments: list[str] | None = None) -> int:
    """Measures, prints, gives the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.dijet_skim", description=str(__doc__).splitlines()[0])
    data = os.environ.get("HEPBATCH_TEST_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--jets", type=int, default=150_000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--chunk-size", type=int, default=50_000)
    options = parser.parse_args(arguments)
    sources = sorted((options.data / "mod").glob("*.h5"))
    if not sources:
        sys.stdout.write(f"skipped: no files mod/*.h5 in {options.data}\n")
        return 0
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "sim.h5"
        jets = make_input(sources, path, options.jets)
        return 0 if report(measure(str(path), options.repetitions, options.chunk_size), jets) else 1


if __name__ == "__main__":
    sys.exit(main())
