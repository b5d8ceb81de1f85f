"""Trying trainings for `hepbatch plan`: shortened ones, on the skim of the work items that were tried.

A training module may have functions for it. `units(task)` is how much a task does, such as epochs or trainings of a
stack, and `shortened(task, units)` a task that does less; without them a task is one unit. `depends_on_events(task)`
says whether more events make it longer; without it they do. `most_events(task)` is with how many events a unit of its
work has all that it can have. `kind_of(task)` is equal for tasks that differ in nothing else; without it each is of its
own kind. `learnt_from(settings, samples)` are the samples whose events count; without it those of the roles it needs.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from analysis.engine.attempts import Kind, Outcome
from analysis.forecast import makespan
from analysis.run import Run
from analysis.training_cost import Point
from analysis.training_stage import ROLES, TrainingJob
from analysis.training_trials import Trial, Trials


@dataclass(frozen=True)
class Trainings:
    """A prediction for all trainings.

    `busy` is the time of all workers together, `wall` the time until the last ends, with `start` for the libraries of
    each worker [s].
    """

    number: int
    busy: float
    wall: float
    start: float
    workers: int
    points: Mapping[str, Sequence[Point]]


@dataclass
class Tried:
    """The skim of the work items that were tried: its samples, and by sample its events and those of the whole run."""

    samples: Sequence[Any]
    rows: Mapping[str, int]
    expected: Mapping[str, float]
    directory: Path
    _thinned: dict[float, tuple[Any, ...]] = field(default_factory=dict)

    def part(self, share: float) -> tuple[Any, ...]:
        """The samples with every 1/share-th event, as files that are made when they are first asked for."""
        if share == 1:
            return tuple(self.samples)
        if share not in self._thinned:
            self._thinned[share] = tuple(self._thin(sample, share) for sample in self.samples)
        return self._thinned[share]

    def _thin(self, sample: Any, share: float) -> Any:
        import numpy as np
        import pyarrow.parquet as pq

        files = []
        for number, file in enumerate(sample.files):
            table = pq.read_table(file, use_threads=False)
            path = self.directory / f"{share:g}" / sample.name / f"{number}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table.take(np.arange(0, table.num_rows, round(1 / share))), path)
            files.append(str(path.resolve()))
        return replace(sample, files=tuple(files))


def try_trainings(run: Run, module: Any, settings: Any, tasks: Sequence[Any], tried: Tried) -> Trainings:
    """Predicts all tasks of a training module from shortened ones.

    Raises TooFewEventsError where a kind cannot be tried with the events that there are.
    """
    names = [sample.name for sample in learnt_from(module, settings, tried.samples)]
    rows, expected = (sum(numbers[name] for name in names) for numbers in (tried.rows, tried.expected))
    kinds = _kinds(module, tasks, round(rows), float(expected))
    start, workers = _load_libraries(run, module, next(iter(kinds.values())), tried)
    while batch := [trial for one in kinds.values() if (trial := one.next()) is not None]:
        for outcome in _map(run, module, batch, tried, "trying trainings"):
            kinds[outcome.item.kind].note(outcome)
    costs = {kind: one.cost() for kind, one in kinds.items()}
    seconds = [costs[_kind(module, task)].seconds(_units(module, task), float(expected)) for task in tasks]
    return Trainings(
        len(tasks),
        sum(seconds) + start * min(workers, len(tasks)),
        makespan(seconds, workers, start),
        start,
        workers,
        {kind: one.points for kind, one in kinds.items()},
    )


def learnt_from(module: Any, settings: Any, samples: Sequence[Any]) -> list[Any]:
    """The samples whose events a training module reads."""
    if hasattr(module, "learnt_from"):
        return list(module.learnt_from(settings, samples))
    roles = module.roles(settings) if hasattr(module, "roles") else ROLES
    return [sample for sample in samples if sample.role in roles]


def _kinds(module: Any, tasks: Sequence[Any], rows: int, expected: float) -> dict[str, Trials]:
    """The kinds in the order of the tasks, each with its task that does most."""
    depends, most = (getattr(module, name, None) for name in ("depends_on_events", "most_events"))
    found: dict[str, Trials] = {}
    for task in tasks:
        kind, units = _kind(module, task), _units(module, task)
        if kind not in found or units > found[kind].units:
            scales = True if depends is None else bool(depends(task))
            found[kind] = Trials(kind, task, units, scales, None if most is None else most(task), rows, expected)
    return found


def _load_libraries(run: Run, module: Any, first: Trials, tried: Tried) -> tuple[float, int]:
    """Has a small training on workers of the pool; seconds that the first one took beyond the next, and the workers."""
    trial = first.next()
    assert trial is not None  # noqa: S101  (nothing was tried yet)
    (cold,) = _map(run, module, [trial], tried, "loading libraries")
    workers = max(1, int(run.cluster.facts()["pools"]["gpu"]["workers"]))
    warm = [one for one in _map(run, module, [trial] * workers, tried, "") if one.error is None]
    if cold.error is not None or not warm:
        first.note(cold)
        return 0.0, workers
    quickest = min(warm, key=lambda one: one.seconds)
    first.note(quickest)
    return max(0.0, cold.seconds - quickest.seconds), workers


def _map(run: Run, module: Any, trials: Sequence[Trial], tried: Tried, what: str) -> Iterator[Outcome]:
    jobs = {
        trial.share: TrainingJob(module.__name__, tried.part(trial.share), str(tried.directory.resolve()))
        for trial in trials
    }
    return run.map("gpu", partial(try_task, jobs), list(trials), len(trials), what, kind=Kind(batches=False))


def try_task(jobs: Mapping[float, TrainingJob], trial: Trial, attempt: int) -> None:  # noqa: ARG001
    """On a worker: trains, and throws away what comes of it."""
    job = jobs[trial.share]
    module = importlib.import_module(job.module)
    whole = trial.units == _units(module, trial.task)
    task = trial.task if whole else module.shortened(trial.task, trial.units)
    with tempfile.TemporaryDirectory(dir=job.directory) as directory:
        module.run(task, job.samples, directory)


def _kind(module: Any, task: Any) -> str:
    kind_of = getattr(module, "kind_of", None)
    return str(task.name if kind_of is None else kind_of(task))


def _units(module: Any, task: Any) -> int:
    units = getattr(module, "units", None)
    return 1 if units is None else int(units(task))
