"""Simple estimators of the ditau mass against four-vectors."""

import numpy as np
import pytest
import vector

from training.ditau_estimators import collinear_mass, visible_mass


def columns(first: vector.Vector, second: vector.Vector, met: vector.Vector) -> dict[str, np.ndarray]:
    out = {}
    for name, one in (("tau1", first), ("tau2", second)):
        out |= {f"{name}_{part}_reco": np.atleast_1d(getattr(one, part)) for part in ("pt", "eta", "phi")}
    return out | {f"PuppiMET_{part}_reco": np.atleast_1d(getattr(met, part)) for part in ("pt", "phi")}


def taus(number: int = 200) -> tuple[vector.Vector, vector.Vector]:
    rng = np.random.default_rng(4)
    return tuple(  # type: ignore[return-value]
        vector.array({"pt": rng.uniform(20, 300, number), "eta": rng.uniform(-2, 2, number),
                      "phi": rng.uniform(-np.pi, np.pi, number), "mass": np.zeros(number)})
        for _ in range(2)
    )  # fmt: skip


def test_neutrinos_along_their_taus_give_the_whole_mass_back() -> None:
    first, second = taus()
    rng = np.random.default_rng(5)
    x = rng.uniform(0.1, 0.95, (2, len(first)))
    seen = first * x[0], second * x[1]
    met = first * (1 - x[0]) + second * (1 - x[1])
    given = columns(*seen, met)
    np.testing.assert_allclose(visible_mass(given), (seen[0] + seen[1]).mass, rtol=1e-6)
    np.testing.assert_allclose(collinear_mass(given), (first + second).mass, rtol=1e-6)


@pytest.mark.parametrize(
    ("phi", "met_phi"), [((0.0, np.pi), 1.0), ((0.3, 0.3), 0.3), ((0.0, 1.5), 3.0), ((0.0, 1.5), -1.0)],
    ids=["back to back", "one direction", "met outside", "met opposite"],
)  # fmt: skip
def test_no_solution_is_not_a_number(phi: tuple[float, float], met_phi: float) -> None:
    first, second = (vector.obj(pt=50.0, eta=0.1, phi=one, mass=0.0) for one in phi)
    met = vector.obj(pt=30.0, eta=0.0, phi=met_phi, mass=0.0)
    given = columns(first, second, met)
    assert np.isnan(collinear_mass(given)).all()
    assert np.isfinite(visible_mass(given)).all()
