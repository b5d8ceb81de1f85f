"""Work over a cluster that loses nothing: batches in waves, retries with pauses, lost workers, items that kill."""

from __future__ import annotations

import heapq
import itertools
import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from analysis.engine.calls import Answer, Call, call_batch

if TYPE_CHECKING:
    from distributed import Client, Future

# Batches at the scheduler per worker: enough to keep a worker busy, few enough to keep the scheduler light.
QUEUED_PER_WORKER = 2
# A batch of small items takes about this long, so that what Dask needs for a task does not count [s].
BATCH_SECONDS = 0.5
LARGEST_BATCH = 200
# How often the list of workers is read again [s].
WORKERS_INTERVAL = 1.0


@dataclass(frozen=True)
class Policy:
    """How often what is tried again."""

    attempts: int = 5  # of an item whose error may go away
    first_pause: float = 0.5  # before the second attempt; doubled for each further one [s]
    longest_pause: float = 60.0
    deaths: int = 2  # of workers with the item in their hands, before it is tried alone

    def pause(self, attempts: int) -> float:
        """The pause after so many attempts [s]."""
        return min(self.longest_pause, self.first_pause * 2.0 ** (attempts - 1))


def indivisible(item: Any) -> None:
    """For items that cannot be halved."""


@dataclass
class Attempt:
    """An item on its way: how often it was tried, and how many workers died while they had it."""

    item: Any
    attempts: int = 0
    deaths: int = 0
    avoid: str | None = None


@dataclass(frozen=True)
class Outcome:
    """The end of an item: done with a value, failed with an error, or `split` into smaller items that follow."""

    item: Any
    value: Any
    error: str | None
    worker: str | None
    seconds: float
    peak_memory: int
    attempts: int
    split: tuple[Any, ...] = ()


@dataclass
class Counts:
    """What happened on the way, for the user."""

    retries: int = 0
    lost_workers: int = 0
    isolated: int = 0
    split: int = 0


@dataclass
class Dispatcher:
    """Calls a function for every item on workers with a tag, and yields each item's end as it comes.

    A transient error is tried again with growing pauses, on another worker where there is one. An item whose worker
    died twice is tried alone on a worker; if that dies too, its halves are (where `halves` gives None, it fails).
    """

    client: Client
    function: Callable[..., Any]
    tag: str
    policy: Policy = field(default_factory=Policy)
    halves: Callable[[Any], tuple[Any, Any] | None] = indivisible
    batches: bool = True
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self._ready: deque[Attempt] = deque()
        self._delayed: list[tuple[float, int, Attempt]] = []
        self._alone: deque[Attempt] = deque()
        self._flying: dict[Future[Any], tuple[list[Attempt], str | None]] = {}
        self._arrived: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._seconds_per_item = BATCH_SECONDS
        self._workers: list[str] = []
        self._workers_read = -WORKERS_INTERVAL

    def run(self, items: Iterable[Any]) -> Iterator[Outcome]:
        """Outcomes in the order of arrival; `items` are taken as they are needed."""
        source = iter(items)
        try:
            while True:
                self._wake()
                self._submit(source)
                if not (self._flying or self._delayed or self._ready or self._alone):
                    return
                yield from self._receive()
        finally:
            self.client.cancel(list(self._flying), force=True)

    def _wake(self) -> None:
        while self._delayed and self._delayed[0][0] <= time.monotonic():
            self._ready.append(heapq.heappop(self._delayed)[2])

    def _submit(self, source: Iterator[Any]) -> None:
        workers = self._tagged_workers()
        while len(self._flying) < QUEUED_PER_WORKER * len(workers) and not self._isolating():
            batch = self._next_batch(source)
            if not batch:
                break
            self._send(batch, None, workers)
        if self._alone and not self._ready and not self._common_flying():
            # One suspect to a worker: whoever dies now, dies of it.
            idle = [one for one in workers if one not in {place for _, place in self._flying.values()}]
            for worker in idle[: len(self._alone)]:
                self._send([self._alone.popleft()], worker, workers)

    def _isolating(self) -> bool:
        return any(place is not None for _, place in self._flying.values())

    def _common_flying(self) -> bool:
        return any(place is None for _, place in self._flying.values())

    def _next_batch(self, source: Iterator[Any]) -> list[Attempt]:
        size = max(1, min(LARGEST_BATCH, int(BATCH_SECONDS / max(self._seconds_per_item, 1e-6)))) if self.batches else 1
        if self._ready:  # what was in trouble before travels alone
            return [self._ready.popleft()]
        return [Attempt(item) for item in itertools.islice(source, size)]

    def _send(self, batch: list[Attempt], place: str | None, workers: list[str]) -> None:
        others = [one for one in workers if one != batch[0].avoid]
        where: dict[str, Any] = {}
        if place is not None:
            where = {"workers": [place], "allow_other_workers": False}
        elif batch[0].avoid is not None and others:
            where = {"workers": others, "allow_other_workers": True}
        calls = [Call(attempt.item, attempt.attempts) for attempt in batch]
        future = self.client.submit(
            call_batch, self.function, calls, resources={self.tag: 1}, pure=False, key=self._key(), **where
        )
        self._flying[future] = (batch, place)
        future.add_done_callback(self._arrived.put)

    def _receive(self) -> Iterator[Outcome]:
        wait = WORKERS_INTERVAL
        if self._delayed:
            wait = max(0.01, min(wait, self._delayed[0][0] - time.monotonic()))
        try:
            future = self._arrived.get(timeout=wait)
        except queue.Empty:
            return
        batch, place = self._flying.pop(future)
        if future.status == "finished":
            answers: list[Answer] = future.result()
            taken = sum(answer.seconds for answer in answers) / len(answers)
            self._seconds_per_item += 0.3 * (taken - self._seconds_per_item)
            for attempt, answer in zip(batch, answers, strict=True):
                yield from self._answered(attempt, answer)
        else:
            yield from self._lost(batch, place)
        future.release()

    def _answered(self, attempt: Attempt, answer: Answer) -> Iterator[Outcome]:
        attempt.attempts += 1
        if answer.error is not None and answer.transient and attempt.attempts < self.policy.attempts:
            self.counts.retries += 1
            attempt.avoid = answer.worker
            due = time.monotonic() + self.policy.pause(attempt.attempts)
            heapq.heappush(self._delayed, (due, next(self._numbers), attempt))
            return
        yield Outcome(
            attempt.item,
            answer.value,
            answer.error,
            answer.worker,
            answer.seconds,
            answer.peak_memory,
            attempt.attempts,
        )

    def _lost(self, batch: list[Attempt], place: str | None) -> Iterator[Outcome]:
        """Dask does not say which of a dead worker's tasks killed it, so only an item alone is held to account."""
        self.counts.lost_workers += 1
        for attempt in batch:
            attempt.deaths += 1
            if place is not None:
                yield from self._guilty(attempt)
            elif attempt.deaths >= self.policy.deaths:
                self.counts.isolated += 1
                self._alone.append(attempt)
            else:
                self._ready.append(attempt)

    def _guilty(self, attempt: Attempt) -> Iterator[Outcome]:
        parts = self.halves(attempt.item)
        attempts = attempt.attempts + attempt.deaths
        if parts is None:
            error = f"{attempt.deaths} workers died of it, the last one alone with it (memory is the usual reason)"
            yield Outcome(attempt.item, None, error, None, 0.0, 0, attempts)
            return
        self.counts.split += 1
        self._alone.extend(Attempt(part, deaths=attempt.deaths) for part in parts)
        yield Outcome(attempt.item, None, None, None, 0.0, 0, attempts, split=parts)

    def _tagged_workers(self) -> list[str]:
        if time.monotonic() - self._workers_read >= WORKERS_INTERVAL or not self._workers:
            workers = self.client.scheduler_info(n_workers=-1)["workers"]
            self._workers = sorted(
                address
                for address, facts in workers.items()
                if facts.get("resources", {}).get(self.tag) and facts.get("status") == "running"
            )
            self._workers_read = time.monotonic()
        return self._workers

    def _key(self) -> str:
        name = getattr(self.function, "__name__", None) or getattr(
            getattr(self.function, "func", None), "__name__", "call"
        )
        return f"{name}-{time.time_ns()}-{next(self._numbers)}"
