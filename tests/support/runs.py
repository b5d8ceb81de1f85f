"""Run directories of higgs4l as the skim and the training leave them, made of random numbers instead of events."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import boost_histogram.serialization
import hist
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import uhi.io.json
from numpy.typing import NDArray

Array = NDArray[Any]

CUTS = (
    "all", "four_leptons", "charge", "flavour", "lepton_pt", "leading_pt", "isolation", "impact_parameter", "delta_r",
    "sfos_mass", "m_z1", "m_z2", "mass_window",
)  # fmt: skip
# role, process, skimmed events, weight per event, probability of each cut, mean and spread of the mass
SAMPLES: dict[str, tuple[str, str, int, float, float, float, float]] = {
    "DataEgamma": ("data", "", 90, 1.0, 0.80, 150.0, 50.0),
    "DataMuons": ("data", "", 110, 1.0, 0.80, 150.0, 50.0),
    "Zee": ("background", "Z, tt", 300, 0.15, 0.80, 120.0, 40.0),
    "Zmumu": ("background", "Z, tt", 300, 0.12, 0.80, 120.0, 40.0),
    "ttbar_lep": ("background", "Z, tt", 200, 0.10, 0.80, 150.0, 60.0),
    "ZZ": ("background", "ZZ", 800, 0.006, 0.95, 200.0, 50.0),
    "ggH125_ZZ4lep": ("signal", "H125", 1500, 0.00005, 0.97, 124.0, 3.0),
    "VBFH125_ZZ4lep": ("signal", "H125", 900, 0.000004, 0.97, 124.0, 3.0),
}
FEATURES = ("m4l", "m_z1", "m_z2", "lep1_pt", "pt4l", "cos_theta_star", "phi")
POOLS = {"cpu": {"workers": 2, "memory_bytes": 2**31}, "gpu": {"workers": 1}}
MODELS = {"boosted_trees_full": True, "network_full": True, "network_no_mass": False, "mlp_m4l": True}


def make_run(
    directory: Path, rng: np.random.Generator, *, simulated: tuple[str, ...] | None = None, train: bool = True
) -> Path:
    """Write manifest.json, cutflow.json, histograms.json, skim/ and, with `train`, models/; gives the directory.

    `simulated` names the simulated samples (default: the two signal samples).
    """
    simulated = ("ggH125_ZZ4lep", "VBFH125_ZZ4lep") if simulated is None else simulated
    cutflow, histograms, skims = {}, {}, {}
    for name in SAMPLES:
        skims[name] = skim_columns(name, rng)
        cutflow[name] = count(skims[name])
        histograms[name] = {"m4l": mass_histogram(skims[name])}
        write_skim(directory, name, skims[name], parts=2)
    write_json(directory / "cutflow.json", cutflow)
    text = json.dumps(histograms, default=uhi.io.json.default)
    (directory / "histograms.json").write_text(text, encoding="utf-8")
    write_json(directory / "manifest.json", manifest(cutflow, simulated))
    if train:
        make_models(directory, skims, rng)
    return directory


def skim_columns(name: str, rng: np.random.Generator) -> dict[str, Array]:
    """The columns of a skim for one sample."""
    role, _, rows, weight, keep, mean, spread = SAMPLES[name]
    columns: dict[str, Array] = {
        "run": np.full(rows, 207490 if role == "data" else 160155, np.int32),
        "event": rng.permutation(10 * rows)[:rows].astype(np.int64) + (10**6 if name == "DataMuons" else 0),
        "entry": np.arange(rows, dtype=np.int64),
        "lep_n": np.full(rows, 4, np.int32),
    }
    pts = np.sort(rng.exponential(25.0, (rows, 4)) + 7.0, axis=1)[:, ::-1]
    for i in range(1, 5):
        columns[f"lep{i}_pt"] = pts[:, i - 1].astype(np.float32)
        columns[f"lep{i}_eta"] = rng.uniform(-2.5, 2.5, rows).astype(np.float32)
        columns[f"lep{i}_phi"] = rng.uniform(-np.pi, np.pi, rows).astype(np.float32)
        columns[f"lep{i}_etcone20"] = (pts[:, i - 1] * rng.normal(0.05, 0.15, rows)).astype(np.float32)
        columns[f"lep{i}_d0_significance"] = rng.normal(0, 2, rows).astype(np.float32)
        columns[f"lep{i}_charge"] = rng.choice([-1, 1], rows).astype(np.int8)
        columns[f"lep{i}_type"] = rng.choice([11, 13], rows).astype(np.int8)
    columns["m4l"] = np.abs(rng.normal(mean, spread, rows))
    columns["pt4l"], columns["y4l"] = rng.exponential(20.0, rows), rng.normal(0, 1, rows)
    columns["m_z1"], columns["m_z2"] = rng.normal(88, 8, rows), rng.uniform(10, 60, rows)
    for angle in ("cos_theta_star", "cos_theta1", "cos_theta2"):
        columns[angle] = rng.uniform(-1, 1, rows).astype(np.float32)
    for angle in ("phi", "phi1"):
        columns[angle] = rng.uniform(-np.pi, np.pi, rows).astype(np.float32)
    columns["weight"] = np.ones(rows) if role == "data" else weight * rng.uniform(0.8, 1.2, rows)
    columns["mc_weight"] = np.ones(rows)
    for cut in CUTS[1:]:
        columns[f"pass_{cut}"] = rng.random(rows) < keep
    columns["pass_four_leptons"][:] = True
    columns["pass_mass_window"] = (columns["m4l"] > 120) & (columns["m4l"] < 130)
    unpaired = ~columns["pass_sfos_mass"]
    for column in ("m_z1", "m_z2", "cos_theta_star", "cos_theta1", "cos_theta2", "phi", "phi1"):
        columns[column][unpaired] = np.nan
    return columns


def count(columns: dict[str, Array]) -> dict[str, dict[str, float]]:
    """The cumulative cutflow of a skim; twelve events more were read than skimmed."""
    keep = np.ones(len(columns["run"]), bool)
    flow: dict[str, dict[str, float]] = {
        "all": {"events": len(keep) + 12, "weighted": float(columns["weight"].sum()) * 1.1}
    }
    for cut in CUTS[1:]:
        keep &= columns[f"pass_{cut}"]
        flow[cut] = {"events": int(keep.sum()), "weighted": float(columns["weight"][keep].sum())}
    return flow


def mass_histogram(columns: dict[str, Array]) -> dict[str, Any]:
    """The m4l histogram through m_z2 as a UHI dictionary."""
    histogram = hist.Hist(hist.axis.Regular(34, 80, 250, name="m4l"), storage=hist.storage.Weight())
    keep = np.all([columns[f"pass_{cut}"] for cut in CUTS[1:-1]], axis=0)
    histogram.fill(columns["m4l"][keep], weight=columns["weight"][keep])
    result: dict[str, Any] = boost_histogram.serialization.to_uhi(histogram)
    return result


def write_skim(directory: Path, name: str, columns: dict[str, Array], parts: int = 1) -> None:
    """Write the columns as `parts` Parquet files."""
    folder = directory / "skim" / name
    folder.mkdir(parents=True, exist_ok=True)
    for index, rows in enumerate(np.array_split(np.arange(len(columns["run"])), parts)):
        table = pa.table({key: values[rows] for key, values in columns.items()})
        pq.write_table(table, folder / f"0000-{index}.parquet")


def manifest(cutflow: dict[str, Any], simulated: tuple[str, ...]) -> dict[str, Any]:
    """A manifest of a complete run."""
    samples = {}
    for name, (role, process, *_) in SAMPLES.items():
        entries = cutflow[name]["all"]["events"]
        data = role == "data"
        samples[name] = {
            "role": role, "process": process, "source": "simulated" if name in simulated else "atlas-8tev",
            "simulated": name in simulated, "entries": entries, "processed": entries, "scale": 1.0,
            "xsec_pb": None if data else 1.5376, "sumw": None if data else 203795455568148.0,
            "reduction_efficiency": None if data else 0.95088, "flags": [],
        }  # fmt: skip
    inputs = [
        {"path": f"MC/{name}.root", "sample": name, "uuid": f"00000000-0000-0000-0000-{i:012d}", "size": 123456 + i,
         "entries": samples[name]["entries"]}
        for i, name in enumerate(SAMPLES)
    ]  # fmt: skip
    return {
        "analysis": "higgs4l", "title": "Higgs to four leptons", "configuration": {"seed": 1, "chunk_size": 1000},
        "versions": {"coffea": "2026.9.0", "numpy": "2.4.0"}, "git": {"revision": "abcdef0", "dirty": True},
        "command": "hepbatch run higgs4l", "started": "2026-11-22T03:00:00+00:00", "status": "complete",
        "label": "ATLAS Open Data", "sqrt_s_tev": 8, "luminosity_ipb": 1000.0, "simulated": bool(simulated),
        "cluster": {"name": "local", "kind": "local", "pools": POOLS},
        "workers": [{"name": "cpu-0", "pool": "cpu", "host": "node1", "tasks": 12, "peak_memory_bytes": 512 * 2**20}],
        "stages": {"skim": {"started": "2026-11-22T03:00:01+00:00", "seconds": 12.5, "items": 8}},
        "inputs": inputs, "samples": samples, "failures": [],
    }  # fmt: skip


def write_json(path: Path, content: Any) -> None:
    """Write JSON, making the directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def edit_json(path: Path, change: Any) -> None:
    """Read JSON, let `change` modify it in place, write it back."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    write_json(path, content)


def make_models(directory: Path, skims: dict[str, dict[str, Array]], rng: np.random.Generator) -> None:
    """Results and scores of a training: figures that hang together with the skims, scores from random numbers."""
    baselines = {
        "no_cuts": yields(skims, {n: c["pass_mass_window"] for n, c in skims.items()}),
        "cut_based": yields(skims, {n: _all(c, CUTS[1:]) for n, c in skims.items()}),
    }
    base = {"seed": 1, "flags": [], "versions": {}, "seconds": 1.0}
    write_result(directory, "baselines", {
        **base, "task": "baselines", "bootstrap": 100, "cuts": {}, **baselines, "ratio": {"cut_based": _boot(1.8, 0.2)},
    })  # fmt: skip
    write_result(directory, "notebook", {**base, **_notebook(rng)})
    for index, (name, mass) in enumerate(MODELS.items()):
        scores = score_columns(skims, rng)
        selected = {n: scores["selected"][scores["sample"] == n] for n in SAMPLES}
        result = {
            **base,
            **_model(name, mass, rng, index),
            "baselines": baselines,
            "yields": yields(skims, selected, CUTS[1:10]),
        }
        write_result(directory, name, result)
        pq.write_table(pa.table(scores), directory / "models" / name / "scores.parquet")


def score_columns(skims: dict[str, dict[str, Array]], rng: np.random.Generator) -> dict[str, Array]:
    """scores.parquet for events through sfos_mass of all samples."""
    parts: dict[str, list[Array]] = {}
    for name, columns in skims.items():
        keep = _all(columns, CUTS[1:10])
        rows, role = int(keep.sum()), SAMPLES[name][0]
        score = rng.beta(5, 2, rows) if role == "signal" else rng.beta(2, 5, rows)
        part = {
            "sample": np.full(rows, name), **{c: columns[c][keep] for c in ("run", "event", "entry", "m4l", "weight")},
            "fold": np.full(rows, -1 if role == "data" else 0, np.int16),
            "label": np.full(rows, {"signal": 1, "background": 0, "data": -1}[role], np.int8),
            "score": score, "threshold": np.full(rows, 0.6), "selected": score > 0.6,
        }  # fmt: skip
        for key, values in part.items():
            parts.setdefault(key, []).append(values)
    return {key: np.concatenate(values) for key, values in parts.items()}


def yields(skims: dict[str, dict[str, Array]], masks: dict[str, Array], before: tuple[str, ...] = ()) -> dict[str, Any]:
    """YIELDS of a training: `masks` choose among the events that pass the cuts `before`."""
    samples = {}
    data = 0
    for name, columns in skims.items():
        weights = columns["weight"][_all(columns, before)][masks[name]] if before else columns["weight"][masks[name]]
        if SAMPLES[name][0] == "data":
            data += len(weights)
        else:
            samples[name] = _sums(weights)
    merged = {}
    for role in ("signal", "background"):
        parts = [figures for name, figures in samples.items() if SAMPLES[name][0] == role]
        value = sum(p["value"] for p in parts)
        variance = sum(p["uncertainty"] ** 2 for p in parts)
        merged[role] = {
            "value": value, "uncertainty": variance**0.5, "events": sum(p["events"] for p in parts),
            "effective": value**2 / variance if variance else 0.0,
        }  # fmt: skip
    s, b = merged["signal"]["value"], merged["background"]["value"]
    naive = s / b**0.5 if b > 0 else None
    asimov = (2 * ((s + b) * np.log1p(s / b) - s)) ** 0.5 if b > 0 else None
    return {
        **merged, "samples": samples, "data": data, "s_over_sqrt_b": _boot(naive, 0.01), "asimov": _boot(asimov, 0.01),
        "asimov_analytic_uncertainty": 0.01, "flags": [],
    }  # fmt: skip


def write_result(directory: Path, name: str, result: dict[str, Any]) -> None:
    """models/<name>/result.json."""
    write_json(directory / "models" / name / "result.json", {"name": name, **result})


def _all(columns: dict[str, Array], cuts: tuple[str, ...]) -> Array:
    keep = np.ones(len(columns["run"]), bool)
    for cut in cuts:
        keep &= columns[f"pass_{cut}"]
    return keep


def _sums(weights: Array) -> dict[str, Any]:
    squares, value = float((weights**2).sum()), float(weights.sum())
    effective = value**2 / squares if squares else 0.0
    return {"value": value, "uncertainty": squares**0.5, "events": len(weights), "effective": effective}


def _boot(value: float | None, spread: float) -> dict[str, Any]:
    if value is None:
        return {"value": None, "uncertainty": None, "interval": None}
    return {"value": float(value), "uncertainty": spread, "interval": [value - spread, value + spread]}


def _report(rng: np.random.Generator) -> dict[str, Any]:
    keys = ("precision", "recall", "f1-score")
    rows = {
        name: {**{key: float(rng.random()) for key in keys}, "support": 100.0}
        for name in ("background", "signal", "macro avg", "weighted avg")
    }
    return {"text": "", "values": {**rows, "accuracy": 0.93}}


def _notebook(rng: np.random.Generator) -> dict[str, Any]:
    sizes = (1, 3, 3, 3, 1)
    return {
        "task": "notebook", "features": ["m4l"], "parameters": {},
        "events": {"signal": 2400, "background": 1600, "train": 3000, "test": 1000},
        "accuracy": 0.9625, "confusion_matrix": {"labels": ["background", "signal"], "raw": [[725, 461], [44, 10507]]},
        "classification_report": _report(rng), "layer_sizes": list(sizes),
        "weights": [rng.normal(size=shape).tolist() for shape in pairwise(sizes)],
        "biases": [rng.normal(size=b).tolist() for b in sizes[1:]],
        "loss_curve": (0.2 + np.exp(-np.arange(40) / 8)).tolist(), "iterations": 40, "converged": True,
        "scaler": {"mean": [140.0], "scale": [30.0]},
    }  # fmt: skip


def _model(name: str, mass: bool, rng: np.random.Generator, index: int) -> dict[str, Any]:
    """A model's result but for its yields; the first of MODELS has the largest inner significance."""
    features = ["m4l"] if name == "mlp_m4l" else [f for f in FEATURES if mass or not f.startswith("m")]
    kind = "network" if name.startswith("network") else "boosted_trees"
    thresholds = [
        {"fold": f, "threshold": 0.6, "inner_asimov": 0.5, "inner_effective_background": 30.0, "constrained": f == 1}
        for f in range(4)
    ]
    permutation = [{"feature": f, "value": 0.1 / (i + 1), "uncertainty": 0.01} for i, f in enumerate(features)]
    efficiency = np.linspace(0, 1, 100)
    test = {"statistic": 0.05, "p_value": 0.4, "folds": []}
    return {
        "task": "model", "model": name.rsplit("_", 1)[0], "kind": kind, "feature_set": "full" if mass else "no_mass",
        "features": features, "uses_mass": mass, "folds": 4, "parameters": {}, "events": {},
        "auc": {**_boot(0.93 - 0.02 * index, 0.004), "train": 0.95, "folds": [0.93] * 4},
        "roc": {
            "signal_efficiency": efficiency.tolist(), "background_efficiency": (efficiency ** (6 - index)).tolist(),
            "threshold": [],
        },
        "thresholds": thresholds,
        "confusion_matrix": {
            "labels": ["background", "signal"], "raw": [[900, 100], [50, 2000]], "weighted": [[20.0, 2.0], [0.05, 1.0]],
        },
        "classification_report": _report(rng),
        "ratio": {"no_cuts": _boot(2.0, 0.2), "cut_based": _boot(1.3 - 0.1 * index, 0.1)},
        "inner_asimov": 0.6 - 0.1 * index,
        "scores": _score_histograms(rng),
        "overtraining": {"signal": test, "background": test},
        "importance": {"permutation": permutation, "impurity": None, "events": 1000, "repeats": 3},
        "curves": _curves() if kind == "network" else None, "weights": None, "biases": None,
        "scan": _scan() if name == "boosted_trees_full" else None,
    }  # fmt: skip


def _score_histograms(rng: np.random.Generator) -> dict[str, Any]:
    edges = np.linspace(0, 1, 21)
    histograms: dict[str, Any] = {"edges": edges.tolist()}
    for role, (a, b) in {"signal": (5, 2), "background": (2, 5)}.items():
        histograms[role] = {}
        for kind, events in (("train", 3000), ("test", 1000)):
            counts = np.histogram(rng.beta(a, b, events), edges)[0] * 0.01
            histograms[role][kind] = {"values": counts.tolist(), "variances": (counts * 0.01).tolist()}
    return {**histograms, "data": {"values": np.histogram(rng.beta(2, 5, 60), edges)[0].tolist()}}


def _curves() -> list[dict[str, Any]]:
    epochs = np.arange(30)
    curves = []
    for fold in range(4):
        loss, accuracy = np.exp(-epochs / (5 + fold)), 0.9 - np.exp(-epochs / 5) / 2
        curves.append({
            "fold": fold, "best_epoch": 20, "loss": (0.3 + loss).tolist(), "validation_loss": (0.35 + loss).tolist(),
            "accuracy": accuracy.tolist(), "validation_accuracy": (accuracy - 0.02).tolist(),
        })  # fmt: skip
    return curves


def _scan() -> dict[str, Any]:
    table = [
        {"parameters": {"learning_rate": rate}, "inner_asimov": 0.4 + rate, "spread": 0.02, "chosen_in_folds": [0, 2]}
        for rate in (0.05, 0.1)
    ]
    return {"parameters": ["learning_rate"], "table": table}
