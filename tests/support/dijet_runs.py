"""Run directories of dijet_anomaly as the skim leaves them, of invented jets, with real trainings on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boost_histogram.serialization
import hist
import numpy as np
import uhi.io.json
from support.dijet_skims import make_events, write_events
from support.runs import edit_json, write_json

from training.dijet_anomaly import Settings, run, tasks
from training.samples import Sample

CUTS = ("jets", "jets_pt", "events", "events_n_jets", "events_mass")


def make_dijet_run(
    directory: Path,
    training: dict[str, Any],
    *,
    events: int,
    seed: int = 5,
    gluons: tuple[float, float] = (0.4, 0.4),
    train: bool = True,
    luminosity: float | None = None,
) -> Path:
    """Write manifest.json, cutflow.json, histograms.json, skim/ and, with `train`, models/; gives the directory."""
    rng = np.random.default_rng(seed)
    samples, cutflow, histograms, records = [], {}, {}, {}
    for name, share in {"QCD_300": 0.7, "QCD_470": 0.3}.items():
        columns = make_events(rng, round(share * events), gluons=gluons)
        columns["weight"] = columns["weight"] * (3e-4 if name == "QCD_300" else 5e-5)
        samples.append(write_events(directory / "skim", name, columns))
        number, weighted = len(columns["mjj"]), float(columns["weight"].sum())
        counts = {cut: {"events": 4 * number - 100 * k, "weighted": 4 * weighted} for k, cut in enumerate(CUTS[:-1])}
        cutflow[name] = {**counts, CUTS[-1]: {"events": number, "weighted": weighted}}
        mass = hist.Hist(hist.axis.Regular(100, 0, 2000, name="mjj"), storage=hist.storage.Weight())
        mass.fill(columns["mjj"], weight=columns["weight"])
        histograms[name] = {"mjj": boost_histogram.serialization.to_uhi(mass)}
        records[name] = {
            "role": "background", "process": "QCD", "source": "simulated", "simulated": True, "entries": 4 * number,
            "processed": 4 * number, "scale": 1.0, "xsec_pb": None, "sumw": None, "flags": [],
        }  # fmt: skip
    write_json(directory / "cutflow.json", cutflow)
    (directory / "histograms.json").write_text(json.dumps(histograms, default=uhi.io.json.default), encoding="utf-8")
    write_json(directory / "manifest.json", _manifest(records, training, seed, luminosity))
    if train:
        train_dijet_run(directory, samples, training, seed)
    return directory


def train_dijet_run(directory: Path, samples: list[Sample], training: dict[str, Any], seed: int) -> None:
    """Run every task, in models/."""
    for task in tasks(Settings.model_validate(training), seed=seed):
        run(task, samples, str(directory / "models"))


def _manifest(records: Any, training: dict[str, Any], seed: int, luminosity: float | None) -> dict[str, Any]:
    configuration = {"seed": seed, "training": {"module": "training.dijet_anomaly", **training}}
    return {
        "analysis": "dijet_anomaly", "title": "Dijet anomaly", "configuration": configuration,
        "versions": {"numpy": "2.4.0"}, "git": {"revision": "abcdef0", "dirty": False},
        "command": "hepbatch run dijet_anomaly", "started": "2026-11-22T03:00:00+00:00", "status": "complete",
        "label": "CMS Open Data format", "sqrt_s_tev": 7, "luminosity_ipb": luminosity, "simulated": True,
        "cluster": {"name": "local", "kind": "local", "pools": {}}, "workers": [],
        "stages": {"skim": {"started": "2026-11-22T03:00:01+00:00", "seconds": 12.5, "items": 8}},
        "inputs": [], "samples": records, "failures": [],
    }  # fmt: skip


def results_of(directory: Path) -> dict[str, Any]:
    """What results.json of a run has, by name."""
    content: dict[str, Any] = json.loads((directory / "results.json").read_text(encoding="utf-8"))
    return content


def members(directory: Path, prefix: str) -> list[dict[str, Any]]:
    """Facts of all trainings of the tasks whose name begins so."""
    paths = sorted((directory / "models").glob(f"{prefix}*/result.json"))
    return [member for path in paths for member in json.loads(path.read_text())["members"]]


def edit_members(directory: Path, prefix: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the results of the tasks whose name begins so."""
    for path in sorted((directory / "models").glob(f"{prefix}*/result.json")):
        edit_json(path, change)
