"""HTCondor: jobs as dask-jobqueue and dask-lxplus write them, and what condor_q says of them."""

from __future__ import annotations

import logging
import math
import re
import shlex
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.batch_system import POOLS, BatchSystem, JobRequest, JobState, State
from cluster.errors import ClusterError
from cluster.jobqueue import jobqueue
from cluster.quantities import size
from cluster.security import TlsFiles
from cluster.settings import PoolSettings
from cluster.worker_options import footprint, job_options, prologue

_SUBMITTED = re.compile(r"submitted to cluster (\d+)")
# HTCondor's JobStatus; a job that is completed (4) is over, though one that was spooled stays in the queue.
_STATES: dict[str, State] = {"1": "pending", "2": "running", "3": "ending", "5": "held", "6": "ending", "7": "running"}
HELD = "5"
# HoldReasonCode of a job whose files are on their way to the scheduler: it is put on hold for that, and goes on.
SPOOLING = "16"
# Lines of condor_q -better-analyze that an error shows: the conclusion is at the end.
HINT_LINES = 3
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HTCondor(BatchSystem):
    """The HTCondor that condor_submit, condor_q and condor_rm of this machine speak to."""

    limit: float = 120.0
    kind: str = "htcondor"
    spool: bool = False

    def submit(self, script: Path) -> str:
        """Submits the job that the file `script` describes and gives its identifier."""
        answer = self.command("condor_submit", *(["-spool"] if self.spool else []), str(script))
        submitted = _SUBMITTED.search(answer)
        if submitted is None:
            raise ClusterError(f"condor_submit answered without a job's number: {' '.join(answer.split())}")
        return f"{submitted[1]}.0"

    def jobs(self, run: str, parts: Sequence[str] = POOLS) -> dict[str, JobState]:
        """The jobs of a run that are not over; for one on hold the reason."""
        listing = self.command(
            "condor_q", "-constraint", _constraint(run, parts), "-format", "%d.", "ClusterId",
            "-format", "%d|", "ProcId", "-format", "%d|", "JobStatus", "-format", "%d|", "HoldReasonCode ?: 0",
            "-format", "%s", 'HoldReason ?: ""', "-format", "\n", "ClusterId",
        )  # fmt: skip
        found = {}
        for line in listing.splitlines():
            number, status, code, reason = line.split("|", 3)
            if status == HELD and code == SPOOLING:
                found[number] = JobState("pending", reason.strip())
            elif status in _STATES:
                found[number] = JobState(_STATES[status], reason.strip())
        return found

    def cancel(self, jobs: Iterable[str]) -> None:
        """Ends jobs."""
        numbers = sorted(jobs)
        if numbers:
            self.command("condor_rm", *numbers)

    def interrupt(self, jobs: Iterable[str]) -> None:
        """Removes jobs: HTCondor gives them the time that they asked for (job_max_vacate_time)."""
        self.cancel(jobs)

    def check_submission(self, pool: PoolSettings) -> None:  # noqa: ARG002  (one queue for all)
        """Whether there is condor_submit, and a schedd that answers."""
        if shutil.which("condor_submit") is None:
            raise ClusterError("there is no command condor_submit here")
        self.jobs("hepbatch-nobody")

    def explain(self, jobs: Sequence[str]) -> str:
        """The end of what condor_q -better-analyze says of the first job."""
        try:
            lines = self.command("condor_q", "-better-analyze", jobs[0]).splitlines()
        except ClusterError as error:
            return str(error)
        said = [" ".join(line.split()) for line in lines if line.strip()]
        return f"condor_q -better-analyze: {' / '.join(said[-HINT_LINES:])}"

    def sweep(self, run: str) -> None:
        """Takes what is over out of the queue: spooled jobs stay there for days."""
        if self.command("condor_q", "-constraint", _constraint(run), "-format", "%d", "ClusterId"):
            self.command("condor_rm", "-constraint", _constraint(run))


def render(request: JobRequest, pool: PoolSettings, tls: TlsFiles) -> str:
    """The submit description of one worker job."""
    options = _options(request, pool, tls)
    directives = _directives(request, pool)
    if pool.container:
        directives = {"universe": "container", "container_image": pool.container, **directives}
    job = jobqueue().htcondor.HTCondorJob(job_extra_directives=directives, **options)
    return str(job.job_script())


def render_lxplus(request: JobRequest, pool: PoolSettings, tls: TlsFiles, spool: bool = False) -> str:
    """The submit description of one worker job at CERN, with what dask-lxplus adds for that pool.

    With `spool` the batch system's scheduler has no access to the run directory, but the nodes have.
    """
    try:
        jobqueue()
        from dask_lxplus.cluster import CernCluster, CernJob
    except ModuleNotFoundError as error:
        raise ClusterError("the kind lxplus needs the package dask-lxplus: pip install 'hepbatch[lxplus]'") from error
    options = _options(request, pool, tls)
    directives = _directives(request, pool)
    directives.pop("request_gpus", None)
    if spool:
        _spooled(request, options, directives)
    else:
        directives.setdefault("initialdir", str(request.log.parent))  # where the user stands may be on EOS
    if pool.job_flavour:
        directives["+JobFlavour"] = f'"{pool.job_flavour}"'
        directives.pop("+MaxRuntime", None)
    asked = footprint(pool)
    modified = CernCluster._modify_kwargs(
        {**options, "job_extra_directives": directives},
        worker_image=pool.container or "",
        container_runtime="singularity" if pool.container else "none",
        gpus=asked.gpus or None,
        batch_name=request.name,
    )
    return str(CernJob(**modified).job_script())


def _spooled(request: JobRequest, options: dict[str, Any], directives: dict[str, str]) -> None:
    """What the job says goes to its log by its own hand: HTCondor's scheduler would keep it, and its events too."""
    options["job_script_prologue"][0] = f"exec >>{shlex.quote(str(request.log))} 2>&1"
    for name in ("Log", "Stream_Output"):
        directives.pop(name)
    directives["Output"] = request.log.name


def _constraint(run: str, parts: Sequence[str] = POOLS) -> str:
    return " || ".join(f'JobBatchName == "{run}-{part}"' for part in parts)


def _options(request: JobRequest, pool: PoolSettings, tls: TlsFiles) -> dict[str, Any]:
    # HTCondor's submit language takes $( for a variable of its own.
    lines = [line.replace("$(", "$(DOLLAR)(") for line in ("exec 2>&1", *prologue(request, pool))]
    common = job_options(request.pool, pool, tls)
    return {
        **common,
        # HTCondor tells the end of a job to its first process alone, which is a shell.
        "python": f"exec {common['python']}",
        "scheduler": request.scheduler,
        "name": request.worker,
        "disk": str(size(pool.disk)),
        "shebang": f"# {request.worker} of {request.name}",
        "job_script_prologue": lines,
        "submit_command_extra": [],
        "cancel_command_extra": [],
    }


def _directives(request: JobRequest, pool: PoolSettings) -> dict[str, str]:
    asked = footprint(pool)
    directives = {
        "batch_name": request.name,
        "RequestCpus": str(asked.cores),
        "RequestMemory": str(math.ceil(asked.memory / 2**20)),
        # Both streams are one in the job's shell: HTCondor would let each overwrite what the other wrote to a file.
        "Output": str(request.log),
        "Log": str(request.log.with_suffix(".events")),
        "Stream_Output": "True",
        "+MaxRuntime": str(math.floor(pool.walltime)),
    }
    if asked.gpus:
        directives["request_gpus"] = str(asked.gpus)
    if pool.account:
        directives["accounting_group"] = pool.account
    return directives | (pool.directives if isinstance(pool.directives, dict) else {})
