"""Simple estimators of the mass of a pair of taus, from the inputs of the networks: what these are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]
#: Legs that are nearer to back to back, or to each other, than this sine do not fix the neutrinos' momenta.
_SMALLEST_SINE = 1e-3


def visible_mass(columns: Columns) -> Array:
    """(N,) invariant mass of the visible decay products [GeV], taken as massless."""
    pt, eta, phi = (_legs(columns, name) for name in ("pt", "eta", "phi"))
    return np.asarray(np.sqrt(2 * pt[0] * pt[1] * (np.cosh(eta[0] - eta[1]) - np.cos(phi[0] - phi[1]))))


def total_transverse_mass(columns: Columns) -> Array:
    """(N,) mTtot [GeV]: the root of the sum of the squared transverse masses of legs and missing momentum."""
    return np.asarray(columns["PuppimTtot_reco"], np.float64)


def collinear_mass(columns: Columns) -> Array:
    """(N,) mass [GeV] in the collinear approximation; NaN where it has no solution.

    All missing transverse momentum is of neutrinos that fly along their tau (Ellis, Hinchliffe, Soldate and van der
    Bij, Nucl. Phys. B 297 (1988) 221): it is a1 p1 + a2 p2 with the legs' transverse momenta p, a solution needs both
    a > 0, and the mass is the visible one times sqrt((1 + a1)(1 + a2)).
    """
    pt, phi = _legs(columns, "pt"), _legs(columns, "phi")
    met, met_phi = (np.asarray(columns[f"PuppiMET_{name}_reco"], np.float64) for name in ("pt", "phi"))
    sine = np.sin(phi[1] - phi[0])
    known = np.abs(sine) > _SMALLEST_SINE
    divisor = np.where(known, sine, 1.0)
    first = met * np.sin(phi[1] - met_phi) / (divisor * pt[0])
    second = met * np.sin(met_phi - phi[0]) / (divisor * pt[1])
    valid = known & (first > 0) & (second > 0)
    factor = np.sqrt(np.where(valid, (1 + first) * (1 + second), 1.0))
    return np.where(valid, visible_mass(columns) * factor, np.nan)


ESTIMATORS = {
    "visible_mass": visible_mass,
    "total_transverse_mass": total_transverse_mass,
    "collinear_mass": collinear_mass,
}


def _legs(columns: Columns, name: str) -> tuple[Array, Array]:
    first, second = (np.asarray(columns[f"tau{leg}_{name}_reco"], np.float64) for leg in (1, 2))
    return first, second
