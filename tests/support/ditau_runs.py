"""Run directories of ditau_mass as the skim leaves them, of invented events, with real trainings on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boost_histogram.serialization
import hist
import numpy as np
import uhi.io.json
from support.ditau_skims import skim
from support.runs import write_json

from processors.ditau_mass import CHANNELS, CUTS, RESPONSES
from training.ditau_mass import Settings, run, tasks


def make_ditau_run(directory: Path, training: dict[str, Any], events: int = 3000, *, train: bool = True) -> Path:
    """Write manifest.json, cutflow.json, histograms.json, notes.json, skim/ and, with `train`, models/."""
    sample = skim(directory / "skim" / "HTT", events)
    counts = {cut: {"events": 4 * events, "weighted": 4.0 * events} for cut in CUTS}
    write_json(directory / "cutflow.json", {"HTT": counts})
    write_json(directory / "notes.json", {"HTT": {"no Flag_eeBadScFilter": 4 * events}})
    named = {}
    for number, name in enumerate(("all", *CHANNELS)):
        one = hist.Hist(hist.axis.Regular(40, 0, 1000, name="gen_mass"), storage=hist.storage.Weight())
        one.fill(np.linspace(60, 990, 4 * events if name == "all" else 100 * number))
        named[f"gen_mass_{name}"] = boost_histogram.serialization.to_uhi(one)
    for number, name in enumerate(RESPONSES):
        one = hist.Hist(hist.axis.Regular(125, 0, 2.5, name="ratio"), storage=hist.storage.Weight())
        # Jets have no generated counterpart here.
        one.fill([] if "jet" in name else np.linspace(0.5, 1.5 + number, 1000))
        named[f"response_{name}"] = boost_histogram.serialization.to_uhi(one)
    (directory / "histograms.json").write_text(json.dumps({"HTT": named}, default=uhi.io.json.default))
    record = {
        "role": "signal", "process": "HTT", "source": "simulated", "simulated": True, "entries": 4 * events,
        "processed": 4 * events, "scale": 1.0, "xsec_pb": None, "sumw": None, "flags": [],
    }  # fmt: skip
    configuration = {"seed": 5, "training": {"module": "training.ditau_mass", **training}}
    write_json(
        directory / "manifest.json",
        {
            "analysis": "ditau_mass", "title": "Di-tau mass", "configuration": configuration,
            "versions": {"numpy": "2.4.0"}, "git": {"revision": "abcdef0", "dirty": False},
            "command": "hepbatch run ditau_mass", "started": "2026-11-22T03:00:00+00:00", "status": "complete",
            "label": "CMS", "sqrt_s_tev": 13, "luminosity_ipb": None, "simulated": True,
            "cluster": {"name": "local", "kind": "local", "pools": {}}, "workers": [],
            "stages": {"skim": {"started": "2026-11-22T03:00:01+00:00", "seconds": 12.5, "items": 8}},
            "inputs": [], "samples": {"HTT": record}, "failures": [],
        },
    )  # fmt: skip
    for task in tasks(Settings.model_validate(training), seed=5) if train else ():
        run(task, [sample], str(directory / "models"))
    return directory
