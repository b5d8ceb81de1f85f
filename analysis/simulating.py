"""The stage that makes the simulated source, in the format of the public files."""

from __future__ import annotations

import importlib
import importlib.util
from functools import partial
from pathlib import Path
from typing import Any

from analysis.datasets.directories import from_directory
from analysis.datasets.samples import Sample
from analysis.datasets.sources import SIMULATED
from analysis.engine.attempts import Kind
from analysis.engine.items import Failure
from analysis.errors import UserError
from analysis.files import read_json
from analysis.progress import say
from analysis.run import Run


def simulate(run: Run, names: tuple[str, ...], directory: Path) -> tuple[dict[str, Sample], list[Failure]]:
    """Makes the samples `names` below `directory` on the cpu pool; what is there from equal settings is kept.

    Gives the samples, and a failure for each task that did not end well.
    """
    tasks = _tasks(run, names)
    with run.manifest.stage("simulate") as facts:
        due = [task for task in tasks if not _made(task, directory)]
        _remove_others(directory, {path for task in tasks for _, path in task.outputs})
        failures: list[Failure] = []
        failed = 0
        make = partial(simulate_task, run.configuration.module("simulation").__name__, str(directory))
        for outcome in run.map("cpu", make, due, len(due), "simulating", kind=Kind(batches=False)):
            if outcome.error is not None:
                failed += 1
                where = (outcome.attempts, outcome.worker, outcome.host)
                failures += [
                    Failure("simulate", sample, path, None, None, outcome.error, *where)
                    for sample, path in outcome.item.outputs
                ]
        facts.update(tasks=len(tasks), kept=len(tasks) - len(due), done_now=len(due) - failed, failed=failed)
    run.manifest.add_failures(failures)
    say(f"simulated {len(due)} of {len(tasks)} tasks ({len(tasks) - len(due)} were there) in {facts['seconds']:.0f} s")
    samples = from_directory(directory, run.catalogue, only=list(names), origin=SIMULATED)
    return samples, failures


def simulate_task(module: str, directory: str, task: Any, attempt: int) -> list[dict[str, Any]]:
    """Runs one task on a worker; a task makes the same events in every attempt."""
    del attempt
    made: list[dict[str, Any]] = importlib.import_module(module).generate(task, directory)
    return made


def check_generator(run_module: Any) -> None:
    """Raises UserError when the packages of the extra `simulation` are not installed."""
    missing = [name for name in run_module.REQUIRES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"the simulated source needs the package{'s' * (len(missing) > 1)} {' and '.join(missing)}: "
            "install them with pip install 'hepbatch[simulation]'"
        )


def _tasks(run: Run, names: tuple[str, ...]) -> list[Any]:
    configuration = run.configuration
    catalogue = {name: entry.model_dump() for name, entry in run.catalogue.samples.items()}
    tasks: list[Any] = configuration.module("simulation").plan(
        configuration.settings("simulation"),
        names,
        catalogue,
        luminosity=configuration.luminosity,
        seed=configuration.seed,
    )
    return tasks


def _made(task: Any, directory: Path) -> bool:
    """Whether every file of a task is there with a side-car of the task's key; the side-car is written last."""
    for _, path in task.outputs:
        side_car = directory / f"{path}.json"
        if not (directory / path).is_file() or not side_car.is_file() or read_json(side_car).get("task") != task.key:
            return False
    return True


def _remove_others(directory: Path, wanted: set[str]) -> None:
    """Removes files of other settings: a source is what is in its directory."""
    for path in directory.glob("*/*"):
        if path.relative_to(directory).as_posix().removesuffix(".json") not in wanted:
            path.unlink()
