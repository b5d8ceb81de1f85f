"""From event records to lepton candidates: prompt leptons, decays of b and c hadrons, misidentified particles.

Records of many events are handled at once as flat arrays. Semileptonic decays are forced in the generator
(`pythia.force_semileptonic`), so that every b or c hadron gives a candidate whose probability is its branching
fraction times the reconstruction efficiency; hadrons and photons are candidates with small misidentification
probabilities. `combinations.draw` decides which candidates of an event are reconstructed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.simulation import atlas_response as response
from analysis.datasets.simulation.pythia import Record

Float = NDArray[np.float64]
Int = NDArray[np.int64]

NEUTRINOS = (12, 14, 16)
_BOSONS = (23, 24)
_LEPTON_COPIES = (11, 13, 15)
_CHARGED_HADRONS = (211, 321, 2212, 3112, 3222, 3312, 3334)
_CHARGED = (11, 13, *_CHARGED_HADRONS)


@dataclass(frozen=True)
class Particles:
    """Records of a batch as flat arrays; momenta in GeV, vertices in mm.

    Attributes:
        event: number of the event in the batch, ascending.
        mother: index of the first mother in these arrays.
        final: indices of the final particles.
        first, number: where the event's final particles start in `final`, and how many there are.

    """

    event: Int
    pdg: Int
    mother: Int
    px: Float
    py: Float
    pz: Float
    e: Float
    vx: Float
    vy: Float
    final: Int
    first: Int
    number: Int
    n_events: int

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Particles":
        """Concatenate records."""
        sizes = np.array([len(r) for r in records])
        start = np.cumsum(sizes) - sizes
        rec = np.concatenate(records)
        event = np.repeat(np.arange(len(records)), sizes)
        final = np.flatnonzero(rec["status"] > 0)
        number = np.bincount(event[final], minlength=len(records))
        column = {k: np.ascontiguousarray(rec[k]) for k in ("px", "py", "pz", "e", "vx", "vy")}
        return cls(
            event=event,
            pdg=rec["id"].astype(np.int64),
            mother=rec["mother1"] + start[event],
            final=final,
            first=np.cumsum(number) - number,
            number=number,
            n_events=len(records),
            **column,
        )


@dataclass(frozen=True)
class Candidates:
    """Reconstructible leptons, sorted by event; pt in GeV, d0 in mm, angles in radians.

    Attributes:
        row: index of the particle in `Particles`.
        kind: 11 or 13, what it is reconstructed as.
        quark: heavy quark that a lepton from a b or c hadron stems from, 5 or 4 with its sign; 0 for all others.
        promising: whether a non-prompt candidate may pass the usual quality cuts.
        cone_et: visible transverse energy within dR < 0.2 as the calorimeter sees it, without the lepton [GeV].
        cone_pt: sum of pt of reconstructed tracks above 1 GeV within dR < 0.3, without the lepton's [GeV].
        probability: to be reconstructed; 1 for the prompt ones, of which only the reconstructed are listed.

    """

    event: Int
    row: Int
    kind: Int
    charge: Float
    prompt: NDArray[np.bool_]
    misidentified: NDArray[np.bool_]
    quark: Int
    promising: NDArray[np.bool_]
    pt: Float
    eta: Float
    phi: Float
    d0: Float
    cone_et: Float
    cone_pt: Float
    probability: Float

    def take(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> "Candidates":
        """Select candidates by index or mask."""
        return Candidates(**{name: getattr(self, name)[which] for name in self.__dataclass_fields__})

    def with_events(self, event: Int) -> "Candidates":
        """Replace the event numbers."""
        return replace(self, event=event)


def delta_phi(a: Float, b: Float) -> Float:
    """Give a - b wrapped to [-pi, pi)."""
    wrapped: Float = (a - b + np.pi) % (2.0 * np.pi) - np.pi
    return wrapped


def flavour(pdg: Int) -> Int:
    """Give 5 for b hadrons, 4 for c hadrons, 0 for anything else."""
    code = np.abs(pdg) % 10000
    meson, baryon = code // 100 % 10, code // 1000
    hadron = code > 100  # quarks, leptons and bosons are below
    heaviest = np.maximum(meson, baryon)
    return np.where(hadron & ((heaviest == 5) | (heaviest == 4)), heaviest, 0)


def cross(event: Int, first: Int, number: Int) -> tuple[Int, Int]:
    """Pair every object with all final particles of its event.

    Returns:
        index of the object, position in `Particles.final`; one entry per pair.

    """
    repeat = number[event]
    left = np.repeat(np.arange(len(event)), repeat)
    right = np.arange(len(left)) - np.repeat(np.cumsum(repeat) - repeat, repeat) + first[event[left]]
    return left, right


def _origin(particles: Particles, lepton: Int) -> Int:
    """Give the index of what a lepton comes from, through its copies and tau leptons."""
    origin = particles.mother[lepton]
    while True:
        same = np.isin(np.abs(particles.pdg[origin]), _LEPTON_COPIES)
        if not same.any():
            return origin
        origin = np.where(same, particles.mother[origin], origin)


def _quark(particles: Particles, hadron: Int) -> Int:
    """Give the heavy quark (4 or 5, with sign) of the first hadron in the chain of decays; 0 for other particles."""
    first = hadron
    while True:
        mother = particles.mother[first]
        older = (flavour(particles.pdg[first]) > 0) & (flavour(particles.pdg[mother]) > 0)
        if not older.any():
            break
        first = np.where(older, mother, first)
    code, kind = particles.pdg[first], flavour(particles.pdg[first])
    # A positive number stands for the quark, but for b mesons, which hold an antiquark.
    b_meson = (kind == 5) & (np.abs(code) % 10000 < 1000)
    return kind * np.sign(code) * np.where(b_meson, -1, 1)


def _dress(particles: Particles, electron: Int, eta: Float, phi: Float) -> tuple[Float, Float]:
    """Give the momentum (px, py) of the photons radiated into each electron's cluster, dR < 0.1."""
    left, right = cross(particles.event[electron], particles.first, particles.number)
    other = particles.final[right]
    photon = particles.pdg[other] == 22
    left, other = left[photon], other[photon]
    px, py, pz = particles.px[other], particles.py[other], particles.pz[other]
    pt = np.hypot(px, py)
    near = (np.arcsinh(pz / np.maximum(pt, 1e-9)) - eta[left]) ** 2 + delta_phi(
        np.arctan2(py, px), phi[left]
    ) ** 2 < response.ELECTRON_CLUSTER_RADIUS**2
    size = len(electron)
    return (
        np.asarray(np.bincount(left[near], px[near], minlength=size), float),
        np.asarray(np.bincount(left[near], py[near], minlength=size), float),
    )


@dataclass(frozen=True)
class Surroundings:
    """What is around each candidate; energies in GeV.

    Attributes:
        cone_et: visible transverse energy within dR < 0.2, without the candidate.
        cone_pt: as in `Candidates`.
        jet_pt: visible transverse momentum within dR < 0.4, muons and the candidate left out.
        jet_distance: distance in (eta, phi) between the candidate and the axis of that sum with the candidate in it.

    """

    cone_et: Float
    cone_pt: Float
    jet_pt: Float
    jet_distance: Float


def surroundings(
    particles: Particles,
    row: Int,
    pt: Float,
    eta: Float,
    phi: Float,
    dressed: NDArray[np.bool_],
    rng: np.random.Generator,
) -> Surroundings:
    """Give the generator-level cone sums around particles.

    Args:
        particles: the batch.
        row: index of each particle.
        pt: transverse momentum of the candidate [GeV].
        eta: pseudorapidity.
        phi: azimuth.
        dressed: whether photons within dR < 0.1 belong to the candidate's cluster.
        rng: source of randomness (track efficiency).

    """
    left, position = cross(particles.event[row], particles.first, particles.number)
    other = particles.final[position]
    px, py, pz = particles.px[other], particles.py[other], particles.pz[other]
    pt2 = px * px + py * py
    # Above 0.5 GeV and |eta| < 2.9 (sinh^2 = 82).
    use = (pt2 > 0.25) & (pz * pz < 82.0 * pt2) & (other != row[left])
    left, other, pz, other_pt = left[use], other[use], pz[use], np.sqrt(pt2[use])
    d_eta = np.arcsinh(pz / other_pt) - eta[left]
    d_phi = delta_phi(np.arctan2(py[use], px[use]), phi[left])
    d2 = d_eta**2 + d_phi**2
    near = d2 < response.JET_RADIUS**2
    left, other, other_pt, d2, d_eta, d_phi = (x[near] for x in (left, other, other_pt, d2, d_eta, d_phi))
    kind = np.abs(particles.pdg[other])
    own = (kind == 22) & (d2 < response.ELECTRON_CLUSTER_RADIUS**2) & dressed[left]
    visible = ~np.isin(kind, (12, 13, 14, 16)) & ~own
    calorimeter = visible & (d2 < 0.2**2)
    track = np.isin(kind, _CHARGED) & (other_pt > 1.0) & (d2 < 0.3**2) & (rng.random(len(other)) < 0.85)

    def total(values: Float, where: NDArray[np.bool_]) -> Float:
        return np.asarray(np.bincount(left[where], values[where], minlength=len(row)), float)

    jet_pt = total(other_pt, visible)
    distance = np.hypot(total(other_pt * d_eta, visible), total(other_pt * d_phi, visible)) / (jet_pt + pt)
    return Surroundings(
        cone_et=total(other_pt, calorimeter),
        cone_pt=total(other_pt, track),
        jet_pt=jet_pt,
        jet_distance=distance,
    )


def _branching(source: Int, lepton: NDArray[np.bool_], semileptonic: Mapping[int, float]) -> Float:
    """Give the branching fraction of forced decays; 0 for leptons that come from anything else."""
    table = np.zeros(max(semileptonic, default=0) + 1)
    table[list(semileptonic)] = list(semileptonic.values())
    return np.where(lepton, table[np.minimum(source, len(table) - 1)], 0.0)


def find(
    particles: Particles,
    semileptonic: Mapping[int, float],
    heavy_flavour: float,
    misidentification: float,
    rng: np.random.Generator,
) -> Candidates:
    """List the lepton candidates of a batch.

    Leptons of photon conversions and of light hadrons are not taken from the record: the misidentification
    probabilities stand for them.

    Args:
        particles: the batch.
        semileptonic: branching fraction to e or mu of each hadron whose decay is forced (absolute particle number).
        heavy_flavour: factor on the probabilities of leptons from b and c hadrons.
        misidentification: factor on the probabilities of misidentified hadrons and photons.
        rng: source of randomness.

    """
    p, final = particles, particles.final
    kind = np.abs(p.pdg[final])
    pt2, pz2 = p.px[final] ** 2 + p.py[final] ** 2, p.pz[final] ** 2
    # |eta| < 2.5 is sinh^2 < 36.6
    inside = (pt2 > response.MINIMUM_TRUE_PT**2) & (pz2 < 36.6 * pt2)
    row = final[inside & np.isin(kind, (11, 13, 22, *_CHARGED_HADRONS))]
    kind = np.abs(p.pdg[row])
    pt, phi = np.hypot(p.px[row], p.py[row]), np.arctan2(p.py[row], p.px[row])
    eta = np.arcsinh(p.pz[row] / pt)
    lepton = np.isin(kind, (11, 13))
    charge = np.where(kind == 22, rng.choice((-1.0, 1.0), len(row)), np.sign(p.pdg[row]) * np.where(lepton, -1, 1))

    source, quark = np.zeros(len(row), np.int64), np.zeros(len(row), np.int64)
    origin = _origin(p, row[lepton])
    source[lepton], quark[lepton] = np.abs(p.pdg[origin]), _quark(p, origin)
    prompt = lepton & np.isin(source, _BOSONS)
    bright = np.flatnonzero(prompt & (kind == 11))
    dx, dy = _dress(p, row[bright], eta[bright], phi[bright])
    pt[bright] = np.hypot(p.px[row[bright]] + dx, p.py[row[bright]] + dy)

    as_electron, as_muon = response.misidentification(kind, pt, misidentification)
    wrong = np.where(lepton, 0.0, as_electron + as_muon)
    muon_like = rng.random(len(row)) * np.maximum(wrong, 1e-30) < as_muon
    seen = np.where(lepton, kind, np.where(muon_like, 13, 11))
    efficiency = response.efficiency(seen, pt, eta)
    probability = np.where(lepton, heavy_flavour * _branching(source, lepton, semileptonic) * efficiency, wrong)
    probability[prompt] = rng.random(int(prompt.sum())) < efficiency[prompt]
    measured = response.smear_pt(seen, pt, eta, rng)

    around = surroundings(p, row, pt, eta, phi, prompt & (kind == 11), rng)
    probability *= response.overlap_removal(seen, around.jet_pt, around.jet_distance)
    cone_et = around.cone_et * np.where(seen == 11, response.ELECTRON_CONE_FRACTION, response.MUON_CONE_FRACTION)
    accepted = response.identification(seen, pt, cone_et / pt, misidentified=~lepton)
    probability = np.where(prompt, probability, np.minimum(probability * accepted, response.MAXIMUM_NONPROMPT))
    d0 = p.vx[row] * np.sin(phi) - p.vy[row] * np.cos(phi)
    flip = (seen == 11) & (rng.random(len(row)) < response.CHARGE_FLIP)
    candidates = Candidates(
        event=p.event[row],
        row=row,
        kind=seen,
        charge=np.where(flip, -charge, charge),
        prompt=prompt,
        misidentified=~lepton,
        quark=quark,
        promising=~prompt & response.promising(seen, measured, cone_et / pt, d0),
        pt=measured,
        eta=eta + rng.normal(0.0, response.ANGULAR_RESOLUTION, len(row)),
        phi=delta_phi(phi + rng.normal(0.0, response.ANGULAR_RESOLUTION, len(row)), np.zeros(len(row))),
        d0=d0,
        cone_et=cone_et,
        cone_pt=around.cone_pt,
        probability=probability,
    )
    return candidates.take((measured > response.MINIMUM_PT) & (probability > 0))
