"""What a worker says of the place where it runs."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster import credentials
from cluster.settings import CredentialSettings


@dataclass(frozen=True)
class Place:
    """Host, cores that the worker may use, memory [bytes] of the host and the worker's limit, GPUs, scratch space.

    `read` is how many bytes the file that was asked for has, or the error; None where none was asked for. `credentials`
    has for each that is needed whether it is well here, and a line that says so.
    """

    host: str
    worker: str
    cores: int
    memory: int
    limit: int | None
    visible_devices: str | None
    gpus: tuple[str, ...]
    scratch: str
    scratch_free: int
    python: str
    read: int | str | None
    credentials: tuple[tuple[bool, str], ...] = ()


def probe(read: Callable[[], int] | None, needed: CredentialSettings) -> Place:
    """Looks around, on a worker: writes to its scratch space, and calls `read`, which gives the size of a file."""
    import psutil
    from distributed import get_worker

    worker = get_worker()
    scratch = Path(worker.local_directory)
    with tempfile.NamedTemporaryFile(dir=scratch) as file:
        file.write(b"room for a skim")
    return Place(
        host=socket.gethostname(),
        worker=str(worker.name),
        cores=len(os.sched_getaffinity(0)),
        memory=psutil.virtual_memory().total,
        limit=worker.memory_manager.memory_limit,
        visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
        gpus=_gpus(),
        scratch=str(scratch),
        scratch_free=shutil.disk_usage(scratch).free,
        python=platform.python_version(),
        read=None if read is None else _outcome(read),
        credentials=tuple(credentials.report(needed)) if needed.on_workers else (),
    )


def _gpus() -> tuple[str, ...]:
    if shutil.which("nvidia-smi") is None:
        return ()
    listing = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return tuple(listing.stdout.splitlines()) if listing.returncode == 0 else ()


def _outcome(read: Callable[[], int]) -> int | str:
    try:
        return read()
    except Exception as error:  # any library may be behind the address: its words are what the user needs
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
