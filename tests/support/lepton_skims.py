"""Skims of lepton_id made of random leptons, in single and in double precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from processors.lepton_mass import ELECTRON_MASS, MUON_MASS, Stored
from training.samples import Sample


def columns(number: int, *, kind: str = "float32", seed: int = 1, energy_of_stored: bool = False) -> dict[str, Any]:
    """`number` leptons with momenta as in ttbar events; with `energy_of_stored` E belongs to the stored pT and eta."""
    rng = np.random.default_rng(seed)
    muon = rng.random(number) < 0.5
    pt, eta, phi = 15 + rng.exponential(50, number), rng.uniform(-2.5, 2.5, number), rng.uniform(-3, 3, number)
    if energy_of_stored:
        pt, eta = (values.astype(kind).astype(np.float64) for values in (pt, eta))
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + np.where(muon, MUON_MASS, ELECTRON_MASS) ** 2)
    stored = Stored(*(values.astype(kind) for values in (pt, eta, phi, energy)))
    return {"entry": np.arange(number), "is_muon": muon.astype(np.int8), **stored.columns()}


def sample(directory: Path, name: str, content: dict[str, Any], parts: int = 1, *, reverse: bool = False) -> Sample:
    """A sample of the leptons in so many files."""
    directory.mkdir(parents=True, exist_ok=True)
    files = []
    for part, rows in enumerate(np.array_split(np.arange(len(content["entry"])), parts)):
        chosen = rows[::-1] if reverse else rows
        path = directory / f"{name}_{part}.parquet"
        pq.write_table(pa.table({key: values[chosen] for key, values in content.items()}), path)
        files.append(str(path))
    return Sample(name, "background", "tt", tuple(files[::-1] if reverse else files))
