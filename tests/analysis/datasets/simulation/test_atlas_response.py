"""The parametrised detector: limits, resolutions and shapes."""

import numpy as np
import pytest

from analysis.datasets.simulation import atlas_response as response

N = 20_000


def test_efficiencies_are_probabilities() -> None:
    pt, eta = (a.ravel() for a in np.meshgrid(np.linspace(4, 200, 60), np.linspace(-2.6, 2.6, 53)))
    for kind in (11, 13):
        value = response.efficiency(np.full(len(pt), kind), pt, eta)
        assert value.min() >= 0
        assert value.max() <= 1
        assert (value[np.abs(eta) > 2.5] == 0).all()


@pytest.mark.parametrize(("kind", "resolution"), [(11, 0.03), (13, 0.025)])
def test_momentum_resolution(kind: int, resolution: float) -> None:
    pt = np.full(N, 40.0)
    smeared = response.smear_pt(np.full(N, kind), pt, np.full(N, 0.3), np.random.default_rng(1))
    low, median, high = np.quantile(smeared / pt, (0.16, 0.5, 0.84))
    assert median == pytest.approx(1.0, abs=0.02)
    assert (high - low) / 2 == pytest.approx(resolution, rel=0.4)


@pytest.mark.parametrize(("kind", "limit", "least"), [(11, 6.5, 0.985), (13, 3.5, 0.985)])
def test_prompt_leptons_pass_the_impact_parameter_cut(kind: int, limit: float, least: float) -> None:
    zero = np.zeros(N)
    d0, sigma = response.impact_parameter(
        np.full(N, kind), np.full(N, 30.0), zero, zero, np.zeros(N, bool), np.random.default_rng(2)
    )
    assert least < np.mean(np.abs(d0 / sigma) < limit) < 1.0


def test_displaced_leptons_fail_it() -> None:
    d0, sigma = response.impact_parameter(
        np.full(N, 13), np.full(N, 30.0), np.zeros(N), np.full(N, 0.3), np.zeros(N, bool), np.random.default_rng(2)
    )
    assert np.mean(np.abs(d0 / sigma) < 3.5) < 0.05


def test_isolation_follows_the_activity() -> None:
    rng = np.random.default_rng(3)
    kind, pt, vertices, zero = np.full(N, 13), np.full(N, 20.0), np.full(N, 12.0), np.zeros(N)
    quiet, _ = response.isolation(kind, pt, vertices, zero, zero, zero > 0, rng)
    busy, tracks = response.isolation(kind, pt, vertices, np.full(N, 10.0), np.full(N, 8.0), zero > 0, rng)
    assert np.mean(quiet / pt < 0.3) > 0.97
    assert np.mean(busy / pt < 0.3) < 0.02
    assert tracks.min() == 8.0


def test_trigger_threshold() -> None:
    kind = np.repeat([11, 13], N)
    fires = response.trigger(kind, np.full(2 * N, 24.0), np.zeros(2 * N), np.random.default_rng(4))
    assert not fires.any()
    fires = response.trigger(kind, np.full(2 * N, 30.0), np.zeros(2 * N), np.random.default_rng(4))
    assert np.mean(fires[:N]) == pytest.approx(0.92, abs=0.02)
    assert np.mean(fires[N:]) == pytest.approx(0.72, abs=0.02)


def test_scale_factors() -> None:
    electrons, muons = np.repeat([0, 2, 4], N), np.repeat([4, 2, 0], N)
    out = response.scale_factors(electrons, muons, np.full(3 * N, 12), "a", np.random.default_rng(5))
    means = out["scaleFactor_ELE"].reshape(3, N).mean(axis=1)
    np.testing.assert_allclose(means, [1.0, 0.960**2, 0.960**4], rtol=0.01)
    assert (out["scaleFactor_MUON"][-N:] == 1).all()
    for name, column in out.items():
        assert column.dtype == np.float32
        assert column.min() >= 0, name


def test_misidentification_falls_with_pt() -> None:
    kind = np.array([211, 211, 22, 22])
    electron, muon = response.misidentification(kind, np.array([5.0, 20.0, 5.0, 20.0]), 2.0)
    assert electron[0] == pytest.approx(2 * response.HADRON_TO_ELECTRON)
    assert electron[2] == pytest.approx(2 * response.PHOTON_TO_ELECTRON)
    assert (electron[[1, 3]] < electron[[0, 2]]).all()
    assert muon[1] < muon[0]
    assert muon[2:].tolist() == [0.0, 0.0]
