"""A task of lepton_id: from the skim to the figures of its networks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.files import write_json
from training.lepton_data import Doubles, Leptons, Rows, divided, read_leptons, scaled
from training.lepton_limit import baselines, binomial_error, by_bins, limit_right, precision_of_inputs
from training.lepton_models import save_best
from training.lepton_networks import Task, Trained, train
from training.lepton_settings import Recipe, Settings
from training.model_files import package_versions
from training.samples import Sample

if TYPE_CHECKING:
    from training.lepton_id import TrainingTask

#: Points of a ROC curve that are kept.
_POINTS = 200
#: Streams of random numbers of the kinds of task.
_STREAMS = ("improved", "source", "scan", "overtraining", "history")
Data = Mapping[str, Leptons]


def evaluate_task(task: TrainingTask, samples: Sequence[Sample], directory: Path) -> dict[str, Any]:
    """Run a task and write result.json, with `improved` the best networks beside it."""
    started = time.perf_counter()
    settings = task.settings
    data = {name: read_leptons(stored, settings, seed=task.seed) for name, stored in divided(samples, settings).items()}
    contents: dict[str, Callable[..., dict[str, Any]]] = {
        "limits": _limits, "history": _history, "overtraining": _overtraining, "scan": _scan,
        "improved": partial(_improved, directory=directory), "source": _source,
    }  # fmt: skip
    content = contents[task.kind](data, settings, task.seed)
    result = {
        "task": task.kind,
        "name": task.name,
        "seed": task.seed,
        "settings": settings.model_dump(mode="json"),
        "leptons": {name: {"train": len(one.train), "test": len(one.test)} for name, one in data.items()},
        **content,
        "seconds": time.perf_counter() - started,
        "versions": package_versions(),
    }
    write_json(directory / "result.json", result)
    return result


def _limits(data: Data, settings: Settings, seed: int) -> dict[str, Any]:  # noqa: ARG001  (nothing is random)
    inputs: dict[str, Any] = {}
    for name, leptons in data.items():
        for kind, recipe, most in (
            ("source", settings.source, settings.study_leptons), ("improved", settings.improved, None)
        ):  # fmt: skip
            rows = leptons.first(most)
            found = {one: precision_of_inputs(leptons, one, recipe, rows) for one in settings.representations}
            inputs.setdefault(name, {})[kind] = found
    samples = {name: baselines(leptons, settings.p_edges, settings.pt_edges) for name, leptons in data.items()}
    return {"samples": samples, "inputs": inputs}


def _history(data: Data, settings: Settings, seed: int) -> dict[str, Any]:
    leptons = data["stored"]
    rows = leptons.first(settings.study_leptons)
    found = _train_one(
        leptons, settings.source_representation, settings.source, [rows] * settings.seeds, seed, "history"
    )
    return {
        "representation": settings.source_representation,
        "trained_with": len(rows),
        "members": [
            metrics(leptons, one, settings) | {"history": one.history, "weights": one.weights} for one in found
        ],
    }


def _overtraining(data: Data, settings: Settings, seed: int) -> dict[str, Any]:
    leptons = data["stored"]
    most = len(leptons.train) if settings.study_leptons is None else min(len(leptons.train), settings.study_leptons)
    sizes = [size for size in settings.overtraining if size <= most] or [most]
    rows = [leptons.first(size) for size in sizes for _ in range(settings.seeds)]
    found = _train_one(leptons, settings.source_representation, settings.source, rows, seed, "overtraining")
    members = [
        {"size": len(its), **metrics(leptons, one, settings), "history": one.history}
        for its, one in zip(rows, found, strict=True)
    ]
    left_out = [size for size in settings.overtraining if size > most]
    return {"representation": settings.source_representation, "members": members, "left_out": left_out}


def _train_one(
    leptons: Leptons, representation: str, recipe: Recipe, rows: Sequence[Rows], seed: int, kind: str
) -> list[Trained]:
    """Networks of one representation that learn from each of `rows`; features are scaled by those they learn from."""
    features = leptons.features(representation)
    tables = {len(its): scaled(features, its, recipe.scaling) for its in rows}
    members = [
        Task(tables[len(its)], leptons.label, its, leptons.test, recipe.hidden, _seed(seed, kind, number))
        for number, its in enumerate(rows)
    ]
    return train(members, recipe, keep_weights=kind == "history")


def _scan(data: Data, settings: Settings, seed: int) -> dict[str, Any]:
    leptons, scan = data["stored"], settings.scan
    structures = [(one, two) for one in scan.nodes for two in scan.nodes]
    members = scan_members(leptons, settings, seed)
    found = train(members, scan.recipe)
    results = []
    for number, (one, two) in enumerate(structures):
        own = found[number * scan.seeds : (number + 1) * scan.seeds]
        accuracy = [float(((each.scores > 0.5) == (leptons.label[leptons.test] == 1)).mean()) for each in own]
        results.append({"nodes": [one, two], "accuracy": accuracy})
    return {"representation": scan.representation, "structures": results}


def scan_members(leptons: Leptons, settings: Settings, seed: int) -> list[Task]:
    """The networks of the scan, all seeds of a structure one after another."""
    scan = settings.scan
    rows = leptons.first(settings.study_leptons)
    table = scaled(leptons.features(scan.representation), rows, scan.recipe.scaling)
    shapes = [(one, two) for one in scan.nodes for two in scan.nodes for _ in range(scan.seeds)]
    return [
        Task(table, leptons.label, rows, leptons.test, shape, _seed(seed, "scan", number))
        for number, shape in enumerate(shapes)
    ]


def _improved(data: Data, settings: Settings, seed: int, *, directory: Path) -> dict[str, Any]:
    found, networks = _compare(data, settings, settings.improved, None, seed, "improved")
    return {"samples": found, "best": save_best(directory, data, found, networks, settings)}


def _source(data: Data, settings: Settings, seed: int) -> dict[str, Any]:
    stored = {"stored": data["stored"]}
    return {"samples": _compare(stored, settings, settings.source, settings.study_leptons, seed, "source")[0]}


def _compare(
    data: Data, settings: Settings, recipe: Recipe, most: int | None, seed: int, kind: str
) -> tuple[dict[str, dict[str, list[dict[str, Any]]]], dict[str, dict[str, list[tuple[Task, Trained]]]]]:
    """Every representation of every sample, with several seeds, which are the same for both samples: one stack.

    The figures and the networks themselves, both by sample and representation.
    """
    members, keys = [], []
    for sample, leptons in data.items():
        rows = leptons.first(most)
        held = None
        if kind == "improved":
            rows, held = np.split(rows, [min(max(int(len(rows) * (1 - settings.validation)), 1), len(rows) - 1)])
        for number, representation in enumerate(settings.representations):
            table = scaled(leptons.features(representation), rows, recipe.scaling)
            for repeat in range(settings.seeds):
                own = _seed(seed, kind, number, repeat)
                members.append(Task(table, leptons.label, rows, leptons.test, recipe.hidden, own, held))
                keys.append((sample, representation))
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    networks: dict[str, dict[str, list[tuple[Task, Trained]]]] = {}
    right = {sample: limit_right(leptons) for sample, leptons in data.items()}
    for (sample, representation), task, one in zip(keys, members, train(members, recipe), strict=True):
        facts = metrics(data[sample], one, settings, right[sample]) | {"history": one.history}
        if task.validation is not None and len(task.validation):
            chosen = (one.validation_scores > 0.5) == (task.label[task.validation] == 1)
            facts["validation_accuracy"] = float(chosen.mean())
            facts["validation_error"] = binomial_error(float(chosen.mean()), len(chosen))
        found.setdefault(sample, {}).setdefault(representation, []).append(facts)
        networks.setdefault(sample, {}).setdefault(representation, []).append((task, one))
    return found, networks


def _seed(seed: int, kind: str, *numbers: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(_STREAMS.index(kind), *numbers))


def metrics(
    leptons: Leptons, trained: Trained, settings: Settings, limit: NDArray[np.bool_] | None = None
) -> dict[str, Any]:
    """Figures of a network on the test leptons: a score above 0.5 is a muon.

    `below_limit` is the accuracy of the limit less that of the network, lepton by lepton, with its standard error
    of at least one lepton.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    muon = leptons.label[leptons.test] == 1
    answer = trained.scores > 0.5
    right = answer == muon
    false_rate, efficiency, _ = roc_curve(muon, trained.scores)
    thin = np.unique(np.linspace(0, len(efficiency) - 1, _POINTS).astype(int))
    found: dict[str, Any] = {
        "accuracy": float(right.mean()),
        "error": binomial_error(float(right.mean()), len(right)),
        "train_accuracy": trained.history["train_accuracy"][-1],
        "largest_weight": trained.largest_weight,
        "auc": float(roc_auc_score(muon, trained.scores)),
        "muon_efficiency": float(answer[muon].mean()),
        "muon_false_positive": float(answer[~muon].mean()),
        "electron_efficiency": float((~answer[~muon]).mean()),
        "electron_false_positive": float((~answer[muon]).mean()),
        "by_pt": by_bins(leptons["pt"][leptons.test], right, settings.pt_edges),
        "by_p": by_bins(leptons["p"][leptons.test], right, settings.p_edges),
        "roc": {"efficiency": _floats(efficiency[thin]), "false_positive": _floats(false_rate[thin])},
    }
    if limit is not None:
        difference = limit.astype(np.float64) - right
        found["below_limit"] = float(difference.mean())
        found["below_limit_error"] = max(float(difference.std() / np.sqrt(len(difference))), 1 / len(difference))
    return found


def _floats(values: Doubles) -> list[float]:
    return [float(value) for value in values]
