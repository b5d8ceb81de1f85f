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


def jet_tables(seed: int, events: int, *, largest: int = 5) -> dict[str, Any]:
    """Columns of the jets of `events` events around the cuts of dijet_anomaly, jets of an event one after another.

    Event numbers repeat between luminosity blocks, runs and files; some values lie exactly on the cuts.
    """
    rng = np.random.default_rng(seed)
    number = rng.integers(1, largest + 1, events)
    event = np.repeat(np.arange(events), number)
    jets = len(event)
    tables: dict[str, Any] = {name: rng.uniform(0.0, 1.0, jets) for name in JETS_F}
    tables |= {"fn": event % 2, "rn": event // 2 % 2, "lbn": event // 4 % 2, "evn": event // 8}
    jec = rng.uniform(1.0, 1.1, jets)
    corrected = rng.uniform(345.0, 455.0, jets)
    corrected[::17], corrected[1::19] = 350.0, 450.0
    eta = rng.uniform(-2.0, 2.0, jets)
    eta[::23] = 1.9
    jec[::17], jec[1::19] = 1.0, 1.0
    mass = rng.uniform(5.0, 90.0, jets)
    pt = corrected / jec
    y = np.arcsinh(pt * np.sinh(eta) / np.hypot(pt, mass))
    # Pairs are roughly back to back.
    phi = np.remainder(
        rng.uniform(0, 6.3, events)[event] + np.pi * (np.arange(jets) % 2) + rng.normal(0, 0.3, jets), 6.28
    )
    tables |= {"jet_pt": pt, "jet_y": y, "jet_phi": phi, "jet_m": mass, "jet_eta": eta, "jec": jec}
    tables |= {
        "npv": rng.integers(1, 20, jets),
        "quality": rng.choice([0, 1, 2, 3], jets, p=[0.02, 0.03, 0.15, 0.8]),
        "hard_pid": rng.choice([21, 1, -1, 2, -2, 3, 0], jets),
        "weight": (1e-5 * rng.uniform(0.5, 2.0, events))[event],
    }
    return tables


def write_jets(
    path: Path, tables: dict[str, Any], seed: int = 1, *, without: tuple[str, ...] = (), least: int = 0
) -> Path:
    """Writes jets with `least` to 40 particles each; columns that are `without` are left out."""
    rng = np.random.default_rng(seed)
    jets = len(tables["jet_pt"])
    bounds = np.concatenate([[0], np.cumsum(rng.integers(least, 40, jets))]).astype(np.uint32)
    total = int(bounds[-1])
    particles = rng.uniform(0.0, 10.0, (total, len(PARTICLES)))
    particles[:, PARTICLES.index("pid")] = rng.choice([22, 211, -211, 130, 11, -13], total)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, columns, kind in (("jets_i", JETS_I, np.int64), ("jets_f", JETS_F, np.float64)):
            kept = [column for column in columns if column not in without]
            _store(file, name, np.column_stack([np.asarray(tables[one], kind) for one in kept]), kept)
        _store(file, "pfcs", particles, PARTICLES)
        _store(file, "pfcs_index", bounds, ())
        file.create_dataset("filenames", data=np.array([["300", "a"], ["300", "b"]], dtype="S"))
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
    stored = {"chunks": (min(len(values), 256), *values.shape[1:]), **STORED} if len(values) else {}
    table = file.create_dataset(name, data=values, **stored)
    if len(columns):
        table.attrs.create("cols", np.asarray(columns, dtype="S"))
