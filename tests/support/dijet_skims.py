"""Skims of dijet_anomaly with invented jets of quarks and gluons, for the tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from training.samples import Sample

Array = NDArray[Any]
EDGES = (660.0, 760.0, 860.0, 960.0, 1060.0, 1160.0)
PIDS = np.array([211, -211, 22, 130, 321, 2112], np.int32)


def make_events(rng: np.random.Generator, events: int, *, gluons: Sequence[float] = (0.4, 0.4)) -> dict[str, Any]:
    """Columns of a skim with two jets per event.

    The share of gluon jets goes linearly from `gluons[0]` at 660 GeV to `gluons[1]` at 1160 GeV. Gluon jets have more
    and softer particles in a wider cone. Nothing else depends on the event mass. A tenth of the masses is out of range.
    """
    mass = 650.0 + rng.exponential(320.0, 4 * events + 100)
    mass = mass[mass < 1200.0][:events]
    share = np.interp(mass, [EDGES[0], EDGES[-1]], gluons)
    gluon = rng.random((events, 2)) < share[:, None]
    quark = rng.choice([1, 2, 3, -1, -2], (events, 2))
    jets = events * 2
    of_gluon = gluon.reshape(-1)
    counts = 3 + rng.poisson(np.where(of_gluon, 22, 14))
    which = np.repeat(of_gluon, counts)
    pt = rng.exponential(np.where(which, 12.0, 20.0))
    pt = (pt + 0.5).astype(np.float32)
    spread = np.where(which, 0.12, 0.08)
    y, phi = rng.uniform(-1.5, 1.5, jets), rng.uniform(-np.pi, np.pi, jets)
    part_phi = np.repeat(phi, counts) + rng.normal(0, spread)
    columns: dict[str, Any] = {
        "file": np.full(events, 300, np.int64),
        "run": np.ones(events, np.int64),
        "lumi": rng.integers(1, 50, events),
        "event": rng.permutation(events).astype(np.int64),
        "entry": np.arange(events, dtype=np.int64),
        "mjj": mass,
        "weight": rng.uniform(0.5, 1.5, events),
    }
    lists = {
        "jet_pt": rng.uniform(350, 450, jets), "jet_y": y, "jet_phi": phi, "jet_m": rng.uniform(20, 60, jets),
        "jet_eta": y, "jet_jec": np.full(jets, 1.05),
        "jet_parton_id": np.where(of_gluon, 21, quark.reshape(-1)).astype(np.int32),
    }  # fmt: skip
    columns |= {name: _lists(np.full(events, 2), values) for name, values in lists.items()}
    particles = {
        "pt": pt,
        "y": (np.repeat(y, counts) + rng.normal(0, spread)).astype(np.float32),
        "phi": ((part_phi + np.pi) % (2 * np.pi) - np.pi).astype(np.float32),
        "pid": rng.choice(PIDS, len(pt)),
    }
    for name, values in particles.items():
        columns[f"particle_{name}"] = _lists(np.full(events, 2), _lists(counts, values))
    return columns


def _lists(counts: Array, values: Any) -> Any:
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(bounds, values)


def write_events(
    directory: Path, name: str, columns: dict[str, Any], *, role: str = "background", files: int = 2, scale: float = 1.0
) -> Sample:
    """Write a sample's events into several Parquet files and describe it."""
    folder = directory / name
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    paths = []
    for part, rows in enumerate(np.array_split(np.arange(table.num_rows), files)):
        paths.append(str(folder / f"{name}_{part}.parquet"))
        pq.write_table(table.take(pa.array(rows)), paths[-1])
    return Sample(name, role, "QCD", tuple(paths), scale)
