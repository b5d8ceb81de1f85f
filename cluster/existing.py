"""A Dask cluster that exists: its scheduler has an address, its workers come and go without us."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError
from cluster.pools import Cluster, carries, keep_waiting, tagged_workers
from cluster.security import TlsFiles
from cluster.settings import TAGS, Certificates, ClusterSettings
from cluster.shared_code import one_code
from cluster.versions import check_code, check_versions

TICK = 0.5
# To reach the scheduler [s].
CONNECT_LIMIT = 15
# How often workers that came later are looked for [s].
LATE_INTERVAL = 5.0


class ExistingCluster(Cluster):
    """Workers that somebody else starts and ends; nothing here is ever restarted or closed."""

    def __init__(self, settings: ClusterSettings, address: str, client: Any) -> None:
        self.kind = settings.kind
        self.client = client
        self._address = address
        self._ships = settings.ship_code
        self._own_modules = tuple(settings.own_modules)
        self._pools = {name: getattr(settings.pools, name) for name in TAGS}
        self.patience = {name: pool.start_limit for name, pool in self._pools.items()}
        self._seen: dict[str, int] = {}
        self._checked: set[str] = set()
        self._looked = time.monotonic()

    def need(self, pool: str, items: int | None = None, check: Callable[[], None] = keep_waiting) -> None:  # noqa: ARG002
        """Returns when a worker with the pool's tag is there and has the driver's software."""
        limit = self._pools[pool].start_limit
        until = time.monotonic() + limit
        while not (workers := tagged_workers(self.client, self.tag(pool))):
            check()
            if time.monotonic() > until:
                wanted = f"with the tag {self.tag(pool)}" if self.tag(pool) else "without a tag"
                raise ClusterError(
                    f"the cluster at {self._address} has no worker {wanted} after {limit:.0f} s: {self._offers(pool)}"
                )
            time.sleep(TICK)
        self._take(pool, workers)

    def watch(self, pool: str) -> None:
        """Workers that come later must have the driver's software too."""
        if time.monotonic() - self._looked > LATE_INTERVAL:
            self._take(pool, tagged_workers(self.client, self.tag(pool)))

    def release(self, pool: str) -> None:
        """Leaves the workers as they are."""

    def facts(self) -> dict[str, Any]:
        """The address, and how many workers were seen of each pool."""
        return {"scheduler": self._address, "pools": {pool: {"workers": number} for pool, number in self._seen.items()}}

    def tag(self, pool: str) -> str | None:
        """The tag of a pool; None where the settings say that its workers carry none."""
        return None if self._pools[pool].untagged else TAGS[pool]

    def _take(self, pool: str, workers: dict[str, Any]) -> None:
        self._looked = time.monotonic()
        self._seen[pool] = max(self._seen.get(pool, 0), len(workers))
        new = {address: str(facts["name"]) for address, facts in workers.items() if address not in self._checked}
        if new:
            check_versions(self.client, new, without=("hepbatch",) if self._ships else ())
            check_code(self.client, new, self._own_modules, renew=True)
            self._checked.update(new)

    def _offers(self, pool: str) -> str:
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        if not workers:
            return "it has no workers at all"
        offered = sorted({name for facts in workers for name in facts.get("resources", {})})
        bare = sum(carries(facts.get("resources", {}), None) for facts in workers)
        hint = f"; pools.{pool}.untagged: true would use the {bare} workers without one" if bare else ""
        return f"its {len(workers)} workers have the tags {', '.join(offered) or '(none)'}{hint}"


@contextmanager
def open_existing(settings: ClusterSettings, directory: Path) -> Iterator[Cluster]:
    """Connects to the scheduler at `settings.address`; raises ClusterError when nobody answers there."""
    from distributed import Client

    address = str(settings.address)
    # Where none are given, Dask's configuration has the last word: a facility sets it in the environment.
    security = given_certificates(settings.certificates).security() if settings.certificates else None
    try:
        client = Client(address, security=security, timeout=CONNECT_LIMIT)
    except (OSError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())
        if isinstance(error, TypeError) and address.startswith("tls://"):
            raise ClusterError(
                f"{address} speaks TLS: give cluster.certificates, or name them in Dask's configuration "
                "(distributed.comm.tls)"
            ) from error
        raise ClusterError(f"no Dask scheduler answers at {address}: {said}") from error
    with client, one_code(client, address, settings, directory):
        yield ExistingCluster(settings, address, client)


def given_certificates(paths: Certificates) -> TlsFiles:
    """The files that the settings name; ClusterError when one is not there."""
    for key, path in paths.model_dump().items():
        if not Path(path).is_file():
            raise ClusterError(f"cluster.certificates.{key}: there is no file {path}")
    return TlsFiles(paths.ca_file, paths.cert, paths.key)
