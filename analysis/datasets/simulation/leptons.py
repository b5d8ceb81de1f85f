"""The simulated samples of lepton_id: leptons of ttbar events, as TTree `worldTree`; what a task does on a worker.

    tasks = plan(settings, samples, catalogue, luminosity=None, seed=1)
    side_cars = [generate(task, directory) for task in tasks]      # in any order, in any process

Pythia's ttbar events at 13 TeV without underlying event and hadrons, which the leptons do not need. The electrons and
muons of the decays of the W bosons are kept as they are after QED showering, with E from p and the mass in double
precision. One sample stores all numbers in single precision, as the source's file does, the other in double precision.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.simulation import pythia
from analysis.datasets.simulation.leptons_plan import PRECISIONS, LeptonTask, Settings, plan
from analysis.files import replacing, write_json
from processors.lepton_mass import ELECTRON_MASS, MUON_MASS

__all__ = ["REQUIRES", "LeptonTask", "Settings", "generate", "plan"]

# Packages of the extra `simulation` that a task imports.
REQUIRES = ("pythia8mc",)

TREE = "worldTree"
# Pythia takes seeds from 1 to 900,000,000.
_SEEDS = 900_000_000
_ELECTRON, _MUON, _W = 11, 13, 24
_LINES = (
    "Beams:eCM = 13000.",
    "Top:gg2ttbar = on",
    "Top:qqbar2ttbar = on",
    "PartonLevel:MPI = off",
    "HadronLevel:all = off",
)


@dataclass(frozen=True)
class Leptons:
    """Selected leptons (n,) of all events one after another, by falling pT, and how many each event has."""

    counts: NDArray[np.int64]
    values: Mapping[str, NDArray[Any]]


def generate(task: LeptonTask, directory: str) -> list[dict[str, Any]]:
    """Make the files of a task and their side-cars; give the side-cars.

    Runs in one thread. The generator holds the interpreter's lock, so tasks belong into processes of their own.

    Raises:
        UserError: pythia8mc is not installed.
        RuntimeError: the generator fails.

    """
    root = np.random.SeedSequence(task.seed, spawn_key=task.spawn_key)
    generator = pythia.make(_LINES, int(root.generate_state(1, np.uint64)[0] % _SEEDS) + 1)
    # The generator makes one event per call, so this loop is unavoidable; all else is done for all events at once.
    found = [from_w(record) for record in pythia.events(generator, task.events)]
    leptons = select(found, task.settings)
    notes = []
    for sample, relative in task.outputs:
        path = Path(directory) / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, leptons, PRECISIONS[sample])
        note: dict[str, Any] = {
            "task": task.key,
            "sample": sample,
            "generator": pythia.generator_version(),
            "seed": task.seed,
            "generated": task.events,
            "entries": len(leptons.counts),
            "leptons": int(leptons.counts.sum()),
            "sum_mcweight": float(len(leptons.counts)),
        }
        write_json(path.with_name(f"{path.name}.json"), note)
        notes.append(note)
    return notes


def from_w(record: pythia.Record) -> pythia.Record:
    """Copies of the final electrons and muons that stem from a W, directly or through copies of themselves."""
    kind = np.abs(record["id"])
    final = np.flatnonzero((record["status"] > 0) & ((kind == _ELECTRON) | (kind == _MUON)))
    mother = record["mother1"][final]
    while (same := kind[mother] == kind[final]).any():
        mother = np.where(same, record["mother1"][mother], mother)
    chosen: pythia.Record = record[final[kind[mother] == _W]]
    return chosen


def select(found: list[pythia.Record], settings: Settings) -> Leptons:
    """pT, eta, phi, E and flavour of the leptons of the events `found` within the limits; all in double precision.

    Events without such a lepton are left out: the source's file has none.
    """
    event = np.repeat(np.arange(len(found)), [len(record) for record in found])
    record = np.concatenate(found)
    px, py, pz = (record[name].astype(np.float64) for name in ("px", "py", "pz"))
    muon = np.abs(record["id"]) == _MUON
    pt = np.hypot(px, py)
    mass = np.where(muon, MUON_MASS, ELECTRON_MASS)
    values = {
        "pt": pt,
        "eta": np.arcsinh(pz / pt),
        "phi": np.arctan2(py, px),
        "e": np.sqrt(px * px + py * py + pz * pz + mass * mass),
        "isMuon": muon.astype(np.int32),
    }
    kept = np.flatnonzero((pt > settings.lepton_pt) & (np.abs(values["eta"]) < settings.lepton_eta))
    order = kept[np.lexsort((-pt[kept], event[kept]))]
    counts = np.bincount(event[order], minlength=len(found))
    return Leptons(counts[counts > 0], {name: column[order] for name, column in values.items()})


def _write(path: Path, leptons: Leptons, kind: str) -> None:
    import awkward as ak
    import uproot

    columns = {
        name: ak.unflatten(column if name == "isMuon" else column.astype(kind), leptons.counts)
        for name, column in leptons.values.items()
    }
    record = ak.zip(columns)
    with replacing(path) as temporary, uproot.recreate(temporary) as file:
        tree = file.mktree(
            TREE,
            {"lepton": record.type.content},
            counter_name=lambda name: f"eve.n{name}_",
            field_name=lambda outer, inner: f"eve.{outer}_{inner}_",
        )
        tree.extend({"lepton": record})
