"""What a batch system has to offer: take a job, tell which there are, end some."""

from __future__ import annotations

import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cluster.errors import ClusterError
from cluster.settings import TAGS, PoolSettings

POOLS = tuple(TAGS)
# Words of Slurm (QOSMaxSubmitJobPerUserLimit, AssocMaxSubmitJobLimit) and of HTCondor (MAX_JOBS_PER_OWNER): the user
# has as many jobs as may be, for now.
_LIMITS = re.compile(
    r"MaxSubmitJob|MAX_JOBS_(?:PER_OWNER|SUBMITTED)|number of submitted jobs would exceed", re.IGNORECASE
)
State = Literal["pending", "running", "held", "ending"]


@dataclass(frozen=True)
class JobState:
    """A job that the batch system knows; `reason` is its own word for why the job waits, or does not go on (held)."""

    state: State
    reason: str = ""


@dataclass(frozen=True)
class JobRequest:
    """One job: `worker` is the name of its worker, `run` the name that all jobs of a run have in common.

    `environment` are variables that this run gives its jobs.
    """

    run: str
    pool: str
    worker: str
    scheduler: str
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the job, by which it is found again."""
        return f"{self.run}-{self.pool}"


def is_limit(error: ClusterError) -> bool:
    """Whether a submission was refused because there are too many jobs already: that passes when some end."""
    return _LIMITS.search(str(error)) is not None


class BatchSystem(ABC):
    """A batch system, asked with its own commands. Every method raises ClusterError with its words on a refusal."""

    kind: str
    limit: float  # for one command [s]

    @abstractmethod
    def submit(self, script: Path) -> str:
        """Submits a job and gives its identifier."""

    @abstractmethod
    def jobs(self, run: str, parts: Sequence[str] = POOLS) -> dict[str, JobState]:
        """The jobs of a run that are not over, by identifier: those of its pools, or of other `parts`."""

    @abstractmethod
    def cancel(self, jobs: Iterable[str]) -> None:
        """Ends jobs; those that are over are none the worse."""

    @abstractmethod
    def interrupt(self, jobs: Iterable[str]) -> None:
        """Asks running jobs to end in order, and leaves them the time."""

    @abstractmethod
    def check_submission(self, pool: PoolSettings) -> None:
        """Raises ClusterError where no job of a pool can be submitted from here; submits none."""

    def explain(self, jobs: Sequence[str]) -> str:  # noqa: ARG002
        """What else the batch system says about jobs that do not start; empty where that is nothing."""
        return ""

    def sweep(self, run: str) -> None:  # noqa: B027  (most have nothing to do)
        """Tidies up what is over of a run."""

    def command(self, *words: str) -> str:
        """The output of a command of the batch system."""
        try:
            # A session of its own: a Ctrl-C must not come between a submission and its answer.
            done = subprocess.run(
                words, capture_output=True, text=True, timeout=self.limit, check=False, start_new_session=True
            )
        except FileNotFoundError:
            raise ClusterError(
                f"there is no command {words[0]} here: the kind {self.kind} needs a machine from which one can submit"
            ) from None
        except subprocess.TimeoutExpired:
            raise ClusterError(f"{words[0]} did not answer within {self.limit:g} s") from None
        if done.returncode != 0:
            said = " ".join((done.stderr or done.stdout).split())
            raise ClusterError(f"{words[0]} failed: {said or f'exit status {done.returncode}'}")
        return done.stdout
