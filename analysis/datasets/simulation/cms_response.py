"""A parametrised response of the CMS detector of 2011: from stable particles to particle-flow candidates.

Tracks have an efficiency and a resolution; photons and hadrons deposit their energies in cells, whose sums are smeared;
neutral energy in a cell that charged particles hit is found only where it stands out. Numbers follow the published
performance (CMS-PRF-14-001, arXiv:1706.04965) to the precision a training between neighbouring mass bins needs.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]

# Changes whenever the response does: part of what identifies a simulated file.
VERSION = 1

MINIMUM_PT = 1.0  # of a candidate [GeV]
SOFTEST = 0.3  # softer particles do not reach the calorimeter in the field [GeV]
TRACKER_ETA = 2.4
CALORIMETER_ETA = 3.0
FORWARD_ETA = 5.0
TOWER = 0.087  # hadron calorimeter, eta x phi
CRYSTALS = 0.025  # within which photons merge
CHARGED = np.array([11, 13, 211, 321, 2212, 3112, 3222, 3312, 3334])
ELECTRON, MUON, PHOTON, PION, KAON_LONG = 11, 13, 22, 211, 130
# Particle-flow candidates of the forward calorimeter: hadronic and electromagnetic.
FORWARD_HADRON, FORWARD_PHOTON = 1, 2
HADRON_RESPONSE = 0.75  # of the calorimeter to neutral hadrons


class Candidates(NamedTuple):
    """Particle-flow candidates of a batch of events, sorted by event; momenta in GeV."""

    event: Int
    pt: Float
    eta: Float
    phi: Float
    mass: Float
    pid: Int


class _Particles(NamedTuple):
    """Particles that reach the detector; `kind` is the absolute PDG number, `track` says whether it is measured."""

    event: Int
    pt: Float
    eta: Float
    phi: Float
    energy: Float
    pid: Int
    kind: Int
    track: NDArray[np.bool_]

    def take(self, mask: NDArray[np.bool_]) -> "_Particles":
        columns: list[Any] = [column[mask] for column in self]
        return _Particles(*columns)


def candidates(
    event: Int, px: Float, py: Float, pz: Float, energy: Float, pid: Int, rng: np.random.Generator
) -> Candidates:
    """Give the candidates of visible stable particles, each array of shape (particles,)."""
    particles = _reaching(event, px, py, pz, energy, pid, rng)
    parts = [_tracks(particles, rng), _photons(particles, rng), _hadrons(particles, rng), _forward(particles, rng)]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return Candidates(*(column[order] for column in columns))


def _reaching(
    event: Int, px: Float, py: Float, pz: Float, energy: Float, pid: Int, rng: np.random.Generator
) -> _Particles:
    pt = np.hypot(px, py)
    keep = (pt > SOFTEST) & (np.abs(pz) < np.sinh(FORWARD_ETA) * pt)
    event, px, py, pz, energy, pid, pt = (x[keep] for x in (event, px, py, pz, energy, pid, pt))
    eta, kind = np.arcsinh(pz / pt), np.abs(pid)
    efficiency = np.select([kind == MUON, kind == ELECTRON], [0.98, 0.90], 0.92)
    track = np.isin(kind, CHARGED) & (np.abs(eta) < TRACKER_ETA) & (rng.random(len(pt)) < efficiency)
    return _Particles(event, pt, eta, np.arctan2(py, px), energy, pid.astype(np.int64), kind.astype(np.int64), track)


def _tracks(particles: _Particles, rng: np.random.Generator) -> Candidates:
    """Electrons, muons, and all other charged particles as pions."""
    p = particles.take(particles.track)
    outer = np.abs(p.eta) > 1.5
    resolution = np.hypot(0.007 + 0.004 * outer, 1.5e-4 * p.pt * (1 + outer))
    calorimeter = np.hypot(0.01, 0.05 / np.sqrt(np.maximum(p.energy, 1.0)))
    resolution = np.where(p.kind == ELECTRON, calorimeter, resolution)
    pt = p.pt * (1.0 + resolution * rng.standard_normal(len(p.pt)))
    lepton = (p.kind == ELECTRON) | (p.kind == MUON)
    pid = np.where(lepton, p.pid, np.where(p.pid > 0, PION, -PION))
    mass = np.select([p.kind == ELECTRON, p.kind == MUON], [0.000511, 0.10566], 0.13957)
    return _above(Candidates(p.event, pt, p.eta, p.phi, mass, pid))


def _photons(particles: _Particles, rng: np.random.Generator) -> Candidates:
    """Photons, and electrons without a track."""
    electron = (particles.kind == ELECTRON) & ~particles.track
    p = particles.take(((particles.kind == PHOTON) | electron) & (np.abs(particles.eta) < CALORIMETER_ETA))
    cell, first = _cells(p, CRYSTALS)
    energy = _sum(cell, p.energy, len(first))
    eta = _sum(cell, p.energy * p.eta, len(first)) / energy
    spread = np.sqrt(0.03**2 * energy + 0.15**2 + (0.01 * energy) ** 2)
    energy = energy + spread * rng.standard_normal(len(energy))
    return _neutral(p.event[first], energy, eta, p.phi[first], PHOTON)


def _hadrons(particles: _Particles, rng: np.random.Generator) -> Candidates:
    """Neutral hadrons: what a tower has beyond the energy of the tracks that hit it."""
    light = np.isin(particles.kind, (PHOTON, MUON, ELECTRON))
    p = particles.take(~light & (np.abs(particles.eta) < CALORIMETER_ETA))
    cell, first = _cells(p, TOWER)
    total = _sum(cell, p.energy, len(first))
    eta = _sum(cell, p.energy * p.eta, len(first)) / total
    neutral = _sum(cell, np.where(p.track, 0.0, p.energy), len(first))
    charged = total - neutral
    spread = np.sqrt(1.4 * neutral + (0.10 * neutral) ** 2)
    hiding = np.sqrt(np.maximum(1.4 * charged + (0.10 * charged) ** 2, 0.0))
    smearing = spread * rng.standard_normal(len(first)) + hiding * rng.standard_normal(len(first))
    excess = HADRON_RESPONSE * neutral + smearing
    found = excess > 2.0 * hiding
    return _neutral(p.event[first][found], excess[found], eta[found], p.phi[first][found], KAON_LONG)


def _forward(particles: _Particles, rng: np.random.Generator) -> Candidates:
    p = particles.take((np.abs(particles.eta) >= CALORIMETER_ETA) & (particles.kind != MUON))
    light = (p.kind == PHOTON) | (p.kind == ELECTRON)
    spread = np.where(light, 1.0, 1.5) * np.sqrt(p.energy)
    energy = p.energy + spread * rng.standard_normal(len(spread))
    found = _neutral(p.event, energy, p.eta, p.phi, 0, threshold=-np.inf)
    return _above(found._replace(pid=np.where(light, FORWARD_PHOTON, FORWARD_HADRON)))


def _cells(p: _Particles, size: float) -> tuple[Int, Int]:
    """Give the number of each particle's cell, and for each cell one of its particles."""
    eta = np.round((p.eta + FORWARD_ETA + 1.0) / size).astype(np.int64)
    phi = np.round((p.phi + np.pi) / size).astype(np.int64)
    key = (p.event.astype(np.int64) << 24) | (eta << 12) | phi
    _, first, cell = np.unique(key, return_index=True, return_inverse=True)
    return cell, first


def _neutral(event: Int, energy: Float, eta: Float, phi: Float, pid: int, threshold: float = MINIMUM_PT) -> Candidates:
    found = Candidates(event, energy / np.cosh(eta), eta, phi, np.zeros(len(eta)), np.full(len(eta), pid))
    return _above(found, threshold)


def _above(found: Candidates, threshold: float = MINIMUM_PT) -> Candidates:
    keep = found.pt > threshold
    columns: list[Any] = [column[keep] for column in found]
    return Candidates(*columns)


def _sum(cell: Int, values: Float, number: int) -> Float:
    """Give the sum of the values in each cell."""
    return np.bincount(cell, values, number).astype(np.float64, copy=False)
