"""The training tasks: from skims to a result, a model and the scores of every event."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training import diagnostics
from training.baselines import evaluate, evaluate_baselines, yields_by_role
from training.crossvalidation import CrossValidation, cross_validate
from training.features import checked_features, uses_mass
from training.files import write_atomically, write_json
from training.keras_network import release_memory
from training.model_files import mean_score, package_versions, save_models
from training.models import TrainingSet
from training.notebook import train_notebook
from training.parameters import combinations, scanned
from training.samples import Events, Sample, read_events, require_both_classes
from training.significance import task_seed
from training.splits import event_hash, fold_of

if TYPE_CHECKING:
    from training.higgs4l import ModelSettings, TrainingTask


def evaluate_task(task: TrainingTask, samples: Sequence[Sample], directory: Path, *, threads: int) -> dict[str, Any]:
    """Run one task in at most `threads` threads and write its files, result.json last."""
    from threadpoolctl import threadpool_limits

    settings = task.settings
    features = settings.features[task.feature_set] if task.kind == "model" else ("m4l",)
    cuts = dict.fromkeys([*settings.cuts, *(cut for its in settings.baselines.cuts.values() for cut in its)])
    events = read_events(samples, features, cuts)
    with threadpool_limits(1):
        if task.kind == "notebook":
            seed = task_seed(task.seed, task.name)
            result = train_notebook(task.name, events, settings, seed=seed, directory=directory)
        elif task.kind == "baselines":
            result = _baselines(task, events)
        else:
            result = _model(task, events, directory, threads)
            if settings.models[task.model].kind == "network":
                release_memory()
    write_json(directory / "result.json", result)
    return result


def _baselines(task: TrainingTask, events: Events) -> dict[str, Any]:
    started = time.perf_counter()
    settings = task.settings
    evaluation = evaluate_baselines(events, settings.baselines.cuts, replicas=settings.bootstrap, seed=task.seed)
    return {
        "name": task.name,
        "task": "baselines",
        "seed": task.seed,
        "bootstrap": settings.bootstrap,
        "cuts": {name: list(cuts) for name, cuts in settings.baselines.cuts.items()},
        **evaluation.yields,
        "ratio": {"cut_based": evaluation.ratio("cut_based", "no_cuts")},
        "flags": [f"{name}: {flag}" for name, its in evaluation.yields.items() for flag in its["flags"]],
        "versions": package_versions(),
        "seconds": {"total": time.perf_counter() - started},
    }


def _model(task: TrainingTask, events: Events, directory: Path, threads: int) -> dict[str, Any]:
    started = time.perf_counter()
    settings = task.settings
    model = settings.models[task.model]
    features = settings.features[task.feature_set]
    seed = task_seed(task.seed, task.name)
    candidates = combinations(model.kind, model.parameters, where=f"models.{task.model}.parameters")

    passed = events.passed(settings.cuts)
    chosen = events.select(passed)
    require_both_classes(chosen.select(chosen.simulated), settings.cuts)
    matrix = checked_features(chosen, features)
    data, fold = _training_set(chosen, matrix, settings.folds, task.seed)
    result = cross_validate(
        model.kind,
        candidates,
        data,
        folds=settings.folds,
        minimum_effective=settings.minimum_effective_background,
        seed=seed,
        threads=threads,
    )
    fit_seconds = time.perf_counter() - started

    simulated = chosen.simulated
    score, threshold = np.empty(len(chosen)), np.empty(len(chosen))
    thresholds = np.array([its.value for its in result.thresholds])
    score[simulated], threshold[simulated] = result.score, thresholds[data.fold]
    score[~simulated], threshold[~simulated] = mean_score(result.models, matrix[~simulated]), thresholds.mean()
    selected = score >= threshold

    common = Counter(result.chosen).most_common(1)[0][0]
    summary: dict[str, Any] = {
        "name": task.name,
        "task": "model",
        "model": task.model,
        "kind": model.kind,
        "feature_set": task.feature_set,
        "features": list(features),
        "uses_mass": uses_mass(features),
        "seed": seed,
        "folds": settings.folds,
        "parameters": candidates[common].model_dump(mode="json"),
        "events": yields_by_role(chosen, np.ones(len(chosen), bool)),
    }
    summary |= _significance(task, events, passed, selected)
    summary |= _quality(task, result, data, selected[simulated], score[~simulated], seed)
    summary["flags"] += _fold_flags(result, data)
    save_models(
        directory,
        result.models,
        {key: summary[key] for key in ("name", "kind", "feature_set", "features", "seed")}
        | {
            "thresholds": thresholds.tolist(),
            "parameters": [candidates[c].model_dump(mode="json") for c in result.chosen],
            "settings": settings.model_dump(mode="json"),
        },
    )
    _write_scores(directory / "scores.parquet", chosen, fold, score, threshold, selected)
    return summary | {
        "thresholds": [
            {
                "fold": k,
                "threshold": its.value,
                "inner_asimov": its.asimov,
                "inner_effective_background": its.effective_background,
                "constrained": its.constrained,
            }
            for k, its in enumerate(result.thresholds)
        ],
        "inner_asimov": float(np.mean([its.asimov for its in result.thresholds])),
        "scan": _scan(model, result),
        "curves": _curves(result),
        **_layers(result),
        "versions": package_versions(),
        "seconds": {"total": time.perf_counter() - started, "fit": fit_seconds},
    }


def _training_set(
    chosen: Events, matrix: NDArray[np.float64], folds: int, seed: int
) -> tuple[TrainingSet, NDArray[np.int16]]:
    """The simulated events to learn from, and the fold of every event (-1 for data)."""
    simulated = chosen.simulated
    place = (chosen.names, chosen.sample, chosen["run"], chosen["event"])
    fold = np.where(simulated, fold_of(*place, seed=seed, folds=folds), np.int16(-1)).astype(np.int16)
    hashes = event_hash(*place, seed, "validation") >> np.uint64(11)
    uniform = hashes.astype(np.float64) / 2.0**53
    data = TrainingSet(
        matrix[simulated], chosen.label[simulated], chosen.weight[simulated], fold[simulated], uniform[simulated]
    )
    return data, fold


def _significance(
    task: TrainingTask, events: Events, passed: NDArray[np.bool_], selected: NDArray[np.bool_]
) -> dict[str, Any]:
    """Yields of the model and of the baselines on the same events, and the paired ratios."""
    settings = task.settings
    by_model = np.zeros(len(events), bool)
    by_model[passed] = selected
    masks = {name: events.passed(cuts) for name, cuts in settings.baselines.cuts.items()} | {"model": by_model}
    evaluation = evaluate(events, masks, replicas=settings.bootstrap, seed=task.seed)
    return {
        "yields": evaluation.yields["model"],
        "baselines": {name: evaluation.yields[name] for name in settings.baselines.cuts},
        "ratio": {name: evaluation.ratio("model", name) for name in settings.baselines.cuts},
        "flags": list(evaluation.yields["model"]["flags"])
        + [f"{name}: {flag}" for name in settings.baselines.cuts for flag in evaluation.yields[name]["flags"]],
    }


def _quality(
    task: TrainingTask,
    result: CrossValidation,
    data: TrainingSet,
    selected: NDArray[np.bool_],
    data_scores: NDArray[np.float64],
    seed: int,
) -> dict[str, Any]:
    settings = task.settings
    features = settings.features[task.feature_set]
    train = diagnostics.training_scores(result.models, data)
    auc = diagnostics.weighted_auc(
        result.score, data.label, data.weight, data.generated, replicas=settings.bootstrap, seed=task.seed
    )
    permutation = diagnostics.permutation_importance(
        result.models,
        data,
        features,
        events=settings.importance_events,
        repeats=settings.importance_repeats,
        seed=seed,
    )
    return {
        "auc": auc
        | {
            "train": diagnostics.train_auc(train, data),
            "folds": diagnostics.fold_auc(result.score, data),
        },
        "roc": diagnostics.roc_points(result.score, data.label, data.weight),
        "confusion_matrix": diagnostics.confusion(data.label, selected, data.weight),
        "classification_report": diagnostics.report(data.label, selected),
        "scores": diagnostics.score_histograms(train, result.score, data_scores, data, bins=settings.histogram_bins),
        "overtraining": diagnostics.overtraining(train, result.score, data),
        "importance": {
            "permutation": permutation,
            "impurity": diagnostics.impurity_importance(result.models, features),
            "events": min(settings.importance_events, len(data.label)),
            "repeats": settings.importance_repeats,
        },
    }


def _fold_flags(result: CrossValidation, data: TrainingSet) -> list[str]:
    """Flags of folds without an allowed threshold, or with a fit that did not converge or learned nothing."""
    flags = []
    free = [str(k) for k, its in enumerate(result.thresholds) if not its.constrained]
    if free:
        flags.append(
            f"too few effective background events to choose a threshold in fold(s) {', '.join(free)}: all are kept"
        )
    unfinished = [str(k) for k, model in enumerate(result.models) if not model.converged]
    if unfinished:
        flags.append(f"the fit(s) of fold(s) {', '.join(unfinished)} ended before they converged")
    # A small network of rectifiers can end with all of them off.
    constant = [str(k) for k in range(len(result.models)) if len(np.unique(result.score[data.fold == k])) == 1]
    if constant:
        flags.append(f"the model(s) of fold(s) {', '.join(constant)} give every event the same score")
    return flags


def _scan(model: ModelSettings, result: CrossValidation) -> dict[str, Any] | None:
    """Table of the scanned combinations, None if nothing was scanned."""
    names = scanned(model.kind, model.parameters)
    if not names:
        return None
    candidates = combinations(model.kind, model.parameters, where="parameters")
    table = []
    for c, thresholds in enumerate(result.inner):
        values = candidates[c].model_dump(mode="json")
        figures = [its.asimov for its in thresholds]
        table.append(
            {
                "parameters": {name: values[name] for name in names},
                "inner_asimov": float(np.mean(figures)),
                "spread": float(np.std(figures, ddof=1)),
                "chosen_in_folds": [k for k, its in enumerate(result.chosen) if its == c],
            }
        )
    return {"parameters": list(names), "table": table}


def _curves(result: CrossValidation) -> list[dict[str, Any]] | None:
    curves = [{"fold": k, **its.curves} for k, its in enumerate(result.models) if its.curves is not None]
    return curves or None


def _layers(result: CrossValidation) -> dict[str, Any]:
    """Weights and biases of the first fold's MLP, None for other kinds."""
    pipeline = getattr(result.models[0], "pipeline", None)
    network: Any = pipeline.named_steps["model"] if pipeline is not None else None
    if network is None or not hasattr(network, "coefs_"):
        return {"weights": None, "biases": None}
    return {
        "weights": [matrix.tolist() for matrix in network.coefs_],
        "biases": [vector.tolist() for vector in network.intercepts_],
    }


def _write_scores(
    path: Path,
    chosen: Events,
    fold: NDArray[np.int16],
    score: NDArray[np.float64],
    threshold: NDArray[np.float64],
    selected: NDArray[np.bool_],
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = pa.array(np.array(chosen.names, object)[chosen.sample], pa.string())
    table = pa.table(
        {
            "sample": names,
            "run": chosen["run"],
            "event": chosen["event"],
            "entry": chosen["entry"],
            "fold": fold,
            "label": chosen.label,
            "score": score,
            "weight": chosen.weight,
            "threshold": threshold,
            "selected": selected,
            "m4l": chosen["m4l"],
        }
    )
    write_atomically(path, lambda temporary: pq.write_table(table, temporary))
