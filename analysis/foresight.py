"""`hepbatch plan`: tries a few work items on the cluster, and says what the whole run will take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.datasets.samples import Sample
from analysis.engine.items import InputFile, OpenedFile, split
from analysis.engine.ledger import finished_seconds
from analysis.errors import UserError
from analysis.fetching import present_or_remote
from analysis.files import write_json
from analysis.forecast import Load, forecast, makespan, rates
from analysis.item_probe import OPENED, ItemTrials, in_turn
from analysis.plan_report import Findings, content, lines
from analysis.planning import make_plan
from analysis.progress import say
from analysis.run import Run
from analysis.skim_job import make_job
from analysis.stages import OURS, Request, clear, resolved_source, started
from analysis.training_probe import Trainings, Tried, try_trainings
from analysis.training_trials import TooFewEventsError

#: More items are tried for so long at most [s], where trainings need more events.
LONGEST = 120.0
REPORT = "plan.json"
#: There while a plan is on its way: only then is what lies beside it a plan's own, to be removed.
BEGUN = ".plan-begun"


def plan_only(request: Request, like: Path | None, *, skim_only: bool = False) -> bool:
    """Tries a few work items and trainings and shows what the run will take; True where all items succeeded.

    `like` is a run whose trainings took their time, which need not be tried then.
    """
    _check_directory(request.directory)
    samples, absent = _samples(request)
    tasks = [] if skim_only else _tasks(request)
    known = _finished(like) if like is not None else None
    request.directory.mkdir(parents=True, exist_ok=True)
    (request.directory / BEGUN).touch()
    trainings = None
    with started(replace(request, fresh=True)) as run:
        found, trials = _look(run, samples, request.limit_files)
        if tasks and known is not None:
            trainings = _as_before(tasks, known, int(run.cluster.facts()["pools"].get("gpu", {}).get("workers", 1)))
        elif tasks and absent:
            say(f"note: the trainings are not predicted: they may need {', '.join(absent)}")
        elif tasks and found.probes:
            trainings = _tried(run, tasks, found.loads, trials)
    clear(request.directory)
    (request.directory / BEGUN).unlink()
    for line in trials.failures:
        say(line)
    if not found.probes:
        raise UserError("no work item that was tried succeeded: there is nothing to predict from")
    found = replace(found, opened=found.opened + trials.opened_later)
    measured = rates(found.probes, found.loads)
    predicted = forecast(found.loads, measured, found.workers)
    facts = {**content(request, found, measured, predicted, len(tasks), trainings), "absent": absent}
    write_json(request.directory / REPORT, facts)
    for line in lines(facts, like):
        say(line)
    return not trials.failures


def _check_directory(directory: Path) -> None:
    """Raises UserError where a plan would remove what it has not made: it ends without any of its items' output."""
    if (directory / "manifest.json").exists():
        raise UserError(f"--output {directory} is the directory of a run: a plan needs one of its own")
    there = [name for name in OURS if (directory / name).exists()]
    if there and not (directory / BEGUN).exists():
        raise UserError(
            f"--output {directory} already has {', '.join(there)}, which a plan would remove: give it a directory of "
            "its own"
        )


def _samples(request: Request) -> tuple[dict[str, Sample], list[str]]:
    """The samples with the addresses that a run would read; public files need not be in the cache.

    And those that are to be simulated first, which is said; raises UserError where there are no others.
    """
    resolved = resolved_source(request)
    public = present_or_remote(request.configuration, request.catalogue, resolved.to_fetch)
    samples = {**resolved.samples, **public}
    if resolved.to_simulate:
        name = request.configuration.name
        option = "--complete" if samples else "--source"  # the one that says where these are
        how = (
            f"the simulated source has no files before the run makes them: 'hepbatch datasets simulate {name} --output "
            f"DIR' makes them, and 'hepbatch plan {name} {option} DIR' looks at them"
        )
        if not samples:
            raise UserError(how)
        say(f"note: without {', '.join(resolved.to_simulate)}: {how}")
    return samples, list(resolved.to_simulate)


def _look(run: Run, samples: dict[str, Sample], limit: int | None) -> tuple[Findings, ItemTrials]:
    files = {
        name: [InputFile(name, path, tuple(one.replicas.get(path, ()))) for path in one.files[: limit or None]]
        for name, one in samples.items()
    }
    clock = time.monotonic()
    for _ in run.map("cpu", _nothing, [0], 1, ""):
        pass
    starting = time.monotonic() - clock
    chosen = [file for of_sample in files.values() for file in _spread(of_sample, OPENED)]
    clock = time.monotonic()
    plan = make_plan(run, chosen, {name: one.tree for name, one in samples.items() if one.tree is not None})
    opening = time.monotonic() - clock
    workers = int(run.cluster.facts()["pools"]["cpu"]["workers"])
    loads = {
        name: load
        for name, of_sample in files.items()
        if (load := _load(len(of_sample), [file for file in plan.files if file.sample == name], run)) is not None
    }
    items, number = in_turn(plan.files, run.configuration.chunk_size, workers)
    seen = {file.path for file in chosen}
    unopened = [file for of_sample in files.values() for file in of_sample if file.path not in seen]
    trials = ItemTrials(run, make_job(run, samples), items, unopened)
    trials.failures += [f"failed: plan: {one.sample}: {one.file}: {one.error}" for one in plan.failures]
    trials.begin(number, workers)
    total = sum(map(len, files.values()))
    return Findings(trials.probes, loads, total, len(chosen), len(chosen), starting, opening, workers), trials


def _nothing(argument: int, attempt: int) -> None:
    """On a worker: shows that it is there."""


def _spread(things: Sequence[Any], number: int) -> list[Any]:
    """At most `number` of the things, evenly spaced."""
    if len(things) <= number:
        return list(things)
    return [things[position * len(things) // number] for position in range(number)]


def _load(number: int, opened: Sequence[OpenedFile], run: Run) -> Load | None:
    """What a sample of so many files holds, of which some were opened; None where none could be."""
    if not opened:
        return None
    items = [item.entries for file in opened for item in split(file, run.configuration.chunk_size)]
    factor = number / len(opened)
    total = round(factor * len(items))
    return Load(
        number,
        round(factor * sum(file.entries for file in opened)),
        round(factor * sum(file.size for file in opened)),
        tuple(items[position * len(items) // total] for position in range(total)),
    )


def _tasks(request: Request) -> list[Any]:
    """All trainings of the run; none where the analysis has none."""
    configuration = request.configuration
    if configuration.training is None:
        return []
    module = configuration.module("training")
    try:
        return list(module.tasks(configuration.settings("training"), seed=configuration.seed))
    except ValueError as error:
        raise UserError(f"the block 'training' of the configuration: {error}") from error


def _finished(like: Path) -> dict[str, float]:
    known = finished_seconds(like / "ledger", "train")
    if not known:
        raise UserError(f"--like {like}: there is no run with finished trainings")
    return known


def _as_before(tasks: Sequence[Any], known: dict[str, float], workers: int) -> Trainings:
    """The trainings as they were in an earlier run; those that it had not are as its others on average."""
    average = sum(known.values()) / len(known)
    seconds = [known.get(task.name, average) for task in tasks]
    return Trainings(len(tasks), sum(seconds), makespan(seconds, workers), 0.0, workers, {})


def _tried(run: Run, tasks: Sequence[Any], loads: dict[str, Load], trials: ItemTrials) -> Trainings | None:
    """The trainings from shortened ones, on the skim of the items that were tried; None, which is said, without it.

    Where that skim is too small for them, as the module's `check` finds, more items are tried for a while.
    """
    module, settings = run.configuration.module("training"), run.configuration.settings("training")
    check = getattr(module, "check", None)
    try:
        while True:
            tried = _skim_of(run, loads, trials)
            try:
                if check is not None:
                    check(settings, tried.samples, seed=run.configuration.seed)
                break
            except ValueError as problem:
                before = sum(tried.rows.values())
                more = trials.seconds <= LONGEST and trials.more()
                if not more or sum(_skim_of(run, loads, trials).rows.values()) == before:
                    raise TooFewEventsError(str(problem)) from problem
        run.release("cpu")  # as a run does: its memory and cores are the trainings' then
        return try_trainings(run, module, settings, tasks, tried)
    except TooFewEventsError as problem:
        say(f"note: the trainings cannot be predicted from the work items that were tried: {problem}")
        return None


def _skim_of(run: Run, loads: dict[str, Load], trials: ItemTrials) -> Tried:
    """The skim of the items that were tried, as the training reads it; of samples of which a file could be opened."""
    from training.samples import Sample

    samples, rows, expected = [], {}, {}
    for name, values in trials.skims.items():
        if name not in loads:
            continue
        skims = [value.skim for value in values if value.skim is not None]
        facts = run.catalogue.samples.get(name)
        role, process = ("background", name) if facts is None else (facts.role, facts.process)
        files = tuple(str((run.directory / "skim" / skim.staged).resolve()) for skim in skims)
        samples.append(Sample(name, role, process, files))
        entries = sum(value.content["entries"] for value in values)
        rows[name] = sum(skim.rows for skim in skims)
        expected[name] = rows[name] * loads[name].entries / max(1, entries)
    directory = run.directory / "models"
    directory.mkdir(parents=True, exist_ok=True)
    return Tried(samples, rows, expected, directory)
