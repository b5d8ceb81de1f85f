"""Jets and missing transverse momentum of simulated events: anti-kt clustering, smearing, pile-up jets.

Neither enters the four-lepton selection; the branches are filled so that the files hold what the public ones hold.
"""

from dataclasses import dataclass

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from analysis.datasets.simulation.candidates import Candidates, Particles, cross, delta_phi, flavour

Float = NDArray[np.float64]
Int = NDArray[np.int64]

RADIUS = 0.4
MINIMUM_PT = 25.0
MAXIMUM_ETA = 2.5
LEPTON_OVERLAP = 0.2
FLAVOUR_RADIUS = 0.3
PILEUP_JETS_PER_VERTEX = 0.0085
_INVISIBLE = (12, 13, 14, 16)


@dataclass(frozen=True)
class Jets:
    """Jets of a batch, sorted by event and falling pt; momenta in GeV."""

    event: Int
    pt: Float
    eta: Float
    phi: Float
    mass: Float
    jvf: Float
    flavour: Int
    truth: Int


def _cluster(particles: Particles, leptons: Candidates, base: Int) -> tuple[Int, Float, Float, Float, Float]:
    """Cluster what is visible in the records `base`, leptons left out; number in `base`, px, py, pz, e of each jet."""
    import fastjet

    event, position = cross(base, particles.first, particles.number)
    rows = particles.final[position]
    pt = np.hypot(particles.px[rows], particles.py[rows])
    # |eta| < 4.9 is |pz| < 67 pt
    use = ~np.isin(np.abs(particles.pdg[rows]), _INVISIBLE) & (np.abs(particles.pz[rows]) < 67.0 * pt)
    size = len(particles.pdg)
    use &= ~np.isin(event * size + rows, leptons.event * size + leptons.row)
    rows = rows[use]
    counts = np.bincount(event[use], minlength=len(base))
    columns = {name: getattr(particles, name)[rows] for name in ("px", "py", "pz", "e")}
    columns["E"] = columns.pop("e")
    vectors = ak.unflatten(ak.zip(columns, with_name="Momentum4D"), counts)
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS)
    found = fastjet.ClusterSequence(vectors, definition).inclusive_jets(min_pt=12.0)
    flat = ak.flatten(found)
    event = np.repeat(np.arange(len(base)), ak.to_numpy(ak.num(found)))
    px, py, pz, energy = (ak.to_numpy(flat[k]) for k in ("px", "py", "pz", "E"))
    return event, px, py, pz, energy


def _label(particles: Particles, record: Int, eta: Float, phi: Float) -> Int:
    """Give the heaviest hadron flavour (5, 4 or 0) with pt > 5 GeV near each jet."""
    kind = flavour(particles.pdg)
    rows = np.flatnonzero((kind > 0) & (particles.px**2 + particles.py**2 > 25.0))
    number = np.bincount(particles.event[rows], minlength=particles.n_events)
    left, right = cross(record, np.cumsum(number) - number, number)
    hadron = rows[right]
    pt = np.hypot(particles.px[hadron], particles.py[hadron])
    d_eta = np.arcsinh(particles.pz[hadron] / pt) - eta[left]
    d_phi = delta_phi(np.arctan2(particles.py[hadron], particles.px[hadron]), phi[left])
    near = d_eta**2 + d_phi**2 < FLAVOUR_RADIUS**2
    label = np.zeros(len(record), np.int64)
    np.maximum.at(label, left[near], kind[hadron[near]])
    return label


def reconstruct(particles: Particles, leptons: Candidates, base: Int, vertices: Int, rng: np.random.Generator) -> Jets:
    """Give the jets with pt > 25 GeV and |eta| < 2.5 that overlap with no lepton.

    Args:
        particles: the batch.
        leptons: the reconstructed leptons; their events are numbers in `base`.
        base: record of each event.
        vertices: number of primary vertices of each event.
        rng: source of randomness.

    """
    event, px, py, pz, energy = _cluster(particles, leptons, base)
    n_true = len(event)
    true_pt = np.hypot(px, py)
    response = 1 + np.sqrt(0.75**2 / true_pt + 0.05**2) * rng.standard_normal(n_true)
    mass = np.sqrt(np.maximum(energy**2 - true_pt**2 - pz**2, 0.01)) * response + 2.0
    jvf = np.clip(1 - rng.gamma(1.2, 0.012 * vertices[event]), 0, 1)
    jvf[rng.random(n_true) < 0.08] = 0.0
    added = rng.poisson(PILEUP_JETS_PER_VERTEX * vertices)
    n_added = int(added.sum())
    added_pt = MINIMUM_PT + rng.exponential(9.0, n_added)
    added_jvf = np.where(rng.random(n_added) < 0.65, 0.0, rng.beta(0.6, 4.0, n_added))

    event = np.concatenate([event, np.repeat(np.arange(len(base)), added)])
    pt = np.concatenate([true_pt * response, added_pt])
    eta = np.concatenate([np.arcsinh(pz / true_pt), rng.uniform(-MAXIMUM_ETA, MAXIMUM_ETA, n_added)])
    phi = np.concatenate([np.arctan2(py, px), rng.uniform(-np.pi, np.pi, n_added)])
    truth = np.concatenate([np.ones(n_true, np.int64), np.zeros(n_added, np.int64)])
    label = _label(particles, base[event], eta, phi) * truth

    number = np.bincount(leptons.event, minlength=len(base))
    left, right = cross(event, np.cumsum(number) - number, number)
    d_phi = delta_phi(leptons.phi[right], phi[left])
    close = (leptons.eta[right] - eta[left]) ** 2 + d_phi**2 < LEPTON_OVERLAP**2
    overlap = np.bincount(left[close], minlength=len(event)) > 0

    keep = np.flatnonzero((pt > MINIMUM_PT) & (np.abs(eta) < MAXIMUM_ETA) & ~overlap)
    keep = keep[np.lexsort((-pt[keep], event[keep]))]
    return Jets(
        event=event[keep],
        pt=pt[keep],
        eta=eta[keep],
        phi=phi[keep],
        mass=np.concatenate([mass, 0.14 * added_pt])[keep],
        jvf=np.concatenate([jvf, added_jvf])[keep],
        flavour=label[keep],
        truth=truth[keep],
    )


def missing_momentum(particles: Particles, base: Int, vertices: Int, rng: np.random.Generator) -> tuple[Float, Float]:
    """Give size [GeV] and azimuth of the missing transverse momentum of the given records."""
    size = particles.n_events
    rows = particles.final
    kind = np.abs(particles.pdg[rows])
    event = particles.event[rows]
    px, py = particles.px[rows], particles.py[rows]
    pt = np.hypot(px, py)
    neutrino = np.isin(kind, (12, 14, 16))
    visible = ~np.isin(kind, _INVISIBLE) & (np.abs(particles.pz[rows]) < 67.0 * pt)
    sum_et = np.bincount(event[visible], pt[visible], minlength=size)[base]
    width = np.sqrt(4.8**2 * vertices + 0.60**2 * sum_et)
    mx = np.bincount(event[neutrino], px[neutrino], minlength=size)[base] + width * rng.standard_normal(len(base))
    my = np.bincount(event[neutrino], py[neutrino], minlength=size)[base] + width * rng.standard_normal(len(base))
    return np.hypot(mx, my), np.arctan2(my, mx)
