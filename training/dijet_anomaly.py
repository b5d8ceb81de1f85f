"""Classifiers between neighbouring bins of the dijet mass: settings, the tasks they make, and running one.

Nothing heavy is imported before a task runs: the command line reads `Settings`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from training.backend import available_cores
from training.dijet_settings import AUTOMATIC_STACK, BIN_WIDTH, Settings

if TYPE_CHECKING:
    from training.samples import Sample

__all__ = ["Settings", "TrainingTask", "check", "completed", "roles", "run", "tasks", "uses_keras"]

COMPOSITION = "composition"


@dataclass(frozen=True)
class TrainingTask:
    """A stack of trainings: those numbered `first` to `stop` of a sample size and a number of signal events.

    The kind `composition` is classifiers of quarks against gluons. `settings` are those that its result depends on.
    """

    name: str
    kind: Literal["pairs", "composition"]
    settings: Settings
    seed: int
    size: int
    signal: int
    first: int
    stop: int


def completed(block: Mapping[str, Any], processor: Any) -> dict[str, Any]:
    """The training block with its bins, where it has none, from the range of the mass that the processor keeps.

    Raises:
        ValueError: if bins lie outside of that range, where there are no events, or it has no room for two.
    """
    low, high = processor.mass_window()
    edges = block.get("bin_edges")
    kept = f"processor.event_mass = {processor.event_mass}, mass_range {low:g} to {high:g} GeV"
    if edges is None:
        whole = int((high - low) / BIN_WIDTH + 1e-9)
        if whole < 2:
            raise ValueError(f"training.bin_edges: two bins of {BIN_WIDTH:g} GeV do not fit in: {kept}")
        return {**block, "bin_edges": [low + BIN_WIDTH * k for k in range(whole + 1)]}
    if float(edges[0]) < low or float(edges[-1]) > high:
        raise ValueError(
            f"training.bin_edges = {edges}: the skim has no events in a part of these bins ({kept}); bin_edges: null "
            "takes the bins from there"
        )
    return dict(block)


def tasks(settings: Settings, *, seed: int) -> list[TrainingTask]:
    """The tasks of these settings: samples without signal, those with, and quarks against gluons.

    How the trainings are divided into tasks does not change them.

    Raises:
        ValueError: if an observable needs a package that is not installed.
    """
    from training.dijet_members import keys, signal_sizes

    if settings.classifier == "trees":
        from training.jet_observables import check_available

        check_available(settings.trees.observables)
    stack = AUTOMATIC_STACK if settings.stack == "auto" else settings.stack
    result = []
    for size in settings.sample_sizes:
        for signal in (0, *signal_sizes(settings, size)):
            own = _own_settings(settings, size, signal)
            number = len(keys(settings, size, signal))
            name = f"signal_{signal}_in_{size}" if signal else f"null_{size}"
            for part, first in enumerate(range(0, number, stack)):
                stop = min(first + stack, number)
                result.append(TrainingTask(f"{name}_{part:03d}", "pairs", own, seed, size, signal, first, stop))
    if settings.composition_trainings and settings.pool == "simulation":
        own = _own_settings(settings, 1, 0)  # on the whole pool
        result.append(TrainingTask(COMPOSITION, "composition", own, seed, 0, 0, 0, settings.composition_trainings))
    return result


def _own_settings(settings: Settings, size: int, signal: int) -> Settings:
    """The settings with what does not matter for these samples at one fixed value, so that its change costs nothing.

    How many samples there are counts where they are disjoint: they are parts of one draw.
    """
    fixed: dict[str, Any] = {"sample_sizes": (size,), "stack": "auto", "composition_trainings": 0}
    if not settings.disjoint:
        fixed["samples"] = 1
    injection = settings.injection
    if injection is not None:
        own = injection.model_copy(update={"sizes": (signal,), "sample_sizes": None, "samples": None})
        fixed["injection"] = own if signal else None
    if settings.classifier == "trees":
        fixed["network"] = type(settings.network)()
    else:
        fixed["trees"] = type(settings.trees)()
    return settings.model_copy(update=fixed)


def kind_of(task: TrainingTask) -> str:
    """Stacks of one size and one number of signal events differ in nothing but their samples."""
    return COMPOSITION if task.kind == COMPOSITION else f"{task.signal} in {task.size}"


def units(task: TrainingTask) -> int:
    """How many trainings a task has."""
    return task.stop - task.first


def shortened(task: TrainingTask, units: int) -> TrainingTask:
    """The first trainings of a task alone, for what they take."""
    return replace(task, stop=task.first + units)


def depends_on_events(task: TrainingTask) -> bool:  # noqa: ARG001
    """A sample has the size that is asked for, however large the pool is; what reading the pool takes is left out."""
    return False


def learnt_from(settings: Settings, samples: Sequence[Sample]) -> list[Sample]:
    """Those that the pool is made of. Raises ValueError where there is none."""
    return pool_samples(samples, settings)


def uses_keras(task: TrainingTask) -> bool:
    """Whether the result depends on the backend of Keras."""
    return task.settings.classifier == "pfn"


def roles(settings: Settings) -> tuple[str, ...]:
    """The roles whose events the training cannot do without: it looks for differences within one kind of events."""
    return ("data",) if settings.pool == "data" else ("background",)


def check(settings: Settings, samples: Sequence[Sample], *, seed: int) -> None:
    """Find out from the masses and partons of the skim, before any training, what could not be trained.

    Raises:
        ValueError: if a sample is larger than the pool, no sample fills a pair of bins, or signal lacks events.
    """
    from training.dijet_members import check_plan
    from training.dijet_pool import read_pool

    chosen = pool_samples(samples, settings)
    pool = read_pool(chosen, settings.bin_edges, fraction=settings.fraction, seed=seed, particles=False)
    check_plan(pool, settings, seed)


def pool_samples(samples: Sequence[Sample], settings: Settings) -> list[Sample]:
    """The samples that events are drawn from: the simulated ones, or recorded data.

    Raises:
        ValueError: if there is none.
    """
    chosen = [sample for sample in samples if (sample.role == "data") == (settings.pool == "data")]
    if not chosen:
        others = "simulation" if settings.pool == "data" else "data"
        raise ValueError(f"pool = {settings.pool}: none of the samples is of that kind; the others are pool: {others}.")
    return chosen


def run(task: TrainingTask, samples: Sequence[Sample], directory: str) -> dict[str, Any]:
    """Train one stack and write `<directory>/<task.name>/result.json`; gives what it holds.

    Raises:
        ValueError: if a column is missing, or a sample or its signal lacks events.
    """
    from training.dijet_evaluation import evaluate_task

    target = Path(directory) / task.name
    target.mkdir(parents=True, exist_ok=True)
    threads = task.settings.threads or available_cores()
    return evaluate_task(task, pool_samples(samples, task.settings), target, threads=threads)
