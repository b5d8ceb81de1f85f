"""The jobs of one pool: how many there should be, which there are, and what became of them."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.batch_system import JobState, is_limit
from cluster.errors import ClusterError
from cluster.quantities import Range
from cluster.settings import PoolSettings

# So many jobs in a row that end before their worker arrived will not be followed by a better one.
LARGEST_FAILURES = 3
# A running job whose worker has been away for so long is not coming back [s].
LONGEST_ABSENCE = 300.0
# A pool with a range is made smaller when it has been too large for so long: between two stages there is no work for a
# moment, and who gives up a place in the queue then starts at its end [s].
LEAST_SURPLUS = 30.0
# Lines of a job's log that an error shows.
LOG_LINES = 5


@dataclass
class Job:
    """A job that was submitted: its identifier, its worker's name and its log, and what was seen of the worker.

    `dropped`: it was cancelled because there was no more work for it.
    """

    number: str
    worker: str
    log: Path
    arrived: bool = False
    retiring: bool = False
    dropped: bool = False
    seen: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Plan:
    """What is to be done now: jobs to cancel, workers (addresses) to send away, so many jobs to submit."""

    cancel: tuple[str, ...] = ()
    dismiss: tuple[str, ...] = ()
    submit: int = 0


class JobPool:
    """Bookkeeping of a pool; asks nobody and does nothing by itself.

    `problem` is why the pool cannot have workers, where it is known, `limit` why it cannot have more just now;
    `submitted` are all jobs it ever had.
    """

    def __init__(self, name: str, settings: PoolSettings) -> None:
        self.name = name
        self.settings = settings
        self.jobs: dict[str, Job] = {}
        self.submitted: list[str] = []
        self.states: dict[str, JobState] = {}
        self.problem: str | None = None
        self.limit: str | None = None
        self.running = False
        self.begun = self.last_worker = time.monotonic()
        self._failures = 0
        self._items = 0
        self._surplus_since: float | None = None
        self._numbers = itertools.count()

    def begin(self, items: int | None) -> None:
        """From now on the pool is to have workers, for so many pieces of work."""
        if not self.running:
            self.running, self.problem, self._failures, self._items = True, None, 0, 0
            self._surplus_since = None
            self.begun = self.last_worker = time.monotonic()
        self._items = max(self._items, self.largest if items is None else items)

    def remaining(self, items: int) -> None:
        """So many pieces of work are left."""
        self._items = items

    def end(self) -> list[str]:
        """From now on the pool is to have none; gives the jobs that are to be cancelled."""
        self.running = False
        jobs, self.jobs = list(self.jobs), {}
        return jobs

    @property
    def largest(self) -> int:
        """Worker processes at most."""
        workers = self.settings.workers
        return workers.maximum if isinstance(workers, Range) else int(workers)

    @property
    def wanted(self) -> int:
        """Jobs that there should be: no more than there is work for."""
        least = self.settings.workers.minimum if isinstance(self.settings.workers, Range) else 1
        workers = min(self.largest, max(least, self._items))
        return math.ceil(workers / self.settings.processes)

    def next_worker(self) -> str:
        """A name for the worker of the next job."""
        return f"{self.name}-{next(self._numbers)}"

    def add(self, number: str, worker: str, log: Path) -> None:
        """A job was submitted."""
        self.jobs[number] = Job(number, worker, log)
        self.limit = None
        self.submitted.append(number)

    def workers_of(self, job: Job, workers: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the scheduler's workers (address to facts) that are a job's."""
        names = {job.worker, *(f"{job.worker}-{number}" for number in range(self.settings.processes))}
        return {address: facts for address, facts in workers.items() if facts["name"] in names}

    def update(self, states: Mapping[str, JobState], workers: Mapping[str, Any], busy: Callable[[], set[str]]) -> Plan:
        """Takes note of what the batch system and the scheduler know, and says what is to be done.

        `busy` gives the addresses of workers that have tasks; it is asked only where somebody may have to go.
        """
        now = time.monotonic()
        self.states = {number: state for number, state in states.items() if number in self.jobs}
        for job in self.jobs.values():
            mine = self.workers_of(job, workers)
            if mine:
                job.arrived, job.seen, self._failures, self.last_worker, self.problem = True, now, 0, now, None
                job.retiring = all(facts["status"] != "running" for facts in mine.values())
        held = self._note_held()
        self._note_ended(states)
        absent = [one.number for one in self.jobs.values() if one.arrived and now - one.seen > LONGEST_ABSENCE]
        dropped = [one.number for one in self.jobs.values() if one.dropped]  # again: a command may have failed
        gone = {*absent, *dropped}
        active = [one for one in self.jobs.values() if not one.retiring and one.number not in gone]
        surplus = len(active) - self.wanted
        if surplus <= 0:
            self._surplus_since = None
        elif isinstance(self.settings.workers, Range):
            self._surplus_since = self._surplus_since or now
            if now - self._surplus_since >= LEAST_SURPLUS:
                return self._shrink(active, surplus, workers, busy, [*held, *absent, *dropped])
        room = (self.settings.job_limit or math.inf) - len(self.jobs)
        missing = 0 if self.problem else max(0, min(-surplus, room))
        return Plan(cancel=(*held, *absent, *dropped), submit=int(missing))

    def refused(self, error: ClusterError) -> None:
        """A submission was refused: that is the end, unless there are too many jobs now, of this pool or others."""
        self.limit = str(error) if is_limit(error) else None
        if not self.jobs and self.limit is None:
            self._failures += 1
            if self._failures >= LARGEST_FAILURES:
                self.problem = f"the pool {self.name} has no worker: {error}"

    def why(self, more: str = "") -> str:
        """Why there is no worker, as far as the batch system says."""
        waiting: dict[str, list[str]] = {}
        for number, state in self.states.items():
            waiting.setdefault(f"{state.state} ({state.reason})" if state.reason else state.state, []).append(number)
        parts = [f"job {', '.join(numbers)} is {what}" for what, numbers in waiting.items()]
        limit = [f"no more jobs can be submitted ({self.limit})"] if self.limit else []
        return "; ".join([*parts, *limit, *([more] if more else [])]) or "the batch system has none of its jobs"

    def _note_held(self) -> list[str]:
        """What the batch system stopped will not start by itself: it counts as ended, and is to be cancelled."""
        held = [number for number, state in self.states.items() if state.state == "held"]
        for number in held:
            if not self.jobs.pop(number).arrived:
                self._failures += 1
                if self._failures >= LARGEST_FAILURES:
                    self.problem = (
                        f"the pool {self.name} has no worker: {self._failures} jobs in a row were put on hold: "
                        f"{self.states[number].reason}"
                    )
        return held

    def _note_ended(self, states: Mapping[str, JobState]) -> None:
        for number in [number for number in self.jobs if number not in states or states[number].state == "ending"]:
            job = self.jobs.pop(number)
            if not job.arrived and not job.dropped:
                self._failures += 1
                if self._failures >= LARGEST_FAILURES:
                    self.problem = (
                        f"the pool {self.name} has no worker: {self._failures} jobs in a row ended before their worker "
                        f"had reported; {job.log} ends with: {tail(job.log)}"
                    )

    def _shrink(
        self, active: list[Job], surplus: int, workers: Mapping[str, Any], busy: Callable[[], set[str]], gone: list[str]
    ) -> Plan:
        waiting = [job for job in active if not job.arrived][-surplus:]
        for job in waiting:
            job.dropped = True
        left = surplus - len(waiting)
        dismissed: list[str] = []
        occupied = busy() if left else set()
        for job in (job for job in active if job.arrived):
            mine = set(self.workers_of(job, workers))
            if left > 0 and not mine & occupied:
                dismissed += mine
                left -= 1
        return Plan(cancel=(*gone, *(job.number for job in waiting)), dismiss=tuple(dismissed))


def tail(log: Path) -> str:
    """The last lines of a log, as one line."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return "(it is not there)"
    return " | ".join(lines[-LOG_LINES:]) or "(it is empty)"
