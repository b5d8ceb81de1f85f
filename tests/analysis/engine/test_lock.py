"""One run at a time in a directory; a lock whose holder is gone is taken over."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis.engine.lock import STALE, run_lock
from analysis.errors import UserError


def holder(directory: Path, **changes: object) -> None:
    content = {"host": socket.gethostname(), "pid": os.getpid(), "born": 0.0, "heartbeat": time.time()} | changes
    (directory / "lock.json").write_text(json.dumps(content))


def test_a_second_run_is_refused_and_the_first_leaves_nothing(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(UserError, match=f"in use by process {os.getpid()}"), run_lock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    holder(tmp_path, pid=ended.pid)
    with run_lock(tmp_path):
        assert json.loads((tmp_path / "lock.json").read_text())["pid"] == os.getpid()


def test_the_lock_of_another_host_counts_while_its_heart_beats(tmp_path: Path) -> None:
    holder(tmp_path, host="elsewhere")
    with pytest.raises(UserError, match="on elsewhere"), run_lock(tmp_path):
        pass
    holder(tmp_path, host="elsewhere", heartbeat=time.time() - STALE - 1)
    with run_lock(tmp_path):
        pass
