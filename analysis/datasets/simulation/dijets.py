"""The simulated samples of dijet_anomaly: what a task does on a worker.

    tasks = plan(settings, samples, catalogue, luminosity=None, seed=1)
    side_cars = [generate(task, directory) for task in tasks]      # in any order, in any process

Pythia's QCD events at 7 TeV, a parametrised CMS response, anti-kt jets with R = 0.5. The weight of a jet is its event's
part of the cross section [nb], so that the weights of a sample's files add up to the sample's.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.simulation import cms_jets, cms_response, dijets_filter, mod_file, pythia
from analysis.datasets.simulation.cms_jets import Jets, Momenta
from analysis.datasets.simulation.dijets_plan import DijetTask, Settings, plan

__all__ = ["REQUIRES", "DijetTask", "Settings", "generate", "plan"]

# Packages of the extra `simulation` that a task imports.
REQUIRES = ("pythia8mc", "fastjet")

# Pythia takes seeds from 1 to 900,000,000.
_SEEDS = 900_000_000
# Events handled at once: enough for numpy to be efficient, few enough to stay in the cache.
_BATCH = 500
_NEUTRINOS = (12, 14, 16)
# Generated jets are matched to reconstructed ones from here on [GeV].
_GENERATED_PT = 250.0
_MILLIBARN = 1e6  # in nb
_EVENTS_PER_NUMBER = 1_000_000

Columns = dict[str, NDArray[Any]]


def generate(task: DijetTask, directory: str) -> list[dict[str, Any]]:
    """Make the file of a task and its side-car; give the side-car.

    Runs in one thread. The generator holds the interpreter's lock, so tasks belong into processes of their own.

    Raises:
        UserError: pythia8mc is not installed.
        RuntimeError: the generator fails.

    """
    settings = task.settings
    root = np.random.SeedSequence(task.seed, spawn_key=task.spawn_key)
    for_generator, for_response = root.spawn(2)
    hook = dijets_filter.make_filter(settings.parton_jet_pt, settings.parton_mass)
    generator = pythia.make(_lines(task), int(for_generator.generate_state(1, np.uint64)[0] % _SEEDS) + 1, hook)
    rng = np.random.default_rng(for_response)
    records: list[pythia.Record] = []
    partons: list[list[tuple[float, float, float, float, int]]] = []
    batches: list[tuple[Columns, Columns, NDArray[np.int64]]] = []
    # The generator makes one event per call, so this loop is unavoidable; all else is done per batch.
    for index, record in enumerate(pythia.events(generator, task.events), start=1):
        visible = (record["status"] > 0) & ~np.isin(np.abs(record["id"]), _NEUTRINOS)
        records.append(record[visible])
        hard = generator.process
        partons.append([(q.pT(), q.eta(), q.phi(), q.m(), q.id()) for q in (hard[5], hard[6])])
        if len(records) == _BATCH or index == task.events:
            first = task.number * _EVENTS_PER_NUMBER + index - len(records)
            batches.append(_reconstruct(records, np.array(partons), first, settings.minimum_jet_pt, rng))
            records, partons = [], []
    # What the filter gave up is not in the cross section.
    cross_section = float(generator.infoPython().sigmaGen()) * _MILLIBARN
    jets, particles, bounds = _joined(batches)
    number = len(jets["jet_pt"])
    jets |= {
        "fn": np.zeros(number),
        "rn": np.ones(number),
        "lbn": np.full(number, task.number + 1),
        "weight": np.full(number, cross_section * task.share / task.events),
    }
    sample, relative = task.outputs[0]
    note: dict[str, Any] = {
        "task": task.key,
        "sample": sample,
        "generator": pythia.generator_version(),
        "seed": task.seed,
        "tried": hook.tried,
        "generated": task.events,
        "entries": number,
        "cross_section_nb": cross_section,
        "sum_mcweight": float(jets["weight"].sum()),
    }
    origin = (f"{task.slice.low:g}", pythia.generator_version())
    mod_file.write(Path(directory) / relative, jets, particles, bounds, origin, note)
    return [note]


def _lines(task: DijetTask) -> list[str]:
    lines = [
        "Beams:eCM = 7000.",
        "HardQCD:all = on",
        f"PhaseSpace:pTHatMin = {task.slice.low}",
        f"PhaseSpace:pTHatMax = {task.slice.high}",
    ]
    return lines if task.settings.multiparton_interactions else [*lines, "PartonLevel:MPI = off"]


def _reconstruct(
    records: list[pythia.Record], partons: NDArray[Any], first: int, minimum_pt: float, rng: np.random.Generator
) -> tuple[Columns, Columns, NDArray[np.int64]]:
    """Columns of the jets of a batch, columns of their particles, and where each jet's particles begin and end."""
    events = len(records)
    event = np.repeat(np.arange(events), [len(record) for record in records])
    record = np.concatenate(records)
    px, py, pz, energy = (record[name].astype(np.float64) for name in ("px", "py", "pz", "e"))
    pt = np.maximum(np.hypot(px, py), 1e-9)
    generated = cms_jets.cluster(
        Momenta(event, pt, np.arcsinh(pz / pt), np.arctan2(py, px), record["m"].astype(np.float64)),
        events,
        _GENERATED_PT,
    ).momenta
    found = cms_response.candidates(event, px, py, pz, energy, record["id"].astype(np.int64), rng)
    candidates = Momenta(found.event, found.pt, found.eta, found.phi, found.mass)
    jets = cms_jets.cluster(candidates, events, minimum_pt / 1.25)
    corrections = cms_jets.correction(jets.momenta.eta)
    hard_enough = np.flatnonzero(jets.momenta.pt * corrections > minimum_pt)
    jets, corrections = jets.take(hard_enough), corrections[hard_enough]
    grade, neutral = cms_jets.quality(jets, found)
    momenta = jets.momenta
    columns: Columns = {
        "evn": first + momenta.event,
        "npv": np.ones(len(momenta.pt)),
        "quality": grade,
        **_momentum_columns("jet", momenta),
        "jet_eta": momenta.eta,
        "jec": corrections,
        "jet_area": np.full(len(momenta.pt), np.pi * cms_jets.RADIUS**2),
        "jet_max_nef": neutral,
    }
    columns |= cms_jets.matched(
        cms_jets.nearest(momenta, generated, cms_jets.RADIUS),
        {**_momentum_columns("gen_jet", generated), "gen_jet_eta": generated.eta},
    )
    columns |= _hard_partons(momenta, partons)
    return columns, _particle_columns(jets, candidates, found), np.diff(jets.bounds)


def _hard_partons(jets: Momenta, partons: NDArray[Any]) -> Columns:
    """The nearest outgoing parton of the hard process, of shape (events, 2, 5), as the public files name it."""
    flat = partons.reshape(-1, 5)
    hard = Momenta(np.repeat(np.arange(len(partons)), 2), *(flat[:, column] for column in range(4)))
    found = cms_jets.nearest(jets, hard, cms_jets.PARTON_RADIUS)
    columns = cms_jets.matched(found, {"hard_pt": hard.pt, "hard_y": hard.rapidity, "hard_phi": hard.phi})
    return columns | cms_jets.matched(found, {"hard_pid": flat[:, 4]}, missing=0.0)


def _momentum_columns(name: str, momenta: Momenta) -> Columns:
    return {
        f"{name}_pt": momenta.pt,
        f"{name}_y": momenta.rapidity,
        f"{name}_phi": momenta.phi,
        f"{name}_m": momenta.mass,
    }


def _particle_columns(jets: Jets, candidates: Momenta, found: cms_response.Candidates) -> Columns:
    """The particles of the jets. They are rounded to single precision, which halves the compressed size."""
    members = candidates.take(jets.members)
    columns: Columns = {"pt": members.pt, "y": members.rapidity, "phi": members.phi, "m": members.mass}
    columns = {name: values.astype(np.float32) for name, values in columns.items()}
    return columns | {"pid": found.pid[jets.members], "vertex": np.zeros(len(jets.members))}


def _joined(batches: list[tuple[Columns, Columns, NDArray[np.int64]]]) -> tuple[Columns, Columns, NDArray[np.int64]]:
    jets, particles, lengths = zip(*batches, strict=True)
    bounds = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    joined = [{name: np.concatenate([one[name] for one in parts]) for name in parts[0]} for parts in (jets, particles)]
    return joined[0], joined[1], bounds
