"""Skims of ditau_mass with invented events: one input says the mass, the others nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from processors.ditau_mass import INPUTS
from training.samples import Sample


def skim(path: Path, number: int = 3000, seed: int = 1, files: int = 2, **changes: Any) -> Sample:
    """A skim whose transverse mass of the legs is 0.6 of the generated mass, within 5%."""
    rng = np.random.default_rng(seed)
    mass = rng.uniform(50, 1000, number)
    columns: dict[str, Any] = {name: rng.normal(0, 1, number).astype("f4") for name in INPUTS}
    for name in ("tau1_pt_reco", "tau2_pt_reco", "PuppiMET_pt_reco", "PuppimTtot_reco"):
        columns[name] = rng.uniform(20, 200, number).astype("f4")
    columns["PuppimTtt_reco"] = (0.6 * mass * (1 + 0.05 * rng.standard_normal(number))).astype("f4")
    columns |= {
        "run": np.ones(number, "u4"), "luminosityBlock": rng.integers(1, 9, number).astype("u4"),
        "event": np.arange(number, dtype="u8"), "entry": np.arange(number),
        "channel": rng.integers(0, 6, number).astype("i1"), "gen_mass": mass,
    }  # fmt: skip
    columns |= changes
    path.mkdir(parents=True, exist_ok=True)
    names = []
    for index, rows in enumerate(np.array_split(rng.permutation(number), files)):
        names.append(str(path / f"{index}.parquet"))
        pq.write_table(pa.table({name: values[rows] for name, values in columns.items()}), names[-1])
    return Sample("HTT", "signal", "HTT", tuple(names))
