"""The simulated sample of ditau_mass, gg -> H -> tau tau at masses from 50 to 1000 GeV: what a task does on a worker.

    tasks = plan(settings, ["HTT"], catalogue, luminosity=None, seed=1)
    side_cars = [generate(task, directory) for task in tasks]      # in any order, in any process

Pythia's events at 13 TeV with spin correlations in the tau decays, a parametrised CMS response, and no selection.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.simulation import ditau_response as response
from analysis.datasets.simulation import nano_file, pythia
from analysis.datasets.simulation.ditau_plan import SAMPLE, DitauTask, Settings, plan
from analysis.datasets.simulation.ditau_truth import Batch, truth_of

__all__ = ["REQUIRES", "DitauTask", "Settings", "generate", "plan"]

# Packages of the extra `simulation` that a task imports.
REQUIRES = ("pythia8mc", "fastjet")

# Pythia takes seeds from 1 to 900,000,000.
_SEEDS = 900_000_000
# The boson's width in steps of the mass.
_WIDTH = 10
# Events handled at once: enough for numpy to be efficient, few enough to stay in the cache.
_BATCH = 500
_FLAGS = (
    "goodVertices", "globalSuperTightHalo2016Filter", "HBHENoiseFilter", "HBHENoiseIsoFilter",
    "EcalDeadCellTriggerPrimitiveFilter", "BadPFMuonFilter", "eeBadScFilter", "ecalBadCalibFilter",
)  # fmt: skip
_MUON = {"isolation": "pfRelIso04_all", "identified": "mediumId"}
_ELECTRON = {"isolation": "pfRelIso03_all", "identified": "mvaFall17V2noIso_WP90"}

Columns = dict[str, NDArray[Any]]


def generate(task: DitauTask, directory: str) -> list[dict[str, Any]]:
    """Make the file of a task and its side-car; give the side-car.

    Runs in one thread. The generator holds the interpreter's lock, so tasks belong into processes of their own.

    Raises:
        UserError: pythia8mc is not installed.
        RuntimeError: the generator fails.

    """
    root = np.random.SeedSequence(task.seed, spawn_key=task.spawn_key)
    streams = root.spawn(len(task.windows) + 1)
    rng = np.random.default_rng(streams[-1])
    number = sum(count for *_, count in task.windows)
    note: dict[str, Any] = {
        "task": task.key,
        "sample": SAMPLE,
        "generator": pythia.generator_version(),
        "seed": task.seed,
        "generated": number,
        "entries": number,
        "masses_gev": [[low, high, count] for low, high, count in task.windows],
        "sum_mcweight": float(number),
    }
    batches = _batches(task, streams[:-1], rng)
    nano_file.write(Path(directory) / task.outputs[0][1], batches, note)
    return [note]


def _batches(
    task: DitauTask, streams: list[np.random.SeedSequence], rng: np.random.Generator
) -> Iterator[tuple[Columns, dict[str, Columns]]]:
    records: list[pythia.Record] = []
    done = 0
    total = sum(count for *_, count in task.windows)
    for (low, high, count), stream in zip(task.windows, streams, strict=True):
        seed = int(stream.generate_state(1, np.uint64)[0] % _SEEDS) + 1
        generator = pythia.make(_lines(task.settings, low, high), seed)
        # The generator makes one event per call, so this loop is unavoidable; all else is done per batch.
        for record in pythia.events(generator, count):
            records.append(record.copy())
            done += 1
            if len(records) == _BATCH or done == total:
                yield _reconstruct(records, task.first_event + done - len(records), rng)
                records = []


def _lines(settings: Settings, low: float, high: float) -> list[str]:
    """Settings of a generator of masses between two limits.

    A width far beyond them leaves only the fall of the gluons' flux, a third from end to end between 50 and 60 GeV and
    little at high masses; one as wide as they are apart would halve the spectrum at both ends.
    """
    lines = [
        "Beams:eCM = 13000.",
        "HiggsSM:gg2H = on",
        f"25:m0 = {(low + high) / 2}",
        "25:doForceWidth = on",
        f"25:mWidth = {_WIDTH * (high - low)}",
        f"25:mMin = {low}",
        f"25:mMax = {high}",
        "25:onMode = off",
        "25:onIfMatch = 15 -15",
    ]
    return lines if settings.multiparton_interactions else [*lines, "PartonLevel:MPI = off"]


def _reconstruct(
    records: list[pythia.Record], first: int, rng: np.random.Generator
) -> tuple[Columns, dict[str, Columns]]:
    """Event columns and collections of a batch."""
    batch = Batch.of(records)
    truth = truth_of(batch)
    candidates = response.candidates_of(batch, rng)
    found, jets = response.jets(batch, candidates, rng)
    taus = response.hadronic_taus(truth.visible, rng)
    taus["jetIdx"] = response.jet_index(taus, found, batch.events)
    leptons = response.leptons(batch, truth, rng)
    for columns in leptons.values():
        columns["jetIdx"] = response.jet_index(columns, found, batch.events)
    electrons, muons = _renamed(leptons[11], _ELECTRON), _renamed(leptons[13], _MUON)
    muons["looseId"] = np.ones(len(muons["pt"]), np.bool_)
    electrons["convVeto"] = np.ones(len(electrons["pt"]), np.bool_)
    electrons["lostHits"] = np.zeros(len(electrons["pt"]))
    number = batch.events
    sum_et = np.asarray(np.bincount(candidates.event, candidates.pt, number), np.float64)
    scalars: Columns = {
        "run": np.ones(number),
        "luminosityBlock": 1 + np.arange(first, first + number) // 1000,
        "event": np.arange(first, first + number),
        "genWeight": np.ones(number),
        "PV_x": rng.normal(0.09, 0.002, number),
        "PV_y": rng.normal(-0.04, 0.002, number),
        "PV_z": rng.normal(0, 3.5, number),
        **response.missing_momentum(batch, sum_et, rng),
        **{f"Flag_{name}": np.ones(number, np.bool_) for name in _FLAGS},
    }
    collections = {
        "Electron": electrons, "Muon": muons, "Tau": taus, "Jet": jets,
        "GenPart": truth.particles, "GenVisTau": truth.visible,
        "GenJet": response.generated_jets(batch),
    }  # fmt: skip
    return scalars, collections


def _renamed(columns: Columns, names: dict[str, str]) -> Columns:
    return {names.get(name, name): values for name, values in columns.items()}
