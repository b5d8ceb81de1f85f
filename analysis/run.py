"""What the stages of one run share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from analysis.configuration import Configuration
from analysis.datasets.catalogue import Catalogue
from analysis.engine.dispatch import Dispatcher, Outcome, indivisible
from analysis.engine.ledger import Ledger
from analysis.manifest import Manifest
from analysis.progress import follow
from cluster.local import Cluster
from cluster.settings import TAGS


@dataclass
class Figures:
    """What one worker did in this run."""

    tasks: int = 0
    seconds: float = 0.0
    peak_memory: int = 0


@dataclass
class Run:
    """One run: configuration, directory, cluster, ledger and manifest; calls go to the cluster through it."""

    configuration: Configuration
    catalogue: Catalogue
    directory: Path
    manifest: Manifest
    cluster: Cluster
    ledger: Ledger
    retry_failed: bool = False
    figures: dict[str, Figures] = field(default_factory=lambda: defaultdict(Figures))
    retries: int = 0
    lost_workers: int = 0

    def map(
        self,
        pool: str,
        function: Callable[[Any, int], Any],
        arguments: Iterable[Any],
        total: int,
        what: str,
        *,
        halves: Callable[[Any], tuple[Any, Any] | None] = indivisible,
        batches: bool = True,
    ) -> Iterator[Outcome]:
        """Outcomes of `function(argument, attempt)` for every argument, on the workers of a pool, as they arrive."""
        policy = self.configuration.retries.policy()
        dispatcher = Dispatcher(self.cluster.client, function, TAGS[pool], policy, halves, batches)
        for outcome in follow(dispatcher.run(arguments), total, what):
            if outcome.worker is not None:
                figures = self.figures[outcome.worker]
                figures.tasks += 1
                figures.seconds += outcome.seconds
                figures.peak_memory = max(figures.peak_memory, outcome.peak_memory)
            yield outcome
        self.retries += dispatcher.counts.retries
        self.lost_workers += dispatcher.counts.lost_workers

    def record_cluster(self, name: str) -> None:
        """Puts the cluster and the figures of its workers into the manifest."""
        cluster = self.cluster
        self.manifest.content["cluster"] = {
            "name": name,
            "kind": cluster.kind,
            "retries": self.retries,
            "lost_workers": self.lost_workers,
            "pools": {
                pool: {"workers": size, "memory_bytes": cluster.memory[pool]} for pool, size in cluster.workers.items()
            },
        }
        before = {one["name"]: one for one in self.manifest.content["workers"]}
        now = {
            address: {
                "name": address,
                "pool": cluster.pool_of.get(address, "replaced"),
                "host": urlsplit(address).hostname,
                "tasks": figures.tasks,
                "busy_seconds": round(figures.seconds, 3),
                "peak_memory_bytes": figures.peak_memory,
            }
            for address, figures in sorted(self.figures.items())
        }
        self.manifest.content["workers"] = list((before | now).values())
