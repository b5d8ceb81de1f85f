"""A Dask cluster of batch jobs: one scheduler here, and pools of jobs that are kept up while there is work for them."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster import credentials
from cluster.batch_system import BatchSystem, JobRequest
from cluster.errors import ClusterError
from cluster.job_pool import JobPool
from cluster.job_record import JobRecord, end_jobs, new_record
from cluster.jobqueue import jobqueue
from cluster.pools import Cluster, keep_waiting, tagged_workers
from cluster.proxy_copy import ProxyCopy
from cluster.quantities import size
from cluster.scheduler import scheduler_and_client
from cluster.security import TlsFiles, run_certificates
from cluster.settings import TAGS, ClusterSettings, PoolSettings, SchedulerSettings
from cluster.versions import check_code, check_versions

# How often the scheduler's workers are looked at; the batch system is asked less often [s].
TICK = 1.0
# For so long after a pool began, the batch system is asked so often [s].
EARLY, EARLY_INTERVAL = 60.0, 3.0
Render = Callable[[JobRequest, PoolSettings, TlsFiles], str]
logger = logging.getLogger(__name__)


class BatchCluster(Cluster):
    """Pools of batch jobs. A thread keeps the number of jobs; it asks the batch system which there really are."""

    def __init__(
        self, settings: ClusterSettings, directory: Path, scheduler: str, client: Any, system: BatchSystem,
        render: Render, record: JobRecord, tls: TlsFiles, proxy: ProxyCopy | None = None,
    ) -> None:  # fmt: skip
        self.kind = settings.kind
        self.client = client
        self._scheduler = scheduler
        self._settings = settings
        self._logs = (directory / "logs").resolve()
        self._system = system
        self._render = render
        self._record = record
        self._tls = tls
        self._proxy = proxy
        self._pools = {name: JobPool(name, getattr(settings.pools, name)) for name in TAGS}
        self.patience = {name: 2 * pool.settings.start_limit for name, pool in self._pools.items()}
        self._checked: set[str] = set()
        self._lock = threading.RLock()
        self._hurry = threading.Event()
        self._ending = False
        self._broken: BaseException | None = None
        self._thread = threading.Thread(target=self._keep, name="batch jobs", daemon=True)
        self._thread.start()

    def need(self, pool: str, items: int | None = None, check: Callable[[], None] = keep_waiting) -> None:
        """Submits the jobs of a pool and returns when its first worker is there and has the driver's software."""
        mine = self._pools[pool]
        with self._lock:
            mine.begin(items)
        self._hurry.set()
        until = time.monotonic() + mine.settings.start_limit
        while not (workers := tagged_workers(self.client, TAGS[pool])):
            check()
            self._check_keeper()
            if mine.problem:
                raise ClusterError(mine.problem)
            if time.monotonic() > until:
                raise ClusterError(
                    f"the pool {pool} has no worker after {mine.settings.start_limit:.0f} s: {self._why(mine)}"
                )
            time.sleep(TICK / 2)
        new = {address: facts["name"] for address, facts in workers.items() if facts["name"] not in self._checked}
        if new:
            check_versions(self.client, new)
            check_code(self.client, new)
            credentials.check_workers(self.client, new, self._settings.credentials)
            self._checked.update(new.values())

    def remaining(self, pool: str, items: int) -> None:
        """No more jobs are submitted than there is work left for; a pool with a range lets idle workers go."""
        self._pools[pool].remaining(items)

    def release(self, pool: str) -> None:
        """Cancels the jobs of a pool."""
        with self._lock:
            jobs = self._pools[pool].end()
            try:
                self._system.cancel(jobs)
            except ClusterError as error:  # the end of the run cancels what there is
                logger.warning("%s", error)

    def watch(self, pool: str) -> None:
        """Raises ClusterError when a running pool has had no worker for its `start_limit`, or cannot have any."""
        mine = self._pools[pool]
        self._check_keeper()
        away = time.monotonic() - mine.last_worker
        if mine.problem and away > TICK:
            raise ClusterError(mine.problem)
        if away > mine.settings.start_limit:
            raise ClusterError(f"the pool {pool} has had no worker for {away:.0f} s: {self._why(mine)}")

    def facts(self) -> dict[str, Any]:
        """Of each pool that ran: its size, memory per worker [bytes], what a job asked for, the jobs it had."""
        return {
            "scheduler": self._scheduler,
            "jobs_named": self._record.run,
            "pools": {
                name: {
                    "workers": pool.largest,
                    "memory_bytes": size(pool.settings.memory),
                    "gpus_per_worker": pool.settings.gpus,
                    "walltime_seconds": pool.settings.walltime,
                    "jobs": list(pool.submitted),
                }
                for name, pool in self._pools.items()
                if pool.submitted
            },
        }

    def close(self) -> None:
        """Stops to keep the pools up. Their jobs are still there."""
        self._ending = True
        self._hurry.set()
        self._thread.join()

    def _check_keeper(self) -> None:
        if self._broken is not None:
            raise RuntimeError("the thread that keeps the jobs up has ended") from self._broken

    def _why(self, pool: JobPool) -> str:
        said = self._system.explain(list(pool.jobs)) if pool.jobs else ""
        return pool.why(said)

    def _keep(self) -> None:
        try:
            self._keep_up()
        except BaseException as problem:  # it would end with the thread, unseen
            self._broken = problem

    def _keep_up(self) -> None:
        asked, before = -math.inf, 0
        while not self._ending:
            hurried = self._hurry.wait(TICK)
            self._hurry.clear()
            if self._ending or not any(pool.running for pool in self._pools.values()):
                continue
            try:
                if self._proxy is not None and self._proxy.refresh():
                    logger.warning("the X.509 proxy was renewed: the jobs have the new one")
                workers = self.client.scheduler_info(n_workers=-1)["workers"]
                lost, before = len(workers) < before, len(workers)
                if hurried or lost or time.monotonic() - asked > self._interval():
                    asked = time.monotonic()
                    if not self._tend(workers):
                        asked = -math.inf  # refused: once more at the next tick
            except ClusterError as error:  # the batch system is asked again at the next opportunity
                logger.warning("%s", error)
            except OSError:  # the scheduler is gone: who uses the client finds out
                if self.client.status == "running":
                    raise

    def _interval(self) -> float:
        """A job that is wrong ends at once: the user need not wait long for that."""
        fresh = any(pool.running and time.monotonic() - pool.begun < EARLY for pool in self._pools.values())
        return min(EARLY_INTERVAL if fresh else math.inf, self._settings.scheduler.query_interval)

    def _tend(self, workers: dict[str, Any]) -> bool:
        """Brings the pools to what they should be; False when a submission was refused and is to be tried soon."""
        accepted = True
        states = self._system.jobs(self._record.run)
        for pool in self._pools.values():
            with self._lock:
                if not pool.running:
                    continue
                plan = pool.update(states, workers, self._busy)
                self._system.cancel(plan.cancel)
                for _ in range(plan.submit):
                    if self._ending or not self._submit(pool):
                        # What a limit refuses is tried when the batch system is asked next.
                        accepted = bool(pool.jobs) or pool.limit is not None
                        break
            if plan.dismiss:
                self.client.retire_workers(workers=list(plan.dismiss), close_workers=True)
        return accepted

    def _submit(self, pool: JobPool) -> bool:
        worker = pool.next_worker()
        log = self._logs / f"{worker}.log"
        script = self._logs / f"{worker}.job"
        request = JobRequest(self._record.run, pool.name, worker, self._scheduler, log, self._environment)
        self._logs.mkdir(parents=True, exist_ok=True)
        script.write_text(self._render(request, pool.settings, self._tls), encoding="utf-8")
        try:
            number = self._system.submit(script)
        except ClusterError as error:
            logger.debug("submission refused: %s", error)
            known = pool.limit
            pool.refused(error)
            if pool.limit and pool.limit != known:
                logger.warning("%s: the pool %s waits until others have ended", error, pool.name)
            return False
        pool.add(number, worker, log)
        return True

    @property
    def _environment(self) -> dict[str, str]:
        return {} if self._proxy is None else self._proxy.environment

    def _busy(self) -> set[str]:
        return {address for address, keys in self.client.processing().items() if keys}


def listens(settings: SchedulerSettings) -> dict[str, Any]:
    """Options of a scheduler that jobs reach, over TLS."""
    from distributed.utils import get_ip, get_ip_interface

    host = settings.host or (get_ip_interface(settings.interface) if settings.interface else get_ip())
    return {
        "host": host,
        "port": settings.port,
        "protocol": "tls://",
        "dashboard_address": settings.dashboard,
    }


def copied_proxy(settings: ClusterSettings, private: Path) -> ProxyCopy | None:
    """The copy of the user's proxy that the jobs use; None where they find it without one."""
    if not settings.credentials.copy_proxy:
        return None
    copy = ProxyCopy(credentials.proxy_path(settings.credentials, os.environ), private)
    if not copy.refresh():
        raise ClusterError(f"there is no X.509 proxy at {credentials.proxy_path(settings.credentials, os.environ)}")
    return copy


@contextmanager
def open_batch(settings: ClusterSettings, directory: Path, system: BatchSystem, render: Render) -> Iterator[Cluster]:
    """Starts the scheduler, yields the cluster, and on leaving cancels its jobs and waits until they are gone."""
    jobqueue()
    with (
        run_certificates(directory / "private") as tls,
        scheduler_and_client(listens(settings.scheduler), directory / "logs" / "scheduler.log", tls) as (
            started,
            client,
        ),
    ):
        proxy = copied_proxy(settings, directory / "private")
        record = new_record(settings.kind, directory)
        cluster = BatchCluster(
            settings, directory, started.scheduler.address, client, system, render, record, tls, proxy
        )
        try:
            yield cluster
        finally:
            cluster.close()
            try:
                end_jobs(record, system, directory)
            except ClusterError as error:
                logger.warning("%s; the next run in %s tries again", error, directory)
