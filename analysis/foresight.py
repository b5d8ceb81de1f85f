"""`hepbatch plan`: tries a few work items on the cluster, and says what the whole run will take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from analysis.datasets.samples import Sample
from analysis.engine.attempts import Kind
from analysis.engine.items import InputFile, OpenedFile, WorkItem, split
from analysis.engine.ledger import finished_seconds
from analysis.errors import UserError
from analysis.fetching import present_or_remote
from analysis.files import write_json
from analysis.forecast import (
    TARGETS,
    Forecast,
    Load,
    Probe,
    Rates,
    chunk_size,
    forecast,
    rates,
    worker_memory,
    workers_for,
)
from analysis.planning import make_plan
from analysis.progress import duration, say
from analysis.run import Run
from analysis.skim_job import Processed, SkimJob, make_job, process_item
from analysis.stages import OURS, Request, clear, resolved_source, started
from cluster.space import shown

#: Files of a sample that are opened; the others count as these on average.
OPENED = 20
#: Items of a sample that are tried, and the least number for each worker.
TRIED, PER_WORKER = 3, 3
#: The first item of a worker is so much smaller: it is there for what loading the libraries takes.
SMALL = 10
REPORT = "plan.json"
#: There while a plan is on its way: only then is what lies beside it a plan's own, to be removed.
BEGUN = ".plan-begun"


@dataclass(frozen=True)
class Findings:
    """What was tried, and what there is."""

    probes: list[Probe]
    loads: dict[str, Load]
    files: int
    opened: int
    starting: float
    opening: float
    workers: int


def plan_only(request: Request, like: Path | None) -> bool:
    """Tries a few work items and shows what the run will take; True where all that was tried succeeded."""
    _check_directory(request.directory)
    samples = _samples(request)
    tasks, hours = _trainings(request, like)
    request.directory.mkdir(parents=True, exist_ok=True)
    (request.directory / BEGUN).touch()
    with started(replace(request, fresh=True)) as run:
        found, failures = _look(run, samples, request.limit_files)
    clear(request.directory)
    (request.directory / BEGUN).unlink()
    for line in failures:
        say(line)
    if not found.probes:
        raise UserError("no work item that was tried succeeded: there is nothing to predict from")
    measured = rates(found.probes, found.loads)
    predicted = forecast(found.loads, measured, found.workers)
    content = _content(request, found, measured, predicted, tasks, hours)
    write_json(request.directory / REPORT, content)
    for line in _lines(content, like):
        say(line)
    return not failures


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


def _samples(request: Request) -> dict[str, Sample]:
    """The samples with the addresses that a run would read; public files need not be in the cache."""
    resolved = resolved_source(request)
    public = present_or_remote(request.configuration, request.catalogue, resolved.to_fetch)
    samples = {**resolved.samples, **public}
    if resolved.to_simulate:
        name = request.configuration.name
        how = (
            f"the simulated source has no files before the run makes them: 'hepbatch datasets simulate {name} --output "
            f"DIR' makes them, and 'hepbatch plan {name} --source DIR' looks at them"
        )
        if not samples:
            raise UserError(how)
        say(f"note: without {', '.join(resolved.to_simulate)}: {how}")
    return samples


def _look(run: Run, samples: dict[str, Sample], limit: int | None) -> tuple[Findings, list[str]]:
    files = {name: sample.files[: limit or None] for name, sample in samples.items()}
    clock = time.monotonic()
    for _ in run.map("cpu", _nothing, [0], 1, ""):
        pass
    starting = time.monotonic() - clock
    chosen = [
        InputFile(name, path, tuple(samples[name].replicas.get(path, ())))
        for name, paths in files.items()
        for path in _spread(paths, OPENED)
    ]
    clock = time.monotonic()
    plan = make_plan(run, chosen, {name: one.tree for name, one in samples.items() if one.tree is not None})
    opening = time.monotonic() - clock
    workers = int(run.cluster.facts()["pools"]["cpu"]["workers"])
    loads = {
        name: load
        for name, paths in files.items()
        if (load := _load(len(paths), [file for file in plan.files if file.sample == name], run)) is not None
    }
    job = make_job(run, samples)
    items = _chosen(list(plan.files), run.configuration.chunk_size, workers)
    probes, failures = _try(run, job, items, workers)
    failed = [f"failed: plan: {one.sample}: {one.file}: {one.error}" for one in plan.failures]
    return Findings(probes, loads, sum(map(len, files.values())), len(chosen), starting, opening, workers), [
        *failed,
        *failures,
    ]


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


def _chosen(files: list[OpenedFile], chunk: int, workers: int) -> list[WorkItem]:
    """The items to try: some of each sample, and enough for all workers."""
    of_sample: dict[str, list[WorkItem]] = {}
    for file in files:
        of_sample.setdefault(file.sample, []).extend(item for item in split(file, chunk) if item.entries)
    number = max(TRIED, -(-workers * PER_WORKER // max(1, len(of_sample))))
    picked = [_spread(items, number) for items in of_sample.values()]
    # In turn: no worker has one sample only.
    return [items[row] for row in range(number) for items in picked if row < len(items)]


def _try(run: Run, job: SkimJob, items: list[WorkItem], workers: int) -> tuple[list[Probe], list[str]]:
    """The items as a skim would process them, after a small one for each worker."""
    small = [_first_part(item) for item in (items * workers)[:workers]]
    seen: set[str] = set()
    probes: list[Probe] = []
    failures: list[str] = []
    for what, some in (("loading libraries", small), ("trying work items", items)):
        kind = Kind(addresses=WorkItem.addresses, batches=False)
        for outcome in run.map(
            "cpu", partial(process_item, job), some, len(some), what, kind=kind,
            longest=run.configuration.retries.longest_item,
        ):  # fmt: skip
            item: WorkItem = outcome.item
            if outcome.error is not None:
                failures.append(f"failed: plan: {item.sample}: {item.path}: {outcome.error}")
                continue
            value: Processed = outcome.value
            worker = str(outcome.worker)
            first = worker not in seen
            seen.add(worker)
            probes.append(
                Probe(item.sample, item.entries, outcome.seconds, value.bytes_read, outcome.peak_memory, worker, first)
            )
    return probes, failures


def _first_part(item: WorkItem) -> WorkItem:
    if not item.divisible:
        return item
    return replace(item, stop=item.start + max(1, item.entries // SMALL))


def _trainings(request: Request, like: Path | None) -> tuple[int | None, float | None]:
    """How many trainings there are, and the hours of a device they take, by those that an earlier run has finished."""
    configuration = request.configuration
    if configuration.training is None:
        return None, None
    module = configuration.module("training")
    names = [task.name for task in module.tasks(configuration.settings("training"), seed=configuration.seed)]
    earlier = like or Path("results") / configuration.name
    known = finished_seconds(earlier / "ledger", "train")
    if like is not None and not known:
        raise UserError(f"--like {like}: there is no run with finished trainings")
    if not known:
        return len(names), None
    average = sum(known.values()) / len(known)
    return len(names), sum(known.get(name, average) for name in names) / 3600


def _content(
    request: Request, found: Findings, measured: Rates, predicted: Forecast, tasks: int | None, hours: float | None
) -> dict[str, Any]:
    opening = found.opening * found.files / max(1, found.opened)
    proposed = chunk_size(found.loads, measured, found.workers)
    return {
        "analysis": request.configuration.name,
        "cluster": request.cluster_name,
        "workers": found.workers,
        "chunk_size": request.configuration.chunk_size,
        "files": found.files,
        "files_opened": found.opened,
        "items_tried": len(found.probes),
        "samples": {
            name: {
                "files": load.files, "entries": load.entries, "bytes": load.bytes, "items": len(load.items),
                "seconds": measured.seconds[name] * load.entries, "bytes_read": measured.bytes[name] * load.entries,
            }
            for name, load in found.loads.items()
        },
        "start_seconds": found.starting,
        "plan_seconds": opening,
        "skim_seconds": predicted.wall,
        "worker_seconds": predicted.work,
        "seconds": found.starting + opening + predicted.wall,
        "items": predicted.items,
        "entries": predicted.entries,
        "bytes": sum(load.bytes for load in found.loads.values()),
        "bytes_read": predicted.bytes_read,
        "memory_bytes": predicted.memory,
        "trainings": tasks,
        "device_hours": hours,
        "proposed": {
            "chunk_size": proposed,
            "memory_bytes": worker_memory(measured, proposed),
            "workers": {f"{target:.0f}": workers_for(predicted.work, target) for target in TARGETS},
        },
        "probes": [asdict(probe) for probe in found.probes],
    }  # fmt: skip


def _lines(content: dict[str, Any], like: Path | None) -> Iterator[str]:
    for name, one in content["samples"].items():
        yield (
            f"{name}: {one['files']} files, {one['entries']} entries, {shown(one['bytes'])}: {one['items']} items, "
            f"{duration(one['seconds'])} of one worker, {shown(one['bytes_read'])} read"
        )
    yield (
        f"{content['files']} files, of which {content['files_opened']} were opened; {content['items_tried']} work "
        "items were tried"
    )
    yield (
        f"on {content['workers']} workers of {content['cluster']}: {duration(content['seconds'])} until the skim is "
        f"there ({duration(content['start_seconds'])} until workers are, {duration(content['plan_seconds'])} for "
        f"opening files, {duration(content['skim_seconds'])} for {content['items']} work items)"
    )
    yield (
        f"{shown(content['bytes_read'])} read of {shown(content['bytes'])}; up to {shown(content['memory_bytes'])} of "
        "memory for each worker"
    )
    if content["trainings"] is not None:
        known = content["device_hours"]
        yield f"{content['trainings']} trainings: " + (
            "how long they take is not known before some were run (--like DIR: a run that has)"
            if known is None
            else f"{known:.2g} hours of a device, as in {like or 'the earlier run'}"
        )
    proposed = content["proposed"]
    sizes = ", ".join(f"{number} for {duration(float(target))}" for target, number in proposed["workers"].items())
    yield (
        f"proposed: --set chunk_size={proposed['chunk_size']}, workers: {sizes}; "
        f"--set cluster.pools.cpu.memory={proposed['memory_bytes'] / 2**30:g}GiB"
    )
