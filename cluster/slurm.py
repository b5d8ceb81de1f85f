"""Slurm: jobs as dask-jobqueue writes them, and what squeue says of them."""

from __future__ import annotations

import getpass
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.batch_system import POOLS, BatchSystem, JobRequest, JobState, State, is_limit
from cluster.errors import ClusterError
from cluster.jobqueue import jobqueue
from cluster.security import TlsFiles
from cluster.settings import PoolSettings
from cluster.worker_options import footprint, job_options, prologue

_SUBMITTED = re.compile(r"Submitted batch job (\d+)")
# Compact states of squeue; what is not here waits for something.
_RUNNING = {"R", "S", "ST", "RS", "SI"}
_ENDING = {"CG", "CA", "CD", "F", "TO", "NF", "OOM", "BF", "DL", "PR", "SE"}
MIB = 2**20


@dataclass(frozen=True)
class Slurm(BatchSystem):
    """The Slurm that sbatch, squeue and scancel of this machine speak to."""

    limit: float = 120.0
    kind: str = "slurm"

    def submit(self, script: Path) -> str:
        """Submits the job in the file `script` and gives its identifier."""
        answer = self.command("sbatch", str(script))
        submitted = _SUBMITTED.search(answer)
        if submitted is None:
            raise ClusterError(f"sbatch answered without a job's number: {' '.join(answer.split())}")
        return submitted[1]

    def jobs(self, run: str, parts: Sequence[str] = POOLS) -> dict[str, JobState]:
        """The jobs of a run that are not over, with squeue's reasons."""
        names = ",".join(f"{run}-{part}" for part in parts)
        listing = self.command(
            "squeue", "--noheader", f"--user={getpass.getuser()}", f"--name={names}", "--format=%i|%t|%r"
        )
        rows = (line.strip().split("|", 2) for line in listing.splitlines() if line.strip())
        return {number: JobState(_state(state), reason) for number, state, reason in rows}

    def cancel(self, jobs: Iterable[str]) -> None:
        """Ends jobs."""
        numbers = sorted(jobs)
        if numbers:
            self.command("scancel", *numbers)

    def interrupt(self, jobs: Iterable[str]) -> None:
        """Sends SIGINT to the first process of jobs; Slurm itself would give them half a minute."""
        numbers = sorted(jobs)
        if numbers:
            self.command("scancel", "--signal=INT", "--batch", *numbers)

    def check_submission(self, pool: PoolSettings) -> None:
        """Asks sbatch what it would do; a limit that is reached now is none for ever."""
        options = {"--partition": pool.queue, "--account": pool.account, "--qos": pool.qos}
        given = [f"{option}={value}" for option, value in options.items() if value]
        try:
            self.command("sbatch", "--test-only", *given, "--wrap=true")
        except ClusterError as error:
            if not is_limit(error):
                raise


def render(request: JobRequest, pool: PoolSettings, tls: TlsFiles) -> str:
    """The job script of one worker job."""
    asked = footprint(pool)
    directives = [f"-o {request.log}", "--open-mode=append"]
    if pool.qos:
        directives.append(f"--qos={pool.qos}")
    if asked.gpus:
        directives.append(pool.gpu_request.format(gpus=asked.gpus))
    options = job_options(request.pool, pool, tls)
    if pool.container:
        options["python"] = f"{pool.container_command.format(image=pool.container)} {options['python']}"
    job = jobqueue().slurm.SLURMJob(
        scheduler=request.scheduler,
        name=request.worker,
        queue=pool.queue,
        account=pool.account,
        walltime=clock(pool.walltime),
        job_cpu=asked.cores,
        job_mem=f"{math.ceil(asked.memory / MIB)}M",
        job_name=request.name,
        shebang="#!/usr/bin/env bash",
        job_extra_directives=[*directives, *pool.directives],
        job_script_prologue=prologue(request, pool),
        **options,
    )
    return str(job.job_script())


def clock(duration: float) -> str:
    """A duration [s] as H:MM:SS.

    >>> clock(5400)
    '1:30:00'
    """
    minutes, seconds = divmod(math.floor(duration), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def _state(compact: str) -> State:
    return "running" if compact in _RUNNING else "ending" if compact in _ENDING else "pending"
