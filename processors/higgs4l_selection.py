"""The four-lepton selection on regular arrays: which events pass each cut, and the quantities of the skim."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from processors import kinematics as kin
from processors.higgs4l import CUTS, Settings
from processors.kinematics import Bools, Doubles
from processors.selections import Array, descending_order, every, padded, regular, reorder, without_overlaps

#: Sums of lepton types: four electrons, two of each, four muons.
FLAVOUR_SUMS = (44, 48, 52)
MUON = 13
MEV_PER_GEV = 1000.0

_LEPTON_NAMES = {
    "pt": "lep_pt",
    "eta": "lep_eta",
    "phi": "lep_phi",
    "etcone20": "lep_etcone20",
    "d0": "lep_trackd0pvunbiased",
    "d0_error": "lep_tracksigd0pvunbiased",
    "charge": "lep_charge",
    "type": "lep_type",
}


@dataclass(frozen=True)
class Leptons:
    """Leptons of the selected events, ordered by transverse momentum: arrays of shape (events, 4 or 6), column-major.

    `pt` and `etcone20` are in MeV as in the file, with the file's precision; zeros fill up events with fewer leptons.
    """

    pt: Array
    eta: Array
    phi: Array
    etcone20: Array
    d0: Array
    d0_error: Array
    charge: npt.NDArray[np.int8]
    type: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.pt)

    def first(self, width: int) -> "Leptons":
        """The leading `width` leptons of every event."""
        return Leptons(**{name: getattr(self, name)[:, :width] for name in _LEPTON_NAMES})


@dataclass(frozen=True)
class Selected:
    """What the selection gives for the events that pass `four_leptons`."""

    columns: dict[str, Array]
    """The columns of the skim that come from the leptons, by name, shape (events,)."""
    passes: dict[str, Bools]
    """For every cut after `four_leptons`: which events pass it, taken alone."""


def small_integers(values: Array, name: str) -> npt.NDArray[np.int8]:
    """Charges or lepton types as int8; ValueError if one does not fit."""
    if len(values) and not (values.min() >= -127 and values.max() <= 127):
        raise ValueError(f"{name} has values outside -127 to 127 (from {values.min()} to {values.max()})")
    return values.astype(np.int8)


def exactly_four(counts: Array, flat: Mapping[str, Array]) -> tuple[Bools, Leptons]:
    """Which events have four leptons, and these.

    `flat` holds the lepton branches of all events one after another, `counts` how many each event has.
    """
    chosen: Bools = counts == 4
    first = np.cumsum(counts, dtype=np.int64)
    first -= counts
    first = first[chosen]
    values = {name: regular(flat[branch], first, 4) for name, branch in _LEPTON_NAMES.items()}
    order = descending_order(values["pt"])
    if order is not None:
        values = {name: reorder(array, order) for name, array in values.items()}
    return chosen, Leptons(**values)


def at_least_four(
    counts: Array, flat: Mapping[str, Array], settings: Settings
) -> tuple[Bools, Leptons, npt.NDArray[np.int32]]:
    """The other reading of the notebook: leptons failing a lepton cut are removed, four or more must remain.

    Removed are leptons that fail `lepton_pt`, `isolation` or `impact_parameter`, then of each pair that fails `delta_r`
    the one of lower transverse momentum, taking the pairs from the hardest lepton down. Gives which events keep
    four or more, their six leading leptons (zeros where there are fewer), and how many they keep.
    """
    width = max(6, int(counts.max(initial=0)))
    values = {name: padded(flat[branch], counts, width) for name, branch in _LEPTON_NAMES.items()}
    present = np.asfortranarray(np.arange(width) < np.asarray(counts)[:, None])
    order = np.argsort(np.where(present, -values["pt"].astype(np.float64), np.inf), axis=1, kind="stable")
    leptons = Leptons(**{name: reorder(array, order) for name, array in values.items()})
    # Sorted stably with absent leptons at infinity, the present ones lead; NaN would trail even these.
    good = reorder(present, order)
    for mask in _lepton_cuts(leptons, settings).values():
        good &= mask
    kept = without_overlaps(
        good,
        leptons.type,
        leptons.eta,
        leptons.phi,
        settings.same_flavour_delta_r,
        settings.different_flavour_delta_r,
    )
    number = kept.sum(axis=1, dtype=np.int32)
    chosen: Bools = number >= 4
    front = np.argsort(~kept[chosen], axis=1, kind="stable")[:, :6]
    used = reorder(kept[chosen], front)
    compact = {name: reorder(getattr(leptons, name)[chosen], front) for name in _LEPTON_NAMES}
    for array in compact.values():
        array[~used] = 0
    return chosen, Leptons(**compact), number[chosen]


def select(leptons: Leptons, settings: Settings) -> Selected:
    """Evaluates every cut on the four leading leptons and computes the quantities of the skim.

    A cut on Z1 or Z2 fails where the leptons do not form two same-flavour opposite-charge pairs; the masses of the
    pairs and the decay angles are NaN there. Masses and momenta are in GeV.
    """
    four = leptons.first(4)
    pt = np.divide(four.pt, MEV_PER_GEV, dtype=np.float64)
    same_flavour = [four.type[:, i] == four.type[:, j] for i, j in kin.PAIRS]
    passes = {name: every(mask) for name, mask in _lepton_cuts(four, settings).items()}
    total = four.type.sum(axis=1, dtype=np.int16)
    passes["charge"] = four.charge.sum(axis=1, dtype=np.int16) == 0
    passes["flavour"] = (total == FLAVOUR_SUMS[0]) | (total == FLAVOUR_SUMS[1]) | (total == FLAVOUR_SUMS[2])
    passes["leading_pt"] = (pt[:, 1] > settings.second_pt) & (pt[:, 2] > settings.third_pt)

    delta_r = kin.pair_delta_r(four.eta, four.phi)
    passes["delta_r"] = np.ones(len(four), dtype=np.bool_)
    for k, same in enumerate(same_flavour):
        limit = np.where(same, settings.same_flavour_delta_r, settings.different_flavour_delta_r)
        passes["delta_r"] &= delta_r[:, k] > limit

    p = kin.massless_momenta(pt, four.eta, four.phi)
    pair_squares = kin.pair_mass_squared(p)
    m4l = np.sqrt(pair_squares.sum(axis=1))
    system = p.total()
    pt4l = kin.transverse_momentum(system)
    passes["mass_window"] = (m4l > settings.mass_window[0]) & (m4l < settings.mass_window[1])
    columns: dict[str, Array] = {"m4l": m4l, "pt4l": pt4l, "y4l": kin.rapidity(system.pz, pt4l, m4l)}
    candidates = kin.same_flavour_opposite_charge(four.charge, four.type)
    z_columns, z_passes = _z_quantities(p, four.charge, pair_squares, candidates, m4l, settings)
    columns |= z_columns
    passes |= z_passes
    return Selected(_lepton_columns(leptons) | columns, {cut: passes[cut] for cut in CUTS[2:]})


def _lepton_cuts(leptons: Leptons, settings: Settings) -> dict[str, Bools]:
    """Which leptons pass the cuts on single leptons, shape (events, leptons)."""
    muon = leptons.type == MUON
    pt = np.divide(leptons.pt, MEV_PER_GEV, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        isolation = np.divide(leptons.etcone20, leptons.pt, dtype=np.float64)
        impact = np.abs(np.divide(leptons.d0, leptons.d0_error, dtype=np.float64))
    return {
        "lepton_pt": pt > np.where(muon, settings.muon_pt, settings.electron_pt),
        "isolation": isolation < np.where(muon, settings.muon_isolation, settings.electron_isolation),
        "impact_parameter": impact < np.where(muon, settings.muon_d0_significance, settings.electron_d0_significance),
    }


def z2_minimum(m4l: Doubles, settings: Settings) -> Doubles:
    """Lower limit on the mass of Z2 [GeV] at the given m4l [GeV]: constant, rising linearly, constant."""
    (low, high), (start, stop) = settings.z2_min_mass, settings.z2_min_mass_m4l
    return low + (high - low) * (np.clip(m4l, start, stop) - start) / (stop - start)


def _z_quantities(
    p: kin.FourMomenta,
    charge: npt.NDArray[np.int8],
    pair_squares: Doubles,
    candidates: Bools,
    m4l: Doubles,
    settings: Settings,
) -> tuple[dict[str, Array], dict[str, Bools]]:
    """Masses of the Z candidates, decay angles, and the cuts on pairs, computed where two pairs exist."""
    masses = np.sqrt(pair_squares)
    index, defined = kin.z_pairs(masses, candidates, settings.z_mass)
    light = np.zeros(len(m4l), dtype=np.bool_)
    for k in range(len(kin.PAIRS)):
        light |= candidates[:, k] & ~(masses[:, k] > settings.sfos_mass)

    rows = np.flatnonzero(defined)
    whole = len(rows) == len(defined)
    if not whole:
        masses, index, charge = masses[rows], index[rows], charge[rows]
        p = kin.FourMomenta(*(component[rows] for component in p))
    event = np.arange(len(rows))
    m_z1, m_z2 = masses[event, index], masses[event, 5 - index]
    angles = kin.decay_angles(kin.z_leptons(p, charge, index), m4l[rows])

    columns: dict[str, Array] = {}
    for name, dtype, values in (
        ("m_z1", np.float64, m_z1),
        ("m_z2", np.float64, m_z2),
        *((name, np.float32, angle) for name, angle in zip(kin.DecayAngles._fields, angles, strict=True)),
    ):
        columns[name] = np.full(len(defined), np.nan, dtype=dtype)
        columns[name][rows] = values
    z1, z2 = columns["m_z1"], columns["m_z2"]
    return columns, {
        "sfos_mass": defined & ~light,
        "m_z1": (z1 > settings.z1_mass[0]) & (z1 < settings.z1_mass[1]),
        "m_z2": (z2 > z2_minimum(m4l, settings)) & (z2 < settings.z2_max_mass),
    }


def _lepton_columns(leptons: Leptons) -> dict[str, Array]:
    """The skim columns of single leptons: lep1_pt to lep4_type (or lep6_type), zeros where there is no lepton."""
    out: dict[str, Array] = {}
    absent = leptons.type == 0
    pt = np.divide(leptons.pt, np.float32(MEV_PER_GEV), dtype=np.float32)
    etcone20 = np.divide(leptons.etcone20, np.float32(MEV_PER_GEV), dtype=np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        significance = np.divide(leptons.d0, leptons.d0_error, dtype=np.float32)
    significance[absent] = 0.0
    for i in range(leptons.pt.shape[1]):
        prefix = f"lep{i + 1}_"
        out[prefix + "pt"] = pt[:, i]
        out[prefix + "eta"] = leptons.eta[:, i].astype(np.float32, copy=False)
        out[prefix + "phi"] = leptons.phi[:, i].astype(np.float32, copy=False)
        out[prefix + "etcone20"] = etcone20[:, i]
        out[prefix + "d0_significance"] = significance[:, i]
        out[prefix + "charge"] = leptons.charge[:, i]
        out[prefix + "type"] = leptons.type[:, i]
    return out
