"""The ditau selection as plain Python, event by event, from the definitions and not from the processors."""

import math
from typing import Any

import numpy as np
import uproot

FLAGS = (
    "goodVertices", "globalSuperTightHalo2016Filter", "HBHENoiseFilter", "HBHENoiseIsoFilter",
    "EcalDeadCellTriggerPrimitiveFilter", "BadPFMuonFilter", "eeBadScFilter", "ecalBadCalibFilter",
)  # fmt: skip
F = np.float32


def read_events(path: Any) -> list[dict[str, Any]]:
    """All events as dictionaries of branches: numbers, and lists of numpy scalars."""
    tree = uproot.open(path)["Events"]
    columns = tree.arrays(library="np")
    return [{name: column[i] for name, column in columns.items()} for i in range(tree.num_entries)]


def d_phi(a: float, b: float) -> float:
    return abs(math.remainder(float(a) - float(b), 2 * math.pi))


def d_r(e: dict[str, Any], a: tuple[str, int], b: tuple[str, int]) -> float:
    (ka, i), (kb, j) = a, b
    eta = float(e[f"{ka}_eta"][i]) - float(e[f"{kb}_eta"][j])
    return math.hypot(eta, d_phi(e[f"{ka}_phi"][i], e[f"{kb}_phi"][j]))


def bit(e: dict[str, Any], name: str, i: int, mask: int) -> bool:
    """A working point; `mask` is that of the bitmask, whose logarithm the ordinals count."""
    if f"Tau_idDeepTau2018v2p5{name}" not in e:
        return bool(int(e[f"Tau_idDeepTau2017v2p1{name}"][i]) & mask)
    version = "2017v2p1" if f"Tau_idDeepTau2017v2p1{name}" in e else "2018v2p5"
    return int(e[f"Tau_idDeepTau{version}{name}"][i]) >= {1: 1, 2: 2, 8: 4, 16: 5, 32: 6}[mask]


def good_tau(e: dict[str, Any], i: int, channel: str) -> bool:
    pt, eta, dz = e["Tau_pt"][i], abs(e["Tau_eta"][i]), abs(e["Tau_dz"][i])
    if channel == "tt":
        place = pt > F(40) and eta < F(2.1) and dz < F(0.2)
    else:
        place = pt >= F(30) and eta <= F(2.3) and dz <= F(0.2)
    return bool(
        place
        and abs(int(e["Tau_charge"][i])) == 1
        and (e["Tau_idDecayModeNewDMs"][i] if "Tau_idDecayModeNewDMs" in e else True)
        and int(e["Tau_decayMode"][i]) in (0, 1, 2, 10, 11)
        and bit(e, "VSe", i, 32 if channel == "et" else 2)
        and bit(e, "VSmu", i, 8 if channel == "mt" else 1)
        and bit(e, "VSjet", i, 16)
    )


def good_muon(e: dict[str, Any], i: int, use: str) -> bool:
    pt, eta, dxy, dz = (abs(e[f"Muon_{name}"][i]) for name in ("pt", "eta", "dxy", "dz"))
    if use == "mt":
        place = pt >= F(21) and eta <= F(2.1) and dxy <= F(0.045) and dz <= F(0.2)
    else:
        place = (
            pt > {"em": 15, "mm": 10, "veto": 10, "loose": 15}[use] and eta < F(2.4) and dxy < F(0.045) and dz < F(0.2)
        )
    identified = e["Muon_looseId"][i] if use == "loose" else e["Muon_mediumId"][i]
    isolated = e["Muon_pfRelIso04_all"][i] < (F(0.3) if use in ("veto", "loose") else F(0.15))
    return bool(place and identified and isolated)


def good_electron(e: dict[str, Any], i: int, use: str) -> bool:
    pt, eta, dxy, dz = (abs(e[f"Electron_{name}"][i]) for name in ("pt", "eta", "dxy", "dz"))
    if use == "et":
        place = pt >= F(25) and eta <= F(2.1) and dxy <= F(0.045) and dz <= F(0.2)
    else:
        least = {"em": 15, "ee": 20, "veto": 10, "loose": 15}[use]
        place = pt > least and eta < F(2.4) and dxy < F(0.045) and dz < F(0.2)
    mva = next(e[n] for n in ("Electron_mvaFall17V2noIso_WP90", "Electron_mvaNoIso_WP90") if n in e)
    identified = e["Electron_convVeto"][i] and int(e["Electron_lostHits"][i]) <= 1 and (use == "loose" or mva[i])
    limit = {"veto": 0.3, "loose": 0.3, "ee": 0.10}.get(use, 0.15)
    return bool(place and identified and e["Electron_pfRelIso03_all"][i] < F(limit))


GOOD = {"Tau": good_tau, "Muon": good_muon, "Electron": good_electron}
KINDS = {
    "tt": ("Tau", "Tau"), "mt": ("Muon", "Tau"), "et": ("Electron", "Tau"), "em": ("Electron", "Muon"),
    "mm": ("Muon", "Muon"), "ee": ("Electron", "Electron"),
}  # fmt: skip
Leg = tuple[str, int]


def find_pair(e: dict[str, Any], channel: str) -> tuple[Leg, Leg] | None:
    """The pair of the highest pT of tau1, then of tau2."""
    one, two = KINDS[channel]
    best: tuple[float, float, Leg, Leg] | None = None
    for i in range(len(e[f"{one}_pt"])):
        for j in range(len(e[f"{two}_pt"])):
            if one == two and (i == j or e[f"{one}_pt"][i] < e[f"{one}_pt"][j]):
                continue
            if not (GOOD[one](e, i, channel) and GOOD[two](e, j, channel)):
                continue
            if int(e[f"{one}_charge"][i]) * int(e[f"{two}_charge"][j]) >= 0:
                continue
            if d_r(e, (one, i), (two, j)) <= (0.3 if channel in ("em", "mm") else 0.5):
                continue
            found = (float(e[f"{one}_pt"][i]), float(e[f"{two}_pt"][j]), (one, i), (two, j))
            if best is None or found[:2] > best[:2]:
                best = found
    return None if best is None else best[2:]


def has_third(e: dict[str, Any], legs: tuple[Leg, Leg]) -> bool:
    return any(
        GOOD[kind](e, i, "veto") and (kind, i) not in legs
        for kind in ("Muon", "Electron")
        for i in range(len(e[f"{kind}_pt"]))
    )


def has_dilepton(e: dict[str, Any], channel: str, legs: tuple[Leg, Leg]) -> bool:
    if channel not in ("mt", "et"):
        return False
    kind = legs[0][0]
    loose = [i for i in range(len(e[f"{kind}_pt"])) if GOOD[kind](e, i, "loose") and (kind, i) != legs[0]]
    return any(
        int(e[f"{kind}_charge"][i]) * int(e[f"{kind}_charge"][j]) < 0 and d_r(e, (kind, i), (kind, j)) > 0.15
        for i in loose
        for j in loose
    )


def m_t(a: tuple[float, float], b: tuple[float, float]) -> float:
    return math.sqrt(max(2 * a[0] * b[0] * (1 - math.cos(a[1] - b[1])), 0.0))


def jets_of(e: dict[str, Any], legs: tuple[Leg, Leg], taken: set[int]) -> tuple[list[int], list[int]]:
    """Places of the jets and of the b jets, by falling pT."""
    clean = [
        i
        for i in range(len(e["Jet_pt"]))
        if i not in taken
        and ("Jet_jetId" not in e or int(e["Jet_jetId"][i]) & 4)
        and all(d_r(e, ("Jet", i), leg) > 0.5 for leg in legs)
    ]
    clean.sort(key=lambda i: -float(e["Jet_pt"][i]))
    jets = [i for i in clean if e["Jet_pt"][i] > 30 and abs(e["Jet_eta"][i]) < F(4.7)]
    b_jets = [
        i for i in clean if e["Jet_pt"][i] > 20 and abs(e["Jet_eta"][i]) < 2.5 and e["Jet_btagDeepFlavB"][i] > F(0.2783)
    ]
    return jets, b_jets


def jet_values(e: dict[str, Any], jets: list[int]) -> list[float]:
    out: list[float] = []
    for place in (0, 1):
        out += (
            [float(e[f"Jet_{n}"][jets[place]]) for n in ("pt", "eta", "phi")] if len(jets) > place else [0.0, 0.0, 0.0]
        )
    x = y = z = 0.0
    for i in jets[2:]:
        pt, eta, phi = (float(e[f"Jet_{n}"][i]) for n in ("pt", "eta", "phi"))
        x, y, z = x + pt * math.cos(phi), y + pt * math.sin(phi), z + pt * math.sinh(eta)
    pt = math.hypot(x, y)
    return [*out, *([pt, math.asinh(z / pt), math.atan2(y, x)] if jets[2:] else [0.0, 0.0, 0.0]), float(len(jets[2:]))]


def values(e: dict[str, Any], channel: str, legs: tuple[Leg, Leg]) -> tuple[list[float], list[float]]:
    """The 27 inputs, and the jets' ten in the published convention but for their azimuths."""
    momenta = [[float(e[f"{kind}_{n}"][i]) for n in ("pt", "eta", "phi")] for kind, i in legs]
    mine = {int(e["Tau_jetIdx"][i]) for kind, i in legs if kind == "Tau"}
    jets, _ = jets_of(e, legs, mine)
    candidates = {
        int(e["Tau_jetIdx"][i]) for i in range(len(e["Tau_pt"])) if "t" in channel and good_tau(e, i, channel)
    }
    old_jets, old_b = jets_of(e, legs, candidates)
    met = (float(e["PuppiMET_pt"]), float(e["PuppiMET_phi"]))
    prefix = next(p for p in ("MET", "PFMET", "PuppiMET") if f"{p}_covXX" in e)
    one, two = ((m[0], m[2]) for m in momenta)
    masses = [m_t(one, met), m_t(two, met), m_t(one, two)]
    neutrinos = sum(1 if kind == "Tau" else 2 for kind, _ in legs)
    found = [
        *momenta[0], *momenta[1], *jet_values(e, jets), *met,
        *(float(e[f"{prefix}_cov{p}"]) for p in ("XX", "XY", "YY")),
        *masses, math.sqrt(sum(m * m for m in masses)), float(e["PV_npvsGood"]), float(neutrinos),
    ]  # fmt: skip
    return found, jet_values(e, [*old_jets, *old_b])


def generated(e: dict[str, Any]) -> float:
    """Mass of the boson with two taus as daughters."""
    mothers = [
        int(m) for m, k in zip(e.get("GenPart_genPartIdxMother", []), e.get("GenPart_pdgId", []), strict=True)
        if abs(int(k)) == 15 and m >= 0 and int(e["GenPart_pdgId"][m]) in (23, 25, 35, 36)
    ]  # fmt: skip
    if len(mothers) < 2 or mothers[0] != mothers[1]:
        return math.nan
    return float(e["GenPart_mass"][mothers[0]])


def select(path: Any) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Events after each cut, and what a selected event's row must hold."""
    counts = dict.fromkeys(("all", "filters", "pair", "third_lepton", "dilepton"), 0)
    rows = []
    for entry, e in enumerate(read_events(path)):
        counts["all"] += 1
        if not all(e.get(f"Flag_{name}", True) for name in FLAGS):
            continue
        counts["filters"] += 1
        found = {channel: pair for channel in KINDS if (pair := find_pair(e, channel)) is not None}
        counts["pair"] += bool(found)
        found = {channel: pair for channel, pair in found.items() if not has_third(e, pair)}
        counts["third_lepton"] += bool(found)
        found = {channel: pair for channel, pair in found.items() if not has_dilepton(e, channel, pair)}
        counts["dilepton"] += bool(found)
        if found:
            channel = next(iter(found))
            inputs, published = values(e, channel, found[channel])
            rows.append({
                "entry": entry, "event": int(e["event"]), "channel": channel, "inputs": inputs,
                "published_jets": published, "gen_mass": generated(e),
            })  # fmt: skip
    return counts, rows
