"""A Dask cluster of worker processes on this machine, bound to the loopback interface."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.settings import TAGS, ClusterSettings, PoolSettings
from cluster.worker_log import VARIABLE

if TYPE_CHECKING:
    from distributed import Client

LOOPBACK = "127.0.0.1"
# Importing the scientific libraries in a fresh worker process can take this long on a busy machine [s].
START_TIMEOUT = 120
START_ATTEMPTS = 3
# A scheduler that cannot be reached for so long need not be told of the end [s].
CLOSE_TIMEOUT = 2


@dataclass(frozen=True)
class Cluster:
    """A running cluster: its client, and the number and memory limit [bytes] of its workers per pool."""

    client: Client
    kind: str
    workers: dict[str, int]
    memory: dict[str, int]


@contextmanager
def open_local(settings: ClusterSettings, logs: Path) -> Iterator[Cluster]:
    """Starts scheduler and both pools, yields the cluster, and ends every process on leaving.

    What the workers print goes to one file each in the directory `logs`.
    """
    import dask

    from cluster.scheduler_process import SchedulerProcess
    from cluster.worker_nanny import WorkerNanny

    gpus = visible_gpus()
    sizes = {"cpu": _size(settings.pools.cpu, cores()), "gpu": _size(settings.pools.gpu, max(1, len(gpus)))}
    memory = {pool: _memory(getattr(settings.pools, pool), sum(sizes.values())) for pool in TAGS}
    specification = {
        f"{pool}-{number}": {
            "cls": WorkerNanny,
            "options": _options(pool, number, getattr(settings.pools, pool), memory[pool], gpus, logs),
        }
        for pool, size in sizes.items()
        for number in range(size)
    }
    dask_settings = {
        # Whoever sends the tasks counts deaths: Dask gives a task back at once when its worker dies.
        "distributed.scheduler.allowed-failures": 0,
        "distributed.comm.timeouts.connect": f"{START_TIMEOUT}s",
        "distributed.admin.low-level-log-length": 0,
        # A worker that takes long to come back on a busy machine is not given up: the pool would shrink for good.
        "distributed.deploy.lost-worker-timeout": "1h",
    }
    listens = {"host": LOOPBACK, "port": 0, "dashboard_address": f"{LOOPBACK}:0"}
    scheduler = {
        "cls": SchedulerProcess,
        "options": {"options": listens, "settings": dask_settings, "log": logs / "scheduler.log"},
    }
    with dask.config.set(dask_settings), ExitStack() as stack:
        client = _start(specification, scheduler, stack)
        yield Cluster(client, "local", sizes, memory)


def _start(workers: dict[str, Any], scheduler: dict[str, Any], stack: ExitStack) -> Client:
    """The client of a cluster with all its workers, which end with `stack`.

    A worker or a scheduler that is killed while they start is no reason to give up.
    """
    from distributed import Client, SpecCluster

    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            with ExitStack() as trial:
                cluster = SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL)
                client: Client = trial.enter_context(Client(trial.enter_context(_ended(cluster))))
                client.wait_for_workers(len(workers), timeout=START_TIMEOUT)
                stack.push(trial.pop_all())
                return client
        except (RuntimeError, OSError):
            if attempt == START_ATTEMPTS:
                raise
    raise AssertionError("unreachable")


@contextmanager
def _ended(cluster: Any) -> Iterator[Any]:
    from distributed.core import Status

    try:
        yield cluster
    finally:
        # A scheduler may be gone without our knowing it yet (a batch system's signal reaches it, too): it is not asked
        # to retire the workers, and is not waited for.
        cluster.scheduler.status = Status.closing
        if cluster.scheduler_comm is not None:
            cluster.scheduler_comm.timeout = CLOSE_TIMEOUT
        cluster.close()


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def visible_gpus() -> list[str]:
    """Identifiers of this machine's NVIDIA devices that CUDA_VISIBLE_DEVICES allows; empty where there is none."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return [device for device in allowed.split(",") if device.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listing = subprocess.run(
        ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return listing.stdout.split() if listing.returncode == 0 else []


def _options(
    pool: str, number: int, settings: PoolSettings, memory: int, gpus: list[str], logs: Path
) -> dict[str, Any]:
    # A skim worker must not open a device; a training worker sees its own only.
    device = gpus[number % len(gpus)] if pool == "gpu" and gpus else ""
    return {
        "host": LOOPBACK,
        "name": f"{pool}-{number}",
        "nthreads": settings.threads,
        "memory_limit": memory,
        "resources": {TAGS[pool]: settings.threads if pool == "cpu" else 1},
        "env": {**settings.environment, "CUDA_VISIBLE_DEVICES": device, VARIABLE: str(logs.resolve())},
        "preload": ["cluster.worker_log"],
        "dashboard": False,
        "death_timeout": START_TIMEOUT,
        "silence_logs": logging.CRITICAL,
    }


def _size(settings: PoolSettings, automatic: int) -> int:
    return automatic if settings.workers == "auto" else settings.workers


def _memory(settings: PoolSettings, workers: int) -> int:
    import psutil
    from dask.utils import parse_bytes

    if settings.memory == "auto":
        # The two pools rarely work at once, but a worker over its limit is killed: each gets a share.
        return int(0.9 * psutil.virtual_memory().total / workers)
    return int(parse_bytes(settings.memory))
