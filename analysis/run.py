"""What the stages of one run share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.configuration import Configuration
from analysis.datasets.catalogue import Catalogue
from analysis.engine.attempts import Counts, Kind, Outcome
from analysis.engine.dispatch import Dispatcher, NoSpace, dispatched
from analysis.engine.ledger import Ledger
from analysis.engine.lock import RunLock
from analysis.engine.stopping import StopRequest
from analysis.errors import UserError
from analysis.manifest import Manifest
from analysis.preconditions import no_room
from analysis.progress import announce_dashboard, follow, say
from cluster.errors import ClusterError, SchedulerGone
from cluster.opening import open_cluster
from cluster.pools import Cluster
from cluster.settings import ClusterSettings

if TYPE_CHECKING:
    from distributed import Client

# A cluster that is lost so often will be lost again.
LARGEST_REOPENINGS = 5


@dataclass
class Figures:
    """What one worker did in this run."""

    pool: str
    host: str
    tasks: int = 0
    seconds: float = 0.0
    peak_memory: int = 0
    bytes_read: int = 0


@dataclass
class Run:
    """One run: configuration, directory, cluster, ledger and manifest; calls go to the cluster through it.

    Use it in a `with`: leaving ends the cluster.
    """

    configuration: Configuration
    catalogue: Catalogue
    directory: Path
    manifest: Manifest
    cluster_settings: ClusterSettings
    ledger: Ledger
    stop: StopRequest
    lock: RunLock
    retry_failed: bool = False
    figures: dict[str, Figures] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    _mapped: set[str] = field(default_factory=set)

    def __enter__(self) -> Run:
        self._stack = ExitStack()
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *problem: object) -> None:
        self._stack.close()

    @property
    def cluster(self) -> Cluster:
        """The running cluster."""
        return self._cluster

    def map(
        self,
        pool: str,
        function: Callable[[Any, int], Any],
        arguments: Iterable[Any],
        total: int,
        what: str,
        *,
        kind: Kind | None = None,
        longest: float | None = None,
        place: Path | None = None,
        detail: Callable[[], str] | None = None,
    ) -> Iterator[Outcome]:
        """Outcomes of `function(argument, attempt)` for every argument, on the workers of a pool, as they arrive.

        `what` names it where the user sees the progress (empty: no progress is shown), `detail` says more of it there;
        what takes longer than `longest` [s] is taken from its worker; the calls write to `place`, by default the run
        directory. Raises Stopped when the run was asked to stop,
        UserError when the pool does not start, or there is no room for what the calls write.
        """
        if not total:  # nobody is started for nothing
            return
        policy = self.configuration.retries.policy(longest)
        self._need(pool, total)
        inner, self._mapped = pool in self._mapped, self._mapped | {pool}
        left = total
        dispatcher = Dispatcher(
            self.cluster.client, function, self.cluster.tag(pool), policy, kind or Kind(), self.stop,
            watch=lambda: self._watch(pool), patience=self.cluster.patience[pool],
        )  # fmt: skip
        try:
            with self.stop.heeded():
                outcomes = dispatched(dispatcher, arguments, partial(self._reopen, pool, total))
                for outcome in follow(outcomes, total, what, detail=detail) if what else outcomes:
                    self.lock.confirm()
                    self._note(pool, outcome)
                    left += len(outcome.split) - 1
                    if not inner:  # a call in the midst of another knows only its own part
                        self.cluster.remaining(pool, left)
                    yield outcome
        except NoSpace as problem:
            raise UserError(no_room(place or self.directory, problem)) from problem
        finally:
            self._mapped -= set() if inner else {pool}
            for one in fields(Counts):
                setattr(self.counts, one.name, getattr(self.counts, one.name) + getattr(dispatcher.counts, one.name))

    def release(self, pool: str) -> None:
        """Ends the workers of a pool: the stage that needed them is over."""
        with self.stop.heeded():
            self.cluster.release(pool)

    def record_cluster(self, name: str) -> None:
        """Puts the cluster and the figures of its workers into the manifest."""
        facts = self.cluster.facts()
        # The pools of an earlier session, whose stages are kept, are facts of this run too.
        facts["pools"] = self.manifest.content["cluster"].get("pools", {}) | facts["pools"]
        self.manifest.content["cluster"] = {"name": name, "kind": self.cluster.kind, **asdict(self.counts), **facts}
        before = {one["name"]: one for one in self.manifest.content["workers"]}
        now = {
            name: {
                "name": name,
                "pool": figures.pool,
                "host": figures.host,
                "tasks": figures.tasks,
                "busy_seconds": round(figures.seconds, 3),
                "peak_memory_bytes": figures.peak_memory,
                "bytes_read": figures.bytes_read,
            }
            for name, figures in sorted(self.figures.items())
        }
        self.manifest.content["workers"] = list((before | now).values())

    def _note(self, pool: str, outcome: Outcome) -> None:
        if outcome.worker:
            figures = self.figures.setdefault(outcome.worker, Figures(pool, outcome.host or ""))
            figures.tasks += 1
            figures.seconds += outcome.seconds
            figures.peak_memory = max(figures.peak_memory, outcome.peak_memory)
            figures.bytes_read += getattr(outcome.value, "bytes_read", 0)

    def _open(self) -> None:
        # A cluster that is interrupted while it starts leaves pieces behind: a request to stop waits until it is up.
        with self.stop.heeded():
            try:
                self._cluster = self._stack.enter_context(
                    open_cluster(self.cluster_settings, self.directory, self.stop.check)
                )
            except ClusterError as error:
                raise UserError(str(error)) from error
            self.stop.check()
        announce_dashboard(self._cluster.client)

    def _need(self, pool: str, items: int) -> None:
        with self.stop.heeded():
            while True:
                try:
                    self.cluster.need(pool, items, self.stop.check)
                except SchedulerGone:
                    self._replace()
                except ClusterError as error:
                    raise UserError(str(error)) from error
                else:
                    return

    def _watch(self, pool: str) -> None:
        try:
            self.cluster.watch(pool)
        except ClusterError as error:
            raise UserError(str(error)) from error

    def _reopen(self, pool: str, items: int, lost: Client) -> Client:
        if self.cluster.client is lost:  # else whoever noticed first has done it
            self._replace()
        self._need(pool, items)
        return self.cluster.client

    def _replace(self) -> None:
        if self.counts.reopened >= LARGEST_REOPENINGS:
            raise UserError(f"the cluster was lost {LARGEST_REOPENINGS} times; the same command goes on")
        self.counts.reopened += 1
        say("the cluster is lost; another one is started, and the run goes on")
        self._stack.close()
        self._open()
