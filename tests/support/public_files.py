"""Stand-ins of the public files of every analysis, at their public paths, and small analyses that read them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from support.lepton_files import lepton, write, write_nano_leptons
from support.mini_13tev import write_13tev
from support.mini_files import EventMaker, write_mini
from support.mod_files import jet_tables, write_jets
from support.nano_files import write_nano

from analysis.configuration import CONFIGS, load_configuration
from analysis.datasets.catalogue import load_catalogue

EVENTS = 300
#: In place of what the shipped analyses train.
TREES = {"folds": 3, "bootstrap": 20, "models": {"trees": {"kind": "boosted_trees"}}}
LEPTONS = {
    "seeds": 2, "study_leptons": 80, "representations": ["p2_minus_e2"], "overtraining": [20],
    "source": {"epochs": 20}, "improved": {"epochs": 20}, "scan": {"nodes": [1], "seeds": 2, "recipe": {"epochs": 20}},
}  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {
    "higgs4l": {"training": TREES, "replace": ["training.models"]},
    "higgs4l_13tev": {"training": TREES, "replace": ["training.models"]},
    "lepton_id": {"training": LEPTONS},
    "lepton_id_13tev": {"training": LEPTONS},
    "lepton_id_cms": {"training": LEPTONS},
    "ditau_mass_cms": {
        "simulation": {"events": 2000, "mass_step": 95.0},
        "training": {
            "models": {"DNN1": {"neurons": 8, "epochs": 2, "augment": 0}}, "trees": {"boosted": {"n_estimators": 5}},
        },
        "replace": ["training.models", "training.trees"],
    },
    "dijet_anomaly_full": {
        "training": {
            "sample_sizes": [150], "samples": 2, "min_events": 5, "train_jets": 20, "test_jets": 8,
            "validation_jets": 2, "most_validation_jets": 4, "composition_trainings": 0, "injection": None, "stack": 8,
            "network": {"phi_units": [8, 8], "f_units": [8], "batch_size": 10, "epochs": 1, "evaluate_every": 1},
        },
    },
}  # fmt: skip
#: The module of public files of dijet_anomaly_full: energyflow's tables know the checksums of the real ones alone.
JETS = '''
"""The jets that a test serves."""
import json
from pathlib import Path
from analysis.datasets.mod_opendata import Settings
from analysis.datasets.publication import PublicFile

FACTS = json.loads(Path(__file__).with_name("jets.json").read_text())

def samples(settings, catalogue): return tuple(FACTS)
def totals(settings, catalogue): return {name: one["total"] for name, one in FACTS.items()}
def files(settings, catalogue, sample):
    path = f"{sample}/{sample}_0.h5"
    return [PublicFile(sample, (f"{settings.address}/{path}",), f"{settings.cache}/{path}", FACTS[sample]["md5"])]
'''


def small_analyses(directory: Path, server: Path, address: str, names: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """Writes NAME_small.yaml for each name, and the stand-ins below `server`; gives the events of every sample."""
    return {f"{name}_small": _small(directory, server / name, f"{address}/{name}", name) for name in names}


def _small(directory: Path, server: Path, address: str, name: str) -> dict[str, int]:
    content = {"extends": name, "name": f"{name}_small", "chunk_size": 200, **SMALL[name]}
    content["results"] = {"formats": ["png"]}
    if name == "dijet_anomaly_full":
        events = _jets(directory, server)
        content["opendata"] = {"module": "jets_of_the_test", "address": address, "cache": str(directory / "jets")}
    else:
        catalogue, events = _catalogue(load_configuration(name).datasets, server, name)
        (directory / f"{name}_samples.yaml").write_text(yaml.safe_dump(catalogue))
        content |= {"datasets": str(directory / f"{name}_samples.yaml"), "opendata": {"servers": [address]}}
    (directory / f"{name}_small.yaml").write_text(yaml.safe_dump(content))
    return events


def _catalogue(datasets: str, server: Path, name: str) -> tuple[dict[str, Any], dict[str, int]]:
    """The catalogue with the first file of each sample, of which a stand-in is written, as it was not published."""
    content = yaml.safe_load((CONFIGS / "datasets" / f"{datasets}.yaml").read_text())
    events = {}
    for seed, (sample, entry) in enumerate(content["samples"].items()):
        listed = load_catalogue(datasets).publication(sample).files
        if not listed:
            continue
        WRITERS[name](server / listed[0].path, seed)
        published = {key: entry["published"][key] for key in ("record", "doi", "servers") if key in entry["published"]}
        entry["published"] = {**published, "files": [{"path": listed[0].path}]}
        events[sample] = EVENTS
    return content, events


def _leptons(seed: int) -> list[list[tuple[float, ...]]]:
    rng = np.random.default_rng(seed)
    pt, muon = 15 + rng.exponential(40, EVENTS), rng.integers(0, 2, EVENTS)
    return [[lepton(float(p), 0.1, 0.2, int(m), (5e-4, 0.10566)[m])] for p, m in zip(pt, muon, strict=True)]


def _mini_leptons(path: Path, seed: int) -> None:
    events = [[(1e3 * pt, eta, phi, 1e3 * e, (11, 13)[int(m)]) for pt, eta, phi, e, m in one] for one in _leptons(seed)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, "mini", events)


def _nano_leptons(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nano_leptons(path, [[(*one, 1) for one in event] for event in _leptons(seed)])


def _nano(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nano(path, seed, EVENTS)


WRITERS: dict[str, Callable[[Path, int], object]] = {
    "higgs4l": lambda path, seed: write_mini(path, EventMaker(seed).events(EVENTS), basket=64),
    "higgs4l_13tev": lambda path, seed: write_13tev(path, EventMaker(seed).events(EVENTS), 1.0, 1e3),
    "lepton_id": _mini_leptons,
    "lepton_id_13tev": _mini_leptons,
    "lepton_id_cms": _nano_leptons,
    "ditau_mass_cms": _nano,
}


def _jets(directory: Path, server: Path) -> dict[str, int]:
    facts, events = {}, {}
    for seed, sample in enumerate(("SIM300", "SIM470")):
        tables = jet_tables(seed, 6 * EVENTS, largest=2)
        path = server / sample / f"{sample}_0.h5"
        path.parent.mkdir(parents=True)
        write_jets(path, tables, seed, least=5)
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        facts[sample] = {"md5": f"md5:{digest}", "total": float(np.sum(tables["weight"]))}
        events[sample] = len(tables["jet_pt"])
    (directory / "jets_of_the_test.py").write_text(JETS)
    (directory / "jets.json").write_text(json.dumps(facts))
    return events
