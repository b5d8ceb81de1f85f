"""The driver as a batch job of its own: what the batch system is told, and what the run directory remembers of it."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cluster.quantities import size
from cluster.scheduler_process import python_path
from cluster.settings import DriverSettings
from cluster.slurm import clock

NAME = "driver.json"
PART = "driver"
# The exit status with which a driver asks HTCondor to be started again (EX_TEMPFAIL of sysexits.h).
GO_ON = 75
# HTCondor starts a job with an empty environment. Nothing secret is among these: they stand in a file.
KEPT = (
    "PATH", "HOME", "USER", "LOGNAME", "CONDOR_CONFIG", "DASK_CONFIG", "MPLCONFIGDIR", "XDG_CACHE_HOME",
    "KERAS_BACKEND", "KRB5CCNAME", "X509_CERT_DIR", "X509_VOMS_DIR",
)  # fmt: skip
MIB = 2**20


@dataclass(frozen=True)
class DriverRecord:
    """The driver's job: its batch system, the name of the job, its number, and how it ended (an exit status).

    `session` counts the jobs that it had, of at most `sessions`; each is told to stop after `stop_after` [s].
    """

    kind: str
    run: str
    script: str
    sessions: int
    stop_after: float
    session: int = 1
    job: str | None = None
    ended: int | None = None

    def save(self, directory: Path) -> None:
        """Writes it to the run directory, in one step."""
        temporary = directory / f"{NAME}.tmp"
        temporary.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")
        temporary.replace(directory / NAME)


def driver_record(directory: Path) -> DriverRecord | None:
    """The last driver that was a job; None where none ever was."""
    try:
        return DriverRecord(**json.loads((directory / NAME).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


@dataclass(frozen=True)
class DriverRequest:
    """One driver's job: the `command` that it runs in the directory `where`, as the job `run`-driver."""

    run: str
    command: Sequence[str]
    where: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the job."""
        return f"{self.run}-{PART}"


def render_slurm(request: DriverRequest, driver: DriverSettings) -> str:
    """The job script for sbatch. The driver's process takes the place of the shell, and so gets its signals."""
    options = [
        f"-J {request.name}",
        *([f"-p {driver.queue}"] if driver.queue else []),
        *([f"-A {driver.account}"] if driver.account else []),
        *([f"--qos={driver.qos}"] if driver.qos else []),
        "-n 1",
        f"--cpus-per-task={driver.cores}",
        f"--mem={_mebibytes(driver)}M",
        f"-t {clock(driver.walltime)}",
        f"-D {request.where}",
        f"-o {request.log}",
        "--open-mode=append",
        f"--signal=B:USR1@{math.ceil(driver.stop_before)}",
        "--requeue",
        *driver.directives,
    ]
    lines = [f"#SBATCH {option}" for option in options]
    return "\n".join(["#!/usr/bin/env bash", *lines, *_exports(request.environment), *driver.setup, _last(request), ""])


def render_htcondor(request: DriverRequest, driver: DriverSettings, script: Path) -> tuple[str, str]:
    """The submit description, and the shell script `script` that it runs."""
    description = {
        "executable": "/bin/bash",
        "arguments": f"\"'{script}'\"",
        "transfer_executable": "False",
        "initialdir": str(request.where),
        "batch_name": request.name,
        "RequestCpus": str(driver.cores),
        "RequestMemory": str(_mebibytes(driver)),
        "log": str(request.log.with_suffix(".events")),
        "+MaxRuntime": str(math.floor(driver.walltime)),
        # The driver has to end its worker jobs [s].
        "job_max_vacate_time": str(math.ceil(driver.stop_before)),
        "on_exit_remove": f"ExitCode =!= {GO_ON}",
        **({"accounting_group": driver.account} if driver.account else {}),
        **({"+JobFlavour": f'"{driver.job_flavour}"'} if driver.job_flavour else {}),
        **(driver.directives if isinstance(driver.directives, dict) else {}),
    }
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    lines = [
        "#!/usr/bin/env bash",
        # Not HTCondor's own output: that begins anew whenever the job does.
        f"exec >>{shlex.quote(str(request.log))} 2>&1",
        f"cd {shlex.quote(str(request.where))} || exit 1",
        *_exports({**kept, **request.environment}),
        *driver.setup,
        _last(request),
    ]
    text = "\n".join([*(f"{key} = {value}" for key, value in description.items()), "queue 1", ""])
    return text, "\n".join([*lines, ""])


def _exports(environment: Mapping[str, str]) -> list[str]:
    variables = {**environment, "PYTHONPATH": python_path()}
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def _last(request: DriverRequest) -> str:
    return f"exec {shlex.join(request.command)}"


def _mebibytes(driver: DriverSettings) -> int:
    return math.ceil(size(driver.memory) / MIB)
