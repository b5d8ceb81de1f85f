"""The Higgs boson, its taus and their decay products in generator records, for a batch of events at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.simulation.cms_jets import Momenta
from analysis.datasets.simulation.pythia import Record

Float = NDArray[np.float64]
Int = NDArray[np.int64]

HIGGS, TAU = 25, 15
NEUTRINOS = (12, 14, 16)
LEPTONS = (11, 13)
# Neither of a tau's decay is a charged particle.
_NEUTRAL = (111, 22, 130, 310, 311, 221, 223)
# NanoAOD's statusFlags: isPrompt, isDecayedLeptonHadron and so on, by their bits.
_PROMPT, _TAU_PRODUCT, _PROMPT_TAU_PRODUCT, _HARD_PROCESS, _FROM_HARD, _LAST_COPY = 0, 2, 3, 7, 8, 13
# A decay mode that is none of NanoAOD's: more than three charged particles.
OTHER = 5


@dataclass(frozen=True)
class Batch:
    """Records of several events, one after another; `event` numbers them from 0 on, `links` are places in `record`."""

    record: Record
    event: Int
    base: Int
    events: int

    @classmethod
    def of(cls, records: list[Record]) -> "Batch":
        """Join the records of events."""
        lengths = np.array([len(one) for one in records], np.int64)
        start = np.cumsum(lengths) - lengths
        event = np.repeat(np.arange(len(records)), lengths)
        return cls(np.concatenate(records), event, start[event], len(records))

    def column(self, name: str) -> Float:
        """A column in double precision."""
        return np.asarray(self.record[name], np.float64)

    def momenta(self, which: Int) -> Momenta:
        """The momenta of some particles; of very soft ones the direction is cut off."""
        px, py, pz, energy = (self.column(name)[which] for name in ("px", "py", "pz", "e"))
        return momenta(self.event[which], px, py, pz, energy)


def momenta(event: Int, px: Float, py: Float, pz: Float, energy: Float) -> Momenta:
    """Momenta from their components."""
    pt = np.maximum(np.hypot(px, py), 1e-9)
    mass = np.sqrt(np.maximum((energy - pz) * (energy + pz) - px**2 - py**2, 0.0))
    return Momenta(event, pt, np.arcsinh(pz / pt), np.arctan2(py, px), mass)


@dataclass(frozen=True)
class Truth:
    """What the generator says of a batch.

    Attributes:
        particles: columns of GenPart, and `event`.
        rows: the place in the batch of each of those.
        visible: columns of GenVisTau, and `event`: momenta, `charge`, `status` (decay mode), `genPartIdxMother`.
        leptons: place in the batch of each electron and muon of a tau, and its row of GenPart.

    """

    particles: dict[str, NDArray[Any]]
    rows: Int
    visible: dict[str, NDArray[Any]]
    leptons: tuple[Int, Int]


def truth_of(batch: Batch) -> Truth:
    """Find the boson, its two taus and their products.

    Raises:
        RuntimeError: an event has not exactly two taus of a Higgs boson.

    """
    kind = np.abs(batch.record["id"].astype(np.int64))
    boson = np.full(batch.events, -1)
    found = np.flatnonzero(kind == HIGGS)
    boson[batch.event[found]] = found  # the last copy wins
    taus = _decaying_taus(batch, kind)
    if np.any(boson < 0) or not np.array_equal(batch.event[taus], np.repeat(np.arange(batch.events), 2)):
        raise RuntimeError("an event of H -> tau tau has not exactly two taus of a Higgs boson")
    first, number = _daughters(batch, taus)
    product = np.repeat(first, number) + _within(number)
    owner = np.repeat(np.arange(len(taus)), number)
    # Rows of an event: the boson, the first tau, its products, the second tau, its products.
    rows = np.concatenate([boson, taus, product])
    event = batch.event[rows]
    of_tau = np.concatenate([np.full(len(boson), -1), np.arange(len(taus)), owner])
    level = np.concatenate([np.zeros(len(boson)), np.ones(len(taus)), np.full(len(product), 2)]).astype(np.int64)
    order = np.lexsort((rows, level, of_tau, event))
    rows, event, of_tau, level = rows[order], event[order], of_tau[order], level[order]
    local = np.arange(len(rows)) - np.searchsorted(event, event)
    tau_row = np.zeros(len(taus), np.int64)
    tau_row[of_tau[level == 1]] = local[level == 1]
    flags = np.choose(level, [
        (1 << _HARD_PROCESS) | (1 << _LAST_COPY),
        (1 << _PROMPT) | (1 << _FROM_HARD) | (1 << _LAST_COPY),
        (1 << _TAU_PRODUCT) | (1 << _PROMPT_TAU_PRODUCT) | (1 << _LAST_COPY),
    ])  # fmt: skip
    final = batch.record["status"][rows] > 0
    moving = batch.momenta(rows)
    particles: dict[str, NDArray[Any]] = {
        "event": event, "pt": moving.pt, "eta": moving.eta, "phi": moving.phi, "mass": batch.column("m")[rows],
        "pdgId": batch.record["id"][rows], "status": np.where(level == 0, 62, np.where(final, 1, 2)),
        "genPartIdxMother": np.where(level == 0, -1, np.where(level == 1, 0, tau_row[of_tau])), "statusFlags": flags,
    }  # fmt: skip
    lepton = np.flatnonzero((level == 2) & np.isin(kind[rows], LEPTONS))
    return Truth(particles, rows, _visible(batch, kind, taus, product, owner, tau_row), (rows[lepton], local[lepton]))


def _decaying_taus(batch: Batch, kind: Int) -> Int:
    """Last copies of taus that come from a Higgs boson, by event."""
    taus = np.flatnonzero((kind == TAU) & (batch.record["status"] < 0))
    first, number = _daughters(batch, taus)
    daughter = kind[np.repeat(first, number) + _within(number)]
    owner = np.repeat(np.arange(len(taus)), number)
    taus = taus[np.bincount(owner, daughter == TAU, len(taus)) == 0]
    mother = batch.record["mother1"].astype(np.int64) + batch.base
    above = mother[taus]
    while np.any(kind[above] == TAU):
        above = np.where(kind[above] == TAU, mother[above], above)
    return np.asarray(taus[kind[above] == HIGGS])


def _daughters(batch: Batch, which: Int) -> tuple[Int, Int]:
    """Place of the first daughter, and their number."""
    first = batch.record["daughter1"][which].astype(np.int64)
    last = np.maximum(batch.record["daughter2"][which].astype(np.int64), first)
    return first + batch.base[which], last - first + 1


def _visible(batch: Batch, kind: Int, taus: Int, product: Int, owner: Int, tau_row: Int) -> dict[str, NDArray[Any]]:
    """The visible part of hadronic taus."""
    seen = ~np.isin(kind[product], NEUTRINOS)
    lepton = np.bincount(owner, np.isin(kind[product], LEPTONS), len(taus)) > 0
    px, py, pz, energy = (
        np.asarray(np.bincount(owner, batch.column(name)[product] * seen, len(taus)), np.float64)
        for name in ("px", "py", "pz", "e")
    )
    total = momenta(batch.event[taus], px, py, pz, energy)
    charged = np.bincount(owner, seen & ~np.isin(kind[product], _NEUTRAL), len(taus)).astype(np.int64)
    pions = np.bincount(owner, kind[product] == 111, len(taus)).astype(np.int64)
    mode = np.select([charged == 1, charged == 3], [np.minimum(pions, 2), 10 + np.minimum(pions, 1)], OTHER)
    kept = ~lepton
    return {
        "event": total.event[kept], "pt": total.pt[kept], "eta": total.eta[kept], "phi": total.phi[kept],
        "mass": total.mass[kept], "charge": -np.sign(batch.record["id"][taus][kept]).astype(np.int64),
        "status": mode[kept], "genPartIdxMother": tau_row[kept],
    }  # fmt: skip


def _within(number: Int) -> Int:
    """0, 1, ... for each group of so many."""
    return np.asarray(np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number))
