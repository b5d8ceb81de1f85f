"""The selection of dijet_anomaly once more: a plain loop over jets and events with h5py and math alone."""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py


@dataclass
class Expected:
    """Rows of the skim in the order of their first jets, and numbers and weights of the cutflow."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    weights: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def count(self, cut: str, weight: float) -> None:
        self.counts[cut] += 1
        self.weights[cut] += weight


def read_jets(path: Path) -> list[dict[str, Any]]:
    """Every jet as a dictionary of its columns, with its particles."""
    with h5py.File(path) as file:
        names = {name: [one.decode() for one in file[name].attrs["cols"]] for name in ("jets_i", "jets_f", "pfcs")}
        bounds, pfcs = file["pfcs_index"][:].tolist(), file["pfcs"][:].tolist()
        jets = []
        for number, (integers, floats) in enumerate(zip(file["jets_i"][:], file["jets_f"][:], strict=True)):
            jet = dict(zip(names["jets_i"], integers.tolist(), strict=True))
            jet |= dict(zip(names["jets_f"], floats.tolist(), strict=True))
            rows = pfcs[bounds[number] : bounds[number + 1]]
            jet["particles"] = [dict(zip(names["pfcs"], row, strict=True)) for row in rows]
            jets.append(jet)
    return jets


def mass_of(jets: list[dict[str, Any]], *, corrected: bool = False) -> float:
    """Invariant mass of the sum of four-momenta given by pT, rapidity, azimuth and mass."""
    px = py = pz = energy = 0.0
    for jet in jets:
        factor = jet["jec"] if corrected else 1.0
        pt, mass = factor * jet["jet_pt"], factor * jet["jet_m"]
        transverse = math.sqrt(pt**2 + mass**2)
        px += pt * math.cos(jet["jet_phi"])
        py += pt * math.sin(jet["jet_phi"])
        pz += transverse * math.sinh(jet["jet_y"])
        energy += transverse * math.cosh(jet["jet_y"])
    return math.sqrt(energy**2 - px**2 - py**2 - pz**2)


def select(
    path: Path, *, n_jets: int = 2, window: tuple[float, float] = (660.0, 1160.0), corrected: bool = False
) -> Expected:
    """What the default cuts make of a file, jet by jet and event by event."""
    expected = Expected()
    events: dict[tuple[int, ...], list[dict[str, Any]]] = {}
    seen = set()
    for jet in read_jets(path):
        identity = (jet["fn"], jet["rn"], jet["lbn"], jet["evn"])
        if identity not in seen:
            expected.count("events", jet["weight"])
        seen.add(identity)
        expected.count("jets", jet["weight"])
        if not 350.0 <= jet["jet_pt"] * jet["jec"] <= 450.0:
            continue
        expected.count("jets_pt", jet["weight"])
        if not abs(jet["jet_eta"]) < 1.9:
            continue
        expected.count("jets_eta", jet["weight"])
        if jet["quality"] < 2:
            continue
        expected.count("jets_quality", jet["weight"])
        expected.count("jets_selection", jet["weight"])
        events.setdefault(identity, []).append(jet)
    for identity, jets in events.items():
        expected.count("events_with_jets", jets[0]["weight"])
        if len(jets) != n_jets:
            continue
        expected.count("events_n_jets", jets[0]["weight"])
        mass = mass_of(jets, corrected=corrected)
        if not window[0] <= mass < window[1]:
            continue
        expected.count("events_mass", jets[0]["weight"])
        expected.rows.append({"identity": identity, "mjj": mass, "jets": jets})
    return expected
