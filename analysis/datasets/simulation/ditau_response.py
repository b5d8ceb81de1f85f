"""A parametrised response of the CMS detector at 13 TeV to taus, leptons, jets and missing transverse momentum.

Efficiencies, resolutions and identification scores are of the size of the published ones (tau: arXiv:1809.02816,
arXiv:2201.08458; muons: arXiv:1804.04528; electrons: arXiv:2012.06888). There are no jets taken for taus.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.simulation import cms_jets, cms_response
from analysis.datasets.simulation.cms_jets import Momenta
from analysis.datasets.simulation.ditau_truth import LEPTONS, NEUTRINOS, OTHER, Batch, Truth
from analysis.datasets.simulation.pythia import BOTTOM_HADRONS, CHARM_HADRONS

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Columns = dict[str, NDArray[Any]]

JET_RADIUS = 0.4
_JET_CORRECTION = 1.06
_SHARES = np.array([0.05, 0.05, 0.06, 0.09, 0.12, 0.15, 0.18, 0.30])  # of taus, by the tightest working point
_NEIGHBOUR_MODE = {0: 1, 1: 0, 2: 1, 10: 11, 11: 10}
_CONE = {11: 0.3, 13: 0.4}


def hadronic_taus(visible: Columns, rng: np.random.Generator) -> Columns:
    """Reconstructed hadronic taus: efficiency, energy, decay mode and working point."""
    pt, mode = visible["pt"], visible["status"]
    number = len(pt)
    energy = 1.0 + (0.05 + 0.03 * np.isin(mode, (1, 2, 11)) + 1.0 / pt) * rng.standard_normal(number)
    wrong = rng.random(number) < 0.12
    changed = np.select([mode == one for one in _NEIGHBOUR_MODE], list(_NEIGHBOUR_MODE.values()), OTHER)
    mode = np.where(wrong & (mode != OTHER), changed, mode)
    mass = np.where(mode == 0, 0.1396, np.abs(visible["mass"] * (1 + 0.05 * rng.standard_normal(number))))
    columns: Columns = {
        "event": visible["event"],
        "pt": pt * energy,
        "eta": visible["eta"] + rng.normal(0, 2e-3, number),
        "phi": wrapped(visible["phi"] + rng.normal(0, 2e-3, number)),
        "mass": mass,
        "charge": np.where(rng.random(number) > 0.01, 1, -1) * visible["charge"],
        "decayMode": mode,
        "dz": rng.normal(0, 0.01, number),
        "idDeepTau2017v2p1VSjet": (1 << rng.choice(np.arange(1, 9), number, p=_SHARES)) - 1,
        "idDeepTau2017v2p1VSe": np.full(number, 63),
        "idDeepTau2017v2p1VSmu": np.full(number, 15),
        "genPartFlav": np.full(number, 5),
        "idDecayModeNewDMs": np.ones(number, np.bool_),
    }
    kept = (mode != OTHER) & (np.abs(visible["eta"]) < 2.3) & (rng.random(number) < 0.85) & (columns["pt"] > 18)
    return by_pt({name: values[kept] for name, values in columns.items()})


def leptons(batch: Batch, truth: Truth, rng: np.random.Generator) -> dict[int, Columns]:
    """Reconstructed electrons and muons, by their PDG number."""
    final = np.flatnonzero(batch.record["status"] > 0)
    kind = np.abs(batch.record["id"][final].astype(np.int64))
    around = batch.momenta(final)
    of_tau = np.full(len(batch.record), -1)
    of_tau[truth.leptons[0]] = truth.leptons[1]
    seen = ~np.isin(kind, NEUTRINOS) & (around.pt > 0.5)
    out = {}
    for one, least, reach, good in zip(LEPTONS, (5.0, 3.0), (2.5, 2.4), (0.88, 0.97), strict=True):
        rows = np.flatnonzero((kind == one) & (around.pt > least) & (np.abs(around.eta) < reach))
        prompt = of_tau[final[rows]] >= 0
        rows = rows[rng.random(len(rows)) < np.where(prompt, good, 0.4)]
        place, number = final[rows], len(rows)
        pt, eta, phi = around.pt[rows], around.eta[rows], around.phi[rows]
        spread = np.hypot(0.012, 1e-4 * pt) if one == 13 else np.hypot(0.02, 0.12 / np.sqrt(pt))
        measured = pt * (1 + spread * rng.standard_normal(number))
        cone = _cone_sum(around, np.flatnonzero(seen), rows, _CONE[one])
        vx, vy, vz = (batch.column(name)[place] / 10 for name in ("vx", "vy", "vz"))  # mm to cm
        dxy = vy * np.cos(phi) - vx * np.sin(phi)
        # At the point nearest to the beam, not where the tau decayed.
        dz = vz - (vx * np.cos(phi) + vy * np.sin(phi)) * np.sinh(eta)
        prompt = of_tau[place] >= 0
        columns: Columns = {
            "event": around.event[rows], "pt": measured, "eta": eta, "phi": phi,
            "mass": np.full(number, 0.000511 if one == 11 else 0.10566),
            "charge": -np.sign(batch.record["id"][place]).astype(np.int64), "pdgId": batch.record["id"][place],
            "dxy": dxy + rng.normal(0, 0.0025, number), "dz": dz + rng.normal(0, 0.005, number),
            "isolation": (cone + rng.gamma(0.6, 0.6, number)) / measured,
            "genPartIdx": of_tau[place], "genPartFlav": np.where(prompt, 15, 0),
            "identified": rng.random(number) < (0.98 if one == 13 else 0.9),
        }  # fmt: skip
        out[one] = by_pt({name: values[measured > least] for name, values in columns.items()})
    return out


def jets(batch: Batch, candidates: Momenta, rng: np.random.Generator) -> tuple[Momenta, Columns]:
    """Jets by event and falling pT, with flavour and b score."""
    found = cms_jets.cluster(candidates, batch.events, 13.0, JET_RADIUS).momenta
    smearing = 1 + np.hypot(0.05, 0.4 / np.sqrt(found.pt)) * rng.standard_normal(len(found.pt))
    measured = Momenta(found.event, found.pt * _JET_CORRECTION * smearing, found.eta, found.phi, found.mass)
    measured = measured.take(np.flatnonzero((measured.pt > 15) & (np.abs(measured.eta) < 4.7)))
    measured = measured.take(np.lexsort((-measured.pt, measured.event)))
    kind = np.abs(batch.record["id"])
    hard = batch.column("px") ** 2 + batch.column("py") ** 2 > 25.0
    near = [
        cms_jets.nearest(measured, batch.momenta(np.flatnonzero(np.isin(kind, hadrons) & hard)), JET_RADIUS) >= 0
        for hadrons in (BOTTOM_HADRONS, CHARM_HADRONS)
    ]
    number = len(measured.pt)
    score = np.select(near, [rng.beta(2.2, 0.9, number), rng.beta(0.7, 2.5, number)], rng.beta(0.35, 5, number))
    return measured, {
        "event": measured.event, "pt": measured.pt, "eta": measured.eta, "phi": measured.phi, "mass": measured.mass,
        "btagDeepFlavB": score, "hadronFlavour": np.select(near, [5, 4], 0), "jetId": np.full(number, 6),
    }  # fmt: skip


def generated_jets(batch: Batch) -> Columns:
    """Jets of all stable particles but neutrinos, by event and falling pT."""
    final = np.flatnonzero((batch.record["status"] > 0) & ~np.isin(np.abs(batch.record["id"]), NEUTRINOS))
    moving = batch.momenta(final)
    found = cms_jets.cluster(
        moving.take(np.flatnonzero(np.abs(moving.eta) < 6)), batch.events, 10.0, JET_RADIUS
    ).momenta
    found = found.take(np.lexsort((-found.pt, found.event)))
    return {"event": found.event, "pt": found.pt, "eta": found.eta, "phi": found.phi, "mass": found.mass}


def missing_momentum(batch: Batch, sum_et: Float, rng: np.random.Generator) -> Columns:
    """Vertices, and missing transverse momentum whose errors have the covariance that is quoted."""
    number = batch.events
    invisible = np.isin(np.abs(batch.record["id"]), NEUTRINOS) & (batch.record["status"] > 0)
    true_x, true_y = (np.bincount(batch.event, batch.column(name) * invisible, number) for name in ("px", "py"))
    interactions = np.clip(rng.gamma(9, 3.3, number), 2, 80)
    vertices = np.maximum(rng.poisson(0.75 * interactions), 1)
    good = np.maximum(rng.binomial(vertices, 0.82), 1)
    particle_flow = 2.6**2 * vertices * 0.5 + 0.6**2 * sum_et
    puppi = 1.2**2 * vertices * 0.5 + 0.6**2 * sum_et
    xx, yy, xy = particle_flow * 1.05, particle_flow * 0.95, particle_flow * rng.uniform(-0.1, 0.1, number)
    first, second = rng.standard_normal((2, number))
    pf_x = true_x + np.sqrt(xx) * first
    pf_y = true_y + xy / np.sqrt(xx) * first + np.sqrt(yy - xy**2 / xx) * second
    puppi_x, puppi_y = (true + np.sqrt(puppi) * rng.standard_normal(number) for true in (true_x, true_y))
    out: Columns = {"PV_npvs": vertices, "PV_npvsGood": good, "Pileup_nTrueInt": interactions}
    for name, x, y in (("MET", pf_x, pf_y), ("PuppiMET", puppi_x, puppi_y), ("GenMET", true_x, true_y)):
        out |= {f"{name}_pt": np.hypot(x, y), f"{name}_phi": np.arctan2(y, x)}
    significance = (pf_x**2 * yy - 2 * pf_x * pf_y * xy + pf_y**2 * xx) / (xx * yy - xy**2)
    out |= {"MET_covXX": xx, "MET_covXY": xy, "MET_covYY": yy, "MET_significance": significance}
    return out | {"MET_sumEt": sum_et, "PuppiMET_sumEt": sum_et}


def candidates_of(batch: Batch, rng: np.random.Generator) -> Momenta:
    """Particle-flow candidates."""
    visible = (batch.record["status"] > 0) & ~np.isin(np.abs(batch.record["id"]), NEUTRINOS)
    px, py, pz, energy = (batch.column(name)[visible] for name in ("px", "py", "pz", "e"))
    kind = batch.record["id"][visible].astype(np.int64)
    found = cms_response.candidates(batch.event[visible], px, py, pz, energy, kind, rng)
    return Momenta(found.event, found.pt, found.eta, found.phi, found.mass)


def jet_index(objects: Columns, found: Momenta, events: int) -> Int:
    """The place in its event of the nearest jet of each object, -1 where none is within the radius."""
    place = cms_jets.nearest(
        Momenta(objects["event"], objects["pt"], objects["eta"], objects["phi"], objects["mass"]), found, JET_RADIUS
    )
    counts = np.bincount(found.event, minlength=events)
    return np.where(place >= 0, place - (np.cumsum(counts) - counts)[objects["event"]], -1)


def by_pt(columns: Columns) -> Columns:
    """Objects by event and falling pT."""
    order = np.lexsort((-columns["pt"], columns["event"]))
    return {name: values[order] for name, values in columns.items()}


def wrapped(phi: Float) -> Float:
    """The azimuth in [-pi, pi)."""
    return np.asarray((phi + np.pi) % (2 * np.pi) - np.pi)


def _cone_sum(around: Momenta, seen: Int, rows: Int, radius: float) -> Float:
    """Sum of the pT of the particles `seen` within the radius of each of `rows`, but for itself."""
    event = around.event[seen]
    first = np.searchsorted(event, around.event[rows], "left")
    number = np.searchsorted(event, around.event[rows], "right") - first
    owner = np.repeat(np.arange(len(rows)), number)
    offset = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    other = seen[first[owner] + offset]
    mine = rows[owner]
    distance = (around.eta[other] - around.eta[mine]) ** 2 + wrapped(around.phi[other] - around.phi[mine]) ** 2
    inside = (distance < radius**2) & (other != mine)
    return np.bincount(owner, around.pt[other] * inside, len(rows)).astype(np.float64, copy=False)
