"""What a cluster's YAML file may say."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from cluster.quantities import Duration, Place, Range, Size, Workers

# The Dask resource that a pool's workers carry and its tasks ask for.
TAGS = {"cpu": "CPU", "gpu": "GPU"}
Kind = Literal["local", "slurm", "htcondor", "lxplus", "coffea-casa", "address"]
BATCH = ("slurm", "htcondor", "lxplus")
EXISTING = ("address", "coffea-casa")


class PoolSettings(BaseModel):
    """One pool of equal workers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workers: Workers = Field(
        default="auto",
        description="number of worker processes, or {minimum, maximum}: as many as there are items left, within the "
        "limits; auto (local only): one per core for cpu, one per GPU for gpu",
    )
    threads: PositiveInt = Field(default=1, description="threads per worker process")
    memory: Size = Field(
        default="auto",
        description="memory limit per worker process, for example 4GiB; auto (local only): an equal share",
    )
    environment: dict[str, str] = Field(default_factory=dict, description="environment variables of the workers")
    start_limit: Duration = Field(
        default=3600.0, description="longest wait for the first worker, and for another when all have gone"
    )
    # What follows is for batch jobs.
    processes: PositiveInt = Field(default=1, description="worker processes per job")
    cores: PositiveInt | None = Field(
        default=None, description="cores a job asks for; where not given, processes x threads"
    )
    job_memory: Size = Field(
        default="auto",
        description="memory a job asks for; auto: processes x memory and a tenth more",
    )
    gpus: NonNegativeInt = Field(default=0, description="GPUs per worker process")
    gpu_request: str = Field(
        default="--gres=gpu:{gpus}", description="Slurm: the option that asks for GPUs; {gpus} is their number in a job"
    )
    walltime: Duration = Field(default=7200.0, description="longest life of a job; workers end before, others follow")
    retire_before: Duration | None = Field(
        default=None,
        description="workers take no more tasks so long before the walltime; where not given, a tenth of it, at most "
        "15 minutes. A task that needs longer than this is begun again elsewhere",
    )
    queue: str | None = Field(default=None, description="Slurm: partition")
    account: str | None = Field(default=None, description="account that pays; HTCondor: accounting group")
    qos: str | None = Field(default=None, description="Slurm: quality of service")
    job_flavour: str | None = Field(default=None, description="lxplus: job flavour, for example workday")
    disk: Size = Field(default="10GiB", description="HTCondor: disk a job asks for")
    directives: dict[str, str] | list[str] = Field(
        default_factory=list,
        description="further options of the job: Slurm a list (--constraint=a100), else a mapping of submit commands",
    )
    job_limit: PositiveInt | None = Field(default=None, description="jobs of this pool that may be submitted at a time")
    python: str | None = Field(
        default=None, description="Python that runs the workers; where not given, the one that runs hepbatch"
    )
    archive: str | None = Field(
        default=None,
        description="environment as a .tar.gz that each job unpacks on its node; its bin/python runs the workers",
    )
    container: str | None = Field(default=None, description="container image in which the workers run")
    container_command: str = Field(
        default="apptainer exec --bind /tmp {image}",
        description="Slurm: the command that runs another in the container; {image} is the image",
    )
    setup: list[str] = Field(default_factory=list, description="shell lines that a job runs before its workers")
    scratch: str | None = Field(
        default=None, description="directory on the node for the workers' temporary files, for example $TMPDIR"
    )
    # What follows is for a cluster that exists.
    untagged: bool = Field(default=False, description="address, coffea-casa: use workers that carry no tag")


class Pools(BaseModel):
    """The pools of a cluster: skims run on `cpu`, training on `gpu`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpu: PoolSettings = PoolSettings()
    gpu: PoolSettings = PoolSettings()


class SchedulerSettings(BaseModel):
    """The Dask scheduler of batch jobs, which runs where hepbatch runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    interface: str | None = Field(default=None, description="network interface that the jobs reach, for example ib0")
    host: str | None = Field(
        default=None, description="address to listen at; where neither is given, the address that leads outside"
    )
    port: NonNegativeInt = Field(default=0, description="port to listen at; 0: any free one")
    dashboard: str = Field(
        default="127.0.0.1:0", description="address of the dashboard, which has no password; :8787 is on all interfaces"
    )
    query_interval: Duration = Field(default=15.0, description="how often the batch system is asked for its jobs")
    submit_limit: Duration = Field(default=120.0, description="longest time that a submission or a query may take")

    @model_validator(mode="after")
    def _one_place(self) -> SchedulerSettings:
        if self.interface and self.host:
            raise ValueError("give the interface or the host, not both")
        return self


class Certificates(BaseModel):
    """Files that let a client in to a scheduler that exists."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ca_file: str = Field(description="certificate authority of the cluster (PEM)")
    cert: str = Field(description="certificate of the user (PEM)")
    key: str = Field(description="key of the user (PEM)")


class CredentialSettings(BaseModel):
    """What lets a user in to files elsewhere, and has to last for a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    x509_proxy: Place = Field(
        default=False,
        description="an X.509 (VOMS) proxy is needed: true where X509_USER_PROXY says, else /tmp/x509up_u<uid>; or "
        "its path",
    )
    kerberos: bool = Field(default=False, description="a Kerberos ticket is needed, as klist sees it")
    token: Place = Field(
        default=False,
        description="a bearer token is needed: true where WLCG looks for it (BEARER_TOKEN, BEARER_TOKEN_FILE, "
        "$XDG_RUNTIME_DIR/bt_u<uid>, /tmp/bt_u<uid>); or its path",
    )
    lifetime: Duration = Field(
        default=28800.0, description="proxy and ticket must be valid for so long when a run begins"
    )
    token_lifetime: Duration = Field(
        default=1200.0, description="the same for a token, which lives shortly and is renewed during the run"
    )
    on_workers: bool = Field(default=True, description="batch jobs: the first worker of each pool must see them too")
    copy_proxy: bool = Field(
        default=False,
        description="batch jobs: copy the proxy, and each renewed one, to private/ in the run directory and point the "
        "jobs' X509_USER_PROXY there; for nodes that do not see /tmp of this machine",
    )

    @model_validator(mode="after")
    def _something_to_copy(self) -> CredentialSettings:
        if self.copy_proxy and not self.x509_proxy:
            raise ValueError("copy_proxy needs x509_proxy")
        return self


class DriverSettings(BaseModel):
    """Where `--detach` lets the driver go on: here, or in a batch job of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    where: Literal["here", "job"] = Field(
        default="here",
        description="here: a process on this machine that outlives the terminal; job: a batch job of its own, where "
        "the nodes may submit jobs",
    )
    walltime: Duration = Field(default=86400.0, description="longest life of the job")
    stop_before: Duration = Field(
        default=300.0, description="the driver stops in order so long before the walltime, and goes on in another job"
    )
    sessions: PositiveInt = Field(default=10, description="so many jobs one after another at most")
    wait: Duration = Field(default=60.0, description="--detach waits so long for the job to begin")
    cores: PositiveInt = Field(default=2, description="cores: the driver's and the Dask scheduler's")
    memory: Size = Field(default="4GiB", description="memory of the job")
    queue: str | None = Field(default=None, description="Slurm: partition")
    account: str | None = Field(default=None, description="account that pays; HTCondor: accounting group")
    qos: str | None = Field(default=None, description="Slurm: quality of service")
    job_flavour: str | None = Field(default=None, description="lxplus: job flavour")
    directives: dict[str, str] | list[str] = Field(
        default_factory=list, description="further options of the job, as those of a pool"
    )
    setup: list[str] = Field(default_factory=list, description="shell lines before the driver")

    @model_validator(mode="after")
    def _time_to_stop(self) -> DriverSettings:
        if self.stop_before >= self.walltime:
            raise ValueError("stop_before must be less than the walltime")
        return self


class ClusterSettings(BaseModel):
    """A cluster: its kind and its pools."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = Field(description="what starts the workers")
    pools: Pools = Pools()
    scheduler: SchedulerSettings = Field(
        default=SchedulerSettings(), description="batch jobs: the Dask scheduler they report to"
    )
    address: str | None = Field(
        default=None, description="address, coffea-casa: the scheduler, for example tls://localhost:8786"
    )
    ship_code: bool = Field(
        default=False, description="address, coffea-casa: send hepbatch's own code to workers that do not have it"
    )
    certificates: Certificates | None = Field(
        default=None, description="address, coffea-casa: certificates of a scheduler that speaks TLS"
    )
    credentials: CredentialSettings = Field(
        default=CredentialSettings(), description="what must be valid for long enough before a run begins"
    )
    driver: DriverSettings = Field(default=DriverSettings(), description="where --detach lets the driver go on")
    free_space: Size = Field(
        default="1GiB", description="free space of the run directory below which a run does not begin"
    )
    xrootd_prefix: str | None = Field(
        default=None,
        description="put before every root:// address when it is opened, as a site's cache or proxy wants it, for "
        "example root://xcache.example.org:1094//; a run names its files by their own addresses all the same",
    )

    @field_validator("xrootd_prefix")
    @classmethod
    def _prefix(cls, text: str | None) -> str | None:
        if text is None:
            return None
        found = re.fullmatch(r"(x?root://[^/\s]+)(/\S*)?", text)
        if found is None:
            raise ValueError("expected the address of a cache or proxy, for example root://xcache.example.org:1094//")
        server, path = found.groups()
        # What follows the server is a path, and an absolute one begins with a second slash.
        return f"{server}//" if path in (None, "/", "//") else f"{server}{path.rstrip('/')}/"

    @model_validator(mode="after")
    def _suits_the_kind(self) -> ClusterSettings:
        for name in TAGS:
            pool: PoolSettings = getattr(self.pools, name)
            given = {key for key in pool.model_fields_set if getattr(pool, key) != type(pool).model_fields[key].default}
            foreign = sorted(given - _keys_of(self.kind))
            if foreign:
                raise ValueError(f"the key pools.{name}.{foreign[0]} means nothing for the kind {self.kind}")
            if self.kind in BATCH:
                _check_batch_pool(self.kind, name, pool)
        if self.kind == "local" and any(isinstance(getattr(self.pools, one).workers, Range) for one in TAGS):
            raise ValueError("the workers of the kind local are a number or auto")
        self._check_driver()
        if (self.kind in EXISTING) != (self.address is not None):
            need = "needs the" if self.kind in EXISTING else "has no"
            raise ValueError(f"the kind {self.kind} {need} key address")
        return self

    def _check_driver(self) -> None:
        driver = self.driver
        if driver.where == "job" and self.kind not in BATCH:
            raise ValueError(f"driver.where = job means nothing for the kind {self.kind}: it has no batch jobs")
        foreign = {"queue": ("slurm",), "qos": ("slurm",), "job_flavour": ("lxplus",)}
        for key, kinds in foreign.items():
            if getattr(driver, key) and self.kind not in kinds:
                raise ValueError(f"the key driver.{key} means nothing for the kind {self.kind}")
        if self.credentials.copy_proxy and self.kind not in BATCH:
            raise ValueError(f"the key credentials.copy_proxy means nothing for the kind {self.kind}")
        _check_directives(self.kind, "driver", driver.directives)


_COMMON = {"workers", "threads", "memory", "environment", "start_limit"}
_JOB = _COMMON | {
    "processes", "cores", "job_memory", "gpus", "walltime", "retire_before", "account", "directives", "job_limit",
    "python", "archive", "container", "setup", "scratch",
}  # fmt: skip


def _keys_of(kind: Kind) -> set[str]:
    """Keys of a pool that have a meaning for a kind of cluster."""
    return {
        "local": _COMMON,
        "slurm": _JOB | {"queue", "qos", "gpu_request", "container_command"},
        "htcondor": _JOB | {"disk"},
        "lxplus": _JOB | {"disk", "job_flavour"},
        "coffea-casa": {"start_limit", "untagged"},
        "address": {"start_limit", "untagged"},
    }[kind]


def _check_batch_pool(kind: Kind, name: str, pool: PoolSettings) -> None:
    for key in ("workers", "memory"):
        if getattr(pool, key) == "auto":
            raise ValueError(f"pools.{name}.{key} must be given for the kind {kind}")
    _check_directives(kind, f"pools.{name}", pool.directives)
    if retirement(pool) >= pool.walltime:
        raise ValueError(f"pools.{name}.retire_before must be less than its walltime")


def _check_directives(kind: Kind, where: str, directives: dict[str, str] | list[str]) -> None:
    if isinstance(directives, dict) == (kind == "slurm") and directives:
        form = "a list of options" if kind == "slurm" else "a mapping of submit commands to values"
        raise ValueError(f"{where}.directives is {form} for the kind {kind}")


def retirement(pool: PoolSettings) -> float:
    """How long before the walltime the workers of a pool take no more tasks [s]."""
    return min(900.0, 0.1 * pool.walltime) if pool.retire_before is None else pool.retire_before
