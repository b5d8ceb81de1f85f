"""Turned and reflected events against four-vectors and matrices, event by event."""

import numpy as np
import pytest

from training.ditau_columns import input_matrix
from training.ditau_events import DitauEvents
from training.ditau_lists import FULL, INPUT_LISTS
from training.ditau_symmetry import augmented, turned


def events(number: int = 300) -> np.ndarray:
    rng = np.random.default_rng(1)
    columns = {name: rng.uniform(1, 100, number) for name in FULL}
    for name in FULL:
        if "phi" in name:
            columns[name] = rng.uniform(-np.pi, np.pi, number)
        elif "eta" in name:
            columns[name] = rng.normal(0, 2, number)
    absent = rng.random(number) < 0.4
    for part in ("pt", "eta", "phi"):
        columns[f"jet2_{part}_reco"][absent] = 0
    return np.stack([columns[name] for name in FULL], axis=1).astype(np.float32)


def test_what_the_mass_depends_on_stays() -> None:
    before = events()
    after = turned(before, FULL, np.random.default_rng(2))
    place = {name: k for k, name in enumerate(FULL)}
    turns = []
    for old, new in zip(before.astype(float), after.astype(float), strict=True):
        a, b = ({name: row[k] for name, k in place.items()} for row in (old, new))
        for name in FULL:
            if not any(part in name for part in ("phi", "eta", "cov")):
                assert a[name] == b[name]
        turn = abs(np.angle(np.exp(1j * (a["tau1_phi_reco"] - a["PuppiMET_phi_reco"]))))
        assert abs(np.angle(np.exp(1j * (b["tau1_phi_reco"] - b["PuppiMET_phi_reco"])))) == pytest.approx(
            turn, abs=1e-5
        )
        assert a["tau1_eta_reco"] * a["tau2_eta_reco"] == pytest.approx(b["tau1_eta_reco"] * b["tau2_eta_reco"])
        if a["jet2_pt_reco"] == 0:
            assert (b["jet2_eta_reco"], b["jet2_phi_reco"]) == (0, 0)
        # The error of the missing momentum along itself is that of the same matrix.
        along = []
        for one in (a, b):
            matrix = np.array([[one[f"MET_cov{x}_reco"] for x in row] for row in (("XX", "XY"), ("XY", "YY"))])
            axis = np.array([np.cos(one["PuppiMET_phi_reco"]), np.sin(one["PuppiMET_phi_reco"])])
            along.append(axis @ matrix @ axis)
        assert along[1] == pytest.approx(along[0], rel=1e-4, abs=1e-3)
        turns.append(b["tau1_phi_reco"] - a["tau1_phi_reco"])
    assert np.ptp(turns) > 6
    phi = after[:, [place[name] for name in FULL if "phi" in name]]
    assert (np.abs(phi) <= np.pi + 1e-6).all()


def test_copies_keep_their_mass_and_depend_on_the_seed() -> None:
    inputs = events(20)
    one = DitauEvents(inputs, np.arange(20.0) + 50, np.zeros(20, "i1"), np.zeros(20, "i1"), 0)
    many = augmented(one, FULL, 3, seed=1)
    assert many.inputs.shape == (80, 27)
    np.testing.assert_array_equal(many.mass, np.tile(one.mass, 4))
    np.testing.assert_array_equal(many.inputs[:20], inputs)
    np.testing.assert_array_equal(many.inputs, augmented(one, FULL, 3, seed=1).inputs)
    assert not np.array_equal(many.inputs[20:], augmented(one, FULL, 3, seed=2).inputs[20:])
    assert len(augmented(one, FULL, 0, seed=1)) == 20


def test_components_turn_as_their_momenta() -> None:
    """The same angles and reflections, before or after the step to components."""
    before = events()
    spherical = turned(before, FULL, np.random.default_rng(4))
    names = INPUT_LISTS["cartesian"]
    components = [input_matrix(dict(zip(FULL, matrix.T, strict=True)), names) for matrix in (before, spherical)]
    after = turned(components[0], names, np.random.default_rng(4))
    # pz of objects far forward is large: its rounding, too.
    np.testing.assert_allclose(after, components[1], rtol=2e-4, atol=2e-3)
    assert not np.allclose(after, components[0])


def test_published_azimuths_cannot_be_turned() -> None:
    names = ("tau1_pt_reco", "published_tau1_phi_reco")
    with pytest.raises(ValueError, match="published_tau1_phi_reco cannot be turned"):
        turned(np.ones((2, 2), np.float32), names, np.random.default_rng(1))


def test_half_a_covariance_cannot_be_turned() -> None:
    with pytest.raises(ValueError, match="MET_covXX_reco cannot be turned without"):
        turned(np.ones((2, 2), np.float32), ("tau1_pt_reco", "MET_covXX_reco"), np.random.default_rng(1))
