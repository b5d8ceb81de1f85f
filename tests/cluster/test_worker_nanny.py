"""The keeper of a worker waits for a killed process as long as a loaded machine may need."""

import asyncio
from typing import Any

import psutil
import pytest
from distributed import Scheduler

from cluster import worker_nanny
from cluster.worker_nanny import WorkerNanny


async def _late(timeout: float | None = None) -> None:
    """What Dask sees of a process whose end the machine has not come round to."""
    raise TimeoutError


async def _end(monkeypatch: pytest.MonkeyPatch, *, killable: bool) -> tuple[Any, int]:
    """Start a worker and close its nanny, which is told each time that the process is still there."""
    async with Scheduler(host="127.0.0.1", dashboard_address=":0", port=0) as scheduler:
        nanny = await WorkerNanny(scheduler.address, nthreads=1, dashboard_address=None)
        kept = nanny.process
        process = kept.process
        number = process.pid
        monkeypatch.setattr(process, "join", _late)
        if not killable:
            # Nobody tells the worker to end, and the signal is lost.
            monkeypatch.setattr(kept.child_stop_q, "put", _lost)
            monkeypatch.setattr(process, "kill", _late_kill)
        try:
            await nanny.close()
        finally:
            if psutil.pid_exists(number):
                psutil.Process(number).kill()
                await asyncio.wait_for(kept.stopped.wait(), 60)
        return nanny, number


async def _late_kill() -> None:
    """A signal that has no effect."""


def _lost(message: object) -> None:
    """A message that nobody gets."""


@pytest.mark.slow
def test_a_killed_process_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    nanny, number = asyncio.run(_end(monkeypatch, killable=True))
    assert nanny.status.name == "closed"
    assert not psutil.pid_exists(number)


@pytest.mark.slow
def test_one_that_does_not_die_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_nanny, "PATIENCE", 0.5)
    with pytest.raises(TimeoutError):
        asyncio.run(_end(monkeypatch, killable=False))
