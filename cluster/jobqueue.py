"""dask-jobqueue, without what its import does to the process."""

from __future__ import annotations

import signal
import threading
from typing import Any


def jobqueue() -> Any:
    """The package dask_jobqueue.

    Its import takes Ctrl-C for itself (for a use of its own, of which there is none here); it is given back at once.
    The first call must be in the main thread, where alone Python lets handlers be set.
    """
    if threading.current_thread() is not threading.main_thread():
        import dask_jobqueue

        return dask_jobqueue
    before = signal.getsignal(signal.SIGINT)
    try:
        import dask_jobqueue
    finally:
        signal.signal(signal.SIGINT, before)
    return dask_jobqueue
