"""Writing flat NanoAOD-like trees that coffea's NanoAODSchema reads."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from numpy.typing import NDArray

TREE = "Events"
Columns = Mapping[str, NDArray[Any]]
#: Types of whole numbers and truth values, by the field's name; all others are single precision.
KINDS: Mapping[str, str] = {
    "run": "u4", "luminosityBlock": "u4", "event": "u8", "PV_npvs": "i4", "PV_npvsGood": "i4",
    **dict.fromkeys(("charge", "pdgId", "decayMode", "genPartIdx", "jetIdx", "jetId", "hadronFlavour", "status",
                     "statusFlags", "genPartIdxMother"), "i4"),
    **dict.fromkeys(("idDeepTau2017v2p1VSjet", "idDeepTau2017v2p1VSe", "idDeepTau2017v2p1VSmu", "genPartFlav",
                     "lostHits"), "u1"),
    **dict.fromkeys(("idDecayModeNewDMs", "mediumId", "looseId", "mvaFall17V2noIso_WP90", "convVeto"), "?"),
}  # fmt: skip


def write(path: Path, batches: Iterable[tuple[Columns, Mapping[str, Columns]]], side_car: Mapping[str, Any]) -> None:
    """Write a file and its side-car `<path>.json`, each under a temporary name first; the side-car comes last.

    A batch is its event columns and its collections; the columns of a collection are flat, `event` says of which event
    of the batch each row is, in ascending order. Flags are truth values.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    with uproot.recreate(temporary, compression=uproot.ZLIB(4)) as file:
        tree: Any = None
        for scalars, collections in batches:
            columns = _columns(scalars, collections)
            if tree is None:
                types = {name: c.type.content if isinstance(c, ak.Array) else c.dtype for name, c in columns.items()}
                tree = file.mktree(
                    TREE,
                    types,
                    counter_name=lambda name: f"n{name}",
                    field_name=lambda outer, inner: f"{outer}_{inner}",
                )
            tree.extend(columns)
    temporary.replace(path)
    note = path.with_name(path.name + ".json")
    temporary = note.with_name(f".{note.name}.part")
    temporary.write_text(json.dumps(side_car, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    temporary.replace(note)


def _columns(scalars: Columns, collections: Mapping[str, Columns]) -> dict[str, Any]:
    out: dict[str, Any] = {
        name: values.astype("?" if name.startswith("Flag_") else KINDS.get(name, "f4"))
        for name, values in scalars.items()
    }
    events = len(next(iter(out.values())))
    for outer, columns in collections.items():
        counts = np.bincount(columns["event"], minlength=events)
        fields = {name: values.astype(KINDS.get(name, "f4")) for name, values in columns.items() if name != "event"}
        out[outer] = ak.zip({name: ak.unflatten(values, counts) for name, values in fields.items()})
    return out
