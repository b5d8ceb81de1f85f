"""Observables of jets against loops over particles, kT clustering included."""

import importlib.util
import math

import numpy as np
import pytest

from training.dijet_pool import Particles
from training.jet_observables import check_available, observables, transverse_momentum

NAMES = ("multiplicity", "mass", "ptd", "width", "tau21")
Particle = tuple[float, float, float]


def _jets(seed: int, number: int = 40) -> tuple[Particles, list[list[Particle]]]:
    """Jets of 1 to 25 particles around axes anywhere, the cut at pi included."""
    rng = np.random.default_rng(seed)
    counts = np.r_[1, 2, 3, rng.integers(1, 26, number - 3)]
    axis_phi = np.r_[np.pi, -np.pi, np.pi - 0.1, rng.uniform(-np.pi, np.pi, number - 3)]
    pt, y, phi, jets = [], [], [], []
    for count, axis in zip(counts, axis_phi, strict=True):
        one = [
            (float(np.float32(a)), float(np.float32(b)), float(np.float32(math.remainder(c, 2 * math.pi))))
            for a, b, c in zip(
                rng.exponential(20.0, count) + 0.1, rng.normal(1.0, 0.2, count), axis + rng.normal(0, 0.2, count),
                strict=True,
            )
        ]  # fmt: skip
        jets.append(one)
        pt += [p[0] for p in one]
        y += [p[1] for p in one]
        phi += [p[2] for p in one]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    as_float = (np.array(v, np.float32) for v in (pt, y, phi))
    return Particles(*as_float, np.full(len(pt), 211, np.int32), offsets), jets


def _delta(a: float, b: float) -> float:
    return math.remainder(a - b, 2 * math.pi)


def _axis(jet: list[Particle]) -> tuple[float, float]:
    total = math.fsum(p[0] for p in jet)
    y = math.fsum(p[0] * p[1] for p in jet) / total
    phi = jet[0][2] + math.fsum(p[0] * _delta(p[2], jet[0][2]) for p in jet) / total
    return y, phi


def _four(p: Particle) -> tuple[float, float, float, float]:
    pt, y, phi = p
    return pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(y), pt * math.cosh(y)


def _cylinder(v: tuple[float, ...]) -> Particle:
    px, py, pz, e = v
    return math.hypot(px, py), 0.5 * math.log((e + pz) / (e - pz)), math.atan2(py, px)


def _kt_axes(jet: list[Particle], axes: int) -> list[Particle]:
    """Exclusive kT without beam: join the pair of the smallest min(pT)^2 dR^2, adding four-momenta."""
    momenta = [_four(p) for p in jet]
    while len(momenta) > axes:
        ps = [_cylinder(v) for v in momenta]
        pairs = [
            (min(a[0], b[0]) ** 2 * ((a[1] - b[1]) ** 2 + _delta(a[2], b[2]) ** 2), i, j)
            for i, a in enumerate(ps)
            for j, b in enumerate(ps[:i])
        ]
        _, i, j = min(pairs)
        joined = tuple(a + b for a, b in zip(momenta[i], momenta[j], strict=True))
        momenta = [v for k, v in enumerate(momenta) if k not in (i, j)] + [joined]  # type: ignore[list-item]
    return [_cylinder(v) for v in momenta]


def _tau(jet: list[Particle], axes: int) -> float:
    if len(jet) <= axes:
        return 0.0
    found = _kt_axes(jet, axes)
    total = math.fsum(p[0] for p in jet)
    return math.fsum(p[0] * min(math.hypot(p[1] - a[1], _delta(p[2], a[2])) for a in found) for p in jet) / total


def _expected(jet: list[Particle]) -> list[float]:
    total = math.fsum(p[0] for p in jet)
    y, phi = _axis(jet)
    summed = [math.fsum(column) for column in zip(*(_four(p) for p in jet), strict=True)]
    squared = summed[3] ** 2 - summed[0] ** 2 - summed[1] ** 2 - summed[2] ** 2
    one = _tau(jet, 1)
    return [
        len(jet),
        math.sqrt(max(squared, 0.0)) / total,
        math.sqrt(math.fsum(p[0] ** 2 for p in jet)) / total,
        math.fsum(p[0] * math.hypot(p[1] - y, _delta(p[2], phi)) for p in jet) / total,
        _tau(jet, 2) / one if one > 0 else 0.0,
    ]


@pytest.mark.parametrize("seed", [1, 2])
def test_all_observables_are_those_of_loops(seed: int) -> None:
    pytest.importorskip("fastjet", reason="tau21 needs fastjet (extra 'simulation')")
    particles, jets = _jets(seed)
    values = observables(particles, np.arange(len(jets)), NAMES)
    expected = np.array([_expected(jet) for jet in jets])
    np.testing.assert_allclose(values[:, [0, 2, 3]], expected[:, [0, 2, 3]], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(values[:, 1], expected[:, 1], rtol=1e-6, atol=1e-6)  # a difference of large squares
    np.testing.assert_allclose(values[:, 4], expected[:, 4], rtol=1e-6, atol=1e-9)


def test_the_momentum_of_a_jet_is_that_of_its_particles() -> None:
    particles = Particles(*(np.array([1, 2, 4], np.float32),) * 3, np.full(3, 211, np.int32), np.array([0, 1, 1, 3, 3]))
    assert transverse_momentum(particles, np.array([2, 0, 1, 3])).tolist() == [6.0, 1.0, 0.0, 0.0]


def test_the_momentum_of_chosen_jets_is_a_sum_over_their_particles_alone() -> None:
    particles, jets = _jets(5)
    chosen = np.array([11, 0, 39, 3, 11])
    expected = [math.fsum(p[0] for p in jets[one]) for one in chosen]
    np.testing.assert_allclose(transverse_momentum(particles, chosen), expected, rtol=1e-12)
    others = np.repeat(~np.isin(np.arange(len(jets)), chosen), np.diff(particles.offsets))
    particles.pt[others] = np.nan
    np.testing.assert_allclose(transverse_momentum(particles, chosen), expected, rtol=1e-12)
    assert len(transverse_momentum(particles, chosen[:0])) == 0


def test_chosen_jets_have_the_values_they_have_among_all() -> None:
    particles, jets = _jets(3)
    names = NAMES[:4]
    everything = observables(particles, np.arange(len(jets)), names)
    chosen = np.array([7, 2, 30, 0])
    np.testing.assert_array_equal(observables(particles, chosen, names), everything[chosen])


def test_a_jet_does_not_know_where_it_points_nor_its_energy() -> None:
    particles, jets = _jets(4)
    numbers = np.arange(len(jets))
    turned = Particles(
        particles.pt * np.float32(2.0),
        particles.y + np.float32(0.5),
        np.remainder(particles.phi + np.float32(2.0 + np.pi), np.float32(2 * np.pi)) - np.float32(np.pi),
        particles.pid,
        particles.offsets,
    )
    np.testing.assert_allclose(
        observables(turned, numbers, NAMES[:4]), observables(particles, numbers, NAMES[:4]), rtol=2e-4, atol=2e-4
    )


def test_jets_of_more_particles_than_a_block_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fastjet", reason="tau21 needs fastjet (extra 'simulation')")
    particles, jets = _jets(5)
    whole = observables(particles, np.arange(len(jets)), ("tau21",))
    monkeypatch.setattr("training.jet_observables.BLOCK", 7)
    np.testing.assert_array_equal(observables(particles, np.arange(len(jets)), ("tau21",)), whole)


def test_a_jet_without_momentum_is_an_error() -> None:
    zero = np.zeros(2, np.float32)
    particles = Particles(zero, zero, zero, np.zeros(2, np.int32), np.array([0, 2]))
    with pytest.raises(ValueError, match="1 jets have no particle with a transverse momentum"):
        observables(particles, np.array([0]), ("ptd",))


def test_tau21_without_fastjet_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    check_available(("mass", "width"))
    with pytest.raises(ValueError, match="tau21 needs the package fastjet"):
        check_available(("mass", "tau21"))
