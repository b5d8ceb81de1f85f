"""`--detach` with `driver: {where: job}`: the driver's job, submitted here, asked about and ended from anywhere."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from analysis.engine.lock import living_holder
from analysis.errors import UserError
from cluster import credentials, driver_job
from cluster.batch_system import BatchSystem, JobState
from cluster.driver_job import PART, DriverRecord, DriverRequest, driver_record
from cluster.errors import ClusterError
from cluster.job_record import new_name
from cluster.opening import SYSTEMS
from cluster.proxy_copy import ProxyCopy
from cluster.settings import BATCH, ClusterSettings

# In the environment of a driver that is a job.
DRIVER_JOB = "HEPBATCH_DRIVER_JOB"
PRIVATE = "private-driver"
# A run that is asked to end cancels its jobs and waits for them [s].
LONGEST_END = 300.0
TICK = 1.0


def submit_driver(
    directory: Path, words: list[str], settings: ClusterSettings, prepare: Callable[[], None] | None = None
) -> list[str]:
    """Runs `hepbatch WORDS` as a batch job; gives lines for the user when it has begun, or waits in the queue.

    `prepare` is called when nothing is in the way any more.
    Raises UserError when it ends at once, or when the directory has a driver's job already.
    """
    directory = directory.resolve()
    try:
        system = SYSTEMS[settings.kind]()
        record = driver_record(directory)
        if record is not None and record.ended is None:
            for number, job in _living(system, record).items():
                raise UserError(f"job {number} is the driver in {directory}, and {_shown(job)}: cancel it first")
        if prepare is not None:
            prepare()
        record = _submitted(directory, words, settings, system)
        return _await_begin(directory, record, system, settings.driver.wait)
    except ClusterError as error:
        raise UserError(str(error)) from error


def check_place(settings: ClusterSettings) -> None:
    """Raises UserError in a driver's job that may not submit jobs: its workers would never come."""
    if os.environ.pop(DRIVER_JOB, None) is None or settings.kind not in BATCH:
        return
    try:
        SYSTEMS[settings.kind]().check_submission(settings.pools.cpu)
    except ClusterError as error:
        raise UserError(
            f"the driver is a job on {socket.gethostname()}, where no jobs can be submitted ({error}): use "
            "driver.where=here on a machine that may submit"
        ) from error


def driver_lines(directory: Path) -> list[str]:
    """What there is to say of a driver that is a job, from wherever one asks."""
    record = driver_record(directory)
    if record is None or record.ended is not None:
        return []
    try:
        jobs = _living(SYSTEMS[record.kind](), record)
    except ClusterError:
        return [f"{directory}: the driver was submitted as {record.kind} job {record.job}; its state is told there"]
    return [f"{directory}: the driver is {record.kind} job {number}, {_shown(job)}" for number, job in jobs.items()]


def cancel_driver(directory: Path) -> list[str]:
    """Ends the driver's job of a run directory, if there is one: first asked, then cancelled; lines for the user."""
    record = driver_record(directory)
    if record is None or record.ended is not None:
        return []
    try:
        return _cancel(directory, record, SYSTEMS[record.kind]())
    except ClusterError as error:
        raise UserError(f"the driver is {record.kind} job {record.job}: {error}") from error


def _cancel(directory: Path, record: DriverRecord, system: BatchSystem) -> list[str]:
    told: set[str] = set()
    seen: set[str] = set()
    until = time.monotonic() + LONGEST_END
    forced = False
    # Until the batch system has none of them: also one that is on its way out is still in its queue.
    while (jobs := system.jobs(record.run, (PART,))) or (seen and living_holder(directory) is not None):
        seen |= set(jobs)
        running = {number for number, job in jobs.items() if job.state == "running"}
        system.cancel({number for number, job in jobs.items() if job.state not in ("running", "ending")})
        system.interrupt(running - told)
        told |= running
        if time.monotonic() > until:
            if forced:
                raise ClusterError(f"it does not end, nor does the batch system end it within {LONGEST_END:g} s")
            system.cancel(jobs)
            forced, until = True, time.monotonic() + LONGEST_END
        time.sleep(TICK)
    if not seen:
        return []
    forget_proxy(directory)
    last = driver_record(directory) or record
    if last.ended is None:
        replace(last, ended=1).save(directory)
    ending = "was cancelled, because it did not end by itself" if forced else "has ended"
    return [f"the driver, {record.kind} job {', '.join(sorted(seen))}, {ending}; the same command goes on from there"]


def ended_at_once(log: Path) -> str:
    """A sentence on a run that ended before it began, with the last line of its log."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    last = lines[-1].removeprefix("hepbatch: ") if lines else "it says nothing"
    return f"the run ended at once: {last} (log: {log})"


def forget_proxy(directory: Path) -> None:
    """Removes the proxy that a driver's job was given."""
    shutil.rmtree(directory / PRIVATE, ignore_errors=True)


def _submitted(directory: Path, words: list[str], settings: ClusterSettings, system: BatchSystem) -> DriverRecord:
    logs = directory / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    script = logs / "driver.job"
    driver = settings.driver
    request = DriverRequest(
        new_name(),
        [sys.executable, "-P", "-m", "analysis.driver_process", str(directory), *words],
        Path.cwd(),
        logs / "driver.log",
        _proxy(directory, settings),
    )
    if settings.kind == "slurm":
        script.write_text(driver_job.render_slurm(request, driver), encoding="utf-8")
    else:
        shell = script.with_suffix(".sh")
        description, lines = driver_job.render_htcondor(request, driver, shell)
        script.write_text(description, encoding="utf-8")
        shell.write_text(lines, encoding="utf-8")
    record = DriverRecord(
        settings.kind, request.run, str(script), driver.sessions, driver.walltime - driver.stop_before
    )
    record.save(directory)  # before the job is there, so that it cannot be missed
    try:
        number = system.submit(script)
    except ClusterError:
        replace(record, ended=1).save(directory)
        raise
    latest = driver_record(directory) or record  # a job that began at once may have written to it
    latest = replace(latest, job=latest.job or number)
    latest.save(directory)
    return latest


def _proxy(directory: Path, settings: ClusterSettings) -> dict[str, str]:
    """The environment that leads a driver's job to a proxy of its own: it does not see /tmp of this machine."""
    if not settings.credentials.copy_proxy:
        return {}
    forget_proxy(directory)
    (directory / PRIVATE).mkdir(mode=0o700)
    copy = ProxyCopy(credentials.proxy_path(settings.credentials, os.environ), directory / PRIVATE)
    copy.refresh()
    return copy.environment


def _await_begin(directory: Path, record: DriverRecord, system: BatchSystem, wait: float) -> list[str]:
    log = directory / "logs" / "driver.log"
    hints = ["'hepbatch status' says how far it is, 'hepbatch cancel' ends it and its batch jobs"]
    until = time.monotonic() + wait
    while True:
        holder = living_holder(directory)
        if holder is not None:
            return [f"job {record.job}, {holder}, goes on without this terminal; its log is {log}", *hints]
        jobs = _living(system, record)
        ended = _ended(directory)
        if ended == 0:
            return [f"the run is complete already; its log is {log}"]
        if ended is not None or not jobs:
            raise UserError(ended_at_once(log))
        if time.monotonic() > until:
            states = ", ".join(f"job {number} is {_shown(job)}" for number, job in jobs.items())
            return [f"{states}; the run begins with it, and its log will be {log}", *hints]
        time.sleep(TICK)


def _ended(directory: Path) -> int | None:
    record = driver_record(directory)
    return None if record is None else record.ended


def _living(system: BatchSystem, record: DriverRecord) -> dict[str, JobState]:
    """The driver's jobs that wait or run: one, or two while the one hands over to the next."""
    jobs = system.jobs(record.run, (PART,))
    return {number: job for number, job in jobs.items() if job.state != "ending"}


def _shown(job: JobState) -> str:
    return f"{job.state} ({job.reason})" if job.reason not in ("", "None") else job.state
