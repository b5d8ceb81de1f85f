"""Reconstructed over generated: how well the inputs of the ditau mass are measured, in simulated events."""

from collections.abc import Mapping
from typing import Any

import awkward as ak
import hist
import numpy as np

from processors import ditau_inputs
from processors.ditau_mass import CHANNELS, RESPONSES
from processors.ditau_pairs import LEGS, separation
from processors.kinematics import Bools, Doubles
from processors.nanoaod import column
from processors.selections import Array, scalar_content

Histogram = hist.Hist[hist.storage.Weight]
Leg = Mapping[str, Array]
#: A leg's generated counterpart is nearer than this in dR, a jet's than the other.
LEG_RADIUS, JET_RADIUS = 0.3, 0.4
_PDG = {"electron": 11, "muon": 13}
_TAU = 15
_PARTS = ("pt", "eta", "phi")


def ratios(
    events: Any, rows: Array, channel: Array, legs: tuple[Leg, Leg], jets: Any, found: Mapping[str, Array]
) -> dict[str, Doubles]:
    """Reconstructed over generated for each of `RESPONSES`; NaN where the event has no generated counterpart.

    Args:
        events: NanoEvents with generated collections, each of which may be absent.
        rows: the selected events.
        channel: places in `CHANNELS` of those.
        legs: their legs.
        jets: their selected jets, by falling pT.
        found: their inputs.

    """
    chosen = [_generated_leg(events, rows, channel, leg, number) for number, leg in enumerate(legs)]
    partners, known = _generated_jets(events, rows, jets)
    met, has_met = _generated_met(events, rows)
    zero = np.zeros(len(rows))
    generated = ditau_inputs.inputs(
        (chosen[0], chosen[1]), partners, met, dict.fromkeys(("XX", "XY", "YY"), zero), zero, zero
    )
    there = [leg["pt"] > 0 for leg in chosen]
    number = ak.to_numpy(ak.num(jets))
    valid: dict[str, Bools] = {
        "tau1_pt": there[0], "tau2_pt": there[1], "PuppiMET": has_met,
        "jet1_pt": known & (number > 0), "jet2_pt": known & (number > 1),
        "remaining_jets": known & (number > 2) & ak.to_numpy(ak.all(partners.pt[:, 2:] > 0, axis=1)),
        "PuppimT1": there[0] & has_met, "PuppimT2": there[1] & has_met, "PuppimTtt": there[0] & there[1],
        "PuppimTtot": there[0] & there[1] & has_met,
    }  # fmt: skip
    out = {}
    for name in RESPONSES:
        part = next(value for start, value in valid.items() if name.startswith(f"{start}_"))
        good = part & (generated[name] > 0)
        out[name] = np.where(good, found[name] / np.where(good, generated[name], 1.0), np.nan)
    return out


def histograms(values: Mapping[str, Doubles], weight: Doubles) -> dict[str, Histogram]:
    """`response_<input>` for each of `RESPONSES`, empty where there are no values."""
    out = {}
    for name in RESPONSES:
        axis = hist.axis.Regular(125, 0, 2.5, name="ratio", label=f"{name}: reconstructed / generated")
        out[f"response_{name}"] = hist.Hist(axis, storage=hist.storage.Weight())
        if name in values:
            known = np.isfinite(values[name])
            out[f"response_{name}"].fill(values[name][known], weight=weight[known])
    return out


def _generated_leg(events: Any, rows: Array, channel: Array, leg: Leg, number: int) -> dict[str, Array]:
    """pt, eta, phi of a leg's generated visible tau, or electron or muon of a tau; pt is 0 where there is none."""
    out = {part: np.zeros(len(rows)) for part in _PARTS}
    for kind in ("tau", "electron", "muon"):
        mine = np.isin(channel, [CHANNELS.index(name) for name in CHANNELS if LEGS[name][number] == kind])
        candidates = _visible_taus(events) if kind == "tau" else _leptons_of_taus(events, _PDG[kind])
        if candidates is None or not mine.any():
            continue
        near = candidates[rows[mine]]
        vector = ak.zip({"eta": leg["eta"][mine], "phi": leg["phi"][mine]})
        distance = separation(near, vector)
        nearest = ak.argmin(distance, axis=1, keepdims=True)
        partner = ak.firsts(near[nearest][distance[nearest] < LEG_RADIUS])
        for part in _PARTS:
            out[part][mine] = ak.to_numpy(ak.fill_none(partner[part], 0.0))
    return out


def _visible_taus(events: Any) -> Any:
    return _records({part: column(events, f"GenVisTau_{part}?") for part in _PARTS})


def _leptons_of_taus(events: Any, pdg: int) -> Any:
    """Stable electrons or muons whose mother in the record is a tau."""
    fields = {part: column(events, f"GenPart_{part}") for part in _PARTS}
    fields |= {"kind": column(events, "GenPart_pdgId"), "mother": column(events, "GenPart_genPartIdxMother")}
    particles = _records(fields)
    mother = ak.mask(particles.mother, particles.mother >= 0)
    of_tau = ak.fill_none(abs(particles.kind[mother]) == _TAU, False)
    return particles[(abs(particles.kind) == pdg) & of_tau]


def _generated_jets(events: Any, rows: Array, jets: Any) -> tuple[Any, bool]:
    """The generated jet of each jet, in their order and with pt 0 where there is none, and whether the file has any."""
    generated = _records({part: column(events, f"GenJet_{part}?") for part in _PARTS})
    empty = ak.zip({part: ak.zeros_like(jets[part], dtype=np.float64) for part in _PARTS})
    if generated is None:
        return empty, False
    pairs = ak.cartesian({"jet": jets, "gen": generated[rows]}, nested=True)
    distance = separation(pairs.jet, pairs.gen)
    nearest = ak.argmin(distance, axis=2, keepdims=True)
    partner = ak.firsts(pairs.gen[nearest][distance[nearest] < JET_RADIUS], axis=2)
    return ak.zip({part: ak.values_astype(ak.fill_none(partner[part], 0.0), np.float64) for part in _PARTS}), True


def _generated_met(events: Any, rows: Array) -> tuple[dict[str, Array], Bools]:
    found = {part: column(events, f"GenMET_{part}?") for part in ("pt", "phi")}
    if any(values is None for values in found.values()):
        return {part: np.zeros(len(rows)) for part in found}, np.zeros(len(rows), np.bool_)
    return {part: scalar_content(values)[rows] for part, values in found.items()}, np.ones(len(rows), np.bool_)


def _records(fields: Mapping[str, Any]) -> Any:
    """Plain records, or None where a field is absent."""
    if any(values is None for values in fields.values()):
        return None
    return ak.zip({name: ak.without_parameters(ak.materialize(values)) for name, values in fields.items()})
