"""Observables of jets from their particles, for all jets at once.

Particles count as massless. Momenta are shares of the scalar sum of the jet's pT and positions are relative to the
pT-weighted mean of (y, phi), which is also what a particle flow network sees of a jet.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.dijet_pool import Particles
from training.sampling import Doubles, Indices

#: Jets that are clustered at a time: bounds the memory.
BLOCK = 20_000
#: The largest radius of fastjet: exclusive axes do not depend on distances to the beam (as KT_Axes of fjcontrib).
NO_BEAM = 1000.0


@dataclass(frozen=True)
class CentredJets:
    """Particles of n jets: `jet` (m,) says whose, `z` (m,) is the share of the jet's pT; `y` and `phi` are centred.

    `first` (n + 1,) says where the particles of each jet begin.
    """

    jet: Indices
    z: Doubles
    y: Doubles
    phi: Doubles
    first: Indices

    def __len__(self) -> int:
        return len(self.first) - 1

    def sum(self, values: Doubles) -> Doubles:
        """Sum over the particles of each jet, (n,)."""
        return np.bincount(self.jet, weights=values, minlength=len(self)).astype(np.float64)


def centred_jets(particles: Particles, jets: Indices) -> CentredJets:
    """The particles of chosen jets, in shares of the jet's pT and relative to its axis.

    The axis is the pT-weighted mean; azimuths are unwrapped around the jet's first particle before.

    Raises:
        ValueError: if a jet has no particle with pT.
    """
    jet, rows, first = _rows(particles, jets)
    pt, y, phi = (np.asarray(values[rows], np.float64) for values in (particles.pt, particles.y, particles.phi))
    total = np.bincount(jet, weights=pt, minlength=len(jets))
    if np.any(total <= 0):
        raise ValueError(f"{np.count_nonzero(total <= 0)} jets have no particle with a transverse momentum.")
    z = pt / total[jet]
    reference = phi[first[:-1]][jet]
    phi = np.remainder(phi - reference + np.pi, 2 * np.pi) - np.pi
    mean = [np.bincount(jet, weights=z * values, minlength=len(jets))[jet] for values in (y, phi)]
    return CentredJets(jet, z, y - mean[0], phi - mean[1], first)


def _rows(particles: Particles, jets: Indices) -> tuple[Indices, Indices, Indices]:
    """Of chosen jets, nothing else of the pool: whose each particle is, its number, and where a jet's begin."""
    begin = particles.offsets[jets]
    length = particles.offsets[jets + 1] - begin
    first = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    jet = np.repeat(np.arange(len(jets)), length)
    return jet, begin[jet] + np.arange(first[-1]) - first[:-1][jet], first


def multiplicity(jets: CentredJets) -> Doubles:
    """Number of particles."""
    return np.diff(jets.first).astype(np.float64)


def mass(jets: CentredJets) -> Doubles:
    """Invariant mass of the massless particles over the scalar sum of their pT."""
    px, py = jets.sum(jets.z * np.cos(jets.phi)), jets.sum(jets.z * np.sin(jets.phi))
    plus, minus = jets.sum(jets.z * np.exp(jets.y)), jets.sum(jets.z * np.exp(-jets.y))
    return np.sqrt(np.maximum(plus * minus - px * px - py * py, 0.0))


def ptd(jets: CentredJets) -> Doubles:
    """sqrt(sum pT^2) / sum pT (CMS-PAS-JME-13-002): 1 for a single particle, small for many soft ones."""
    return np.sqrt(jets.sum(jets.z * jets.z))


def width(jets: CentredJets) -> Doubles:
    """Sum of pT times the distance to the axis over the sum of pT (arXiv:1106.3076, girth)."""
    return jets.sum(jets.z * np.hypot(jets.y, jets.phi))


def tau21(jets: CentredJets) -> Doubles:
    """N-subjettiness ratio tau_2 / tau_1 with beta = 1 on exclusive kT axes (arXiv:1011.2268, equation 2.2).

    0 for a jet that a single axis describes (tau_1 = 0). The normalisation of tau_N cancels.
    """
    one, two = subjettiness(jets, 1), subjettiness(jets, 2)
    return np.divide(two, one, out=np.zeros_like(two), where=one > 1e-12)


def subjettiness(jets: CentredJets, axes: int) -> Doubles:
    """tau_N = sum of pT times the distance to the nearest of N exclusive kT axes over the sum of pT, (n,).

    0 for a jet with no more than N particles. The distance unit (the jet radius of the definition) is 1.
    """
    result = np.zeros(len(jets))
    many = np.flatnonzero(np.diff(jets.first) > axes)
    for start in range(0, len(many), BLOCK):
        block = many[start : start + BLOCK]
        result[block] = _subjettiness(jets, block, axes)
    return result


def _subjettiness(jets: CentredJets, block: Indices, axes: int) -> Doubles:
    length = np.diff(jets.first)[block]
    jet = np.repeat(np.arange(len(block)), length)
    rows = np.arange(len(jet)) + (jets.first[block] - np.concatenate([[0], np.cumsum(length)[:-1]]))[jet]
    z, y, phi = jets.z[rows], jets.y[rows], jets.phi[rows]
    axis_y, axis_phi = _exclusive_axes(z, y, phi, length, axes)
    separation = np.remainder(phi[:, None] - axis_phi[jet] + np.pi, 2 * np.pi) - np.pi
    distance = np.hypot(y[:, None] - axis_y[jet], separation).min(axis=1)
    return np.bincount(jet, weights=z * distance, minlength=len(block)).astype(np.float64)


def _exclusive_axes(z: Doubles, y: Doubles, phi: Doubles, length: Indices, axes: int) -> tuple[Doubles, Doubles]:
    """Rapidity and azimuth, each (n, axes), of the exclusive kT jets of n sets of particles."""
    import awkward as ak
    import fastjet
    import vector

    vector.register_awkward()
    momenta = ak.zip(
        {"px": z * np.cos(phi), "py": z * np.sin(phi), "pz": z * np.sinh(y), "E": z * np.cosh(y)},
        with_name="Momentum4D",
    )
    definition = fastjet.JetDefinition(fastjet.kt_algorithm, NO_BEAM)
    with warnings.catch_warnings():
        # fastjet's array interface warns about exclusive jets whatever the algorithm; for kT they are what is meant.
        warnings.filterwarnings("ignore", message="dcut and exclusive jets")
        found = fastjet.ClusterSequence(ak.unflatten(momenta, length), definition).exclusive_jets(n_jets=axes)
    px, py, pz, energy = (ak.to_numpy(ak.flatten(found[name])).reshape(-1, axes) for name in ("px", "py", "pz", "E"))
    axis_y = 0.5 * np.log(np.maximum(energy + pz, 1e-300) / np.maximum(energy - pz, 1e-300))
    return axis_y, np.arctan2(py, px)


_OBSERVABLES: Mapping[str, Callable[[CentredJets], Doubles]] = {
    "multiplicity": multiplicity, "mass": mass, "ptd": ptd, "width": width, "tau21": tau21,
}  # fmt: skip


def observables(particles: Particles, jets: Indices, names: Sequence[str]) -> NDArray[np.float64]:
    """Values of the named observables of chosen jets, (jets, names)."""
    centred = centred_jets(particles, jets)
    return np.stack([_OBSERVABLES[name](centred) for name in names], axis=1)


def transverse_momentum(particles: Particles, jets: Indices) -> Doubles:
    """Scalar sum of the particles' pT of chosen jets [GeV], which no classifier sees."""
    jet, rows, _ = _rows(particles, jets)
    return np.bincount(jet, weights=particles.pt[rows], minlength=len(jets)).astype(np.float64)


def check_available(names: Sequence[str]) -> None:
    """Raise ValueError where an observable needs a package that is not there."""
    if "tau21" in names and importlib.util.find_spec("fastjet") is None:
        raise ValueError(
            "trees.observables: tau21 needs the package fastjet (pip install 'hepbatch[simulation]'); without "
            "it, leave tau21 out of the list."
        )
