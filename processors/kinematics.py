"""Four-vector physics of massless leptons on regular numpy arrays: pair masses, separations, Z pairs, decay angles.

Arrays of leptons have the shape (events, 4), of pairs (events, 6) in the order of `PAIRS`. They are best column-major
(each lepton's column contiguous): numpy then runs along the columns. Energies and momenta
are in one unit, GeV throughout this project; angles are in radians.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.integer]

#: The pairs of four leptons. The complement of pair k is pair 5 - k.
PAIRS: tuple[tuple[int, int], ...] = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))


class FourMomenta(NamedTuple):
    """Components of four-momenta, four arrays of one shape."""

    px: Doubles
    py: Doubles
    pz: Doubles
    energy: Doubles

    def lepton(self, index: int) -> "FourMomenta":
        """One lepton of every event: components of shape (events,) from (events, 4)."""
        return FourMomenta(*(component[:, index] for component in self))

    def total(self) -> "FourMomenta":
        """The sum over the leptons: components of shape (events,) from (events, 4)."""
        return FourMomenta(*(component.sum(axis=1) for component in self))


class ZLeptons(NamedTuple):
    """The leptons of the two Z candidates, by charge."""

    minus1: FourMomenta
    plus1: FourMomenta
    minus2: FourMomenta
    plus2: FourMomenta


class DecayAngles(NamedTuple):
    """The five angles of X -> Z1 Z2 -> 4 leptons, each of shape (events,): cosines, and azimuths in [-pi, pi]."""

    cos_theta_star: Doubles
    cos_theta1: Doubles
    cos_theta2: Doubles
    phi: Doubles
    phi1: Doubles


def massless_momenta(pt: Floats, eta: Floats, phi: Floats) -> FourMomenta:
    """Four-momenta of massless particles from transverse momentum, pseudorapidity and azimuth, in double precision."""
    pt, eta, phi = (np.asarray(x, dtype=np.float64) for x in (pt, eta, phi))
    sinh_eta = np.sinh(eta)
    # cosh from sinh saves one exponential; both are exact to rounding.
    return FourMomenta(pt * np.cos(phi), pt * np.sin(phi), pt * sinh_eta, pt * np.sqrt(1.0 + sinh_eta * sinh_eta))


def delta_phi(phi_a: Floats, phi_b: Floats) -> Doubles:
    """Difference of two azimuths, wrapped to (-pi, pi]; the inputs may lie anywhere."""
    difference = np.subtract(phi_a, phi_b, dtype=np.float64)
    turns = np.ceil((difference - np.pi) / (2.0 * np.pi))
    wrapped: Doubles = difference - 2.0 * np.pi * turns
    return wrapped


def pair_delta_r(eta: Floats, phi: Floats) -> Doubles:
    """Separations sqrt(deta^2 + dphi^2) of the six pairs, shape (events, 6) from (events, 4)."""
    out = np.empty((len(PAIRS), len(eta)), dtype=np.float64)
    for k, (i, j) in enumerate(PAIRS):
        d_eta = np.subtract(eta[:, i], eta[:, j], dtype=np.float64)
        d_phi = delta_phi(phi[:, i], phi[:, j])
        np.sqrt(d_eta * d_eta + d_phi * d_phi, out=out[k])
    return out.T


def pair_mass_squared(p: FourMomenta) -> Doubles:
    """Squared invariant masses 2 p_i.p_j of the six pairs of massless leptons, shape (events, 6); never negative."""
    out = np.empty((len(PAIRS), len(p.energy)), dtype=np.float64)
    for k, (i, j) in enumerate(PAIRS):
        a, b = p.lepton(i), p.lepton(j)
        product = a.energy * b.energy
        product -= a.px * b.px
        product -= a.py * b.py
        product -= a.pz * b.pz
        # Rounding can leave a collinear pair slightly below zero.
        np.maximum(product, 0.0, out=product)
        np.multiply(product, 2.0, out=out[k])
    return out.T


def transverse_momentum(p: FourMomenta) -> Doubles:
    """Length of the transverse momentum."""
    return np.sqrt(p.px * p.px + p.py * p.py)


def rapidity(pz: Doubles, pt: Doubles, mass: Doubles) -> Doubles:
    """Rapidity along the beam, asinh(pz / m_T), which loses no digits at either sign; NaN where m_T vanishes."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.arcsinh(pz / np.sqrt(mass * mass + pt * pt))


def same_flavour_opposite_charge(charge: npt.NDArray[np.int8], flavour: npt.NDArray[np.int8]) -> Bools:
    """Which of the six pairs have one flavour and opposite charges, shape (events, 6) from (events, 4)."""
    out = np.empty((len(PAIRS), len(charge)), dtype=np.bool_)
    for k, (i, j) in enumerate(PAIRS):
        np.logical_and(flavour[:, i] == flavour[:, j], charge[:, i] * charge[:, j] < 0, out=out[k])
    return out.T


def z_pairs(masses: Doubles, candidates: Bools, z_mass: float) -> tuple[npt.NDArray[np.int8], Bools]:
    """The pair of every event that makes Z1: nearest `z_mass`, among the pairs whose complement is a candidate too.

    Gives the index of Z1 in `PAIRS` (Z2 is 5 - that) and whether there is one; without one the index means nothing.
    Of pairs equally near the first in the order of `PAIRS` counts. Shapes (events,) from (events, 6).
    """
    nearest = np.full(len(masses), np.inf)
    index = np.zeros(len(masses), dtype=np.int8)
    defined = np.zeros(len(masses), dtype=np.bool_)
    for k in range(len(PAIRS)):
        allowed = candidates[:, k] & candidates[:, 5 - k]
        distance = np.abs(masses[:, k] - z_mass)
        better = allowed & (distance < nearest)
        np.copyto(nearest, distance, where=better)
        np.copyto(index, np.int8(k), where=better)
        defined |= allowed
    return index, defined


#: For each choice of Z1: its two leptons, then those of Z2.
_PAIR_LEPTONS = np.array([(*PAIRS[k], *PAIRS[5 - k]) for k in range(6)], dtype=np.int8)


def z_leptons(p: FourMomenta, charge: npt.NDArray[np.int8], z1_pair: Integers) -> ZLeptons:
    """The momenta of the four leptons by their roles, components of shape (events,).

    `charge` has the shape (events, 4); both pairs must have opposite charges.
    """
    events = len(charge)
    event = np.arange(events)
    # Flat positions in a column-major (events, 4) array.
    base = np.ascontiguousarray(charge.T).ravel()
    roles = []
    for first, second in ((0, 1), (2, 3)):
        a = _PAIR_LEPTONS[:, first].astype(np.int64)[z1_pair] * events + event
        b = _PAIR_LEPTONS[:, second].astype(np.int64)[z1_pair] * events + event
        negative_first = base[a] < 0
        roles.append(np.where(negative_first, a, b))
        roles.append(np.where(negative_first, b, a))
    flat = [np.ascontiguousarray(component.T).ravel() for component in p]
    return ZLeptons(*(FourMomenta(*(component[role] for component in flat)) for role in roles))


def _minus(a: FourMomenta, b: FourMomenta) -> FourMomenta:
    return FourMomenta(*(x - y for x, y in zip(a, b, strict=True)))


def _plus(a: FourMomenta, b: FourMomenta) -> FourMomenta:
    return FourMomenta(*(x + y for x, y in zip(a, b, strict=True)))


def _product(a: FourMomenta, b: FourMomenta) -> Doubles:
    """Minkowski product, metric (+, -, -, -)."""
    return a.energy * b.energy - a.px * b.px - a.py * b.py - a.pz * b.pz


def _dot(a: tuple[Doubles, ...], b: tuple[Doubles, ...]) -> Doubles:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _in_rest_frame(p: FourMomenta, frame: FourMomenta, mass: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """The three-momentum of `p` after the boost, without rotation, to the rest frame of `frame`."""
    along = p.px * frame.px + p.py * frame.py + p.pz * frame.pz
    factor = (p.energy - along / (frame.energy + mass)) / mass
    return p.px - factor * frame.px, p.py - factor * frame.py, p.pz - factor * frame.pz


def decay_angles(leptons: ZLeptons, mass: Doubles) -> DecayAngles:
    """The five decay angles of a four-lepton system of invariant mass `mass` = m4l, massless leptons.

    Definitions: Bolognesi et al., arXiv:1208.4018, section II and figure 1, the same as Gao et al., arXiv:1001.3396,
    with the negative lepton as the fermion of each Z. In the rest frame of the four leptons, q1 is the momentum of Z1,
    q11 and q21 the negative leptons of Z1 and Z2, z the beam axis:

    - cos theta*: q1 against z;
    - cos theta1 (theta2): the negative lepton of Z1 (Z2) against the direction opposite to the other Z, in the rest
      frame of Z1 (Z2);
    - Phi = sign(q1.(n1 x n2)) arccos(-n1.n2) and Phi1 = sign(q1.(n1 x nsc)) arccos(n1.nsc), where n1, n2 and nsc are
      the normals q11 x q12, q21 x q22 and z x q1.

    The formulas below are those, written with (a x q).(b x q) = a.b q^2 - a.q b.q and
    (a x q) x (b x q) = q (q.(a x b)); the sign and the arccos together are one arctan2. The cosines of the helicity
    angles follow from invariants, without a boost. Undefined angles (no relative momentum of the Zs) are NaN.
    """
    minus1, plus1, minus2, plus2 = leptons
    z1, z2 = _plus(minus1, plus1), _plus(minus2, plus2)
    system = _plus(z1, z2)
    with np.errstate(invalid="ignore", divide="ignore"):
        q1 = _in_rest_frame(z1, system, mass)
        q11 = _in_rest_frame(minus1, system, mass)
        q21 = _in_rest_frame(minus2, system, mass)
        q1_squared = _dot(q1, q1)
        q1_length = np.sqrt(q1_squared)
        # In the frame of Z1: (l- - l+).Z2 = m1 |Z2| cos theta1, and m1 |Z2| = m4l |q1| in any frame.
        scale = mass * q1_length
        cos_theta1 = _product(_minus(minus1, plus1), z2) / scale
        cos_theta2 = _product(_minus(minus2, plus2), z1) / scale
        q11_q1, q21_q1 = _dot(q11, q1), _dot(q21, q1)
        triple = (
            q1[0] * (q11[1] * q21[2] - q11[2] * q21[1])
            + q1[1] * (q11[2] * q21[0] - q11[0] * q21[2])
            + q1[2] * (q11[0] * q21[1] - q11[1] * q21[0])
        )
        phi = np.arctan2(-q1_length * triple, _dot(q11, q21) * q1_squared - q11_q1 * q21_q1)
        phi1 = np.arctan2(q1_length * (q1[0] * q11[1] - q1[1] * q11[0]), q11[2] * q1_squared - q11_q1 * q1[2])
        return DecayAngles(q1[2] / q1_length, cos_theta1, cos_theta2, phi, phi1)
