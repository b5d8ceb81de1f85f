"""What batch jobs of every kind tell their workers, and what the jobs ask for."""

from __future__ import annotations

import math
import shlex
import sys
from dataclasses import dataclass
from typing import Any

from cluster.batch_system import JobRequest
from cluster.quantities import size
from cluster.scheduler import START_TIMEOUT
from cluster.scheduler_process import python_path
from cluster.security import TlsFiles
from cluster.settings import TAGS, PoolSettings, retirement
from cluster.worker_setup import GPUS, JOB_END, RETIRE_AT, STAGGER

# The Dask process that watches the workers, and what a worker allocates outside of Python.
OVERHEAD = 1.1
# The variable of a job's shell that says where it unpacked its environment.
ENVIRONMENT = "HEPBATCH_ENVIRONMENT"


@dataclass(frozen=True)
class Footprint:
    """What one job of a pool asks for; `memory` [bytes] is the job's, `workers_memory` that of its workers."""

    cores: int
    memory: int
    workers_memory: int
    gpus: int


def footprint(pool: PoolSettings) -> Footprint:
    """What one job of a pool asks for."""
    workers = size(pool.memory) * pool.processes
    asked = math.ceil(workers * OVERHEAD) if pool.job_memory == "auto" else size(pool.job_memory)
    return Footprint(pool.cores or pool.processes * pool.threads, asked, workers, pool.gpus * pool.processes)


def job_options(name: str, pool: PoolSettings, tls: TlsFiles) -> dict[str, Any]:
    """The options that dask-jobqueue's jobs have in common.

    Given one by one: what is not would come from the user's Dask configuration.
    """
    asked = footprint(pool)
    return {
        "cores": pool.processes * pool.threads,
        "memory": str(asked.workers_memory),
        "processes": pool.processes,
        "nanny": True,
        "interface": "",
        "protocol": "tls://",
        "security": tls.security(),
        "death_timeout": START_TIMEOUT,
        "local_directory": pool.scratch,
        "worker_command": "distributed.cli.dask_worker",
        "worker_extra_args": worker_arguments(name, pool),
        "job_directives_skip": [],
        "log_directory": None,
        "python": python_command(pool),
    }


def worker_arguments(name: str, pool: PoolSettings) -> list[str]:
    """Arguments of `dask worker`: the tag, what prepares each worker, and a status page for this host alone."""
    slots = pool.threads if name == "cpu" else 1
    return [
        "--resources", f"{TAGS[name]}={slots}", "--preload", "cluster.worker_setup",
        "--no-dashboard", "--dashboard-address", "127.0.0.1:0",
    ]  # fmt: skip


def python_command(pool: PoolSettings) -> str:
    """The Python of the workers, as a shell writes it."""
    if pool.archive and pool.python is None:
        return f'"${ENVIRONMENT}/bin/python"'
    return shlex.quote(pool.python or sys.executable)


def prologue(request: JobRequest, pool: PoolSettings) -> list[str]:
    """Shell lines that a job runs before its workers: environment, the end of its time, the user's own."""
    end, before = math.floor(pool.walltime), math.ceil(retirement(pool))
    # Another Python, or another file system, has its own packages.
    same = pool.python is None and pool.container is None and pool.archive is None
    variables = {
        **({"PYTHONPATH": python_path()} if same else {}),
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": f"{START_TIMEOUT}s",
        GPUS: str(pool.gpus),
        STAGGER: f"{min(before, 0.1 * end):g}",
        **request.environment,
        **pool.environment,
    }
    if request.pool == "cpu":  # a skim must not open a device that it was given by chance
        variables["CUDA_VISIBLE_DEVICES"] = ""
    # Slurm gives jobs the environment of who submits, in which Python's path is that of the driver.
    lines = ["unset PYTHONPATH PYTHONHOME"] if pool.archive else []
    lines += [f"export {key}={shlex.quote(value)}" for key, value in variables.items()]
    lines += ["now=`date +%s`", f"export {JOB_END}=`expr $now + {end}` {RETIRE_AT}=`expr $now + {end - before}`"]
    if pool.archive:
        lines += [
            f'{ENVIRONMENT}="${{_CONDOR_SCRATCH_DIR:-${{TMPDIR:-/tmp}}}}/hepbatch-env-$$"',
            f"trap 'rm -rf \"${ENVIRONMENT}\"' EXIT",
            f'mkdir -p "${ENVIRONMENT}" && tar -xzf {shlex.quote(pool.archive)} -C "${ENVIRONMENT}"',
            f'if [ -x "${ENVIRONMENT}/bin/conda-unpack" ]; then "${ENVIRONMENT}/bin/conda-unpack"; fi',
        ]
    return [*lines, *pool.setup]
