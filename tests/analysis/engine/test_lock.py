"""One run at a time in a directory; a lock whose holder is gone is taken over, by one of those who try."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from analysis.engine import lock
from analysis.engine.lock import STALE, RunLock, living_holder, run_lock
from analysis.errors import UserError

PROCESSES, ROUNDS = 20, 6
# What a file system without flock, or without hard links, answers; put below the code under test, at the system call.
WITHOUT = {
    "everything there": "",
    "no flock": "fcntl.flock = refuse(errno.ENOLCK)",
    "no hard links": "os.link = refuse(errno.EPERM)",
    "neither": "fcntl.flock = refuse(errno.EOPNOTSUPP); os.link = refuse(errno.EPERM)",
}
PRELUDE = """
import errno, fcntl, json, os, sys, time
from contextlib import ExitStack
from pathlib import Path
real_flock = fcntl.flock
def refuse(number):
    def call(*arguments): raise OSError(number, os.strerror(number))
    return call
{without}
from analysis.engine.lock import run_lock
from analysis.errors import UserError
"""
CONTEST = """
directories = json.loads(sys.stdin.readline())
print("ready", flush=True)
start = float(sys.stdin.readline())
results = []
with ExitStack() as held:
    for number, directory in enumerate(directories):
        while time.time() < start + 0.1 * number: pass
        try:
            held.enter_context(run_lock(Path(directory)))
            results.append("")
        except UserError as error:
            results.append(str(error))
    print(json.dumps(results), flush=True)
    sys.stdin.readline()
"""
HOLD = """
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""
# Takes and gives back without end, and says in one diary when it was inside.
STRESS = """
diary = os.open(Path(sys.argv[1]) / "diary", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
while True:
    try:
        with run_lock(Path(sys.argv[1])):
            os.write(diary, f"{os.getpid()} in\\n".encode())
            print("held", flush=True)
            os.write(diary, f"{os.getpid()} out\\n".encode())
    except UserError:
        pass
"""


@contextmanager
def process(script: str, *arguments: object, without: str = "") -> Iterator[subprocess.Popen[str]]:
    program = PRELUDE.format(without=without) + script
    running = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with running:
        try:
            yield running
        finally:
            running.kill()


def ask(running: subprocess.Popen[str], line: str = "") -> str:
    assert running.stdin is not None
    assert running.stdout is not None
    if line:
        running.stdin.write(line + "\n")
        running.stdin.flush()
    return running.stdout.readline().strip()


def write_holder(directory: Path, **changes: Any) -> None:
    content = {"host": socket.gethostname(), "pid": 1, "born": 0.0, "heartbeat": time.time()} | changes
    directory.mkdir(exist_ok=True)
    (directory / "lock.json").write_text(json.dumps(content))


def confirm_for_ever(held: RunLock) -> None:
    while True:
        held.confirm()
        time.sleep(0.001)


def ended_process() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_a_second_run_is_refused_and_the_first_leaves_nothing(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(UserError, match=f"in use by process {os.getpid()}"), run_lock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("without", WITHOUT.values(), ids=WITHOUT)
@pytest.mark.parametrize("left_behind", ["nothing", "a dead process of this host", "a silent host"])
def test_of_many_processes_that_start_at_once_one_wins(tmp_path: Path, left_behind: str, without: str) -> None:
    directories = [tmp_path / str(number) for number in range(ROUNDS)]
    dead = ended_process()
    for directory in directories:
        if left_behind == "a dead process of this host":
            write_holder(directory, pid=dead, holding="old", flock=not without)
        elif left_behind == "a silent host":
            write_holder(directory, host="elsewhere", heartbeat=time.time() - STALE - 1)
    with ExitStack() as stack:
        contestants = [stack.enter_context(process(CONTEST, without=without)) for _ in range(PROCESSES)]
        for one in contestants:
            assert ask(one, json.dumps([str(directory) for directory in directories])) == "ready"
        start = time.time() + 0.2
        for one in contestants:
            assert one.stdin is not None
            one.stdin.write(f"{start}\n")
            one.stdin.flush()
        results = [json.loads(ask(one)) for one in contestants]
        for number, directory in enumerate(directories):
            (winner,) = (one.pid for one, result in zip(contestants, results, strict=True) if result[number] == "")
            assert json.loads((directory / "lock.json").read_text())["pid"] == winner
            refusals = [result[number] for result in results if result[number] != ""]
            assert len(refusals) == PROCESSES - 1
            # Without hard links a refusal may name one that had the file for a moment and lost it to the winner.
            named = {winner} if "os.link" not in without else {one.pid for one in contestants}
            sentences = {
                f"{directory} is in use by process {pid} on {socket.gethostname()}; wait for it" for pid in named
            }
            assert {refusal.partition(",")[0] for refusal in refusals} <= sentences
        for one in contestants:
            ask(one, "end")
            assert one.wait() == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("without", WITHOUT.values(), ids=WITHOUT)
def test_the_lock_of_a_killed_process_is_taken_over_at_once(tmp_path: Path, without: str) -> None:
    with process(HOLD, tmp_path, without=without) as first:
        assert ask(first) == "held"
        with process(HOLD, tmp_path, without=without) as second:
            assert second.wait() == 1
            assert second.stderr is not None
            assert f"in use by process {first.pid} on {socket.gethostname()}" in second.stderr.read()
        assert getattr(living_holder(tmp_path), "pid", None) == first.pid
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert (tmp_path / "lock.json").exists()
        assert living_holder(tmp_path) is None
        with process(HOLD, tmp_path, without=without) as third:
            assert ask(third) == "held"
            ask(third, "end")
            assert third.wait() == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("without", WITHOUT.values(), ids=WITHOUT)
def test_never_two_at_once_while_takers_are_killed(tmp_path: Path, without: str) -> None:
    chance = random.Random(7)  # noqa: S311  (not for security)
    with ExitStack() as stack:
        takers = [stack.enter_context(process(STRESS, tmp_path, without=without)) for _ in range(4)]
        for _ in range(12):
            victim = chance.randrange(len(takers))
            for _ in range(chance.randrange(1, 30)):
                assert ask(takers[victim]) == "held", takers[victim].stderr.read()  # type: ignore[union-attr]
            takers[victim].kill()
            assert takers[victim].wait() == -signal.SIGKILL, takers[victim].stderr.read()  # type: ignore[union-attr]
            takers[victim] = stack.enter_context(process(STRESS, tmp_path, without=without))
        for one in takers:
            assert one.poll() is None, one.stderr.read()  # type: ignore[union-attr]
        for one in takers:
            one.kill()
            one.wait()
    if "os.link" in without:  # a file that its maker did not live to write counts for a few seconds
        past = time.time() - STALE - 1
        for path in tmp_path.glob("*lock*"):
            os.utime(path, (past, past))
    with run_lock(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {"lock.json", "diary"}
    # Whoever says that it goes out was the last to come in: nobody came in meanwhile.
    diary = (tmp_path / "diary").read_text().splitlines()
    assert sum(line.endswith(" out") for line in diary) > 100
    wrong = [(i, line) for i, line in enumerate(diary) if line.endswith("out") and diary[i - 1] != line[:-3] + "in"]
    assert wrong == []


def test_the_lock_of_another_host_counts_while_its_heart_beats(tmp_path: Path) -> None:
    write_holder(tmp_path, host="elsewhere", pid=321, flock=True)
    with pytest.raises(UserError, match="in use by process 321 on elsewhere"), run_lock(tmp_path):
        pass
    write_holder(tmp_path, host="elsewhere", heartbeat=time.time() - STALE - 1, flock=True)
    with run_lock(tmp_path):
        assert json.loads((tmp_path / "lock.json").read_text())["pid"] == os.getpid()


def test_a_number_that_another_process_has_by_now_is_no_life(tmp_path: Path) -> None:
    write_holder(tmp_path, pid=os.getpid(), born=1.0)
    with run_lock(tmp_path):
        pass


def test_a_content_that_is_no_json_counts_while_the_file_is_young(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    path.write_text('{"host": "else')
    with pytest.raises(UserError, match="in use by process unknown on an unknown host"), run_lock(tmp_path):
        pass
    os.utime(path, (time.time() - STALE - 1,) * 2)
    with run_lock(tmp_path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_an_empty_file_counts_for_a_moment(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    path.touch()
    os.utime(path, (time.time() + 60,) * 2)  # young, however slow this machine is
    with pytest.raises(UserError, match="in use by process unknown on an unknown host"), run_lock(tmp_path):
        pass
    os.utime(path, (time.time() - 10,) * 2)
    with run_lock(tmp_path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_the_heart_beats_in_place_and_every_reading_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT", 0.001)
    path = tmp_path / "lock.json"
    with run_lock(tmp_path) as held:
        inode = path.stat().st_ino
        beats = {json.loads(path.read_text())["heartbeat"] for _ in range(3000)}
        assert len(beats) > 1
        assert path.stat().st_ino == inode
        held.confirm()


@pytest.mark.parametrize("other", [None, "another"])
def test_a_run_that_lost_its_lock_stops_and_leaves_the_other_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str | None
) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT", 0.01)
    path = tmp_path / "lock.json"
    with run_lock(tmp_path) as held:
        held.confirm()
        path.unlink()
        if other is not None:
            write_holder(tmp_path, host="elsewhere", pid=321, holding=other)
        with pytest.raises(UserError, match="was removed" if other is None else "taken over by process 321 on elsew"):
            confirm_for_ever(held)
    assert path.exists() == (other is not None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written: Permission denied"), run_lock(tmp_path):
        pass


def test_a_file_in_place_of_a_directory_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"the run directory .* cannot be written: Not a directory"):
        run_lock(tmp_path / "file" / "run").__enter__()
