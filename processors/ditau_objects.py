"""Leptons and hadronic taus of NanoAOD events, and which of them pass a selection. Momenta in GeV, lengths in cm."""

from typing import Any

import awkward as ak
import numpy as np

from processors.ditau_mass import DEEP_TAU, MVA, Cut, Settings
from processors.errors import MissingBranch, ReadError
from processors.nanoaod import column, found_as

#: DeepTau's working points, the loosest first; a bitmask has a bit for each.
WORKING_POINTS: dict[str, tuple[str, ...]] = {
    "e": ("VVVLoose", "VVLoose", "VLoose", "Loose", "Medium", "Tight", "VTight", "VVTight"),
    "mu": ("VLoose", "Loose", "Medium", "Tight"),
    "jet": ("VVVLoose", "VVLoose", "VLoose", "Loose", "Medium", "Tight", "VTight", "VVTight"),
}
_KINEMATICS = ("pt", "eta", "phi", "mass", "charge", "dz")


def leptons(events: Any, kind: str) -> Any:
    """Muons or electrons as records with all that selections need; `index` is the place in the file's list."""
    fields = {name: column(events, f"{kind}_{name}") for name in (*_KINEMATICS, "dxy")}
    if kind == "Muon":
        loose = column(events, "Muon_looseId?")
        fields["isolation"] = column(events, "Muon_pfRelIso04_all")
        fields["tight"] = column(events, "Muon_mediumId")
        # The oldest versions keep loose muons only.
        fields["loose"] = ak.ones_like(fields["tight"]) if loose is None else loose
    else:
        fields["isolation"] = column(events, "Electron_pfRelIso03_all")
        fields["loose"] = column(events, "Electron_convVeto") & (column(events, "Electron_lostHits") <= 1)
        fields["tight"] = fields["loose"] & column(events, MVA)
    return _records(fields)


def taus(events: Any, settings: Settings) -> Any:
    """Hadronic taus; `e`, `mu`, `jet` are the working points passed, as numbers from 0 (none) on.

    Raises MissingBranch where the file has no DeepTau, ReadError where its numbers are none of its kind.
    """
    version = deep_tau_version(events)
    fields = {name: column(events, f"Tau_{name}") for name in _KINEMATICS}
    mode = column(events, "Tau_decayMode")
    good = ak.zeros_like(mode, dtype=bool)
    for one in settings.decay_modes:
        good = good | (mode == one)
    new_modes = column(events, "Tau_idDecayModeNewDMs?")
    fields["good"] = good & (abs(fields["charge"]) == 1)
    if new_modes is not None:
        fields["good"] = fields["good"] & new_modes
    fields["jet_index"] = column(events, "Tau_jetIdx")
    bitmask = is_bitmask(events, version, settings)
    for against, names in WORKING_POINTS.items():
        branch = f"Tau_idDeepTau{version}VS{against}"
        fields[against] = passed_points(column(events, branch), len(names), bitmask, branch, events.metadata)
    return _records(fields)


def deep_tau_version(events: Any) -> str:
    """The version of DeepTau that is used: the first of `DEEP_TAU` that the file has."""
    for version in DEEP_TAU:
        if found_as(events, f"Tau_idDeepTau{version}VSjet?") is not None:
            return version
    names = " nor ".join(f"'Tau_idDeepTau{version}VSjet'" for version in DEEP_TAU)
    raise MissingBranch(
        f"{events.metadata['filename']}: the tree {events.metadata['treename']!r} has no branch {names}: "
        "hadronic taus cannot be identified without DeepTau"
    )


def is_bitmask(events: Any, version: str, settings: Settings) -> bool:
    """Whether working points are bits. NanoAOD changed to ordinals when it took up the newer version."""
    if settings.working_points != "auto":
        return settings.working_points == "bitmask"
    return version == DEEP_TAU[0] and found_as(events, f"Tau_idDeepTau{DEEP_TAU[1]}VSjet?") is None


def passed_points(values: Any, points: int, bitmask: bool, branch: str, metadata: Any) -> Any:
    """How many working points each tau passes; they are nested, so that this is the ordinal of the tightest one."""
    flat = np.asarray(ak.to_numpy(ak.flatten(values))).astype(np.int64)
    allowed = (1 << np.arange(points + 1)) - 1 if bitmask else np.arange(points + 1)
    if not np.isin(flat, allowed).all():
        wrong = int(flat[~np.isin(flat, allowed)][0])
        kind = "a bitmask" if bitmask else "the number"
        other = "ordinal" if bitmask else "bitmask"
        raise ReadError(
            f"{metadata['filename']}: {branch} has the value {wrong}, which is not {kind} of nested working points: "
            f"processor.working_points={other} may be right"
        )
    return ak.unflatten(np.searchsorted(allowed, flat), ak.num(values))


def passing(objects: Any, cut: Cut, kind: str, *, tight: bool = True) -> Any:
    """Which objects pass, as a mask of lists; `kind` is tau, muon or electron, `tight` whether full identification."""
    size = {"eta": abs(objects.eta), "dz": abs(objects.dz)}
    if cut.inclusive:
        keep = (objects.pt >= cut.pt) & (size["eta"] <= cut.eta) & (size["dz"] <= cut.dz)
    else:
        keep = (objects.pt > cut.pt) & (size["eta"] < cut.eta) & (size["dz"] < cut.dz)
    if kind == "tau":
        keep = keep & objects.good
        for against, names in WORKING_POINTS.items():
            keep = keep & (objects[against] > names.index(getattr(cut.against, against)))
        return keep
    if cut.dxy is not None:
        keep = keep & ((abs(objects.dxy) <= cut.dxy) if cut.inclusive else (abs(objects.dxy) < cut.dxy))
    if cut.isolation is not None:
        keep = keep & (objects.isolation < cut.isolation)
    return keep & (objects.tight if tight else objects.loose)


def _records(fields: dict[str, Any]) -> Any:
    fields["index"] = ak.local_index(fields["pt"])
    # Plain records: the schema's behaviour would be carried through every step.
    plain = {name: ak.without_parameters(ak.materialize(values)) for name, values in fields.items()}
    return ak.zip(plain)
