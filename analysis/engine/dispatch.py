"""Work over a cluster that loses nothing: batches in waves, retries with pauses, lost workers, items that kill."""

from __future__ import annotations

import heapq
import itertools
import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from analysis.engine.attempts import Attempt, Counts, Kind, Outcome, Policy
from analysis.engine.calls import Answer, Answers, Call, call_batch, sentence, unpacked
from analysis.engine.faults import is_transient
from analysis.engine.stopping import StopRequest
from cluster.pools import carries

if TYPE_CHECKING:
    from distributed import Client, Future

# Batches at the scheduler per worker: enough to keep a worker busy, few enough to keep the scheduler light.
QUEUED_PER_WORKER = 2
# A batch of small items takes about this long, so that what Dask needs for a task does not count [s].
BATCH_SECONDS = 0.5
LARGEST_BATCH = 200
# How often the list of workers is read again, and a request to stop is seen [s].
TICK = 1.0
# A pool that has no worker for so long will not have one [s].
LONGEST_WITHOUT_WORKERS = 600.0
# A scheduler that does not answer for so long is gone [s].
LONGEST_RECONNECTION = 10.0
# One node may have a full disk of its own; a second time it is where the run writes.
ATTEMPTS_WHERE_FULL = 2


class ClusterLost(Exception):  # noqa: N818  (whether it is an error is for the caller to say)
    """The scheduler is gone, or all workers of a pool are and stay away. What was on its way is ready to go again."""


class NoSpace(Exception):  # noqa: N818  (the disk is at fault, not an item)
    """There is no room for what the items write: all of them would fail."""


@dataclass
class Flight:
    """A batch at the scheduler: alone at one worker where `place` names it; `missed` since that worker is gone."""

    batch: list[Attempt]
    place: str | None
    sent: float
    missed: float | None = None


def _nobody_watches() -> None:
    """Nobody knows more of the workers than the scheduler."""


@dataclass
class Dispatcher:
    """Calls a function for every item on workers with a tag, and yields each item's end as it comes.

    A transient error is tried again with growing pauses, on another worker where there is one; any error is, while
    there are more addresses of the input. An item whose worker died twice is tried alone on a worker; if that dies
    too, its halves are (where there are none, it fails). `run` may be called again after ClusterLost, with another
    `client`: it goes on. An item that finds a full disk, twice, ends it all with NoSpace.
    """

    client: Client
    function: Callable[..., Any]
    tag: str | None
    policy: Policy = field(default_factory=Policy)
    kind: Kind = field(default_factory=Kind)
    stop: StopRequest = field(default_factory=StopRequest)
    counts: Counts = field(default_factory=Counts)
    watch: Callable[[], None] = _nobody_watches  # called now and then, may raise
    patience: float = LONGEST_WITHOUT_WORKERS  # [s]

    def __post_init__(self) -> None:
        self._ready: deque[Attempt] = deque()
        self._delayed: list[tuple[float, int, Attempt]] = []
        self._alone: deque[Attempt] = deque()
        self._flying: dict[Future[Any], Flight] = {}
        self._arrived: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._exhausted = False
        self._packed: bytes | None = None
        self._seconds_per_item = BATCH_SECONDS
        self._workers: list[str] = []
        self._known: set[str] = set()
        self._answered_at: dict[str, float] = {}
        self._workers_read = -TICK
        self._workers_seen = 0.0

    def run(self, items: Iterator[Any]) -> Iterator[Outcome]:
        """Outcomes in the order of arrival; `items` are taken as they are needed. Raises ClusterLost and Stopped."""
        self._workers_read, self._workers_seen = -TICK, time.monotonic()
        try:
            while True:
                self._wake()
                self._submit(items)
                if self._exhausted and not (self._flying or self._delayed or self._ready or self._alone):
                    return
                yield from self._receive()
                yield from self._overdue()
                self._check()
        finally:
            self._recall()

    def _check(self) -> None:
        self.stop.check()
        self._take_back_strays()
        if self.client.status != "running":
            self._recall()
            self._await_reconnection()
        self.watch()
        if not self._workers and time.monotonic() - self._workers_seen > self.patience:
            raise ClusterLost(f"no worker with the tag {self.tag} for {self.patience:.0f} s")

    def _await_reconnection(self) -> None:
        """Dask tries to find the scheduler again; what it cannot do in this time it will not do later."""
        until = time.monotonic() + LONGEST_RECONNECTION
        while self.client.status == "connecting" and time.monotonic() < until:
            self.stop.check()
            time.sleep(0.1)
        if self.client.status != "running":
            raise ClusterLost("the scheduler is gone")

    def _recall(self) -> None:
        """Takes back what has not arrived: it is as ready as before it was sent."""
        flying, self._flying = self._flying, {}
        for flight in flying.values():
            (self._alone if flight.place is not None else self._ready).extend(flight.batch)
        if flying and self.client.status == "running":
            self.client.cancel(list(flying), force=True)

    def _take_back_strays(self) -> None:
        """Takes back what was sent to a worker that is gone: no other may have it, and it is not why the worker died.

        Whatever dies of an item that it has is known a moment later; what nobody heard of after that never got there.
        """
        self._tagged_workers()
        for future, flight in list(self._flying.items()):
            if flight.place is None or flight.place in self._known or future.status != "pending":
                flight.missed = None
            elif flight.missed is None:
                flight.missed = self._workers_read
            elif self._workers_read - flight.missed >= TICK:
                del self._flying[future]
                self._alone.extend(flight.batch)
                if self.client.status == "running":
                    self.client.cancel([future], force=True)

    def _wake(self) -> None:
        while self._delayed and self._delayed[0][0] <= time.monotonic():
            self._ready.append(heapq.heappop(self._delayed)[2])

    def _submit(self, items: Iterator[Any]) -> None:
        workers = self._tagged_workers()
        while len(self._flying) < QUEUED_PER_WORKER * len(workers) and not self._isolating():
            batch = self._next_batch(items)
            if not batch:
                self._exhausted = True
                break
            self._send(batch, None, workers)
        if self._alone and not self._ready and not self._common_flying():
            # One suspect to a worker: whoever dies now, dies of it.
            workers = self._tagged_workers(now=True)
            idle = [one for one in workers if one not in {flight.place for flight in self._flying.values()}]
            for worker in idle[: len(self._alone)]:
                self._send([self._alone.popleft()], worker, workers)

    def _isolating(self) -> bool:
        return any(flight.place is not None for flight in self._flying.values())

    def _common_flying(self) -> bool:
        return any(flight.place is None for flight in self._flying.values())

    def _next_batch(self, items: Iterator[Any]) -> list[Attempt]:
        if self._ready:  # what was in trouble before travels alone
            return [self._ready.popleft()]
        size = int(BATCH_SECONDS / max(self._seconds_per_item, 1e-6)) if self.kind.batches else 1
        return [Attempt(item) for item in itertools.islice(items, max(1, min(LARGEST_BATCH, size)))]

    def _send(self, batch: list[Attempt], place: str | None, workers: list[str]) -> None:
        from distributed.protocol.pickle import dumps

        if self._packed is None:
            self._packed = dumps(self.function)
        others = [one for one in workers if one != batch[0].avoid]
        where: dict[str, Any] = {}
        if place is not None:
            where = {"workers": [place], "allow_other_workers": False}
        elif batch[0].avoid is not None and others:
            where = {"workers": others, "allow_other_workers": self.tag is not None}
        if self.tag is not None:
            where["resources"] = {self.tag: 1}
        elif not where:  # those that carry a tag are for others
            where = {"workers": workers, "allow_other_workers": False}
        calls = dumps([Call(attempt.item, attempt.attempts) for attempt in batch])
        try:
            future = self.client.submit(call_batch, self._packed, calls, pure=False, key=self._key(), **where)
        except Exception as problem:
            if self.client.status == "running":
                raise
            (self._ready if place is None else self._alone).extend(batch)
            raise ClusterLost("the scheduler is gone") from problem
        self._flying[future] = Flight(batch, place, time.monotonic())
        future.add_done_callback(self._arrived.put)

    def _receive(self) -> Iterator[Outcome]:
        wait = TICK
        if self._delayed:
            wait = max(0.01, min(wait, self._delayed[0][0] - time.monotonic()))
        try:
            future = self._arrived.get(timeout=wait)
        except queue.Empty:
            return
        if future not in self._flying:  # taken back, or overdue
            return
        flight = self._flying.pop(future)
        answers, problem = self._result(future)
        if answers is not None:
            self._answered_at[answers.address] = time.monotonic()
            taken = sum(answer.seconds for answer in answers.answers) / len(answers.answers)
            self._seconds_per_item += 0.3 * (taken - self._seconds_per_item)
            for attempt, answer in zip(flight.batch, answers.answers, strict=True):
                yield from self._answered(attempt, unpacked(answer), answers)
        elif problem is not None:
            yield from self._failed(flight, problem)
        else:  # the scheduler is gone: nobody's fault
            (self._ready if flight.place is None else self._alone).extend(flight.batch)

    def _result(self, future: Future[Any]) -> tuple[Answers | None, BaseException | None]:
        """The answers of a batch, or why there are none; neither where nobody is to blame."""
        if future.status == "error":
            return None, future.exception()
        if future.status != "finished":
            return None, None
        try:
            return future.result(), None
        except (CancelledError, OSError):  # the scheduler went while we asked
            return None, None
        except Exception as problem:  # the worker died before we asked, and this came of the second call
            return None, problem

    def _failed(self, flight: Flight, problem: BaseException) -> Iterator[Outcome]:
        from distributed.scheduler import KilledWorker

        if isinstance(problem, KilledWorker):
            self.counts.lost_workers += 1
            yield from self._lost(flight, "workers died of it")
            return
        # The worker could not even begin: what is sent to it does not load there.
        answer = Answer(None, sentence(problem), is_transient(problem), 0.0)
        for attempt in flight.batch:
            yield from self._answered(attempt, answer, Answers([answer], "", "", "", 0))

    def _answered(self, attempt: Attempt, answer: Answer, answers: Answers) -> Iterator[Outcome]:
        attempt.attempts += 1
        if answer.full and attempt.attempts >= min(ATTEMPTS_WHERE_FULL, self.policy.attempts):
            raise NoSpace(f"{answers.worker} on {answers.host}: {answer.error}")
        again = (answer.transient or answer.full) and attempt.attempts < self.policy.attempts
        if answer.error is not None and (again or attempt.attempts < self.kind.addresses(attempt.item)):
            self.counts.retries += 1
            attempt.avoid = answers.address or None
            pause = self.policy.pause(attempt.attempts) if answer.transient else 0.0
            heapq.heappush(self._delayed, (time.monotonic() + pause, next(self._numbers), attempt))
            return
        yield Outcome(
            attempt.item,
            answer.value,
            answer.error,
            answers.worker,
            answers.host,
            answer.seconds,
            answers.peak_memory,
            attempt.attempts,
        )

    def _lost(self, flight: Flight, what: str) -> Iterator[Outcome]:
        """Dask does not say which of a dead worker's tasks killed it, so only an item alone is held to account."""
        for attempt in flight.batch:
            attempt.deaths += 1
            if flight.place is not None:
                yield from self._guilty(attempt, what)
            elif attempt.deaths >= self.policy.deaths:
                self.counts.isolated += 1
                self._alone.append(attempt)
            else:
                self._ready.append(attempt)

    def _guilty(self, attempt: Attempt, what: str) -> Iterator[Outcome]:
        parts = self.kind.halves(attempt.item)
        attempts = attempt.attempts + attempt.deaths
        if parts is None:
            error = f"{attempt.deaths} {what}, the last one alone with it (memory is the usual reason)"
            yield Outcome(attempt.item, error=error, attempts=attempts)
            return
        self.counts.split += 1
        self._alone.extend(Attempt(part, deaths=attempt.deaths) for part in parts)
        yield Outcome(attempt.item, attempts=attempts, split=parts)

    def _overdue(self) -> Iterator[Outcome]:
        """Ends the worker of a batch that takes too long; what waited behind it at that worker is tried again."""
        longest = self.policy.longest_item
        if longest is None:
            return
        now = time.monotonic()
        if all(now - flight.sent <= longest for flight in self._flying.values()):
            return
        try:
            holders = {key: worker for worker, keys in self.client.processing().items() for key in keys}
        except OSError:  # the connection broke while we asked: `_check` finds out whether for good
            return
        late = []
        for future, flight in self._flying.items():
            holder = holders.get(future.key)  # none where it has just arrived, or no worker has it yet
            # What waits at a worker begins when that has given its last answer.
            if holder is not None and now - max(flight.sent, self._answered_at.get(holder, 0.0)) > longest:
                late.append((future, holder))
        for future, _ in late:
            flight = self._flying.pop(future)
            self.counts.overdue += 1
            self.client.cancel([future], force=True)
            yield from self._lost(flight, f"workers had it for more than {longest:g} s")
        if late:
            with suppress(OSError):  # as above
                self.client.restart_workers(sorted({holder for _, holder in late}), raise_for_error=False)

    def _tagged_workers(self, *, now: bool = False) -> list[str]:
        """The workers with the tag, as they were within the last moment, or `now`."""
        time_now = time.monotonic()
        due = now or time_now - self._workers_read >= TICK or not self._workers
        if due and self.client.status == "running":
            try:
                workers = self.client.scheduler_info(n_workers=-1)["workers"]
            except OSError:  # the connection broke while we asked: `_check` finds out whether for good
                return []
            self._workers = sorted(
                address
                for address, facts in workers.items()
                if self._is_ours(facts.get("resources", {})) and facts.get("status") == "running"
            )
            self._known = set(workers)  # those that are paused, too
            self._workers_read = time_now
            if self._workers:
                self._workers_seen = time_now
        return self._workers

    def _is_ours(self, resources: dict[str, float]) -> bool:
        return carries(resources, self.tag)

    def _key(self) -> str:
        name = getattr(self.function, "__name__", None) or getattr(
            getattr(self.function, "func", None), "__name__", "call"
        )
        return f"{name}-{time.time_ns()}-{next(self._numbers)}"


def dispatched(dispatcher: Dispatcher, items: Iterable[Any], reopen: Callable[[Client], Client]) -> Iterator[Outcome]:
    """Outcomes for all items. When a cluster is lost, `reopen(its client)` gives that of another; the rest goes on."""
    source = iter(items)
    while True:
        try:
            yield from dispatcher.run(source)
        except ClusterLost:
            dispatcher.client = reopen(dispatcher.client)
        else:
            return
