"""Generated counterparts of reconstructed objects, and reconstructed over generated as plain Python."""

import math
from collections import defaultdict
from typing import Any

import awkward as ak
import numpy as np
from support.independent_ditau import KINDS, d_phi, find_pair, has_dilepton, has_third, jets_of, m_t, read_events

from processors.ditau_mass import FILTERS

Momentum = tuple[float, float, float]
_PDG = {"Electron": 11, "Muon": 13}


def invented_truth(events: list[dict[str, Any]], rng: np.random.Generator) -> dict[str, Any]:
    """Columns of GenVisTau, GenJet, GenPart and GenMET near most of the objects of events, and far from some."""
    lists: dict[str, dict[str, list[Any]]] = {}
    names = {"GenVisTau": ("pt", "eta", "phi"), "GenJet": ("pt", "eta", "phi"),
             "GenPart": ("pt", "eta", "phi", "mass", "pdgId", "genPartIdxMother")}  # fmt: skip
    for outer, fields in names.items():
        lists[outer] = {name: [] for name in fields}
    for e in events:
        found: dict[str, list[tuple[Any, ...]]] = {
            "GenVisTau": _near(e, "Tau", rng), "GenJet": _near(e, "Jet", rng),
            "GenPart": [(1.0, 0.0, 0.0, 125.0, 25, -1), (1.0, 0.0, 0.0, 1.8, 15, 0), (1.0, 0.0, 0.0, 1.8, -15, 0)],
        }  # fmt: skip
        for kind, pdg in _PDG.items():
            # Some are of the boson or of nothing: no counterparts.
            found["GenPart"] += [
                (*one, 0.1, pdg * rng.choice([-1, 1]), rng.choice([1, 2, 0, -1], p=[0.4, 0.4, 0.1, 0.1]))
                for one in _near(e, kind, rng)
            ]
        for outer, fields in names.items():
            for place, name in enumerate(fields):
                lists[outer][name].append([one[place] for one in found[outer]])
    whole = ("pdgId", "genPartIdxMother")
    columns: dict[str, Any] = {
        outer: {name: ak.values_astype(ak.Array(values), np.int32 if name in whole else np.float32)
                for name, values in fields.items()}
        for outer, fields in lists.items()
    }  # fmt: skip
    for outer in ("GenVisTau", "GenJet"):
        columns[outer]["mass"] = ak.zeros_like(columns[outer]["pt"])
    columns["GenVisTau"]["charge"] = ak.values_astype(ak.ones_like(columns["GenVisTau"]["pt"]), np.int32)
    columns["GenMET_pt"] = rng.exponential(30, len(events)).astype("f4")
    columns["GenMET_phi"] = rng.uniform(-np.pi, np.pi, len(events)).astype("f4")
    return columns


def _near(e: dict[str, Any], kind: str, rng: np.random.Generator) -> list[Momentum]:
    return [
        (float(e[f"{kind}_pt"][i]) * rng.uniform(0.7, 1.4), float(e[f"{kind}_eta"][i]) + rng.normal(0, 0.15),
         float(math.remainder(float(e[f"{kind}_phi"][i]) + rng.normal(0, 0.15), 2 * math.pi)))
        for i in range(len(e[f"{kind}_pt"])) if rng.random() < 0.9
    ]  # fmt: skip


def nearest(one: Momentum, others: list[Momentum], radius: float) -> Momentum | None:
    """The nearest momentum in dR, if it is within the radius."""
    distances = [math.hypot(one[1] - other[1], d_phi(one[2], other[2])) for other in others]
    best = min(range(len(others)), key=distances.__getitem__, default=None)
    return others[best] if best is not None and distances[best] < radius else None


def responses(path: Any) -> dict[str, list[tuple[float, float]]]:
    """Reconstructed over generated and the event's weight, by input, of the selected events of a file."""
    out = defaultdict(list)
    for e in read_events(path):
        if not all(e[name] for name in FILTERS):
            continue
        found = {channel: pair for channel in KINDS if (pair := find_pair(e, channel)) is not None}
        found = {c: pair for c, pair in found.items() if not has_third(e, pair) and not has_dilepton(e, c, pair)}
        if not found:
            continue
        for name, ratio in _ratios(e, next(iter(found.values()))).items():
            out[name].append((ratio, float(e["genWeight"])))
    return out


def _momenta(e: dict[str, Any], kind: str) -> list[Momentum]:
    return [tuple(float(e[f"{kind}_{name}"][i]) for name in ("pt", "eta", "phi")) for i in range(len(e[f"{kind}_pt"]))]


def _candidates(e: dict[str, Any], kind: str) -> list[Momentum]:
    if kind == "Tau":
        return _momenta(e, "GenVisTau")
    of_tau = [m >= 0 and abs(int(e["GenPart_pdgId"][m])) == 15 for m in e["GenPart_genPartIdxMother"]]
    kinds = [abs(int(one)) for one in e["GenPart_pdgId"]]
    return [one for one, k, good in zip(_momenta(e, "GenPart"), kinds, of_tau, strict=True) if good and k == _PDG[kind]]


def _ratios(e: dict[str, Any], legs: Any) -> dict[str, float]:
    mine = [_momenta(e, kind)[i] for kind, i in legs]
    true = [nearest(one, _candidates(e, kind), 0.3) for one, (kind, _) in zip(mine, legs, strict=True)]
    met, true_met = ((float(e[f"{name}_pt"]), float(e[f"{name}_phi"])) for name in ("PuppiMET", "GenMET"))
    out = {"PuppiMET_pt_reco": met[0] / true_met[0]}
    masses, true_masses = [], []
    for number, (one, other) in enumerate(zip(mine, true, strict=True), start=1):
        if other is not None:
            out[f"tau{number}_pt_reco"] = one[0] / other[0]
            masses.append(m_t((one[0], one[2]), met))
            true_masses.append(m_t((other[0], other[2]), true_met))
            out[f"PuppimT{number}_reco"] = masses[-1] / true_masses[-1]
    if true[0] is not None and true[1] is not None:
        masses.append(m_t(*((one[0], one[2]) for one in mine)))
        true_masses.append(m_t((true[0][0], true[0][2]), (true[1][0], true[1][2])))
        out["PuppimTtt_reco"] = masses[-1] / true_masses[-1]
        out["PuppimTtot_reco"] = math.hypot(*masses) / math.hypot(*true_masses)
    jets, _ = jets_of(e, legs, {int(e["Tau_jetIdx"][i]) for kind, i in legs if kind == "Tau"})
    momenta = [_momenta(e, "Jet")[i] for i in jets]
    partners = [nearest(one, _momenta(e, "GenJet"), 0.4) for one in momenta]
    for number, (one, other) in enumerate(zip(momenta[:2], partners[:2], strict=True), start=1):
        if other is not None:
            out[f"jet{number}_pt_reco"] = one[0] / other[0]
    rest = [one for one in partners[2:] if one is not None]
    if rest and len(rest) == len(partners[2:]):
        out["remaining_jets_pt_reco"] = _size(momenta[2:]) / _size(rest)
    return out


def _size(momenta: list[Momentum]) -> float:
    return math.hypot(*(sum(one[0] * turn(one[2]) for one in momenta) for turn in (math.cos, math.sin)))
