"""Small files in MOD HDF5 format, chunked and compressed as the public ones."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

JETS_I = ("fn", "rn", "lbn", "evn", "npv", "quality", "hard_pid")
JETS_F = (
    "jet_pt", "jet_y", "jet_phi", "jet_m", "jet_eta", "jec", "jet_area", "jet_max_nef", "gen_jet_pt", "gen_jet_y",
    "gen_jet_phi", "gen_jet_m", "gen_jet_eta", "hard_pt", "hard_y", "hard_phi", "weight",
)  # fmt: skip
PARTICLES = ("pt", "y", "phi", "m", "pid", "vertex")
STORED = {"compression": "gzip", "compression_opts": 4, "shuffle": True}


def write_mod(path: Path, jets: int, seed: int = 1, *, without: tuple[str, ...] = ()) -> Path:
    """Writes random jets with 0 to 60 particles each; `without` leaves data sets or columns out."""
    rng = np.random.default_rng(seed)
    tables: dict[str, tuple[tuple[str, ...], Any]] = {
        "jets_i": (JETS_I, rng.integers(0, 1000, (jets, len(JETS_I)))),
        "jets_f": (JETS_F, rng.uniform(1.0, 500.0, (jets, len(JETS_F)))),
    }
    for name in ("pfcs", "gens"):
        bounds = np.concatenate([[0], np.cumsum(rng.integers(0, 60, jets))]).astype(np.uint32)
        tables[name] = (PARTICLES, rng.uniform(0.0, 10.0, (int(bounds[-1]), len(PARTICLES))))
        tables[f"{name}_index"] = ((), bounds)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, (columns, values) in tables.items():
            if name not in without:
                kept = [index for index, column in enumerate(columns) if column not in without]
                _store(file, name, values[:, kept] if columns else values, [columns[index] for index in kept])
        file.create_dataset("filenames", data=np.array([["300", f"seed{seed}"]], dtype="S"))
    return path


def cut_mod(source: Path, path: Path, jets: int) -> Path:
    """The first jets of a MOD file with their particles, as a file of its own."""
    with h5py.File(source) as old, h5py.File(path, "w") as new:
        for name in ("jets_i", "jets_f"):
            _store(new, name, old[name][:jets], old[name].attrs["cols"])
        for name in ("pfcs", "gens"):
            bounds = old[f"{name}_index"][: jets + 1]
            _store(new, f"{name}_index", bounds, [])
            _store(new, name, old[name][: bounds[-1]], old[name].attrs["cols"])
        new.create_dataset("filenames", data=old["filenames"][:])
    return path


def _store(file: Any, name: str, values: Any, columns: Any) -> None:
    table = file.create_dataset(name, data=values, chunks=(max(1, min(len(values), 256)), *values.shape[1:]), **STORED)
    if len(columns):
        table.attrs.create("cols", np.asarray(columns, dtype="S"))
