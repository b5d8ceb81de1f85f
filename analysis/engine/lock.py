"""One run at a time in a run directory."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from analysis.errors import UserError
from analysis.files import replacing

HEARTBEAT = 10.0  # [s]
# A lock of another host is stale when it missed this much; far above a file system's delay in showing a new time [s].
STALE = 120.0


@contextmanager
def run_lock(directory: Path) -> Iterator[None]:
    """Holds `directory`/lock.json with host, process and heartbeat; a stale lock is taken over.

    Raises UserError when a living run holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "lock.json"
    _acquire(path)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, stop), name="heartbeat", daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        path.unlink(missing_ok=True)


def holder_of(directory: Path) -> dict[str, Any] | None:
    """Host, pid and heartbeat of the living run in a directory; None where there is none."""
    holder = _holder(directory / "lock.json")
    return holder if holder is not None and _alive(holder) else None


def _acquire(path: Path) -> None:
    for _ in range(2):
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump(_state(), file)
        except FileExistsError:
            holder = _holder(path)
            if holder is not None and _alive(holder):
                raise UserError(
                    f"{path.parent} is in use by process {holder['pid']} on {holder['host']}; "
                    "wait for it, or choose another --output"
                ) from None
            path.unlink(missing_ok=True)
        else:
            return
    raise UserError(f"{path.parent} is being taken by another run; choose another --output")


def _state() -> dict[str, Any]:
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": process.pid, "born": process.create_time(), "heartbeat": time.time()}


def _holder(path: Path) -> dict[str, Any] | None:
    try:
        holder: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return holder


def _alive(holder: dict[str, Any]) -> bool:
    if holder["host"] != socket.gethostname():
        return bool(time.time() - holder["heartbeat"] < STALE)
    if holder["pid"] == os.getpid():
        return True
    # A process number is used again after a while: the time of birth tells them apart.
    return psutil.pid_exists(holder["pid"]) and abs(psutil.Process(holder["pid"]).create_time() - holder["born"]) < 1


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT):
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(_state()), encoding="utf-8")
