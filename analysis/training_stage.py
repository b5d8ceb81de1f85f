"""The training stage: the tasks of the analysis' training module, on GPU-tagged workers."""

from __future__ import annotations

import hashlib
import importlib
import json
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from analysis.engine.attempts import Kind
from analysis.engine.fingerprint import fingerprint
from analysis.engine.items import Failure
from analysis.engine.ledger import Entry
from analysis.errors import UserError
from analysis.progress import say
from analysis.run import Run
from analysis.skim_files import skim_paths

STAGE = "train"
STAGED = ".staged"
#: Roles without whose events most trainings are impossible.
ROLES = ("signal", "background")


@dataclass(frozen=True)
class TrainingJob:
    """What all training tasks of a run share."""

    module: str
    samples: tuple[Any, ...]
    directory: str


def train(run: Run) -> bool:
    """Trains every model that is not done; True when no task failed. Writes models/ and the ledger.

    A finished task is kept while its code, its settings and the skim are the same.
    """
    module = run.configuration.module("training")
    try:
        tasks = module.tasks(run.configuration.settings("training"), seed=run.configuration.seed)
    except ValueError as error:
        raise UserError(f"the block 'training' of the configuration: {error}") from error
    job = TrainingJob(module.__name__, training_samples(run), str((run.directory / "models").resolve()))
    _check(module, run, job)
    with run.manifest.stage(STAGE) as facts:
        failures, done = _train(run, job, tasks)
        facts.update(tasks=len(tasks), done_now=done, failed=len(failures))
    run.manifest.add_failures(failures)
    say(f"trained {done} of {len(tasks)} models in {facts['seconds']:.0f} s, {len(failures)} failed")
    return not failures


def _train(run: Run, job: TrainingJob, tasks: Sequence[Any]) -> tuple[list[Failure], int]:
    ledger = run.ledger
    skim = skim_digest(run)
    marks = {task.name: task_fingerprint(job, task, skim) for task in tasks}
    ledger.plan(STAGE, (_entry(name, mark) for name, mark in marks.items()))
    finished = {e.key for e in ledger.rows(STAGE, "done") if (Path(job.directory) / e.key).is_dir()}
    _remove_others(Path(job.directory), finished)
    skipped = finished | {e.key for e in ledger.rows(STAGE, "failed") if not run.retry_failed}
    due = [task for task in tasks if task.name not in skipped]  # in the order of the module: the longest first
    done = 0
    for outcome in run.map("gpu", partial(train_task, job), due, len(due), "training", kind=Kind(batches=False)):
        name = outcome.item.name
        if outcome.error is None:
            _publish(Path(job.directory), outcome.value, name)
        state = "done" if outcome.error is None else "failed"
        facts: dict[str, Any] = {
            "attempts": outcome.attempts, "worker": outcome.worker, "host": outcome.host,
            "seconds": round(outcome.seconds, 3),
        }  # fmt: skip
        ledger.record(STAGE, _entry(name, marks[name], state=state, error=outcome.error, **facts))
        ledger.commit()
        done += outcome.error is None
    shutil.rmtree(Path(job.directory) / STAGED, ignore_errors=True)
    failed = ledger.rows(STAGE, "failed")
    return [Failure(STAGE, e.key, e.path, None, None, str(e.error), e.attempts, e.worker, e.host) for e in failed], done


def _check(module: Any, run: Run, job: TrainingJob) -> None:
    """What the module can say against training with this skim, before any task runs."""
    check = getattr(module, "check", None)
    if check is None:
        return
    try:
        check(run.configuration.settings("training"), job.samples, seed=run.configuration.seed)
    except ValueError as error:
        raise UserError(f"the skim in {run.directory} does not suit the block 'training': {error}") from error


def train_task(job: TrainingJob, task: Any, attempt: int) -> str:  # noqa: ARG001  (seeds are the task's)
    """Runs one task on a worker, in a directory of its own below models/, and gives that directory's name.

    A worker of an earlier run that did not notice its end, at the same task, has another.
    """
    staged = f"{STAGED}/{task.name}-{secrets.token_hex(8)}"
    importlib.import_module(job.module).run(task, job.samples, str(Path(job.directory) / staged))
    return f"{staged}/{task.name}"


def training_samples(run: Run) -> tuple[Any, ...]:
    """The samples as the training reads them; one whose yield is unknown has no part in it."""
    from training.samples import Sample

    return tuple(
        Sample(name, facts["role"], facts["process"], skim_paths(run.directory, name), facts["scale"])
        for name, facts in run.manifest.content["samples"].items()
        if facts["scale"] is not None
    )


def skim_digest(run: Run) -> str:
    """What the training reads, as a digest: the finished work items and the scales of the samples."""
    digest = hashlib.sha256()
    for entry in run.ledger.rows("skim", "done"):
        digest.update(f"{entry.key} {entry.fingerprint}\n".encode())
    scales = {name: (one["role"], one["scale"]) for name, one in run.manifest.content["samples"].items()}
    digest.update(json.dumps(scales, sort_keys=True).encode())
    return digest.hexdigest()


def task_fingerprint(job: TrainingJob, task: Any, skim: str) -> str:
    """What the result of a task depends on.

    That is also the backend of Keras, unless the training module has a function `uses_keras(task)` that says otherwise.
    """
    from training.backend import chosen_backend

    uses_keras = getattr(importlib.import_module(job.module), "uses_keras", None)
    backend = chosen_backend() if uses_keras is None or uses_keras(task) else None
    settings = task.settings.model_dump(mode="json") if hasattr(task, "settings") else {}
    own = {key: value for key, value in asdict(task).items() if key != "settings"}
    return fingerprint(
        (job.module,),
        ("training", job.module.partition(".")[0]),
        task=own,
        settings=settings,
        skim=skim,
        backend=backend,
    )


def roles_without_events(run: Run) -> list[str]:
    """The roles that training needs but that have no processed entries.

    Signal and background, unless the training module has a function `roles(settings)` that says otherwise.
    """
    samples = run.manifest.content["samples"].values()
    roles = getattr(run.configuration.module("training"), "roles", None)
    needed = ROLES if roles is None else roles(run.configuration.settings("training"))
    return [
        role
        for role in needed
        if not any(one["role"] == role and one["scale"] is not None and one["processed"] for one in samples)
    ]


def _entry(name: str, mark: str, **facts: Any) -> Entry:
    return Entry(name, mark, name, f"models/{name}", **facts)


def _publish(directory: Path, staged: str, name: str) -> None:
    shutil.rmtree(directory / name, ignore_errors=True)
    (directory / staged).replace(directory / name)
    (directory / staged).parent.rmdir()


def _remove_others(directory: Path, finished: set[str]) -> None:
    for path in directory.glob("*"):
        if path.name not in finished:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
