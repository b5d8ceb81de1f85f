"""What a worker process prints goes to a file of its own: Dask preload, run in the worker before its first task.

The libraries that workers load greet on standard output and error (FastJet, TensorFlow), from C++ code that no Python
setting reaches.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

VARIABLE = "HEPBATCH_WORKER_LOG"


def dask_setup(worker: Any) -> None:
    """Sends standard output and error of this process to `<directory in HEPBATCH_WORKER_LOG>/<worker>.log`."""
    directory = Path(os.environ[VARIABLE])
    directory.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    log = os.open(directory / f"{worker.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
