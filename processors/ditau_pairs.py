"""The pair of tau decays of an event, its vetoes, and the one channel that the event belongs to."""

from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np

from processors.ditau_mass import CHANNELS, Settings
from processors.ditau_objects import passing
from processors.kinematics import Bools
from processors.selections import Array

#: The kinds of the two legs, in the order of the channel's letters but for tt.
LEGS: dict[str, tuple[str, str]] = {
    "tt": ("tau", "tau"),
    "mt": ("muon", "tau"),
    "et": ("electron", "tau"),
    "em": ("electron", "muon"),
    "mm": ("muon", "muon"),
    "ee": ("electron", "electron"),
}
_NONE = -1

Objects = dict[str, Any]


@dataclass(frozen=True)
class Pairs:
    """For every event, the places of a channel's two legs in the lists of their kinds, -1 where there is no pair."""

    channel: str
    first: Array
    second: Array

    @property
    def found(self) -> Bools:
        """Which events have a pair."""
        return np.asarray(self.first >= 0)

    def of_kind(self, kind: str) -> list[Array]:
        """The places of the legs of one kind."""
        return [place for leg, place in zip(LEGS[self.channel], (self.first, self.second), strict=True) if leg == kind]


def separation(first: Any, second: Any) -> Any:
    """Distance dR of objects with eta and phi, in double precision; numpy or awkward arrays of one shape."""
    d_eta = ak.values_astype(first.eta, np.float64) - second.eta
    turn = ak.values_astype(first.phi, np.float64) - second.phi
    turn = turn - 2.0 * np.pi * np.ceil((turn - np.pi) / (2.0 * np.pi))
    return np.sqrt(d_eta**2 + turn**2)


def best_pairs(objects: Objects, channel: str, settings: Settings) -> Pairs:
    """The pair of opposite charge with the highest pT of tau1, and among those of tau2.

    `objects` has the lists tau, muon and electron of every event.
    """
    kinds = LEGS[channel]
    chosen = []
    for kind in dict.fromkeys(kinds):
        legs = objects[kind][passing(objects[kind], getattr(settings.selection, f"{channel}_{kind}"), kind)]
        chosen.append(legs[ak.argsort(legs.pt, ascending=False, stable=True)])
    candidates = len(chosen) == 1
    enough = ak.num(chosen[0]) >= 2 if candidates else (ak.num(chosen[0]) > 0) & (ak.num(chosen[1]) > 0)
    rows = np.flatnonzero(ak.to_numpy(enough))
    # Combinations come in the order of the lists, which is that of pT.
    if candidates:
        first, second = ak.unzip(ak.combinations(chosen[0][rows], 2))
    else:
        first, second = ak.unzip(ak.cartesian([chosen[0][rows], chosen[1][rows]]))
    limit = settings.lepton_delta_r if channel in ("em", "mm") else settings.delta_r
    good = (first.charge * second.charge < 0) & (separation(first, second) > limit)
    result = Pairs(channel, *(np.full(len(enough), _NONE, np.int64) for _ in range(2)))
    for places, leg in ((result.first, first), (result.second, second)):
        places[rows] = ak.to_numpy(ak.fill_none(ak.firsts(leg.index[good]), _NONE))
    return result


def third_lepton(objects: Objects, pairs: Pairs, settings: Settings) -> Bools:
    """Which events have a veto muon or veto electron that is no leg of the pair."""
    extra = np.zeros(len(pairs.first), np.bool_)
    for kind in ("muon", "electron"):
        keep = passing(objects[kind], getattr(settings.selection, f"veto_{kind}"), kind)
        extra |= ak.to_numpy(ak.any(_others(objects[kind][keep].index, pairs.of_kind(kind)), axis=1))
    return extra


def dilepton(objects: Objects, pairs: Pairs, settings: Settings) -> Bools:
    """Which events of mt (et) have a pair of loose muons (electrons) of opposite charge besides the selected one."""
    if pairs.channel not in ("mt", "et"):
        return np.zeros(len(pairs.first), np.bool_)
    kind = LEGS[pairs.channel][0]
    loose = objects[kind][passing(objects[kind], getattr(settings.selection, f"loose_{kind}"), kind, tight=False)]
    if not settings.dilepton_with_selected:
        loose = loose[_others(loose.index, [pairs.first])]
    first, second = ak.unzip(ak.combinations(loose, 2))
    bad = (first.charge * second.charge < 0) & (separation(first, second) > settings.dilepton_delta_r)
    return np.asarray(ak.to_numpy(ak.any(bad, axis=1)))


def assign(passed: dict[str, Bools]) -> Array:
    """The place in `CHANNELS` of each event's channel, -1 where there is none; the first that passes counts."""
    out = np.full(len(next(iter(passed.values()))), _NONE, np.int8)
    for number in reversed(range(len(CHANNELS))):
        if CHANNELS[number] in passed:
            out[passed[CHANNELS[number]]] = number
    return out


def take(objects: Any, places: Array, names: tuple[str, ...]) -> dict[str, Array]:
    """One object of every event: the fields in double precision, of shape (events,)."""
    one = objects[ak.unflatten(places, np.ones(len(places), np.int64))]
    return {name: ak.to_numpy(one[name][:, 0]).astype(np.float64) for name in names}


def _others(index: Any, legs: list[Array]) -> Any:
    """Which objects are none of the legs."""
    keep = ak.ones_like(index, dtype=bool)
    for places in legs:
        keep = keep & (index != places)
    return keep
