"""A scheduler in a process of its own, and a client connected to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError
from cluster.security import TlsFiles

logger = logging.getLogger(__name__)

# Importing the scientific libraries in a fresh worker process can take this long on a busy machine [s].
START_TIMEOUT = 120
CONNECT_TIMEOUT = 30
# A scheduler that cannot be reached for so long need not be told of the end [s].
CLOSE_TIMEOUT = 2
END_TIMEOUT = 15  # for a worker to end [s]


@contextmanager
def scheduler_and_client(listens: dict[str, Any], log: Path, tls: TlsFiles | None = None) -> Iterator[tuple[Any, Any]]:
    """Starts a scheduler with the options `listens`; gives a `SpecCluster` without workers, and its client.

    Both end on leaving. Raises ClusterError when the scheduler does not start, for which `log` may have the reason.
    """
    import dask
    from distributed import Client, SpecCluster

    from cluster.scheduler_process import SchedulerProcess

    settings = {
        # Whoever sends the tasks counts deaths: Dask gives a task back at once when its worker dies.
        "distributed.scheduler.allowed-failures": 0,
        "distributed.comm.timeouts.connect": f"{CONNECT_TIMEOUT}s",
        "distributed.admin.low-level-log-length": 0,
        # A worker that takes long to come back on a busy machine is not given up: the pool would shrink for good.
        "distributed.deploy.lost-worker-timeout": "1h",
    }
    options = {"options": listens, "settings": settings, "log": log, "tls": tls.as_dict() if tls else None}
    with dask.config.set(settings):
        try:
            cluster = SpecCluster(
                scheduler={"cls": SchedulerProcess, "options": options},
                security=tls.security() if tls else None,
                silence_logs=logging.CRITICAL,
            )
        except RuntimeError as error:
            raise ClusterError(f"the Dask scheduler did not start: {' '.join(str(error).split())}") from error
        with ended(cluster):
            client = Client(cluster)
            try:
                yield cluster, client
            finally:
                with only_noted("the connection to the Dask scheduler"):
                    client.close()


@contextmanager
def only_noted(what: str) -> Iterator[None]:
    """What goes wrong while `what` ends is a warning: the work is done, and none of its results depends on it.

    A machine under load ends processes later than Dask waits for, which then is a TimeoutError, a CancelledError, or,
    from `SpecCluster.sync`, an UnboundLocalError.
    """
    try:
        yield
    except (Exception, asyncio.CancelledError) as problem:
        said = " ".join(str(problem).split())
        logger.warning("%s did not end in order: %s", what, f"{type(problem).__name__}: {said}".rstrip(": "))


@contextmanager
def ended(cluster: Any) -> Iterator[None]:
    """Ends a `SpecCluster` on leaving, whether its scheduler lives or not."""
    from distributed.core import Status

    try:
        yield
    finally:
        # A scheduler may be gone without our knowing it yet (a batch system's signal reaches it, too): it is not asked
        # to retire the workers, and is not waited for.
        gone = cluster.scheduler.status != Status.running
        cluster.scheduler.status = Status.closing
        if cluster.scheduler_comm is not None:
            cluster.scheduler_comm.timeout = CLOSE_TIMEOUT
        if gone:
            with only_noted("the workers"):
                cluster.sync(_close_workers, cluster)
        with only_noted("the Dask cluster"):
            cluster.close()


async def _close_workers(cluster: Any) -> None:
    """Those that still start would look for a scheduler that is gone until their time is over."""
    closing = [worker.close(timeout=END_TIMEOUT) for worker in cluster._created]
    await asyncio.gather(*closing, return_exceptions=True)
