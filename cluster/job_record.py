"""What a run directory remembers of batch jobs, so that none is left behind by a run that was killed."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster.batch_system import BatchSystem
from cluster.errors import ClusterError
from cluster.pools import keep_waiting

NAME = "jobs.json"
# Cancelled jobs are gone within this time on a system that is well [s].
LONGEST_END = 120.0
PAUSE = 1.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobRecord:
    """The name that all jobs of a run have, and the batch system that has them."""

    kind: str
    run: str


def new_name() -> str:
    """A name that no other run's jobs have."""
    return f"hepbatch-{secrets.token_hex(4)}"


def new_record(kind: str, directory: Path) -> JobRecord:
    """Writes the name of this run's jobs down: before the first is submitted, so that none can be missed."""
    record = JobRecord(kind, new_name())
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / NAME
    temporary = path.with_name(f"{NAME}.tmp")
    temporary.write_text(json.dumps({"kind": record.kind, "run": record.run}) + "\n", encoding="utf-8")
    temporary.replace(path)
    return record


def earlier_record(directory: Path) -> JobRecord | None:
    """What an earlier run in `directory` left: None where its jobs are all over."""
    try:
        content = json.loads((directory / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return JobRecord(content["kind"], content["run"])


def end_jobs(record: JobRecord, system: BatchSystem, directory: Path, check: Callable[[], None] = keep_waiting) -> int:
    """Cancels all jobs of a run, waits until they are gone, forgets the record; gives the number of jobs there were.

    Raises ClusterError when the batch system does not answer or keeps the jobs; the record then stays.
    """
    until = time.monotonic() + LONGEST_END
    found: set[str] = set()
    while jobs := system.jobs(record.run):
        found |= set(jobs)
        check()
        living = [number for number, job in jobs.items() if job.state != "ending"]
        if living:
            system.cancel(living)
        if time.monotonic() > until:
            raise ClusterError(f"the jobs {', '.join(sorted(jobs))} of {record.run} do not end")
        time.sleep(PAUSE)
    system.sweep(record.run)
    (directory / NAME).unlink(missing_ok=True)
    return len(found)
