"""From records to candidates: kinematics, origins, cones, on hand-made records."""

import numpy as np
import pytest

from analysis.datasets.simulation import atlas_response
from analysis.datasets.simulation.candidates import Particles, cross, find, flavour, surroundings
from analysis.datasets.simulation.pythia import PARTICLE, Record


def record(*particles: tuple[int, int, int, float, float, float]) -> Record:
    """Rows (pdg, status, mother, pt, eta, phi), massless."""
    out = np.zeros(len(particles), PARTICLE)
    for row, (pdg, status, mother, pt, eta, phi) in zip(out, particles, strict=True):
        row["id"], row["status"], row["mother1"] = pdg, status, mother
        row["px"], row["py"], row["pz"] = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
        row["e"] = pt * np.cosh(eta)
    return out


# 0 system, 1 Z, 2 mu- from Z, 3 mu+ through a copy, 5 B0, 6 e+ from B0, 7 pi+ next to it, 8 tau from Z and its e-
EVENT = record(
    (90, -11, 0, 0.0, 0.0, 0.0),
    (23, -22, 0, 5.0, 0.0, 0.0),
    (13, 1, 1, 40.0, 0.5, 0.1),
    (-13, -51, 1, 35.0, -0.5, 3.0),
    (-13, 1, 3, 35.0, -0.5, 3.0),
    (511, -83, 0, 30.0, 1.0, -1.5),
    (-11, 1, 5, 10.0, 1.0, -1.5),
    (211, 1, 5, 8.0, 1.1, -1.4),
    (15, -23, 1, 30.0, 0.0, 1.0),
    (11, 1, 8, 20.0, 0.0, 1.0),
    (111, -83, 0, 9.0, -1.0, 2.0),
    (11, 1, 10, 6.0, -1.0, 2.0),
)


def test_cross_pairs_within_events() -> None:
    left, right = cross(np.array([0, 0, 2]), np.array([0, 2, 5]), np.array([2, 3, 1]))
    assert left.tolist() == [0, 0, 1, 1, 2]
    assert right.tolist() == [0, 1, 0, 1, 5]


def test_flavour() -> None:
    pdg = np.array([511, -521, 5122, 421, -4122, 211, 5, 22, 10411, 513, 11])
    assert flavour(pdg).tolist() == [5, 5, 5, 4, 4, 0, 0, 0, 4, 5, 0]


def test_candidates_of_a_record() -> None:
    counts: dict[tuple[int, bool], int] = {}
    rng = np.random.default_rng(0)
    for _ in range(200):
        particles = Particles.of([EVENT, EVENT])
        found = find(particles, {511: 0.2}, 1.0, 1.0, rng)
        assert (np.diff(found.event) >= 0).all()
        assert (found.probability[~found.prompt] < 0.25).all()
        assert (found.probability[found.prompt] == 1).all()
        for row, prompt in zip(found.row % len(EVENT), found.prompt, strict=True):
            counts[int(row), bool(prompt)] = counts.get((int(row), bool(prompt)), 0) + 1
    assert set(counts) == {(2, True), (4, True), (6, False), (7, False), (9, True)}
    # The muon of 40 GeV at eta = 0.5 is reconstructed with 98%.
    assert counts[2, True] / 400 == pytest.approx(0.98, abs=0.03)


def test_heavy_quarks_of_leptons() -> None:
    """The first hadron of the chain decides: B0 holds an anti-b, D0 from it is of the same quark."""
    chain = record(
        (90, -11, 0, 0.0, 0.0, 0.0),
        (511, -83, 0, 30.0, 1.0, 1.0),
        (-421, -91, 1, 20.0, 1.0, 1.0),
        (13, 1, 2, 9.0, 1.0, 1.0),
        (5122, -83, 0, 30.0, -1.0, 1.0),
        (13, 1, 4, 9.0, -1.0, 1.0),
        (411, -83, 0, 30.0, 0.0, -2.0),
        (-13, 1, 6, 9.0, 0.0, -2.0),
    )
    found = find(
        Particles.of([chain] * 20), {511: 0.2, 421: 0.1, 411: 0.2, 5122: 0.1}, 1.0, 0.0, np.random.default_rng(3)
    )
    quarks = {int(row): int(quark) for row, quark in zip(found.row % len(chain), found.quark, strict=True)}
    assert quarks == {3: -5, 5: 5, 7: 4}


def test_charges_and_momenta() -> None:
    found = find(Particles.of([EVENT] * 50), {511: 0.2}, 1.0, 0.0, np.random.default_rng(1))
    for row, charge, pt in ((2, -1.0, 40.0), (4, 1.0, 35.0)):
        mine = found.row % len(EVENT) == row
        assert set(found.charge[mine].tolist()) == {charge}
        assert np.mean(found.pt[mine]) == pytest.approx(pt, rel=0.02)
    assert not found.misidentified.any()


def test_cones() -> None:
    particles = Particles.of([EVENT])
    row = np.array([6])
    around = surroundings(
        particles,
        row,
        np.array([10.0]),
        np.array([1.0]),
        np.array([-1.5]),
        np.array([False]),
        np.random.default_rng(2),
    )
    assert around.cone_et[0] == pytest.approx(8.0)
    assert around.jet_pt[0] == pytest.approx(8.0)
    assert around.cone_pt[0] in (0.0, pytest.approx(8.0))
    assert around.jet_distance[0] == pytest.approx(np.hypot(0.1, 0.1) * 8 / 18)


def test_leptons_in_jets_are_removed() -> None:
    kind = np.array([13, 13, 11, 11])
    jet_pt, distance = np.array([10.0, 60.0, 60.0, 60.0]), np.array([0.1, 0.1, 0.1, 0.3])
    assert atlas_response.overlap_removal(kind, jet_pt, distance).tolist() == [True, False, True, False]
