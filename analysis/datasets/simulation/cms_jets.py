"""Jets of simulated CMS events: anti-kt clustering, energy correction, quality, and what each jet is matched to."""

from collections.abc import Mapping
from dataclasses import dataclass

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from analysis.datasets.simulation import cms_response

Float = NDArray[np.float64]
Int = NDArray[np.int64]

RADIUS = 0.5
# A parton belongs to a jet within twice the radius; the public files hold the nearest one, too.
PARTON_RADIUS = 1.0
# Median of generated over reconstructed pT of jets around 400 GeV in `cms_response`, at abs(eta).
_CORRECTION_ETA = np.array([0.25, 0.75, 1.25, 1.75, 2.25])
_CORRECTION = np.array([1.0465, 1.0474, 1.0427, 1.0421, 1.0411])
_CHARGED = (11, 13, 211)
# Fractions of neutral hadrons and of photons below which a jet is loose, medium, tight.
_NEUTRAL_LIMITS = (0.99, 0.95, 0.90)


@dataclass(frozen=True)
class Momenta:
    """Objects of a batch of events, sorted by event."""

    event: Int
    pt: Float
    eta: Float
    phi: Float
    mass: Float

    @property
    def pz(self) -> Float:
        """Momentum along the beam [GeV]."""
        return np.asarray(self.pt * np.sinh(self.eta))

    @property
    def rapidity(self) -> Float:
        """Rapidity; arcsinh(pz / mT) keeps its precision along the beam."""
        return np.asarray(np.arcsinh(self.pz / np.hypot(self.pt, self.mass)))

    def take(self, which: Int) -> "Momenta":
        """Some of them."""
        return Momenta(self.event[which], self.pt[which], self.eta[which], self.phi[which], self.mass[which])


@dataclass(frozen=True)
class Jets:
    """Jets by event and falling pt; the constituents of jet i are `members[bounds[i]:bounds[i + 1]]`."""

    momenta: Momenta
    members: Int
    bounds: Int

    def take(self, which: Int) -> "Jets":
        """Some of the jets, with their constituents."""
        length = np.diff(self.bounds)[which]
        bounds = np.concatenate([[0], np.cumsum(length)])
        rows = np.repeat(self.bounds[:-1][which] - bounds[:-1], length) + np.arange(bounds[-1])
        return Jets(self.momenta.take(which), self.members[rows], bounds)


def cluster(particles: Momenta, events: int, minimum_pt: float, radius: float = RADIUS) -> Jets:
    """Give the jets with more than `minimum_pt` [GeV]."""
    import fastjet

    counts = np.bincount(particles.event, minlength=events)
    pz = particles.pz
    vectors = ak.zip(
        {
            "px": particles.pt * np.cos(particles.phi),
            "py": particles.pt * np.sin(particles.phi),
            "pz": pz,
            "E": np.sqrt(particles.pt**2 + pz**2 + particles.mass**2),
        },
        with_name="Momentum4D",
    )
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, radius)
    sequence = fastjet.ClusterSequence(ak.unflatten(vectors, counts), definition)
    found, constituents = sequence.inclusive_jets(min_pt=minimum_pt), sequence.constituent_index(min_pt=minimum_pt)
    event = np.repeat(np.arange(events), ak.to_numpy(ak.num(found)))
    px, py, z, energy = (ak.to_numpy(ak.flatten(found[name])) for name in ("px", "py", "pz", "E"))
    pt = np.hypot(px, py)
    mass = np.sqrt(np.maximum((energy - z) * (energy + z) - pt**2, 0.0))
    length = ak.to_numpy(ak.flatten(ak.num(constituents, axis=2)))
    offset = (np.cumsum(counts) - counts)[event]
    members = ak.to_numpy(ak.flatten(constituents, axis=None)) + np.repeat(offset, length)
    bounds = np.concatenate([[0], np.cumsum(length)])
    jets = Jets(Momenta(event, pt, np.arcsinh(z / pt), np.arctan2(py, px), mass), members, bounds)
    return jets.take(np.lexsort((-pt, event)))


def correction(eta: Float) -> Float:
    """Give the factor by which a jet's energy is corrected."""
    return np.asarray(np.interp(np.abs(eta), _CORRECTION_ETA, _CORRECTION), dtype=np.float64)


def nearest(jets: Momenta, others: Momenta, radius: float) -> Int:
    """Give for each jet the nearest of `others` of its event in (rapidity, phi) within the radius, or -1."""
    first = np.searchsorted(others.event, jets.event, "left")
    number = np.searchsorted(others.event, jets.event, "right") - first
    found = np.full(len(jets.pt), -1)
    closest = np.full(len(jets.pt), radius**2)
    y, other_y = jets.rapidity, others.rapidity
    for step in range(int(number.max(initial=0))):  # the most objects in one event: a few
        rows = np.flatnonzero(number > step)
        other = first[rows] + step
        turn = np.abs(jets.phi[rows] - others.phi[other])
        distance = (y[rows] - other_y[other]) ** 2 + np.minimum(turn, 2.0 * np.pi - turn) ** 2
        better = distance < closest[rows]
        found[rows[better]], closest[rows[better]] = other[better], distance[better]
    return found


def quality(jets: Jets, found: cms_response.Candidates) -> tuple[Int, Float]:
    """Give the quality of each jet (0 none, 1 loose, 2 medium, 3 tight) and its largest neutral energy fraction.

    The requirements are those of CMS for 2011 (arXiv:1704.05842, table 1).
    """
    owner = np.repeat(np.arange(len(jets.momenta.pt)), np.diff(jets.bounds))
    kind = np.abs(found.pid[jets.members])
    energy = found.pt[jets.members] * np.cosh(found.eta[jets.members])
    number = len(jets.momenta.pt)
    total = np.maximum(np.bincount(owner, energy, number), 1e-9)

    def fraction(*kinds: int) -> Float:
        return np.asarray(np.bincount(owner, energy * np.isin(kind, kinds), number) / total)

    neutral = np.maximum(
        fraction(cms_response.KAON_LONG, cms_response.FORWARD_HADRON),
        fraction(cms_response.PHOTON, cms_response.FORWARD_PHOTON),
    )
    charged = np.bincount(owner, np.isin(kind, _CHARGED), number)
    central = np.abs(jets.momenta.eta) < cms_response.TRACKER_ETA
    good = (np.diff(jets.bounds) > 1) & (~central | ((charged > 0) & (fraction(cms_response.ELECTRON) < 0.99)))
    steps = np.sum([neutral < limit for limit in _NEUTRAL_LIMITS], axis=0)
    return np.asarray(good * steps, dtype=np.int64), neutral


def matched(found: Int, values: Mapping[str, Float], missing: float = -1.0) -> dict[str, Float]:
    """Give the values of the matched objects, `missing` where there is none."""
    there = found >= 0
    out = {}
    for name, column in values.items():
        out[name] = np.full(len(found), missing)
        out[name][there] = column[found[there]]
    return out
