"""One run at a time in a run directory.

`lock.json` says who holds it: host, process, heartbeat, and a name of this one holding. It appears whole, by a hard
link that exists or does not, and its holder keeps a kernel lock (flock) on it. So on one host, or where the file system
carries flock to the others, the kernel's word counts: it knows at once that a process was killed. Elsewhere the
heartbeat does. A stale lock is replaced only under a second file that bears that name, so that of many takers one wins.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import psutil

from analysis.errors import UserError

NAME = "lock.json"
HEARTBEAT = 10.0  # [s]
# A lock of another host is stale when it missed this much; far above a file system's delay in showing a new time [s].
STALE = 120.0

# Of this length whatever it says, so that one write replaces one content.
_LENGTH = 512
# How long a content that is no JSON may still be one that is being written [s].
_HALF_WRITTEN = 1.0
# How old an empty file may be before nobody is about to write it (only made where there are no hard links) [s].
_EMPTY = 5.0
_NO_FLOCK = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
# Others may take the directory and give it back between any two steps of ours; nobody does so this often in a row.
_TRIES = 100
# Between two looks at a lock that another is taking over [s].
_MOMENT = 0.05


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, as its file says."""

    host: str
    pid: int
    born: float
    heartbeat: float
    holding: str = ""  # a text that no other holding of a lock has
    flock: bool = False  # whether the holder could lock the file in the kernel

    @property
    def silent(self) -> float:
        """How long ago it gave its last sign of life [s]."""
        return max(0.0, time.time() - self.heartbeat)

    @property
    def identity(self) -> str:
        """What tells this holding from every other one."""
        return self.holding or f"{self.host}-{self.pid}-{self.born:.0f}"

    @property
    def is_this_process(self) -> bool:
        """Whether it is this very process."""
        return self.pid == os.getpid() and self.host == socket.gethostname()

    def __str__(self) -> str:
        return f"process {self.pid or 'unknown'} on {self.host}"


class RunLock:
    """A lock that this process holds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file, self._holder = _take(path)
        self._lost = threading.Event()
        self._stop = threading.Event()
        self._beats = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._beats.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._beats.join()
        if _is_at(self._path, self._file):
            self._path.unlink()
        os.close(self._file)

    def confirm(self) -> None:
        """Raises UserError where the lock was taken over, because this process stood still for long, or was removed."""
        if self._lost.is_set():
            other, _ = _look(self._path)
            whose = "was removed" if other is None else f"was taken over by {other}"
            raise UserError(f"the lock {self._path} {whose}: this run stops, what it has done is kept")

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            try:
                if not _is_at(self._path, self._file):
                    self._lost.set()
                    return
                _write(self._file, self._holder)
            except OSError as problem:
                # A full disk or a server that is away for a moment: the next beat may get through.
                if problem.errno == errno.ESTALE:
                    self._lost.set()
                    return


@contextmanager
def run_lock(directory: Path) -> Iterator[RunLock]:
    """Holds `directory`/lock.json with host, process and heartbeat; a stale lock is taken over.

    Raises UserError when a living run holds it, or where the directory cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = RunLock(directory / NAME)
    except OSError as problem:
        raise UserError(f"the run directory {directory} cannot be written: {problem.strerror}") from problem
    with lock:
        yield lock


def living_holder(directory: Path) -> Holder | None:
    """Who runs in a run directory at this moment; None where nobody does, whatever a killed run left there."""
    holder, alive = _look(directory / NAME)
    return holder if alive else None


def _take(path: Path) -> tuple[int, Holder]:
    """The open and locked file `path`, that is now ours; UserError where a living holder has it."""
    for _ in range(_TRIES):
        taken = _claim(path)
        if isinstance(taken, Holder):
            raise UserError(f"{path.parent} is in use by {taken}; wait for it, or choose another --output")
        if taken is not None:
            _remove_leftovers(path)
            return taken
    raise UserError(f"{path.parent} is being taken by another run; choose another --output")


def _claim(path: Path) -> tuple[int, Holder] | Holder | None:
    """Makes `path` ours where it is free or stale, or gives its living holder; None where all changed meanwhile."""
    mine = _publish(path)
    if mine is not None:
        return mine
    holder, alive = _look(path)
    if holder is None or alive:
        return holder
    # All takers of this stale lock need the same second file. One who comes late, when the winner has removed that
    # again, finds another holder in the lock.
    guard = path.with_name(f".lock.{holder.identity}.json")
    guarded = _claim(guard)
    if guarded is None or isinstance(guarded, Holder):
        # Who has the guard may have come late: whoever is in the lock in a moment is the one to name.
        time.sleep(_MOMENT)
        return None
    try:
        unchanged = _look(path)[0] == holder
        return _publish(path, instead=True) if unchanged else None
    finally:
        guard.unlink(missing_ok=True)
        os.close(guarded[0])


def _publish(path: Path, *, instead: bool = False) -> tuple[int, Holder] | None:
    """A new lock file, locked and written before it gets its name; None where `path` exists, unless `instead` of it."""
    process = psutil.Process()
    token = secrets.token_hex(8)
    holder = Holder(socket.gethostname(), process.pid, process.create_time(), time.time(), token)
    temporary = path.with_name(f".lock.new-{token}.json")
    file, holder = _written(temporary, holder)
    try:
        if instead:
            temporary.replace(path)
            return file, holder
        if _linked(temporary, path, file):
            return file, holder
    except OSError as problem:
        os.close(file)
        if instead or problem.errno not in _NO_HARD_LINKS:
            raise
        return _made_in_place(path, holder)
    finally:
        temporary.unlink(missing_ok=True)
    os.close(file)
    return None


def _linked(temporary: Path, path: Path, file: int) -> bool:
    """Gives the file `temporary`, open as `file`, a second name; False where that exists."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        # Over NFS the answer to a link that was made can be lost, and its repetition finds it there.
        return _is_at(path, file)
    except FileNotFoundError:  # the temporary file: a run that took the lock has tidied up
        return False
    return True


def _made_in_place(path: Path, holder: Holder) -> tuple[int, Holder] | None:
    """A new lock file that is empty for a moment, where nothing better is to be had; None where `path` exists."""
    try:
        file, holder = _written(path, holder)
    except FileExistsError:
        return None
    if _is_at(path, file):
        return file, holder
    os.close(file)  # we were so slow that another took it for abandoned
    return None


def _is_at(path: Path, file: int) -> bool:
    """Whether the open file is the one that has the name `path` now."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _written(path: Path, holder: Holder) -> tuple[int, Holder]:
    """Creates a file that names `holder`, and keeps it locked for as long as it is open."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)  # nobody holds it for longer than to ask
        holder = replace(holder, flock=True)
    except OSError as problem:
        if problem.errno not in _NO_FLOCK:
            os.close(file)
            raise
    _write(file, holder)
    return file, holder


def _write(file: int, holder: Holder) -> None:
    content = json.dumps({**asdict(holder), "heartbeat": time.time()})
    os.pwrite(file, content.ljust(_LENGTH - 1).encode() + b"\n", 0)


def _look(path: Path) -> tuple[Holder | None, bool]:
    """Who a lock file names, and whether that holder lives; None where there is no file."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None, False
    try:
        holder = _read(file)
        return holder, _alive(holder, _locked(file))
    finally:
        os.close(file)


def _read(file: int) -> Holder:
    """The content of a lock file; one that stays no JSON is of an unknown holder, as old as the file."""
    give_up = time.monotonic() + _HALF_WRITTEN
    while True:
        try:
            return Holder(**json.loads(os.pread(file, 2 * _LENGTH, 0)))
        except (ValueError, TypeError):
            if time.monotonic() > give_up:
                facts = os.fstat(file)
                last = facts.st_mtime if facts.st_size else facts.st_mtime - STALE + _EMPTY
                return Holder("an unknown host", 0, 0.0, last, holding=f"inode-{facts.st_ino}")
            time.sleep(0.02)


def _alive(holder: Holder, locked: bool | None) -> bool:
    """Whether a holder still runs, whose file the kernel calls locked, free, or does not know about (None)."""
    here = holder.host == socket.gethostname()
    if locked:
        return True
    if locked is None or not holder.flock:
        return _process_lives(holder) if here else holder.silent < STALE
    # On another host a file that looks free says nothing: not every file system tells.
    return not here and holder.silent < STALE


def _locked(file: int) -> bool | None:
    """Whether another open file holds the kernel's lock; None where the file system cannot tell."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: those who only ask are not in each other's way
    except BlockingIOError:
        return True
    except OSError as problem:
        if problem.errno not in _NO_FLOCK:
            raise
        return None
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def _process_lives(holder: Holder) -> bool:
    try:
        process = psutil.Process(holder.pid)
        # A process number is used again after a while: the time of birth tells them apart.
        return abs(process.create_time() - holder.born) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError):
        return False


def _remove_leftovers(path: Path) -> None:
    """Removes what killed takers left; a living one whose file goes tries again, and finds the lock taken."""
    for leftover in path.parent.glob(".lock.*.json"):
        leftover.unlink(missing_ok=True)
