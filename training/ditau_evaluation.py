"""A task of ditau_mass: from the skim to a model, its predictions for the test events, and what they say of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.dense_outputs import first_output
from training.ditau_columns import input_matrix
from training.ditau_estimators import ESTIMATORS
from training.ditau_events import PARTS, DitauEvents, as_published, read_ditau, signal_samples
from training.ditau_losses import above_range, check_masses
from training.ditau_model import trained_ranges, write_facts
from training.ditau_network import MONITOR, fit
from training.ditau_settings import ModelSettings
from training.ditau_trees import FILE, fit_trees
from training.files import write_atomically, write_json
from training.keras_network import release_memory
from training.samples import Sample

if TYPE_CHECKING:
    from training.ditau_mass import TrainingTask

Evaluate = Callable[[NDArray[Any]], NDArray[np.float64]]
_IDENTITY = ("run", "luminosityBlock", "event", "entry")


def train_and_write(task: TrainingTask, samples: Sequence[Sample], target: Path) -> dict[str, Any]:
    """Train a task's model; writes the model, model.json, predictions.parquet (test events) and result.json.

    Raises:
        ValueError: as `training.ditau_mass.run`, or if the loss became infinite.
    """
    started = time.monotonic()
    settings = task.settings
    inputs = settings.input_names()
    events = read_ditau(samples, inputs, task.group, seed=task.seed, shares=task.split, only=task.samples)
    check_masses(events.mass, settings.min_mass, settings.max_mass)
    train, test = events.of("train"), events.of("test")
    target.mkdir(parents=True, exist_ok=True)
    evaluate, history, monitor, file = _fitted(task, train, events.of("validation"), target)
    trained = time.monotonic()
    predicted = evaluate(test.inputs)
    _write_predictions(target, test, inputs, predicted, evaluate)
    facts = {
        "name": task.name, "model": task.model, "group": task.group,
        "method": "network" if isinstance(settings, ModelSettings) else "trees", "features": list(inputs),
        "convention": events.convention,
        "ranges": trained_ranges(train.inputs, inputs), "parameters": settings.model_dump(mode="json"),
    }  # fmt: skip
    write_facts(target, {**facts, "files": [file]})
    result = {
        "task": "ditau_mass",
        **facts,
        "seed": task.seed,
        "samples": [sample.name for sample in signal_samples(samples, task.samples)],
        "events": {part: len(events.of(part)) for part in PARTS},
        "without_mass": events.without_mass,
        "best_epoch": int(np.argmin(history[monitor])) + 1,
        "epochs": len(history[monitor]),
        "history": history,
        "test_mae": float(np.mean(np.abs(predicted - test.mass))),
        "above_range": above_range(test.mass, predicted, settings.max_mass),
        "importance": importance(evaluate, test, inputs, task.importance, seed=task.seed),
        "training_seconds": round(trained - started, 3),
        "seconds": round(time.monotonic() - started, 3),
    }
    write_json(target / "result.json", result)
    release_memory()
    return result


def _fitted(
    task: TrainingTask, train: DitauEvents, validation: DitauEvents, target: Path
) -> tuple[Evaluate, dict[str, list[float]], str, str]:
    """The model as a function, its history, which part of that the best epoch is of, and the name of its file."""
    settings = task.settings
    if not isinstance(settings, ModelSettings):
        trees, history = fit_trees(settings, train, validation, seed=task.seed)
        trees.save(target / FILE)
        return trees.predict, history, "val_loss", FILE
    network, history = fit(settings, train, validation, seed=task.seed)
    if not np.isfinite(history[MONITOR]).all():
        raise ValueError(f"The training of {task.name} diverged: a lower learning_rate may help.")
    write_atomically(target / "model.keras", network.save)
    return lambda matrix: first_output(network, matrix), history, MONITOR, "model.keras"


def _write_predictions(
    target: Path, test: DitauEvents, inputs: Sequence[str], predicted: NDArray[np.float64], evaluate: Evaluate
) -> None:
    """The test events with generated mass, prediction and simple estimators, all in GeV."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        **{name: test.columns[name] for name in _IDENTITY},
        "channel": test.channel,
        "gen_mass": test.mass,
        "ml_mass": predicted,
        **{name: estimate(test.columns) for name, estimate in ESTIMATORS.items()},
    }
    other = as_published(test.columns, inputs)
    if other is not None:
        columns["ml_mass_published"] = evaluate(other)
    if test.convention == "published":
        columns["ml_mass_corrected"] = evaluate(input_matrix(test.columns, inputs))
    write_atomically(target / "predictions.parquet", lambda path: pq.write_table(pa.table(columns), path))


def importance(
    evaluate: Evaluate, test: DitauEvents, inputs: Sequence[str], size: tuple[int, int], *, seed: int
) -> dict[str, dict[str, float]]:
    """By how much the mean of abs(prediction / mass - 1) grows when an input is permuted among the test events.

    `size` is how many events are used at most and how often each input is permuted; the uncertainty is the standard
    error over the permutations (Breiman, Machine Learning 45 (2001) 5; there for forests).
    """
    number, repeats = size
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    chosen = test.where(np.sort(rng.permutation(len(test))[:number]))

    def error(matrix: NDArray[Any]) -> float:
        return float(np.mean(np.abs(evaluate(matrix) / chosen.mass - 1)))

    usual = error(chosen.inputs)
    found = {}
    for k, name in enumerate(inputs):
        worse = []
        for _ in range(repeats):
            permuted = chosen.inputs.copy()
            permuted[:, k] = rng.permutation(permuted[:, k])
            worse.append(error(permuted) - usual)
        spread = float(np.std(worse, ddof=1) / np.sqrt(repeats)) if repeats > 1 else 0.0
        found[name] = {"value": float(np.mean(worse)), "uncertainty": spread}
    return found
