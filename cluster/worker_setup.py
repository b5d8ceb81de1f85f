"""Prepares a worker of a batch job: its own GPUs, and an end that costs no work. Dask preload, before the first task.

A job's end is known in advance. In time before it the worker takes no more tasks, finishes what it has, hands over, and
leaves, so that nothing is lost and nobody is blamed. It hands over too when the batch system asks the job to go.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from typing import Any

# In the environment of the job: GPUs per worker; times of this host's clock [s]; spread of the first [s].
GPUS, JOB_END, RETIRE_AT, STAGGER = (
    "HEPBATCH_GPUS", "HEPBATCH_JOB_END", "HEPBATCH_RETIRE_AT", "HEPBATCH_STAGGER",
)  # fmt: skip
# To end in order takes this long [s].
FAREWELL = 10.0
TICK = 0.2


def dask_setup(worker: Any) -> None:
    """Gives the worker its devices, and arranges its end."""
    take_devices(str(worker.name), int(os.environ.get(GPUS, "0")))
    end, retire_at = float(os.environ[JOB_END]), float(os.environ[RETIRE_AT])
    # Jobs that began together must not leave together.
    retire_at -= random.uniform(0, float(os.environ[STAGGER]))  # noqa: S311  (not for security)
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()  # or it would be collected before it has run
    loop.call_later(
        max(0.0, retire_at - time.time()), lambda: tasks.add(asyncio.ensure_future(retire(worker, end - FAREWELL)))
    )
    # A batch system tells it to every process of the job. The one that started this worker then ends it in order; the
    # same one uses SIGKILL where it means it, when the worker has too much memory.
    loop.add_signal_handler(signal.SIGTERM, lambda: None)


async def dask_teardown(worker: Any) -> None:
    """A worker that ends in order hands over what it has: otherwise the scheduler takes it for killed by its tasks."""
    try:
        await asyncio.wait_for(_hand_over(worker), FAREWELL / 2)
    except (OSError, TimeoutError):
        return  # the scheduler is gone: there is nobody to hand over to


def take_devices(name: str, each: int) -> None:
    """Leaves a worker of those devices that the job has the ones of its own.

    Dask calls the workers of a job NAME-0, NAME-1 and so on where there are several, and NAME where there is one.
    """
    devices = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
    if each == 0 or len(devices) <= each:
        return
    first = int(name.rpartition("-")[2]) * each % len(devices)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices[first : first + each])


async def retire(worker: Any, until: float) -> None:
    """Ends a worker: no more tasks; until the time `until` it finishes those it has; then it leaves the scheduler."""
    from distributed.core import Status

    # The worker's state machine then starts no task, and the scheduler sends none.
    worker.status = Status.closing_gracefully
    while time.time() < until and (worker.state.executing_count or worker.state.long_running):
        await asyncio.sleep(TICK)
    fetched = time.time() + FAREWELL / 2
    while time.time() < min(fetched, until) and len(worker.data):  # the client has not fetched the last result
        await asyncio.sleep(TICK)
    await _hand_over(worker)
    await worker.close(nanny=True, executor_wait=False, reason="the job's time is over")


async def _hand_over(worker: Any) -> None:
    """What waits here goes to others, and does not count as killed."""
    mark = f"hepbatch-retire-{time.time()}"
    retired = await worker.scheduler.retire_workers(
        workers=[worker.address], close_workers=False, remove=True, stimulus_id=mark
    )
    if worker.address not in retired:
        # Nobody can take the results that are still here, and Dask would rather keep the worker. They are made again.
        await worker.scheduler.unregister(address=worker.address, expected=True, close=False, stimulus_id=mark)
