"""Small ROOT files with the branches of the 13 TeV ATLAS Open Data (2020), as its own HZZAnalysis.h lists them."""

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from support.mini_files import Event

LEPTONS: dict[str, tuple[str, Any]] = {
    "truthMatched": ("", np.bool_),
    "trigMatched": ("", np.bool_),
    "pt": ("pt", np.float32),
    "eta": ("eta", np.float32),
    "phi": ("phi", np.float32),
    "E": ("pt", np.float32),
    "z0": ("", np.float32),
    "charge": ("charge", np.int32),
    "type": ("type", np.uint32),
    "isTightID": ("", np.bool_),
    "ptcone30": ("", np.float32),
    "etcone20": ("etcone20", np.float32),
    "trackd0pvunbiased": ("d0", np.float32),
    "tracksigd0pvunbiased": ("d0_error", np.float32),
}
EVENTS: dict[str, tuple[str, Any]] = {
    "runNumber": ("run", np.int32),
    "eventNumber": ("number", np.int32),
    "channelNumber": ("", np.int32),
    "mcWeight": ("mc_weight", np.float32),
    "scaleFactor_PILEUP": ("pileup", np.float32),
    "scaleFactor_ELE": ("electron", np.float32),
    "scaleFactor_MUON": ("muon", np.float32),
    "scaleFactor_PHOTON": ("", np.float32),
    "scaleFactor_TAU": ("", np.float32),
    "scaleFactor_BTAG": ("", np.float32),
    "scaleFactor_LepTRIGGER": ("trigger", np.float32),
    "scaleFactor_PhotonTRIGGER": ("", np.float32),
    "trigE": ("", np.bool_),
    "trigM": ("", np.bool_),
    "met_et": ("", np.float32),
    "met_phi": ("", np.float32),
}
CPP = {"bool": "bool", "float32": "float", "int32": "int", "uint32": "unsigned int"}
LEAVES = {"bool": "O", "float32": "F", "int32": "I", "uint32": "i"}
#: Rewrites a file so that the leptons are std::vectors, as in the public ones: only ROOT itself writes those.
AS_VECTORS = """
import sys
from array import array
import ROOT, uproot

source, target, cpp, leaves = sys.argv[1], sys.argv[2], eval(sys.argv[3]), eval(sys.argv[4])
arrays = uproot.open(source)["mini"].arrays(library="ak")
file = ROOT.TFile(target, "RECREATE")
tree = ROOT.TTree("mini", "mini")
vectors, scalars = {}, {}
for name in arrays.fields:
    if arrays[name].ndim == 2:
        vectors[name] = ROOT.std.vector[cpp[str(arrays[name].type.content.content)]]()
        tree.Branch(name, vectors[name])
    else:
        kind = str(arrays[name].type.content)
        scalars[name] = array({"F": "f", "I": "i", "i": "I", "O": "B"}[leaves[kind]], [0])
        tree.Branch(name, scalars[name], f"{name}/{leaves[kind]}")
for event in arrays.to_list():
    for name, value in scalars.items():
        value[0] = event[name]
    for name, vector in vectors.items():
        vector.clear()
        for value in event[name]:
            vector.push_back(value)
    tree.Fill()
tree.Write()
file.Close()
"""


def write_13tev(path: Path, events: Sequence[Event], xsec: float, sumw: float) -> Path:
    """Writes the events, with the lists of leptons as arrays with a counter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    counts = np.array([len(event.leptons) for event in events], np.int64)
    leptons = [lepton for event in events for lepton in event.leptons]
    columns: dict[str, Any] = {name: _column(events, *what) for name, what in EVENTS.items()}
    columns |= {
        "XSection": np.full(len(events), xsec, np.float32), "SumWeights": np.full(len(events), sumw, np.float32),
    }  # fmt: skip
    columns["lep"] = ak.zip({name: ak.unflatten(_column(leptons, *what), counts) for name, what in LEPTONS.items()})
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        tree = file.mktree(
            "mini", {name: array.type.content if name == "lep" else array.dtype for name, array in columns.items()},
            counter_name=lambda group: f"{group}_n", field_name=lambda group, name: f"{group}_{name}",
        )  # fmt: skip
        if events:
            tree.extend(columns)
    return path


def has_root() -> bool:
    """Whether ROOT itself is installed."""
    return importlib.util.find_spec("ROOT") is not None


def with_vectors(path: Path) -> Path:
    """The same file with std::vectors, beside it; ROOT runs in a process of its own."""
    target = path.with_suffix(".vectors.root")
    subprocess.run([sys.executable, "-c", AS_VECTORS, str(path), str(target), str(CPP), str(LEAVES)], check=True)
    return target


def _column(objects: Sequence[Any], attribute: str, kind: Any) -> Any:
    return np.array([getattr(one, attribute) if attribute else 0 for one in objects], kind)
