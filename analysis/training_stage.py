"""The training stage: the tasks of the analysis' training module, on GPU-tagged workers."""

from __future__ import annotations

import importlib
import shutil
from dataclasses import dataclass
from functools import partial
from typing import Any

from analysis.engine.items import Failure
from analysis.engine.ledger import Ledger
from analysis.errors import UserError
from analysis.progress import say
from analysis.run import Run
from analysis.skim_files import skim_paths


@dataclass(frozen=True)
class TrainingJob:
    """What all training tasks of a run share."""

    module: str
    samples: tuple[Any, ...]
    directory: str


def train(run: Run) -> bool:
    """Trains every model of the configuration; True when no task failed. Writes models/ and the ledger."""
    module = run.configuration.module("training")
    try:
        tasks = module.tasks(run.configuration.settings("training"), seed=run.configuration.seed)
    except ValueError as error:
        raise UserError(f"the block 'training' of the configuration: {error}") from error
    job = TrainingJob(module.__name__, training_samples(run), str((run.directory / "models").resolve()))
    failures = []
    with run.manifest.stage("train") as facts, Ledger(run.directory / "ledger", "train") as ledger:
        shutil.rmtree(job.directory, ignore_errors=True)
        for task in tasks:
            ledger.write(task.name, "planned")
        for outcome in run.map("gpu", partial(train_task, job), tasks, len(tasks), "training"):
            name = outcome.argument.name
            if outcome.error is not None:
                failures.append(Failure("train", name, f"models/{name}", None, None, outcome.error))
                ledger.write(name, "failed", worker=outcome.worker, error=outcome.error)
            else:
                ledger.write(name, "done", worker=outcome.worker, seconds=round(outcome.seconds, 3))
        facts.update(tasks=len(tasks), failed=len(failures))
    run.manifest.add_failures(failures)
    say(f"trained {len(tasks) - len(failures)} of {len(tasks)} models in {facts['seconds']:.0f} s")
    return not failures


def train_task(job: TrainingJob, task: Any) -> dict[str, Any]:
    """Runs one task on a worker."""
    result: dict[str, Any] = importlib.import_module(job.module).run(task, job.samples, job.directory)
    return result


def training_samples(run: Run) -> tuple[Any, ...]:
    """The samples as the training reads them; one whose yield is unknown has no part in it."""
    from training.samples import Sample

    return tuple(
        Sample(name, facts["role"], facts["process"], skim_paths(run.directory, name), facts["scale"])
        for name, facts in run.manifest.content["samples"].items()
        if facts["scale"] is not None
    )


def roles_without_events(run: Run) -> list[str]:
    """The roles that training needs but that have no processed entries."""
    samples = run.manifest.content["samples"].values()
    return [
        role
        for role in ("signal", "background")
        if not any(one["role"] == role and one["scale"] is not None and one["processed"] for one in samples)
    ]
