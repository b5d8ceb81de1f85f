"""Small ROOT files in the format of the ATLAS Open Data: tree `mini`, leaf-count arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot


@dataclass(frozen=True)
class Lepton:
    """One reconstructed lepton; momenta in MeV as in the files."""

    pt: float
    eta: float
    phi: float
    charge: int
    type: int
    etcone20: float = 0.0
    d0: float = 0.0
    d0_error: float = 0.01


@dataclass(frozen=True)
class Event:
    """One event; the weights count for simulated files only."""

    leptons: Sequence[Lepton]
    run: int = 1
    number: int = 1
    mc_weight: float = 1.0
    pileup: float = 1.0
    electron: float = 1.0
    muon: float = 1.0
    trigger: float = 1.0


LEPTON_TYPES = {
    "pt": ("pt", np.float32),
    "eta": ("eta", np.float32),
    "phi": ("phi", np.float32),
    "charge": ("charge", np.float32),
    "type": ("type", np.uint32),
    "etcone20": ("etcone20", np.float32),
    "trackd0pvunbiased": ("d0", np.float32),
    "tracksigd0pvunbiased": ("d0_error", np.float32),
}
EVENT_TYPES = {
    "runNumber": ("run", np.int32),
    "eventNumber": ("number", np.int32),
    "mcWeight": ("mc_weight", np.float32),
    "scaleFactor_PILEUP": ("pileup", np.float32),
    "scaleFactor_ELE": ("electron", np.float32),
    "scaleFactor_MUON": ("muon", np.float32),
    "scaleFactor_TRIGGER": ("trigger", np.float32),
}


def write_mini(
    path: Path,
    events: Sequence[Event],
    *,
    tree: str = "mini",
    without: Sequence[str] = (),
    basket: int = 1000,
    extra_trees: Sequence[str] = (),
) -> Path:
    """Writes the events to `path` and returns it.

    `without` leaves branches out (by full name: lep_pt, mcWeight, ...), `basket` is the number of entries per basket,
    `extra_trees` adds further trees of one number.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lepton_types = {k: v for k, v in LEPTON_TYPES.items() if f"lep_{k}" not in without}
    event_types = {k: v for k, v in EVENT_TYPES.items() if k not in without}
    types: dict[str, Any] = {name: np.dtype(dtype) for name, (_, dtype) in event_types.items()}
    sample = ak.zip({name: ak.unflatten(np.zeros(1, dtype), [1]) for name, (_, dtype) in lepton_types.items()})
    types["lep"] = sample.type.content
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        for name in extra_trees:
            file.mktree(name, {"number": "float32"}).extend({"number": np.zeros(3, np.float32)})
        output = file.mktree(
            tree, types, counter_name=lambda group: f"{group}_n", field_name=lambda group, name: f"{group}_{name}"
        )
        for start in range(0, len(events), basket):
            output.extend(_columns(events[start : start + basket], lepton_types, event_types))
    return path


def _columns(events: Sequence[Event], lepton_types: dict[str, Any], event_types: dict[str, Any]) -> dict[str, Any]:
    counts = np.array([len(event.leptons) for event in events])
    leptons = [lepton for event in events for lepton in event.leptons]
    columns: dict[str, Any] = {
        name: np.array([getattr(event, attribute) for event in events], dtype)
        for name, (attribute, dtype) in event_types.items()
    }
    columns["lep"] = ak.zip(
        {
            name: ak.unflatten(np.array([getattr(lepton, attribute) for lepton in leptons], dtype), counts)
            for name, (attribute, dtype) in lepton_types.items()
        }
    )
    return columns


@dataclass
class EventMaker:
    """Random events that populate every cut on both sides, with values exactly at the thresholds among them."""

    seed: int = 1
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def lepton(self) -> Lepton:
        rng = self.rng
        kind = int(rng.choice([11, 13]))
        pt = float(rng.choice([6000.0, 7000.0, 10000.0, 15000.0, 20000.0, 50000.0]))
        if rng.random() < 0.8:
            pt = float(np.float32(4500.0 + rng.exponential(30000.0)))
        error = float(rng.choice([0.0, 0.125, 0.5])) if rng.random() < 0.1 else 0.01
        significance = float(rng.choice([3.5, -3.5, 6.5, -6.5])) if rng.random() < 0.05 else float(rng.normal(0, 1.5))
        phi = float(rng.choice([np.pi, -np.pi, 3.1, -3.1])) if rng.random() < 0.1 else float(rng.uniform(-np.pi, np.pi))
        isolation = float(rng.choice([0.2, 0.3])) if rng.random() < 0.05 else float(rng.normal(0.05, 0.1))
        return Lepton(
            pt=pt,
            eta=float(rng.uniform(-2.5, 2.5)),
            phi=float(np.clip(np.float32(phi), -3.1415925, 3.1415925)),
            charge=int(rng.choice([-1, 1])),
            type=kind,
            etcone20=isolation * pt,
            d0=significance * error,
            d0_error=error,
        )

    def _near(self, lepton: Lepton) -> Lepton:
        other = self.lepton()
        eta = lepton.eta + float(self.rng.normal(0, 0.12))
        phi = lepton.phi + float(self.rng.normal(0, 0.12))
        phi = float((phi + np.pi) % (2 * np.pi) - np.pi)
        return Lepton(other.pt, eta, phi, -lepton.charge, lepton.type, other.etcone20, other.d0, other.d0_error)

    def event(self, number: int) -> Event:
        rng = self.rng
        count = int(rng.choice([3, 4, 5, 6, 7], p=[0.03, 0.8, 0.1, 0.05, 0.02]))
        leptons = [self.lepton() for _ in range(count)]
        if rng.random() < 0.7:  # two pairs, so that the later cuts see events
            for i in (0, 2) if count >= 4 else ():
                pair = leptons[i]
                leptons[i + 1] = Lepton(
                    leptons[i + 1].pt, leptons[i + 1].eta, leptons[i + 1].phi, -pair.charge, pair.type,
                    leptons[i + 1].etcone20, leptons[i + 1].d0, leptons[i + 1].d0_error,
                )  # fmt: skip
        if rng.random() < 0.1 and count >= 4:
            leptons[1] = self._near(leptons[0])
        if rng.random() < 0.7:
            leptons.sort(key=lambda lepton: -lepton.pt)
        weights = rng.normal(1.0, 0.2, 4)
        mc_weight = float(rng.choice([1.0, -1.0, 875156.2, 0.0]))
        return Event(leptons, 195847, number, mc_weight, *(float(weight) for weight in weights))

    def events(self, count: int) -> list[Event]:
        return [self.event(number) for number in range(count)]
