"""A cluster that exists has one code of hepbatch at a time, and it is that of the runs that are there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.code import ask, fingerprint, forget, pack
from cluster.errors import ClusterError
from cluster.settings import ClusterSettings

if TYPE_CHECKING:
    from distributed import Client

# Names on the scheduler: which code there is, how many runs use it, who may change it, what brings it to new workers.
CODE, RUNS, CHANGE, PLUGIN = "hepbatch-code", "hepbatch-runs", "hepbatch-code-change", "hepbatch-code"
LARGEST_RUNS = 1000
# Dask forgets a run that was killed within this time [s].
LONGEST_LEASE = 45.0
TICK = 0.5


@contextmanager
def one_code(client: Client, address: str, settings: ClusterSettings, directory: Path) -> Iterator[None]:
    """While this lasts, no run with other code can come to the cluster; sends the code where the settings say so.

    Raises ClusterError when a run with other code is there: it would be given this code in the middle.
    """
    from distributed import Lock, Semaphore, Variable

    mine = fingerprint(*settings.own_modules)
    runs = Semaphore(LARGEST_RUNS, RUNS, scheduler_rpc=client.scheduler, loop=client.loop)
    code = Variable(CODE, client)
    with Lock(CHANGE, scheduler_rpc=client.scheduler, loop=client.loop):
        until = time.monotonic() + LONGEST_LEASE
        while others := runs.get_value():
            if code.get() == mine:
                break
            if time.monotonic() > until:
                raise ClusterError(
                    f"a run of hepbatch with other code uses the cluster at {address}: wait for its end, or go back to "
                    "that code"
                )
            time.sleep(TICK)
        if not others:
            if settings.ship_code:
                send(client, pack(directory, settings.own_modules))
            code.set(mine)
        runs.acquire()
    try:
        renew_scheduler(client, address, settings)
        yield
    finally:
        with suppress(OSError):  # a scheduler that is gone has no leases
            runs.release()


def send(client: Client, archive: Path) -> None:
    """Gives the code to the scheduler, which reads what tasks call, and to its workers, those to come included.

    Under one name: a worker that comes later must not be given what earlier runs had sent.
    """
    from distributed.diagnostics.plugin import SchedulerUploadFile, UploadFile

    client.register_plugin(SchedulerUploadFile(str(archive)), name=PLUGIN)
    client.register_plugin(UploadFile(str(archive)), name=PLUGIN)


def renew_scheduler(client: Client, address: str, settings: ClusterSettings) -> None:
    """The scheduler forgets other code that it had imported; ClusterError when it then still has none or another."""
    mine, question = fingerprint(*settings.own_modules), ask(settings.own_modules)
    for attempt in range(2):
        try:
            if (found := client.run_on_scheduler(eval, question)) == mine:
                return
        except (ImportError, AttributeError, ClusterError) as error:
            found = " ".join(str(error).split())
        if attempt == 0:
            client.run_on_scheduler(eval, forget(settings.own_modules))
    raise ClusterError(
        f"the scheduler at {address} has other code of hepbatch than this one, or none ({found}): start it in the same "
        "environment, or set ship_code"
    )
