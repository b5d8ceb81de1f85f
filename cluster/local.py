"""A Dask cluster of worker processes on this machine, bound to the loopback interface."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError, SchedulerGone
from cluster.pools import Cluster, keep_waiting
from cluster.scheduler import START_TIMEOUT, only_noted, scheduler_and_client
from cluster.settings import TAGS, ClusterSettings, PoolSettings
from cluster.worker_log import VARIABLE

LOOPBACK = "127.0.0.1"
START_ATTEMPTS = 3
PATIENCE = 600.0


class LocalCluster(Cluster):
    """Worker processes of this machine, under a scheduler in a process of its own."""

    kind = "local"

    def __init__(self, settings: ClusterSettings, logs: Path, spec_cluster: Any, client: Any) -> None:
        self.client = client
        self.patience = dict.fromkeys(TAGS, PATIENCE)
        self._pools = {name: getattr(settings.pools, name) for name in TAGS}
        self._logs = logs
        self._cluster = spec_cluster
        self._gpus = visible_gpus()
        automatic = {"cpu": cores(), "gpu": max(1, len(self._gpus))}
        self._sizes = {name: _size(pool, automatic[name]) for name, pool in self._pools.items()}
        self._memory = {name: _memory(pool, sum(self._sizes.values())) for name, pool in self._pools.items()}
        self._ran: set[str] = set()

    def need(self, pool: str, items: int | None = None, check: Callable[[], None] = keep_waiting) -> None:  # noqa: ARG002
        """Starts all workers of a pool and returns when they are there."""
        from cluster.worker_nanny import WorkerNanny

        check()
        self._ran.add(pool)
        for number in range(self._sizes[pool]):
            options = _options(pool, number, self._pools[pool], self._memory[pool], self._gpus, self._logs)
            self._cluster.worker_spec.setdefault(f"{pool}-{number}", {"cls": WorkerNanny, "options": options})
        if any(name not in self._cluster.workers for name in self._named(pool)):
            self._start()

    def release(self, pool: str) -> None:
        """Ends the workers of a pool."""
        names = self._named(pool)
        for name in names:
            del self._cluster.worker_spec[name]
        if names:
            with only_noted(f"the pool {pool}"):
                self._cluster.sync(self._cluster._correct_state)

    def facts(self) -> dict[str, Any]:
        """Number of workers and memory limit [bytes] of each pool that ran."""
        return {
            "pools": {
                pool: {"workers": self._sizes[pool], "memory_bytes": self._memory[pool]}
                for pool in TAGS
                if pool in self._ran
            }
        }

    def _named(self, pool: str) -> list[str]:
        return [name for name in self._cluster.worker_spec if name.startswith(f"{pool}-")]

    def _start(self) -> None:
        """Brings all workers up; one that is killed while they start is no reason to give up."""
        from distributed.core import Status

        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                self._await_workers(time.monotonic() + START_TIMEOUT)
            except (OSError, RuntimeError) as problem:
                if self._cluster.scheduler.status != Status.running:
                    raise SchedulerGone("the scheduler ended while the workers started") from problem
                if attempt == START_ATTEMPTS:
                    raise ClusterError(f"the workers on this machine did not start: {problem}") from problem
                self._cluster.sync(_forget_failed, self._cluster)
            else:
                return

    def _await_workers(self, until: float) -> None:
        from distributed.core import Status

        starting = asyncio.run_coroutine_threadsafe(_correct(self._cluster), self._cluster.loop.asyncio_loop)
        wanted = set(self._cluster.worker_spec)
        while not starting.done() or wanted - self._arrived():
            if self._cluster.scheduler.status != Status.running:
                raise RuntimeError("the scheduler ended")
            if starting.done():
                starting.result()
            if time.monotonic() > until:
                missing = ", ".join(sorted(wanted - self._arrived()))
                raise TimeoutError(f"{missing} did not come up within {START_TIMEOUT} s")
            time.sleep(0.02)
        starting.result()

    def _arrived(self) -> set[str]:
        return {str(facts["name"]) for facts in self._cluster.scheduler_info["workers"].values()}


async def _correct(cluster: Any) -> None:
    await cluster._correct_state()


async def _forget_failed(cluster: Any) -> None:
    """Workers that did not come up are ended, so that others take their names."""
    from distributed.core import Status

    failed = [name for name, worker in cluster.workers.items() if worker.status != Status.running]
    await asyncio.gather(*(cluster.workers[name].close() for name in failed), return_exceptions=True)
    for name in failed:
        del cluster.workers[name]


@contextmanager
def open_local(settings: ClusterSettings, directory: Path) -> Iterator[Cluster]:
    """Starts the scheduler, yields the cluster, and ends every process on leaving.

    What the workers print goes to one file each in `directory`/logs.
    """
    logs = directory / "logs"
    listens = {"host": LOOPBACK, "port": 0, "dashboard_address": f"{LOOPBACK}:0"}
    with scheduler_and_client(listens, logs / "scheduler.log") as (cluster, client):
        yield LocalCluster(settings, logs, cluster, client)


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
    return settings.workers if isinstance(settings.workers, int) else automatic


def _memory(settings: PoolSettings, workers: int) -> int:
    import psutil

    from cluster.quantities import size

    if settings.memory == "auto":
        # The two pools rarely work at once, but a worker over its limit is killed: each gets a share.
        return int(0.9 * psutil.virtual_memory().total / workers)
    return size(settings.memory)
