"""What `hepbatch plan` shows and writes to plan.json."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.forecast import TARGETS, Forecast, Load, Probe, Rates, chunk_size, worker_memory, workers_for
from analysis.progress import duration
from analysis.stages import Request
from analysis.training_probe import Trainings
from cluster.space import shown


@dataclass(frozen=True)
class Findings:
    """What was tried, and what there is."""

    probes: list[Probe]
    loads: dict[str, Load]
    files: int
    opened_first: int
    opened: int
    starting: float
    opening: float
    workers: int


def content(
    request: Request, found: Findings, measured: Rates, predicted: Forecast, tasks: int, trainings: Trainings | None
) -> dict[str, Any]:
    """The content of plan.json; `tasks` is the number of trainings, 0 where none was asked for."""
    opening = found.opening * found.files / max(1, found.opened_first)
    proposed = chunk_size(found.loads, measured, found.workers)
    skimmed = found.starting + opening + predicted.wall
    training = None if trainings is None else trainings.wall
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
        "seconds": skimmed,
        "items": predicted.items,
        "entries": predicted.entries,
        "bytes": sum(load.bytes for load in found.loads.values()),
        "bytes_read": predicted.bytes_read,
        "memory_bytes": predicted.memory,
        "trainings": tasks or None,
        "device_hours": None if trainings is None else trainings.busy / 3600,
        "train_seconds": training,
        "train_workers": None if trainings is None else trainings.workers,
        "total_seconds": skimmed if not tasks else None if training is None else skimmed + training,
        "proposed": {
            "chunk_size": proposed,
            "memory_bytes": worker_memory(measured, proposed),
            "workers": {f"{target:.0f}": workers_for(predicted.work, target) for target in TARGETS},
            "gpu_workers": None
            if trainings is None
            else {f"{target:.0f}": workers_for(trainings.busy, target, trainings.number) for target in TARGETS},
        },
        "probes": [asdict(probe) for probe in found.probes],
        "training_trials": {}
        if trainings is None
        else {kind: [asdict(point) for point in points] for kind, points in trainings.points.items()},
    }  # fmt: skip


def lines(content: dict[str, Any], like: Path | None) -> Iterator[str]:
    """The same in sentences."""
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
        on = f"{content['train_workers']} gpu workers"
        whence = f"as in {like}" if like is not None else "by shortened ones that were tried"
        yield f"{content['trainings']} trainings: " + (
            "how long they take is not known (--like DIR: a run that has done some)"
            if known is None
            else f"{known:.2g} hours of a device, {duration(content['train_seconds'])} on {on} ({whence}); "
            f"{duration(content['total_seconds'])} for all but the report"
        )
    proposed = content["proposed"]
    gpu = proposed["gpu_workers"]
    yield (
        f"proposed: --set chunk_size={proposed['chunk_size']}, workers: {_sizes(proposed['workers'])}; "
        f"--set cluster.pools.cpu.memory={proposed['memory_bytes'] / 2**30:g}GiB"
        + (f"; gpu workers: {_sizes(gpu)}" if gpu is not None else "")
    )


def _sizes(workers: dict[str, int]) -> str:
    """Numbers of workers with the times that they are for."""
    return ", ".join(f"{number} for {duration(float(target))}" for target, number in workers.items())
