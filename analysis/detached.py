"""A run without its terminal: started in a process or a job of its own, asked to end from elsewhere."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from analysis.driver_jobs import LONGEST_END, cancel_driver, ended_at_once, submit_driver
from analysis.engine.lock import living_holder, run_lock
from analysis.errors import UserError
from analysis.preconditions import check_before
from analysis.stages import clear
from cluster.errors import ClusterError
from cluster.opening import end_jobs_of
from cluster.scheduler_process import python_path
from cluster.settings import ClusterSettings

# By then the run has taken its directory, or has said why not [s].
LONGEST_START = 60.0
TICK = 0.2


def detach(directory: Path, words: list[str], settings: ClusterSettings) -> list[str]:
    """Runs `hepbatch WORDS` without this terminal: in a process, or in a batch job; gives lines for the user.

    Raises UserError with the end of its log when it ends at once.
    """
    check_before(settings, directory)
    with run_lock(directory):  # held by nobody else
        pass
    if settings.driver.where == "job":
        # Now, and not in the job: that may be the second one of this run, or one that was started again.
        fresh = partial(clear, directory) if "--fresh" in words else None
        return submit_driver(directory, [word for word in words if word != "--fresh"], settings, fresh)
    return _start(directory, words)


def _start(directory: Path, words: list[str]) -> list[str]:
    log = directory / "logs" / "driver.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from analysis.cli import main; main()", *words],
            env={**os.environ, "PYTHONPATH": python_path()}, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    until = time.monotonic() + LONGEST_START
    while time.monotonic() < until:
        status = process.poll()
        if status == 0:
            return [f"the run is complete already; its log is {log}"]
        if status is not None:
            raise UserError(ended_at_once(log))
        holder = living_holder(directory)
        if holder is not None and holder.pid == process.pid:
            break
        time.sleep(TICK)
    return [
        f"process {process.pid} on {socket.gethostname()} goes on without this terminal; its log is {log}",
        "'hepbatch status' says how far it is, 'hepbatch cancel' ends it and its batch jobs",
    ]


def cancel(directory: Path) -> list[str]:
    """Ends the run in a directory, and what it has in a batch system; gives lines for the user."""
    lines = cancel_driver(directory)
    holder = living_holder(directory)
    if holder is not None:
        if holder.host != socket.gethostname():
            raise UserError(f"the run in {directory} is on {holder.host}: cancel it there")
        os.kill(holder.pid, signal.SIGTERM)
        until = time.monotonic() + LONGEST_END
        while living_holder(directory) is not None:
            if time.monotonic() > until:
                raise UserError(f"the process {holder.pid} does not end; a second 'hepbatch cancel' does not wait")
            time.sleep(TICK)
        lines.append(f"process {holder.pid} has ended; the same command goes on from there")
    try:
        left = end_jobs_of(directory)
    except ClusterError as error:
        raise UserError(str(error)) from error
    if left:
        lines.append(f"{left} batch jobs that were left have been cancelled")
    return lines or [f"there is no living run in {directory}"]
