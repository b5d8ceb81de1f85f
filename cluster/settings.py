"""What a cluster's YAML file may say."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from cluster.quantities import Duration, Range, Size, Workers

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
    own_modules: list[str] = Field(
        default_factory=list,
        description="address, coffea-casa: modules or packages of yours that the analysis needs: ship_code sends them "
        "too",
    )
    certificates: Certificates | None = Field(
        default=None,
        description="address, coffea-casa: certificates of a scheduler that speaks TLS; where not given, those that "
        "Dask's configuration names",
    )

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
        if (self.kind in EXISTING) != (self.address is not None):
            need = "needs the" if self.kind in EXISTING else "has no"
            raise ValueError(f"the kind {self.kind} {need} key address")
        for key in ("ship_code", "own_modules", "certificates"):
            if getattr(self, key) and self.kind not in EXISTING:
                raise ValueError(f"the key {key} means nothing for the kind {self.kind}")
        return self


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
    if isinstance(pool.directives, dict) == (kind == "slurm") and pool.directives:
        form = "a list of options" if kind == "slurm" else "a mapping of submit commands to values"
        raise ValueError(f"pools.{name}.directives is {form} for the kind {kind}")
    if retirement(pool) >= pool.walltime:
        raise ValueError(f"pools.{name}.retire_before must be less than its walltime")


def retirement(pool: PoolSettings) -> float:
    """How long before the walltime the workers of a pool take no more tasks [s]."""
    return min(900.0, 0.1 * pool.walltime) if pool.retire_before is None else pool.retire_before
