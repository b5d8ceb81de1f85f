"""ROOT files of leptons in both schemas of lepton_id."""

import math
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from processors.lepton_id import SCHEMAS


def lepton(pt: float, eta: float, phi: float, flavour: int, mass: float) -> tuple[float, float, float, float, int]:
    return pt, eta, phi, math.hypot(pt * math.cosh(eta), mass), flavour


def write(path: Path, tree: str, events: list[list[tuple[float, ...]]], kind: str = "float32") -> Path:
    """Events of (pT, eta, phi, E, flavour) in the units and names of a tree; of `Events`, all leptons are prompt."""
    if tree == "Events":
        return write_nano_leptons(path, [[(*one, 1) for one in event] for event in events], kind)
    branches = SCHEMAS[tree].branches
    types = (*(kind,) * 4, "int32")
    return _write(path, tree, {"lep": (branches, types, events)})


def write_nano_leptons(path: Path, events: list[list[tuple[float, ...]]], kind: str = "float32") -> Path:
    """Events of (pT, eta, phi, E, flavour, genPartFlav) as collections of NanoAOD, with the mass in place of E."""
    fields = ("pt", "eta", "phi", "mass", "genPartFlav")
    content = {}
    for flavour, name in enumerate(("Electron", "Muon")):
        lists = [
            [(*one[:3], _mass(*one[:4]), one[5]) for one in event if one[4] == flavour] for event in events
        ]  # fmt: skip
        content[name] = (tuple(f"{name}_{field}" for field in fields), (*(kind,) * 4, "uint8"), lists)
    return _write(path, "Events", content)


def _mass(pt: float, eta: float, _: float, energy: float) -> float:
    square = (energy - pt * math.cosh(eta)) * (energy + pt * math.cosh(eta))
    return math.copysign(math.sqrt(abs(square)), square)


def _write(path: Path, tree: str, content: dict[str, tuple[tuple[str, ...], tuple[str, ...], Any]]) -> Path:
    """Collections of (branches, types, events), each with a counter of its own."""
    records, names = {}, {}
    for collection, (branches, types, events) in content.items():
        counts = [len(event) for event in events]
        fields = [f"f{place}" for place in range(len(branches))]
        columns = [np.array([one[k] for event in events for one in event], dtype) for k, dtype in enumerate(types)]
        flat = ak.zip(dict(zip(fields, columns, strict=True)))
        records[collection] = ak.unflatten(flat, np.array(counts, np.int64))
        names |= {(collection, field): branch for field, branch in zip(fields, branches, strict=True)}
    with uproot.recreate(path) as file:
        out = file.mktree(
            tree, {name: record.type.content for name, record in records.items()},
            counter_name=lambda name: f"n{name}", field_name=lambda name, field: names[name, field],
        )  # fmt: skip
        out.extend(records)
    return path
