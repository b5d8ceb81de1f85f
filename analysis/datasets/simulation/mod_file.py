"""Writing MOD HDF5 files (arXiv:1908.08542) as energyflow.mod reads them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

JET_INTEGERS = ("fn", "rn", "lbn", "evn", "npv", "quality", "hard_pid")
JET_FLOATS = (
    "jet_pt", "jet_y", "jet_phi", "jet_m", "jet_eta", "jec", "jet_area", "jet_max_nef", "gen_jet_pt", "gen_jet_y",
    "gen_jet_phi", "gen_jet_m", "gen_jet_eta", "hard_pt", "hard_y", "hard_phi", "weight",
)  # fmt: skip
PARTICLES = ("pt", "y", "phi", "m", "pid", "vertex")

_STORED = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
# Particles per chunk: a few hundred jets, so that a range of jets reads little more than itself.
_CHUNK = 8192


def write(
    path: Path,
    jets: Mapping[str, NDArray[Any]],
    particles: Mapping[str, NDArray[Any]],
    bounds: NDArray[np.int64],
    origin: tuple[str, str],
    side_car: Mapping[str, Any],
) -> None:
    """Write a file and its side-car `<path>.json`, each under a temporary name first; the side-car comes last.

    Args:
        path: its name must contain `sim`, `gen` or `cms`, by which energyflow tells what it is.
        jets: the columns of the jets, each of shape (jets,).
        particles: the columns of their particles, each of shape (particles,).
        bounds: (jets + 1,) where the particles of a jet begin and end.
        origin: range and generator, the row of `filenames` that all jets point to.
        side_car: what the side-car holds.

    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    with h5py.File(temporary, "w") as file:
        _table(file, "jets_i", jets, JET_INTEGERS, np.int64)
        _table(file, "jets_f", jets, JET_FLOATS, np.float64)
        _table(file, "pfcs", particles, PARTICLES, np.float64)
        file.create_dataset("pfcs_index", data=bounds.astype(np.uint32), **_STORED)
        file.create_dataset("filenames", data=np.array([origin], dtype="S"))
    temporary.replace(path)
    note = path.with_name(path.name + ".json")
    temporary = note.with_name(f".{note.name}.part")
    temporary.write_text(json.dumps(side_car, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    temporary.replace(note)


def _table(file: Any, name: str, columns: Mapping[str, NDArray[Any]], names: tuple[str, ...], kind: Any) -> None:
    values = np.column_stack([np.asarray(columns[one], dtype=kind) for one in names])
    stored = {"chunks": (min(len(values), _CHUNK), len(names)), **_STORED} if len(values) else {}
    table = file.create_dataset(name, data=values, **stored)
    table.attrs.create("cols", np.asarray(names, dtype="S"))
