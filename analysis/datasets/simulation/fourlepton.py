"""The simulated samples of the four-lepton analysis: what a task does on a worker.

    tasks = plan(settings, samples, catalogue, luminosity=1000.0, seed=1)
    side_cars = [generate(task, directory) for task in tasks]      # in any order, in any process

Every file has a side-car; the sum of `sumw` over a sample's files is the sample's sum of weights. Slices of phase space
and all other weights are in `mcWeight`, so that the formula of the public samples gives the yield.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from analysis.datasets.simulation import atlas_response, pseudodata, pythia
from analysis.datasets.simulation.events import Reconstruction
from analysis.datasets.simulation.fourlepton_plan import Part, Settings, SimulationTask, plan
from analysis.datasets.simulation.fourlepton_processes import (
    E_CM,
    FAST_TAU,
    LEPTONIC_Z,
    LEPTONIC_Z_TAU,
    PROCESSES,
    Process,
    Slice,
)
from analysis.datasets.simulation.ntuple import Events, concatenate, write

__all__ = ["REQUIRES", "Settings", "SimulationTask", "generate", "plan"]

# Packages of the extra `simulation` that a task imports.
REQUIRES = ("pythia8mc", "fastjet")

# Pythia takes seeds from 1 to 900,000,000.
_SEEDS = 900_000_000
# Records handled at once: enough for numpy to be efficient, few enough to stay in the cache.
_BATCH = 250
# Factor on the numbers of hadronisations in the pools of the pseudo-data.
_POOL_REPETITIONS = 0.3
# Partons without b and c quarks whose sum of pt [GeV] is below twice the leptons' threshold give no two leptons.
_LIGHT_ACTIVITY = 10.0


def generate(task: SimulationTask, directory: str) -> list[dict[str, Any]]:
    """Make the files of a task and their side-cars; give the side-cars, in the order of the outputs.

    Runs in one thread. The generator holds the interpreter's lock, so tasks belong into processes of their own.

    Raises:
        UserError: pythia8mc is not installed.
        RuntimeError: the generator fails.

    """
    root = np.random.SeedSequence(task.seed, spawn_key=task.spawn_key)
    pieces = [
        concatenate(list(_simulate(task, part, stream)))
        for part, stream in zip(task.parts, root.spawn(len(task.parts)), strict=True)
    ]
    note: dict[str, Any] = {
        "task": task.key,
        "generator": pythia.generator_version(),
        "seed": task.seed,
        "generated": sum(part.events for part in task.parts),
    }
    if task.luminosity is None:
        events = concatenate(pieces)
        events = events.with_scalars(mcWeight=events.scalars["weight"].astype(np.float32))
        contents = {task.outputs[0][0]: events}
        note |= {
            "sumw": sum(part.events * part.weight for part in task.parts),
            "xsec_pb": task.cross_section,
            "red_eff": 1.0,
            "sum_mcweight": float(events.scalars["mcWeight"].sum(dtype=np.float64)),
        }
    else:
        rng = np.random.default_rng(np.random.SeedSequence(task.seed, spawn_key=(*task.spawn_key, len(task.parts))))
        expected = [pseudodata.full_weight(piece) for piece in pieces]
        drawn = concatenate(
            [p.take(pseudodata.draw(w, p.scalars["eventNumber"], rng)) for p, w in zip(pieces, expected, strict=True)]
        )
        drawn = drawn.take(rng.permutation(len(drawn)))
        contents = pseudodata.streams(pseudodata.as_recorded(drawn, task.first_event, rng))
        note |= {
            "luminosity_ipb": task.luminosity,
            "expected_events": float(sum(w.sum() for w in expected)),
            "largest_weight": float(max(w.max(initial=0.0) for w in expected)),
        }
    notes = []
    for sample, relative in task.outputs:
        side_car = {**note, "sample": sample, "entries": len(contents[sample])}
        write(Path(directory) / relative, contents[sample], side_car)
        notes.append(side_car)
    return notes


def _simulate(task: SimulationTask, part: Part, stream: np.random.SeedSequence) -> Iterator[Events]:
    """Yield the weighted events of a part, in batches."""
    settings = task.settings
    process = PROCESSES[part.process]
    piece = next(s for s in process.slices if s.name == part.slice)
    for_generator, for_response = stream.spawn(2)
    generator = pythia.make(
        _lines(settings, process, piece), int(for_generator.generate_state(1, np.uint64)[0] % _SEEDS) + 1
    )
    reconstruct = Reconstruction(
        process=process,
        channel=part.channel,
        semileptonic=pythia.force_semileptonic(generator),
        misidentification=settings.misidentification * process.misidentification,
        heavy_flavour=process.heavy_flavour,
        enhancement=settings.enhancement,
    )
    rng = np.random.default_rng(for_response)
    records: list[pythia.Record] = []
    weights: list[float] = []
    numbers: list[int] = []

    def flush() -> Events:
        events = reconstruct(records, weights, numbers, rng)
        for column in (records, weights, numbers):
            column.clear()
        return events.with_scalars(weight=events.scalars["weight"] * part.weight)

    # The generator makes one event per call, so this loop is unavoidable; all else is done per batch. Hadronisations of
    # one event are in one batch and have one number, which puts them into the same fold of a cross-validation.
    for index, weight, record in _records(task, part, piece, generator):
        number = task.first_event + index
        if len(records) >= _BATCH and number != numbers[-1]:
            yield flush()
        records.append(record.copy())
        weights.append(weight)
        numbers.append(number)
    yield flush()


def _records(
    task: SimulationTask, part: Part, piece: Slice, generator: Any
) -> Iterator[tuple[int, float, pythia.Record]]:
    """Yield number, weight and record of the generated events."""
    process = PROCESSES[part.process]
    if process.repetitions is None:
        for index, record in enumerate(pythia.events(generator, part.events)):
            yield index, 1.0, record
        return
    # An event of the pseudo-data stands for itself: different partons count there, not hadronisations.
    factor = 1.0 if task.luminosity is None else _POOL_REPETITIONS
    heavy, light = (max(1, round(getattr(task.settings, name) * factor)) for name in process.repetitions)

    def repetitions(record: pythia.Record) -> tuple[int, float]:
        """Drop events without the leptons or without jets, prefer those with heavy quarks."""
        final = record[record["status"] > 0]
        kind = np.abs(final["id"])
        pt2 = final["px"] ** 2 + final["py"] ** 2
        inside = (pt2 > atlas_response.MINIMUM_TRUE_PT**2) & (final["pz"] ** 2 < 44.0 * pt2)  # |eta| < 2.6
        kind = kind[inside]
        if np.count_nonzero((kind == 11) | (kind == 13) | (kind == 15)) < piece.prompt:
            return 0, 0.0
        if ((kind == 4) | (kind == 5)).any():
            return heavy, 1.0 / heavy
        partons = (kind < 4) | (kind == 21) | (kind == 22)
        if np.sqrt(pt2[inside][partons]).sum() > _LIGHT_ACTIVITY:
            return light, 1.0 / light
        return 0, 0.0

    yield from pythia.rehadronised_events(generator, part.events, repetitions)


def _lines(settings: Settings, process: Process, piece: Slice) -> list[str]:
    lines = [E_CM, FAST_TAU, *process.settings]
    if process.pair:
        lines += LEPTONIC_Z_TAU if settings.taus else LEPTONIC_Z
    lines += piece.settings
    if not settings.multiparton_interactions:
        lines.append("PartonLevel:MPI = off")
    if process.repetitions is not None:
        lines.append("HadronLevel:all = off")
    return lines
