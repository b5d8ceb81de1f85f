"""Small skims of higgs4l with invented but physics-like events, for the tests of what reads skims."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from training.samples import Sample

CUTS = (
    "four_leptons",
    "charge",
    "flavour",
    "lepton_pt",
    "leading_pt",
    "isolation",
    "impact_parameter",
    "delta_r",
    "sfos_mass",
    "m_z1",
    "m_z2",
    "mass_window",
)
# name: role, process, weighted yield
SAMPLES: dict[str, tuple[str, str, float]] = {
    "ggH125_ZZ4lep": ("signal", "H125", 0.55),
    "VBFH125_ZZ4lep": ("signal", "H125", 0.05),
    "ZZ": ("background", "ZZ", 11.0),
    "Zmumu": ("background", "Z, tt", 3.0),
    "DataEgamma": ("data", "data", 0.0),
    "DataMuons": ("data", "data", 0.0),
}
DATA_EVENTS = 40


def make_columns(name: str, rng: np.random.Generator, events: int, *, leptons: int = 4) -> dict[str, NDArray[Any]]:
    """Columns of one sample's skim, of `events` rows."""
    role, _, total = SAMPLES[name]
    higgs = role == "signal"
    m4l = rng.normal(124.5, 2.5, events) if higgs else 75 + rng.gamma(2.2, 45.0, events)
    m_z1 = np.clip(rng.normal(90, 5, events), 20, 0.95 * m4l)
    m_z2 = (m4l - m_z1) * rng.beta(4, 2, events)
    columns: dict[str, NDArray[Any]] = {
        "run": np.full(events, 195847 if higgs else 195848, np.int32),
        "event": rng.permutation(np.arange(events, dtype=np.int64) * 7 - 3 * events),
        "entry": np.arange(events, dtype=np.int64),
        "lep_n": np.full(events, 4, np.int32),
    }
    shares = np.sort(rng.dirichlet(np.full(4, 6.0), events), axis=1)[:, ::-1]
    electrons = rng.integers(0, 3, events) * 2
    for i in range(1, leptons + 1):
        there = i <= 4
        columns |= {
            f"lep{i}_pt": (m4l * shares[:, i - 1] if there else np.zeros(events)).astype(np.float32),
            f"lep{i}_eta": (rng.normal(0, 1.1, events) if there else np.zeros(events)).astype(np.float32),
            f"lep{i}_phi": (rng.uniform(-np.pi, np.pi, events) if there else np.zeros(events)).astype(np.float32),
            f"lep{i}_etcone20": (rng.exponential(0.5, events) if there else np.zeros(events)).astype(np.float32),
            f"lep{i}_d0_significance": (rng.normal(0, 1, events) if there else np.zeros(events)).astype(np.float32),
            f"lep{i}_charge": (np.where(i % 2, 1, -1) * np.ones(events) if there else np.zeros(events)).astype(np.int8),
            f"lep{i}_type": (np.where(electrons >= i, 11, 13) if there else np.zeros(events)).astype(np.int8),
        }
    angle = rng.uniform(-1, 1, events)
    columns |= {
        "m4l": m4l,
        "pt4l": rng.gamma(2.0, 14.0 if higgs else 9.0, events),
        "y4l": rng.normal(0, 0.9 if higgs else 1.2, events),
        "m_z1": m_z1,
        "m_z2": m_z2,
        "cos_theta_star": (angle if higgs else np.sign(angle) * np.abs(angle) ** 0.5).astype(np.float32),
        "cos_theta1": rng.uniform(-1, 1, events).astype(np.float32),
        "cos_theta2": rng.uniform(-1, 1, events).astype(np.float32),
        "phi": rng.uniform(-np.pi, np.pi, events).astype(np.float32),
        "phi1": rng.uniform(-np.pi, np.pi, events).astype(np.float32),
    }
    spread = rng.uniform(0.5, 1.5, events) * np.where(rng.random(events) < 0.03, -1, 1)
    columns["mc_weight"] = np.ones(events) if role == "data" else spread
    columns["weight"] = np.ones(events) if role == "data" else spread * (total / max(spread.sum(), 1e-9))
    passes = {cut: rng.random(events) < 0.98 for cut in CUTS}
    passes["four_leptons"] = np.ones(events, bool)
    passes["m_z1"] = (m_z1 > 50) & (m_z1 < 106)
    passes["m_z2"] = m_z2 > 17.5
    passes["mass_window"] = (m4l > 120) & (m4l < 130)
    for column in ("m_z1", "m_z2", "cos_theta_star", "cos_theta1", "cos_theta2", "phi", "phi1"):
        columns[column] = np.where(passes["sfos_mass"], columns[column], np.nan).astype(columns[column].dtype)
    return columns | {f"pass_{cut}": passes[cut] for cut in CUTS}


def write_sample(directory: Path, name: str, columns: dict[str, NDArray[Any]], *, files: int = 2) -> Sample:
    """Write the columns of a sample into several Parquet files and describe it."""
    role, process, _ = SAMPLES[name]
    folder = directory / name
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.array_split(np.arange(len(columns["run"])), files)
    paths = []
    for part, chosen in enumerate(rows):
        path = folder / f"{name}_{part}.parquet"
        pq.write_table(pa.table({column: values[chosen] for column, values in columns.items()}), path)
        paths.append(str(path))
    return Sample(name, role, process, tuple(paths), 1.0)


def make_skims(directory: Path, rng: np.random.Generator, events: int = 1500, *, leptons: int = 4) -> list[Sample]:
    """Skims of two signals, two backgrounds and two data streams: `events` rows per simulated sample.

    The signal peaks at 124.5 GeV over a continuum and differs from it in cos theta* and pt4l too; three percent of the
    simulated weights are negative; pair quantities are NaN where `pass_sfos_mass` is false.
    """
    samples = []
    for name, (role, _, _) in SAMPLES.items():
        rows = DATA_EVENTS if role == "data" else events
        samples.append(write_sample(directory, name, make_columns(name, rng, rows, leptons=leptons)))
    return samples
