"""Trying trainings for `hepbatch plan`: shortened ones, on the skim of the work items that were tried.

A training module may have four functions for it. `units(task)` is how much a task does, such as epochs or trainings of
a stack, and `shortened(task, units)` a task that does less; without them a task is one unit. `depends_on_events(task)`
says whether more events make it longer; without it they do. `kind_of(task)` is equal for tasks that differ in nothing
else; without it each is of its own kind.
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
from analysis.training_cost import Point, fit
from analysis.training_stage import TrainingJob

#: A kind is tried with more and more of its work, or of the events, until a trial took so long [s], and so many times
#: as long as the first one: what does not grow with the work, such as compiling, tells nothing of the rest.
ENOUGH, VISIBLE = 4.0, 1.5
#: The first trial does this part of the work, or has this part of the events; each further one so many times more.
FIRST_UNITS, MORE_UNITS = 1 / 64, 4
FIRST_EVENTS, MORE_EVENTS = 1 / 4, 2
#: Where the run has so many times the events that were tried, what an event costs is tried, too: with half of them.
FEW = 1.2


@dataclass(frozen=True)
class Trial:
    """One task to try: what it does, and with which part of the events."""

    kind: str
    task: Any
    units: int
    share: float


@dataclass
class Trials:
    """What was tried of a kind of trainings, and found."""

    kind: str
    task: Any
    units: int
    scales: bool
    extrapolated: bool
    points: list[Point] = field(default_factory=list)
    error: str | None = None
    tried: list[Trial] = field(default_factory=list)

    def next(self) -> Trial | None:
        """What to try next: more, until it takes long enough; then half of the events. None where enough is known."""
        longest = max((one.seconds for one in self.points), default=0.0)
        slow = longest >= ENOUGH and longest >= VISIBLE * self.points[0].seconds
        ladder = list(self._ladder())
        step = len(self.tried)
        if self.tried and self.tried[-1].share == 1 / 2 and self.units > 1:
            return None
        if step < len(ladder) and not slow:
            units, share = ladder[step]
        elif self.units > 1 and self.scales and self.extrapolated:
            units, share = self.tried[-1].units, 1 / 2
        else:
            return None
        self.tried.append(Trial(self.kind, self.task, units, share))
        return self.tried[-1]

    def _ladder(self) -> Iterator[tuple[int, float]]:
        if self.units == 1 and not self.scales:
            yield 1, 1.0
            return
        value, last = (max(1, round(self.units * FIRST_UNITS)), self.units) if self.units > 1 else (FIRST_EVENTS, 1)
        while True:
            yield (int(value), 1.0) if self.units > 1 else (1, float(value))
            if value >= last:
                return
            value = min(last, value * (MORE_UNITS if self.units > 1 else MORE_EVENTS))

    def note(self, outcome: Outcome, rows: int) -> None:
        """What came of a trial with `rows` events in all of them."""
        trial: Trial = outcome.item
        if outcome.error is None:
            self.points.append(Point(trial.units, round(rows * trial.share), outcome.seconds))
        else:
            self.error = outcome.error


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


class NotPredictedError(Exception):
    """Trainings could not be tried with the events of the work items that were; in one sentence."""


@dataclass
class Tried:
    """The skim of the work items that were tried: its samples, their events, and those that the whole run will have."""

    samples: Sequence[Any]
    rows: int
    expected: float
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


def try_trainings(run: Run, module: Any, tasks: Sequence[Any], tried: Tried) -> Trainings:
    """Predicts all tasks of a training module from shortened ones.

    Raises NotPredictedError where a kind cannot be trained with the events that were tried.
    """
    kinds = _kinds(module, tasks, extrapolated=tried.expected > FEW * tried.rows)
    start, workers = _load_libraries(run, module, next(iter(kinds.values())), tried)
    while batch := [trial for one in kinds.values() if (trial := one.next()) is not None]:
        for outcome in _map(run, module, batch, tried, "trying trainings"):
            kinds[outcome.item.kind].note(outcome, tried.rows)
    for kind, one in kinds.items():
        if not one.points:
            raise NotPredictedError(f"{kind}: {one.error}")
    costs = {kind: fit(one.points) for kind, one in kinds.items()}
    seconds = [costs[_kind(module, task)].seconds(_units(module, task), tried.expected) for task in tasks]
    return Trainings(
        len(tasks),
        sum(seconds) + start * min(workers, len(tasks)),
        makespan(seconds, workers, start),
        start,
        workers,
        {kind: one.points for kind, one in kinds.items()},
    )


def _kinds(module: Any, tasks: Sequence[Any], *, extrapolated: bool) -> dict[str, Trials]:
    """The kinds in the order of the tasks, each with its task that does most."""
    depends = getattr(module, "depends_on_events", None)
    found: dict[str, Trials] = {}
    for task in tasks:
        kind, units = _kind(module, task), _units(module, task)
        if kind not in found or units > found[kind].units:
            scales = True if depends is None else bool(depends(task))
            found[kind] = Trials(kind, task, units, scales, extrapolated)
    return found


def _load_libraries(run: Run, module: Any, first: Trials, tried: Tried) -> tuple[float, int]:
    """Has a small training on each worker of the pool; seconds that the first one took beyond the next, and workers."""
    trial = first.next()
    assert trial is not None  # noqa: S101  (nothing was tried yet)
    (cold,) = _map(run, module, [trial], tried, "loading libraries")
    workers = max(1, int(run.cluster.facts()["pools"]["gpu"]["workers"]))
    warm = [one for one in _map(run, module, [trial] * workers, tried, "") if one.error is None]
    if cold.error is not None or not warm:
        first.error = cold.error
        return 0.0, workers
    quickest = min(warm, key=lambda one: one.seconds)
    first.note(quickest, tried.rows)
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
