"""What a driver's batch job runs: hepbatch, told in time when the job's time is nearly over, and sent on to the next.

Slurm says it by SIGUSR1 (--signal); on HTCondor the own clock does. `hepbatch cancel` sends SIGINT, or removes the job.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType

from analysis.driver_jobs import DRIVER_JOB, forget_proxy
from cluster.driver_job import GO_ON, DriverRecord, driver_record
from cluster.errors import ClusterError
from cluster.opening import SYSTEMS

STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM)
TICK = 5.0


class DriverProcess:
    """Runs `command`, passes signals on, and says how it ended in the run directory."""

    def __init__(self, directory: Path, record: DriverRecord, command: list[str]) -> None:
        self._directory = directory
        self._record = record
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._asked = self._again = self._cancelled = False
        self._until = time.monotonic() + record.stop_after

    def run(self) -> int:
        """The exit status of this job."""
        for number in (signal.SIGUSR1, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._told)
        self._child = subprocess.Popen(self._command, env={**os.environ, DRIVER_JOB: "1"}, stdin=subprocess.DEVNULL)
        if self._asked:  # before there was a process to tell
            self._child.terminate()
        status = self._wait(self._child)
        if self._again and status in STOPPED:
            return self._go_on(status)
        # After a signal the batch system may start the job again: a node is needed for other things, or goes down.
        if not self._asked or self._cancelled:
            self._finish(status)
        return status

    def _told(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._again = self._again or number == signal.SIGUSR1
        self._cancelled = self._cancelled or number == signal.SIGINT
        # Slurm tells the end of a job to all its processes, HTCondor to the first one; a second word would not wait.
        passes_on = number != signal.SIGTERM or self._record.kind != "slurm"
        if passes_on and not self._asked and self._child is not None:
            self._child.terminate()
        self._asked = True

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        while True:
            try:
                return child.wait(TICK)
            except subprocess.TimeoutExpired:
                if self._record.kind != "slurm" and time.monotonic() > self._until and not self._asked:
                    self._told(signal.SIGUSR1, None)

    def _go_on(self, status: int) -> int:
        if self._record.session >= self._record.sessions:
            _say(f"the walltime is nearly over after {self._record.session} jobs (driver.sessions): the run stops")
            self._finish(status)
            return status
        following = replace(self._record, session=self._record.session + 1)
        if self._record.kind != "slurm":
            following.save(self._directory)
            _say("the walltime is nearly over: the run goes on when the batch system starts this job again")
            return GO_ON
        try:
            following = replace(following, job=SYSTEMS[self._record.kind]().submit(Path(self._record.script)))
        except ClusterError as error:
            _say(f"the walltime is nearly over, and another job cannot be submitted: {error}; the same command goes on")
            self._finish(status)
            return status
        following.save(self._directory)
        _say(f"the walltime of job {self._record.job} is nearly over: the run goes on in job {following.job}")
        return 0

    def _finish(self, status: int) -> None:
        forget_proxy(self._directory)
        replace(self._record, ended=status).save(self._directory)


def _say(text: str) -> None:
    print(f"hepbatch: {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Runs hepbatch with the words after the run directory, which is the first."""
    directory, words = Path(sys.argv[1]), sys.argv[2:]
    record = driver_record(directory)
    if record is None:
        raise SystemExit(f"hepbatch: {directory} has no record of this job")
    command = [sys.executable, "-P", "-c", "from analysis.cli import main; main()", *words]
    raise SystemExit(DriverProcess(directory, record, command).run())


if __name__ == "__main__":
    main()
