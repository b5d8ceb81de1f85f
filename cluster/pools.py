"""What every kind of cluster offers: a client, and pools of workers that start when they are needed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cluster.errors import SchedulerGone
from cluster.settings import TAGS

if TYPE_CHECKING:
    from distributed import Client


def keep_waiting() -> None:
    """The usual word to someone who waits: go on."""


class Cluster(ABC):
    """A running cluster. `client` is connected to its scheduler, `kind` is that of its settings."""

    client: Client
    kind: str
    # How long a pool may be without workers before the cluster counts as lost [s].
    patience: dict[str, float]

    @abstractmethod
    def need(self, pool: str, items: int | None = None, check: Callable[[], None] = keep_waiting) -> None:
        """Starts a pool unless it runs already, and returns when its first worker is there.

        `items` is how many pieces of work wait for it (None: as many as it has workers). While this waits it calls
        `check` about once a second, which may raise. Raises ClusterError with the batch system's reason when no worker
        comes within the pool's `start_limit`, and SchedulerGone when the cluster has no scheduler any more.
        """

    @abstractmethod
    def release(self, pool: str) -> None:
        """Ends the workers of a pool; one that does not run is none the worse."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What the manifest says of the pools that ran so far: number of workers, memory limit [bytes], jobs."""

    def remaining(self, pool: str, items: int) -> None:  # noqa: B027  (most kinds have nothing to do)
        """Tells that so many pieces of work are left for a pool, which may then let workers go."""

    def watch(self, pool: str) -> None:  # noqa: B027  (most kinds have nothing to say)
        """Raises ClusterError when a running pool cannot have workers any more."""

    def tag(self, pool: str) -> str | None:
        """The Dask resource that tasks for a pool ask for; None where its workers carry no tag."""
        return TAGS[pool]


def tagged_workers(client: Client, tag: str | None) -> dict[str, Any]:
    """The workers that carry a tag (None: those that carry none of ours) and take tasks: address to what Dask knows.

    Raises SchedulerGone.
    """
    try:
        workers = client.scheduler_info(n_workers=-1)["workers"]
    except OSError as error:
        raise SchedulerGone(f"the Dask scheduler does not answer: {' '.join(str(error).split())}") from error
    return {
        address: facts
        for address, facts in workers.items()
        if facts.get("status") == "running" and carries(facts.get("resources", {}), tag)
    }


def carries(resources: dict[str, float], tag: str | None) -> bool:
    """Whether a worker with these Dask resources is one for a tag."""
    return not set(TAGS.values()) & set(resources) if tag is None else bool(resources.get(tag))
