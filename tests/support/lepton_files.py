"""ROOT files of leptons in both schemas of lepton_id."""

import math
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from processors.lepton_id import SCHEMAS


def lepton(pt: float, eta: float, phi: float, flavour: int, mass: float) -> tuple[float, float, float, float, int]:
    return pt, eta, phi, math.hypot(pt * math.cosh(eta), mass), flavour


def write(path: Path, tree: str, events: list[list[tuple[float, ...]]], kind: str = "float32") -> Path:
    """Events of (pT, eta, phi, E, flavour) in the units and names of a tree."""
    schema = SCHEMAS[tree]
    types = (*(kind,) * 4, "int32")
    counts = [len(event) for event in events]
    columns = {
        name: ak.unflatten(np.array([one[place] for event in events for one in event], dtype), counts)
        for place, (name, dtype) in enumerate(zip(schema.branches, types, strict=True))
    }
    record = ak.zip({name.split("_", 1)[1].strip("_") or name: column for name, column in columns.items()})
    names = dict(zip(ak.fields(record), schema.branches, strict=True))
    with uproot.recreate(path) as file:
        out = file.mktree(
            tree, {"lep": record.type.content}, counter_name=lambda _: "n", field_name=lambda _, name: names[name]
        )
        out.extend({"lep": record})
    return path
