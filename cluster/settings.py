"""What a cluster's YAML file may say."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

# The Dask resource that a pool's workers carry and its tasks ask for.
TAGS = {"cpu": "CPU", "gpu": "GPU"}


class PoolSettings(BaseModel):
    """One pool of equal workers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workers: PositiveInt | Literal["auto"] = Field(default="auto", description="number of worker processes")
    threads: PositiveInt = Field(default=1, description="threads per worker process")
    memory: str = Field(default="auto", description="memory limit per worker process, for example 4GiB")
    environment: dict[str, str] = Field(default_factory=dict, description="environment variables of the workers")


class Pools(BaseModel):
    """The pools of a cluster: skims run on `cpu`, training on `gpu`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpu: PoolSettings = PoolSettings()
    gpu: PoolSettings = PoolSettings()


class ClusterSettings(BaseModel):
    """A cluster: its kind and its pools."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["local"] = Field(description="what starts the workers")
    pools: Pools = Pools()
