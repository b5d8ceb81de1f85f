"""Four-vector functions against scikit-hep's vector and against textbook cases."""

import numpy as np
import pytest
import vector
from numpy.testing import assert_allclose

from processors import kinematics as kin


def random_leptons(events: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    pt = 5.0 + rng.exponential(30.0, (events, 4))
    return pt, rng.uniform(-2.7, 2.7, (events, 4)), rng.uniform(-np.pi, np.pi, (events, 4))


def as_vector(p: kin.FourMomenta):
    return vector.array({"px": p.px, "py": p.py, "pz": p.pz, "E": p.energy})


def test_momenta_and_masses_agree_with_vector() -> None:
    pt, eta, phi = random_leptons(2000)
    p = kin.massless_momenta(pt, eta, phi)
    reference = vector.array({"pt": pt, "eta": eta, "phi": phi, "mass": np.zeros_like(pt)})
    for ours, theirs in ((p.px, reference.px), (p.py, reference.py), (p.pz, reference.pz), (p.energy, reference.E)):
        assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    squares = kin.pair_mass_squared(p)
    separations = kin.pair_delta_r(eta, phi)
    for k, (i, j) in enumerate(kin.PAIRS):
        assert_allclose(np.sqrt(squares[:, k]), (reference[:, i] + reference[:, j]).mass, rtol=1e-6)
        assert_allclose(separations[:, k], reference[:, i].deltaR(reference[:, j]), rtol=1e-10)
    system = p.total()
    theirs = reference[:, 0] + reference[:, 1] + reference[:, 2] + reference[:, 3]
    m4l, pt4l = np.sqrt(squares.sum(axis=1)), kin.transverse_momentum(system)
    assert_allclose(m4l, theirs.mass, rtol=1e-10)
    assert_allclose(pt4l, theirs.pt, rtol=1e-12)
    assert_allclose(kin.rapidity(system.pz, pt4l, m4l), theirs.rapidity, rtol=1e-9, atol=1e-12)


def test_complement_of_a_pair() -> None:
    for k, pair in enumerate(kin.PAIRS):
        assert set(pair) | set(kin.PAIRS[5 - k]) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (0.5, 0.25, 0.25),
        (np.pi, 0.0, np.pi),
        (0.0, np.pi, np.pi),  # -pi is wrapped to +pi: the interval is (-pi, pi]
        (3.0, -3.0, 6.0 - 2 * np.pi),
        (-3.0, 3.0, 2 * np.pi - 6.0),
        (7.0, 0.0, 7.0 - 2 * np.pi),
        (-20.0, 0.0, -20.0 + 6 * np.pi),
    ],
)
def test_delta_phi_is_wrapped(a: float, b: float, expected: float) -> None:
    assert kin.delta_phi(np.array([a]), np.array([b]))[0] == pytest.approx(expected, abs=1e-12)


def test_delta_r_across_the_seam() -> None:
    phi = np.array([[3.13, -3.13, 0.0, 1.0]])
    separation = kin.pair_delta_r(np.zeros((1, 4)), phi)
    assert separation[0, 0] == pytest.approx(2 * np.pi - 6.26)


def test_collinear_pair_has_no_negative_mass() -> None:
    p = kin.massless_momenta(np.full((1, 4), 45.0), np.full((1, 4), 2.4), np.full((1, 4), 0.3))
    squares = kin.pair_mass_squared(p)
    assert (squares >= 0).all()
    assert_allclose(squares, 0.0, atol=1e-9)


def pairing(masses: list[float], charge: list[int], flavour: list[int]) -> tuple[int, bool]:
    candidates = kin.same_flavour_opposite_charge(np.array([charge], np.int8), np.array([flavour], np.int8))
    index, defined = kin.z_pairs(np.array([masses]), candidates, 91.1876)
    return int(index[0]), bool(defined[0])


def test_pairing_of_mixed_flavours() -> None:
    # e+ mu- e- mu+: the pairs are (0, 2) and (1, 3) whatever the masses.
    assert pairing([91, 40, 91, 91, 80, 91], [1, -1, -1, 1], [11, 13, 11, 13]) == (4, True)
    assert pairing([91, 89, 91, 91, 30, 91], [1, -1, -1, 1], [11, 13, 11, 13]) == (1, True)


def test_pairing_of_one_flavour_takes_the_nearest() -> None:
    # + - + -: candidates (0,1)(2,3) and (0,3)(1,2); like-sign pairs at the Z mass do not count.
    assert pairing([85, 91.2, 92, 20, 91.2, 30], [1, -1, 1, -1], [13] * 4) == (2, True)
    assert pairing([85, 91.2, 60, 90, 91.2, 30], [1, -1, 1, -1], [13] * 4) == (3, True)


def test_pairing_needs_the_complement() -> None:
    # e+ e- mu+ mu+: the electrons are a pair at the Z mass, the muons are none.
    assert pairing([91.2, 10, 10, 10, 10, 91.2], [1, -1, 1, 1], [11, 11, 13, 13])[1] is False
    # e- e+ e- e+ with three electrons and a muon: no two pairs.
    assert pairing([91.2] * 6, [1, -1, 1, -1], [11, 11, 11, 13])[1] is False


def test_pairing_is_independent_of_a_tie() -> None:
    assert pairing([90, 50, 50, 50, 50, 90], [1, -1, 1, -1], [11, 11, 13, 13]) == (0, True)


def test_z_leptons_are_ordered_by_charge() -> None:
    pt, eta, phi = random_leptons(3)
    p = kin.massless_momenta(pt, eta, phi)
    charge = np.array([[1, -1, 1, -1], [-1, 1, 1, -1], [1, 1, -1, -1]], np.int8)
    roles = kin.z_leptons(p, charge, np.array([0, 5, 2], np.int8))
    # Which lepton is (negative of Z1, positive of Z1, negative of Z2, positive of Z2), event by event.
    for event, leptons in enumerate([(1, 0, 3, 2), (3, 2, 0, 1), (3, 0, 2, 1)]):
        for role, lepton in zip(roles, leptons, strict=True):
            assert role.px[event] == p.px[event, lepton]
            assert role.energy[event] == p.energy[event, lepton]


def angles_by_boosts(p: kin.FourMomenta) -> dict[str, np.ndarray]:
    """The definitions of arXiv:1208.4018, literally, with boosts by vector; leptons in the order -, +, -, +."""
    leptons = [as_vector(p.lepton(i)) for i in range(4)]
    z1, z2 = leptons[0] + leptons[1], leptons[2] + leptons[3]
    system = z1 + z2
    q11, q12, q21, q22 = (lepton.boostCM_of(system).to_Vector3D() for lepton in leptons)
    q1 = z1.boostCM_of(system).to_Vector3D()
    unit_z = vector.array({"x": np.zeros(len(p.px)), "y": np.zeros(len(p.px)), "z": np.ones(len(p.px))})
    n1, n2, nsc = q11.cross(q12).unit(), q21.cross(q22).unit(), unit_z.cross(q1).unit()
    minus1, other1 = (x.boostCM_of(z1).to_Vector3D() for x in (leptons[0], z2))
    minus2, other2 = (x.boostCM_of(z2).to_Vector3D() for x in (leptons[2], z1))
    return {
        "cos_theta_star": q1.costheta,
        "cos_theta1": -other1.unit().dot(minus1.unit()),
        "cos_theta2": -other2.unit().dot(minus2.unit()),
        "phi": np.sign(q1.dot(n1.cross(n2))) * np.arccos(np.clip(-n1.dot(n2), -1, 1)),
        "phi1": np.sign(q1.dot(n1.cross(nsc))) * np.arccos(np.clip(n1.dot(nsc), -1, 1)),
    }


def test_decay_angles_agree_with_explicit_boosts() -> None:
    pt, eta, phi = random_leptons(2000, seed=5)
    p = kin.massless_momenta(pt, eta, phi)
    m4l = np.sqrt(kin.pair_mass_squared(p).sum(axis=1))
    ours = kin.decay_angles(kin.ZLeptons(*(p.lepton(i) for i in range(4))), m4l)
    for name, expected in angles_by_boosts(p).items():
        difference = getattr(ours, name) - expected
        if name.startswith("phi"):
            difference = np.remainder(difference + np.pi, 2 * np.pi) - np.pi
        assert_allclose(difference, 0.0, atol=2e-6, err_msg=name)
    assert np.ptp(ours.phi) > 6
    assert np.ptp(ours.phi1) > 6


def test_exchanging_the_leptons_of_a_z_flips_its_angle() -> None:
    p = kin.massless_momenta(*random_leptons(50, seed=8))
    m4l = np.sqrt(kin.pair_mass_squared(p).sum(axis=1))
    a, b, c, d = (p.lepton(i) for i in range(4))
    one = kin.decay_angles(kin.ZLeptons(a, b, c, d), m4l)
    two = kin.decay_angles(kin.ZLeptons(b, a, c, d), m4l)
    assert_allclose(one.cos_theta1, -two.cos_theta1, rtol=1e-9)
    assert_allclose(one.cos_theta2, two.cos_theta2, rtol=1e-9)
    turned = np.remainder(one.phi - two.phi, 2 * np.pi)
    assert_allclose(turned, np.pi, atol=1e-6)


def test_no_events() -> None:
    empty = np.empty((0, 4))
    p = kin.massless_momenta(empty, empty, empty)
    assert kin.pair_mass_squared(p).shape == (0, 6)
    assert kin.pair_delta_r(empty, empty).shape == (0, 6)
    index, defined = kin.z_pairs(np.empty((0, 6)), np.empty((0, 6), bool), 91.1876)
    assert len(index) == len(defined) == 0
