"""The keeper of a worker process on this machine."""

from __future__ import annotations

import asyncio

from distributed import Nanny
from distributed.core import Status

#: For a worker process that was killed to be gone [s].
PATIENCE = 60.0


class WorkerNanny(Nanny):
    """A Dask nanny that does not wait for a worker which is still starting when the cluster ends.

    It starts a worker that was killed anew; where the scheduler is gone too, that one would look for it for two
    minutes, and the end of the cluster would be an AssertionError. And it gives a process that it has killed more time
    to be gone.
    """

    async def kill(self, timeout: float = 5, reason: str = "nanny-kill") -> None:
        """Ends the worker's process; raises TimeoutError where it is not gone `PATIENCE` after it was killed."""
        worker = self.process
        process = worker.process if worker is not None and worker.status == Status.starting else None
        if self.status == Status.closing and worker is not None and process is not None:
            await process.kill()
            await worker.stopped.wait()
        try:
            await super().kill(timeout=timeout, reason=reason)
        except TimeoutError:
            if worker is None:
                raise
            # The process has been sent SIGKILL: a machine under load may take longer for that than Dask waits.
            await asyncio.wait_for(worker.stopped.wait(), PATIENCE)
