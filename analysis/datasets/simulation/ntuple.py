"""The ntuple format of ATLAS Open Data, 8 TeV: TTree `mini` with leaf-count arrays of leptons and jets.

Branch names, order and types are those of the public files, but for the two counters, which uproot writes as signed
integers. Momenta in MeV.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from numpy.typing import NDArray

TREE = "mini"
Columns = dict[str, NDArray[Any]]

_BEFORE_LEPTONS = {
    "runNumber": "i4",
    "eventNumber": "i4",
    "channelNumber": "i4",
    "mcWeight": "f4",
    "pvxp_n": "i4",
    "vxp_z": "f4",
    "scaleFactor_PILEUP": "f4",
    "scaleFactor_ELE": "f4",
    "scaleFactor_MUON": "f4",
    "scaleFactor_BTAG": "f4",
    "scaleFactor_TRIGGER": "f4",
    "scaleFactor_JVFSF": "f4",
    "scaleFactor_ZVERTEX": "f4",
    "trigE": "?",
    "trigM": "?",
    "passGRL": "?",
    "hasGoodVertex": "?",
}
_AFTER_LEPTONS = {"met_et": "f4", "met_phi": "f4", "jet_n": "u4"}
EVENT_BRANCHES: Mapping[str, str] = {**_BEFORE_LEPTONS, **_AFTER_LEPTONS}
LEPTON_BRANCHES: Mapping[str, str] = {
    "truthMatched": "?",
    "trigMatched": "u2",
    "pt": "f4",
    "eta": "f4",
    "phi": "f4",
    "E": "f4",
    "z0": "f4",
    "charge": "f4",
    "type": "u4",
    "flag": "u4",
    "ptcone30": "f4",
    "etcone20": "f4",
    "trackd0pvunbiased": "f4",
    "tracksigd0pvunbiased": "f4",
}
JET_BRANCHES: Mapping[str, str] = {
    "pt": "f4",
    "eta": "f4",
    "phi": "f4",
    "E": "f4",
    "m": "f4",
    "jvf": "f4",
    "trueflav": "i4",
    "truthMatched": "i4",
    "SV0": "f4",
    "MV1": "f4",
}
_COUNTERS = {"lep": "lep_n", "jet": "alljet_n"}


@dataclass(frozen=True)
class Events:
    """Events in memory: one value per event, and the leptons and jets of all events end to end.

    Attributes:
        scalars: event branches, and `weight` (float64), the event's weight as generated.
        leptons: lepton branches without their prefix.
        lep_n: leptons per event.
        jets: jet branches without their prefix.
        jet_n: jets per event (branch `alljet_n`).

    """

    scalars: Columns
    leptons: Columns
    lep_n: NDArray[np.int64]
    jets: Columns
    jet_n: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lep_n)

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "Events":
        """Select events by mask or index."""
        index = np.flatnonzero(which) if which.dtype == bool else which

        def flat(columns: Columns, counts: NDArray[np.int64]) -> Columns:
            sizes = counts[index]
            starts = (np.cumsum(counts) - counts)[index]
            rows = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(starts, sizes)
            return {name: column[rows] for name, column in columns.items()}

        return Events(
            {name: column[index] for name, column in self.scalars.items()},
            flat(self.leptons, self.lep_n),
            self.lep_n[index],
            flat(self.jets, self.jet_n),
            self.jet_n[index],
        )

    def with_scalars(self, **columns: NDArray[Any]) -> "Events":
        """Replace or add event columns."""
        return Events({**self.scalars, **columns}, self.leptons, self.lep_n, self.jets, self.jet_n)


def empty() -> Events:
    """Give zero events."""
    none = np.zeros(0, np.int64)
    scalars = {name: np.zeros(0, kind) for name, kind in EVENT_BRANCHES.items()}
    return Events(
        {**scalars, "weight": np.zeros(0)},
        {name: np.zeros(0, kind) for name, kind in LEPTON_BRANCHES.items()},
        none,
        {name: np.zeros(0, kind) for name, kind in JET_BRANCHES.items()},
        none,
    )


def concatenate(parts: Sequence[Events]) -> Events:
    """Join events in order."""
    if not parts:
        return empty()

    def join(columns: Sequence[Columns]) -> Columns:
        return {name: np.concatenate([c[name] for c in columns]) for name in columns[0]}

    return Events(
        join([p.scalars for p in parts]),
        join([p.leptons for p in parts]),
        np.concatenate([p.lep_n for p in parts]),
        join([p.jets for p in parts]),
        np.concatenate([p.jet_n for p in parts]),
    )


def _tree_columns(events: Events) -> dict[str, Any]:
    def group(columns: Columns, kinds: Mapping[str, str], counts: NDArray[np.int64]) -> Any:
        return ak.zip({k: ak.unflatten(np.asarray(columns[k], kind), counts) for k, kind in kinds.items()})

    def scalars(kinds: Mapping[str, str]) -> dict[str, Any]:
        return {name: np.asarray(events.scalars[name], kind) for name, kind in kinds.items()}

    return {
        **scalars(_BEFORE_LEPTONS),
        "lep": group(events.leptons, LEPTON_BRANCHES, events.lep_n),
        **scalars(_AFTER_LEPTONS),
        "jet": group(events.jets, JET_BRANCHES, events.jet_n),
    }


def write(path: Path, events: Events, side_car: Mapping[str, Any]) -> None:
    """Write a ROOT file and its side-car `<path>.json`, each under a temporary name first.

    The side-car comes last: a file with a side-car is complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = _tree_columns(events)
    types = {name: c.type.content if isinstance(c, ak.Array) else c.dtype for name, c in columns.items()}
    temporary = path.with_name(f".{path.name}.part")
    with uproot.recreate(temporary, compression=uproot.ZLIB(1)) as file:
        tree = file.mktree(
            TREE,
            types,
            counter_name=_COUNTERS.__getitem__,
            field_name=lambda outer, inner: f"{outer}_{inner}",
        )
        if len(events):
            tree.extend(columns)
    temporary.replace(path)
    note = path.with_name(path.name + ".json")
    temporary = note.with_name(f".{note.name}.part")
    temporary.write_text(json.dumps(side_car, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    temporary.replace(note)
