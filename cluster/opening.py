"""From a cluster's settings to a running cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from cluster import htcondor, slurm
from cluster.batch_cluster import open_batch
from cluster.batch_system import BatchSystem
from cluster.errors import ClusterError
from cluster.existing import open_existing
from cluster.job_record import earlier_record, end_jobs
from cluster.local import open_local
from cluster.pools import Cluster, keep_waiting
from cluster.settings import BATCH, ClusterSettings

logger = logging.getLogger(__name__)


def open_slurm(settings: ClusterSettings, directory: Path) -> AbstractContextManager[Cluster]:
    """A cluster of Slurm jobs."""
    return open_batch(settings, directory, slurm.Slurm(settings.scheduler.submit_limit), slurm.render)


def open_htcondor(settings: ClusterSettings, directory: Path) -> AbstractContextManager[Cluster]:
    """A cluster of HTCondor jobs."""
    return open_batch(settings, directory, htcondor.HTCondor(settings.scheduler.submit_limit), htcondor.render)


def open_lxplus(settings: ClusterSettings, directory: Path) -> AbstractContextManager[Cluster]:
    """A cluster of HTCondor jobs at CERN. Its schedulers do not see EOS: jobs are spooled to them from there."""
    spool = directory.resolve().is_relative_to("/eos")
    system = htcondor.HTCondor(settings.scheduler.submit_limit, kind="lxplus", spool=spool)
    return open_batch(settings, directory, system, partial(htcondor.render_lxplus, spool=spool))


KINDS: dict[str, Callable[[ClusterSettings, Path], AbstractContextManager[Cluster]]] = {
    "local": open_local,
    "slurm": open_slurm,
    "htcondor": open_htcondor,
    "lxplus": open_lxplus,
    "address": open_existing,
    "coffea-casa": open_existing,
}
SYSTEMS: dict[str, Callable[[], BatchSystem]] = {
    "slurm": slurm.Slurm,
    "htcondor": htcondor.HTCondor,
    "lxplus": htcondor.HTCondor,
}


@contextmanager
def open_cluster(
    settings: ClusterSettings, directory: Path, check: Callable[[], None] = keep_waiting
) -> Iterator[Cluster]:
    """Starts the scheduler of a cluster of `settings.kind`, and ends the cluster on leaving.

    In the run directory `directory` are what the workers print (logs/) and what a later run must know of this one. Jobs
    that an earlier run left behind end first; `check` is called while this waits, and may raise.
    """
    end_orphans(settings, directory, check)
    with KINDS[settings.kind](settings, directory) as cluster:
        yield cluster


def end_orphans(settings: ClusterSettings, directory: Path, check: Callable[[], None]) -> None:
    """Cancels what a killed driver left in the batch system."""
    try:
        number = end_jobs_of(directory, check)
    except ClusterError as error:
        if settings.kind in BATCH:
            raise
        logger.warning("jobs of an earlier run may be left: %s", error)
    else:
        if number:
            logger.warning("%d jobs of an earlier run were still there; they are cancelled", number)


def end_jobs_of(directory: Path, check: Callable[[], None] = keep_waiting) -> int:
    """Cancels the batch jobs that a run in `directory` left behind; gives their number. Raises ClusterError."""
    record = earlier_record(directory)
    return 0 if record is None else end_jobs(record, SYSTEMS[record.kind](), directory, check)
