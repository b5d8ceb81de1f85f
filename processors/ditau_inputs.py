"""The 27 inputs of the ditau mass networks from legs, jets and missing transverse momentum of selected events.

The definitions are those of the project DiTau_ML_mass as its authors corrected them: mT^2 = 2 pT pT (1 - cos dphi), and
two leading jets apart from the remaining ones. Absent objects are 0.
"""

from collections.abc import Mapping
from typing import Any

import awkward as ak
import numpy as np

from processors.ditau_mass import INPUTS, Settings
from processors.ditau_pairs import separation
from processors.kinematics import Doubles, delta_phi
from processors.nanoaod import column
from processors.selections import Array

Legs = Mapping[str, Array]
#: Bit of NanoAOD's jetId: tight, and not a lepton.
TIGHT_LEPTON_VETO = 4


def transverse_mass(pt_a: Array, phi_a: Array, pt_b: Array, phi_b: Array) -> Doubles:
    """mT(A, B) of massless objects, in the unit of the momenta."""
    turn = np.subtract(phi_a, phi_b, dtype=np.float64)
    # 1 - cos x loses its digits for small x.
    return np.asarray(2.0 * np.sqrt(np.multiply(pt_a, pt_b, dtype=np.float64)) * np.abs(np.sin(turn / 2.0)))


def all_jets(events: Any) -> Any:
    """The jets as records with `index`, `good` (the identification, where the file has it) and `b`, the b score."""
    names = ("pt", "eta", "phi")
    fields = {name: column(events, f"Jet_{name}") for name in names}
    fields["b"] = column(events, "Jet_btagDeepFlavB")
    identity = column(events, "Jet_jetId?")
    fields["good"] = ak.ones_like(fields["b"], dtype=bool) if identity is None else (identity & TIGHT_LEPTON_VETO) != 0
    fields["index"] = ak.local_index(fields["pt"])
    return ak.zip({name: ak.without_parameters(ak.materialize(values)) for name, values in fields.items()})


def select_jets(jets: Any, legs: tuple[Legs, Legs], of_taus: Any, settings: Settings) -> tuple[Any, Any]:
    """Jets and b jets of the events, by falling pT.

    Args:
        jets: of `all_jets`.
        legs: the two legs with eta and phi.
        of_taus: lists of the places of jets that are taus.
        settings: bounds.

    """
    keep = jets.good
    for leg in legs:
        vector = ak.zip({"eta": leg["eta"], "phi": leg["phi"]})
        keep = keep & (separation(jets, vector) > settings.jet_delta_r)
    pairs = ak.cartesian([jets.index, of_taus], nested=True)
    keep = keep & ~ak.any(pairs["0"] == pairs["1"], axis=2)
    clean = jets[keep]
    clean = clean[ak.argsort(clean.pt, ascending=False, stable=True)]
    plain = clean[(clean.pt > settings.jet_pt) & (abs(clean.eta) < settings.jet_eta)]
    tagged = clean[(clean.pt > settings.b_jet_pt) & (abs(clean.eta) < settings.b_jet_eta) & (clean.b > settings.b_tag)]
    return plain, tagged


def jet_inputs(jets: Any) -> dict[str, Doubles]:
    """Two leading jets, and the vector sum and number of all others; the lists are in the order that counts."""
    out: dict[str, Doubles] = {}
    for place in (0, 1):
        one = ak.firsts(jets[:, place:])
        for name in ("pt", "eta", "phi"):
            out[f"jet{place + 1}_{name}_reco"] = np.asarray(ak.to_numpy(ak.fill_none(one[name], 0.0)), np.float64)
    rest = jets[:, 2:]
    pt, eta, phi = (ak.values_astype(rest[name], np.float64) for name in ("pt", "eta", "phi"))
    px, py, pz = (
        np.asarray(ak.to_numpy(ak.sum(part, axis=1)), np.float64)
        for part in (pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta))
    )
    total = np.hypot(px, py)
    there = total > 0
    out["remaining_jets_pt_reco"] = total
    out["remaining_jets_eta_reco"] = np.where(there, np.arcsinh(pz / np.where(there, total, 1.0)), 0.0)
    out["remaining_jets_phi_reco"] = np.where(there, np.arctan2(py, px), 0.0)
    out["remaining_jets_N_reco"] = np.asarray(ak.to_numpy(ak.num(rest)), np.float64)
    return out


def inputs(
    legs: tuple[Legs, Legs], jets: Any, met: Legs, covariance: Mapping[str, Array], vertices: Array, neutrinos: Array
) -> dict[str, Doubles]:
    """The inputs in their order, each of shape (events,): GeV, GeV^2 for the covariance, radians in (-pi, pi].

    `legs` and `met` have pt and phi, legs eta, too; `covariance` has XX, XY, YY.
    """
    out: dict[str, Doubles] = {}
    for number, leg in enumerate(legs, start=1):
        for name in ("pt", "eta", "phi"):
            out[f"tau{number}_{name}_reco"] = np.asarray(leg[name], np.float64)
    out |= jet_inputs(jets)
    out["PuppiMET_pt_reco"] = np.asarray(met["pt"], np.float64)
    out["PuppiMET_phi_reco"] = np.asarray(met["phi"], np.float64)
    for part, values in covariance.items():
        out[f"MET_cov{part}_reco"] = np.asarray(values, np.float64)
    masses = [transverse_mass(leg["pt"], leg["phi"], met["pt"], met["phi"]) for leg in legs]
    masses.append(transverse_mass(legs[0]["pt"], legs[0]["phi"], legs[1]["pt"], legs[1]["phi"]))
    for name, mass in zip(("1", "2", "tt"), masses, strict=True):
        out[f"PuppimT{name}_reco"] = mass
    out["PuppimTtot_reco"] = np.sqrt(sum(mass**2 for mass in masses))
    out["PU_npvsGood_reco"] = np.asarray(vertices, np.float64)
    out["N_neutrinos_reco"] = np.asarray(neutrinos, np.float64)
    for name in out:
        if "phi" in name:
            out[name] = delta_phi(out[name], np.zeros(len(out[name])))
    return {name: out[name] for name in INPUTS}


def as_published(corrected: Mapping[str, Doubles], jets: Any) -> dict[str, Doubles]:
    """The inputs in the convention of the program that trained the published models.

    Its jet list is another one, `jets`, and its azimuths are arcsin(py / pT), which lie between -pi/2 and pi/2.
    """
    out = {**corrected, **jet_inputs(jets)}
    for name in out:
        if "phi" in name:
            out[name] = np.arcsin(np.sin(out[name]))
    return {name: out[name] for name in INPUTS}
