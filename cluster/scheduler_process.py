"""A Dask scheduler in a process of its own, which ends with the process that started it.

The driver's bookkeeping and the scheduler's event loop then do not share one interpreter, and the memory of many tasks
is not the driver's.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, cast

from distributed.core import Status
from distributed.deploy.spec import ProcessInterface

# Importing Dask on a busy machine takes its time [s].
START_TIMEOUT = 120.0


class SchedulerProcess(ProcessInterface):
    """Starts `python -m cluster.scheduler_process` and knows its address; for `distributed.SpecCluster`."""

    def __init__(self, options: dict[str, Any], settings: dict[str, Any], log: Path) -> None:
        self.options = options
        self.settings = settings
        self.log = log
        self.process: asyncio.subprocess.Process | None = None
        super().__init__()  # type: ignore[no-untyped-call]

    async def start(self) -> None:
        """Returns when the scheduler listens; RuntimeError when it does not within START_TIMEOUT."""
        # -P: a directory `cluster` where the user stands must not be taken for ours.
        _shield_children()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "cluster.scheduler_process",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log, env=_environment(),
            )  # fmt: skip
        feed = cast("asyncio.StreamWriter", self.process.stdin)
        feed.write(json.dumps({"options": self.options, "settings": self.settings}).encode() + b"\n")
        await feed.drain()
        answers = cast("asyncio.StreamReader", self.process.stdout)
        answer = await asyncio.wait_for(answers.readline(), START_TIMEOUT)
        if not answer:
            raise RuntimeError(f"the Dask scheduler ended while it started; {self.log} says why")
        self.address = answer.decode().strip()
        await super().start()  # type: ignore[no-untyped-call]
        self._watch = asyncio.ensure_future(self._ended(self.process))

    async def _ended(self, process: asyncio.subprocess.Process) -> None:
        """A cluster must not ask a scheduler that is gone to retire its workers: it would wait for the answer."""
        await process.wait()
        self.status = Status.closed

    async def close(self) -> None:
        """Ends the process."""
        if self.process is not None and self.process.returncode is None:
            cast("asyncio.StreamWriter", self.process.stdin).close()  # the end of its input ends it
            try:
                await asyncio.wait_for(self.process.wait(), 5)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        await super().close()  # type: ignore[no-untyped-call]


def main() -> None:
    """Runs a scheduler with the options in the first line of standard input; ends with the input."""
    asyncio.run(_serve())


async def _serve() -> None:
    import dask
    from distributed import Scheduler

    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    request = json.loads(await reader.readline())
    with dask.config.set(request["settings"]):
        async with Scheduler(**request["options"]) as scheduler:
            print(scheduler.address, flush=True)
            ending = [asyncio.ensure_future(reader.read()), asyncio.ensure_future(scheduler.finished())]
            await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)


def _shield_children() -> None:
    """From now on, what this thread starts (the workers too) does not receive the signals of the terminal.

    Ctrl-C, or the terminal's end, reaches every process of the run, but the driver alone answers it.
    """
    # It would take the mask off again if it were started later.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})


def _environment() -> dict[str, str]:
    # The project's own packages, wherever the driver found them.
    root = str(Path(__file__).resolve().parent.parent)
    paths = [root, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


if __name__ == "__main__":
    main()
