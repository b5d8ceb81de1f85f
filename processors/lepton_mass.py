"""The mass of a lepton from pT, eta and E, and what the precision that these are stored in does to it.

m^2 = E^2 - p^2 with p = pT cosh(eta) is a small difference of large numbers: at 100 GeV that of a muon, 0.0112 GeV^2,
is a millionth of E^2, and single precision keeps 24 binary digits.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

#: Masses [GeV] (Particle Data Group, 2024).
ELECTRON_MASS = 0.00051099895
MUON_MASS = 0.1056583755


@dataclass(frozen=True)
class Stored:
    """pT, eta, phi and E (n,) as a file has them: the unit [GeV] of pT and E, the numbers in the stored type."""

    pt: NDArray[Any]
    eta: NDArray[Any]
    phi: NDArray[Any]
    energy: NDArray[Any]
    unit: float = 1.0

    def columns(self) -> dict[str, Doubles]:
        """All representations, in double precision; momenta in GeV."""
        pt, energy = self.pt.astype(np.float64) * self.unit, self.energy.astype(np.float64) * self.unit
        eta, phi = self.eta.astype(np.float64), self.phi.astype(np.float64)
        p = pt * np.cosh(eta)
        p2, e2, m2 = p * p, energy * energy, mass_squared(p, energy)
        return {
            "pt": pt,
            "eta": eta,
            "phi": phi,
            "e": energy,
            "p": p,
            "log_p": np.log(np.maximum(p, np.finfo(np.float64).tiny)),
            "p2": p2,
            "e2": e2,
            "p2_minus_e2": p2 - e2,
            "p2_decimal": 10 * np.mod(p2, 1.0),
            "e2_decimal": 10 * np.mod(e2, 1.0),
            "m2": m2,
            "mass": np.where(energy < p, -1.0, np.sqrt(np.maximum(m2, 0.0))),
            "m2_single": self._single_precision_chain(),
            **self._rounding(pt, eta, energy, p),
        }

    def _single_precision_chain(self) -> Doubles:
        """m^2 by way of px, py and pz with every step in single precision, as the source had it."""
        single = np.float32
        pt, energy = (x.astype(single) * single(self.unit) for x in (self.pt, self.energy))
        eta, phi = self.eta.astype(single), self.phi.astype(single)
        px, py, pz = np.cos(phi) * pt, np.sin(phi) * pt, pt * np.sinh(eta)
        p = np.sqrt(px * px + py * py + pz * pz)
        m2: Doubles = (energy * energy - p * p).astype(np.float64)
        return m2

    def _rounding(self, pt: Doubles, eta: Doubles, energy: Doubles, p: Doubles) -> dict[str, Doubles]:
        """Largest changes of m^2 [GeV^2] by the rounding of E, pT and eta to the nearest number of their type.

        |dm2/dE| = 2E, |dm2/dpT| = 2p cosh(eta), |dm2/deta| = 2 p pT |sinh(eta)|, times half a spacing each.
        """
        return {
            "rounding_e": energy * _spacing(self.energy) * self.unit,
            "rounding_pt": p * np.cosh(eta) * _spacing(self.pt) * self.unit,
            "rounding_eta": p * pt * np.abs(np.sinh(eta)) * _spacing(self.eta),
        }


def mass_squared(p: Doubles, energy: Doubles) -> Doubles:
    """E^2 - p^2 = (E - p)(E + p) [GeV^2]: the difference is taken before the squares are rounded."""
    product: Doubles = (energy - p) * (energy + p)
    return product


def energy_of(pt: NDArray[Any], eta: NDArray[Any], mass: NDArray[Any]) -> Doubles:
    """E in double precision, in the unit of pT and mass; a negative mass stands for a negative square, as in ROOT."""
    p, m = pt.astype(np.float64) * np.cosh(eta.astype(np.float64)), mass.astype(np.float64)
    with np.errstate(invalid="ignore"):  # more than p itself missing: no number, and dropped as such
        energy: Doubles = np.sqrt(p * p + m * np.abs(m))
    return energy


def _spacing(stored: NDArray[Any]) -> Doubles:
    kind = stored.dtype if stored.dtype.kind == "f" else np.dtype(np.float64)
    spacing: Doubles = np.spacing(np.abs(stored).astype(kind.newbyteorder("="))).astype(np.float64)
    return spacing
