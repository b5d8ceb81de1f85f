"""Reading parts of a file with patience: what may go away is tried again, with a freshly opened file.

This is the layer below uproot, h5py and pyarrow. It reads with plain calls: a read error of a memory map would be a
signal (SIGBUS) that kills the process.
"""

import errno
import io
import logging
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeVar

from processors.errors import ReadError, UnreadableFile, first_line
from processors.faults import is_transient, root_cause

Result = TypeVar("Result")
LOGGER = logging.getLogger("hepbatch.reading")
#: Environment variable with the time limit of one request to a server [s].
TIMEOUT_VARIABLE = "HEPBATCH_READ_TIMEOUT"


@dataclass(frozen=True)
class Patience:
    """How often a read is tried, and how long it is waited."""

    attempts: int = 5
    first_pause: float = 0.1  # before the second attempt [s]
    growth: float = 3.0  # of each further pause: 4 s in all
    timeout: float = 60.0  # of one request to a server, on top of the time its bytes take [s]
    slowest: float = 1e5  # of a server that is still waited for [bytes/s]

    def pause(self, attempts: int) -> float:
        """The pause after so many attempts [s]."""
        return self.first_pause * self.growth ** (attempts - 1)


def patience() -> Patience:
    """The patience of this process."""
    return Patience(timeout=float(os.environ.get(TIMEOUT_VARIABLE, Patience.timeout)))


class Ranges(Protocol):
    """A file as byte ranges. `problem` is the error that could not be waited out; later reads are not tried."""

    path: str
    size: int
    bytes_read: int
    retries: int
    problem: OSError | None

    def get(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`, or to the end of the file. Raises OSError when all attempts failed."""

    def close(self) -> None:
        """Gives the file back."""

    def __enter__(self) -> Self:
        """Itself; leaving closes it."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the file."""


class Attempts:
    """Counts the attempts at one file, and gives up in its name."""

    def __init__(self, path: str, patience: Patience) -> None:
        self.path = path
        self.patience = patience
        self.bytes_read = 0
        self.retries = 0
        self.problem: OSError | None = None

    def failed(self, attempt: int, what: str, problem: BaseException) -> float:
        """The pause before the next attempt [s]; raises OSError where there is to be none."""
        if isinstance(problem, ReadError):
            raise problem
        transient, cause = is_transient(problem), root_cause(problem)
        if not transient or attempt >= self.patience.attempts:
            tried = f" ({attempt} attempts at {what})" if attempt > 1 else ""
            if not transient and isinstance(problem, FileNotFoundError):
                self.problem = FileNotFoundError(f"cannot read {self.path}: there is no such file")
            else:
                text = f"cannot read {self.path}: {type(cause).__name__}: {first_line(cause)}{tried}"
                self.problem = OSError(text)
            raise self.problem from problem
        self.retries += 1
        LOGGER.warning("%s: %s: %r: attempt %d failed, another follows", self.path, what, problem, attempt)
        return self.patience.pause(attempt)

    def patiently(self, what: str, call: Callable[[], Result]) -> Result:
        """What `call` gives, as soon as an attempt does not end with an OSError; raises as `failed`."""
        attempt = 1
        while True:
            try:
                return call()
            except OSError as problem:
                pause = self.failed(attempt, what, problem)
            self._forget()
            time.sleep(pause)
            attempt += 1

    def _forget(self) -> None:
        """Gives up what an attempt that failed has opened: here nothing."""


class LocalRanges(Attempts):
    """A local file, or one of a mounted file system, for one thread at a time."""

    def __init__(self, path: str, patience: Patience) -> None:
        super().__init__(path, patience)
        self._descriptor: int | None = None
        self._descriptor, status = self.patiently("opening it", self._open)
        self.size = status.st_size
        self._mark = (status.st_ino, status.st_size, status.st_mtime_ns)

    def get(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`, or to the end of the file."""
        if start < 0 or stop < start:
            raise UnreadableFile(f"cannot read {self.path}: its content refers to the bytes {start} to {stop}")
        stop = min(stop, self.size)
        if start >= stop:
            return b""
        data = self.patiently(f"bytes {start} to {stop}", lambda: self._read(start, stop))
        self.bytes_read += len(data)
        return data

    def close(self) -> None:
        """Closes the file."""
        self._forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> tuple[int, os.stat_result]:
        # A pipe would block; what is no regular file is the content's fault.
        status = os.stat(self.path)  # noqa: PTH116  (below pathlib)
        check_regular(self.path, status)
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        return descriptor, os.fstat(descriptor)

    def _reopened(self) -> int:
        """The descriptor, opened again where it was given up; the file must be the same."""
        if self._descriptor is None:
            descriptor, status = self._open()
            self._descriptor = descriptor
            if (status.st_ino, status.st_size, status.st_mtime_ns) != self._mark:
                raise OSError(errno.ESTALE, "the file was replaced while it was read")
            return descriptor
        return self._descriptor

    def _forget(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _read(self, start: int, stop: int) -> bytes:
        """All bytes of the range, in as many reads as the system takes (one gives at most 2 GiB)."""
        data = os.pread(self._reopened(), stop - start, start)
        if len(data) == stop - start:
            return data
        parts = [data]
        while parts[-1] and start + len(parts[-1]) < stop:
            start += len(parts[-1])
            parts.append(os.pread(self._reopened(), stop - start, start))
        if not parts[-1]:
            raise OSError(errno.EIO, f"the file ends at byte {start}, it had {self.size} bytes when it was opened")
        return b"".join(parts)


def check_regular(path: str, status: os.stat_result) -> None:
    """Raises UnreadableFile for a directory, a pipe, a device and an empty file."""
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableFile(f"cannot read {path}: it is a directory, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFile(f"cannot read {path}: it is not a regular file")
    if status.st_size == 0:
        raise UnreadableFile(f"cannot read {path}: it is empty (zero bytes)")


def open_ranges(path: str, kind: str, magic: bytes) -> Ranges:
    """A file to read from, local or at an address with `://`.

    Raises UnreadableFile, naming the `kind` of file, where it does not begin with `magic`, and OSError where it cannot
    be opened.
    """
    ranges: Ranges
    if "://" in path:
        from processors.remote import RemoteRanges

        ranges = RemoteRanges(path, patience())
    else:
        ranges = LocalRanges(path, patience())
    try:
        if ranges.size == 0:
            raise UnreadableFile(f"cannot read {path}: it is empty (zero bytes)")
        if ranges.get(0, len(magic)) != magic:
            raise UnreadableFile(f"cannot read {path}: it is not a {kind} file")
    except BaseException:
        ranges.close()
        raise
    return ranges


class PatientFile(io.RawIOBase):
    """Ranges as a Python file, for h5py and pyarrow; closing it leaves the ranges open."""

    def __init__(self, ranges: Ranges) -> None:
        super().__init__()
        self.path = ranges.path
        self._ranges = ranges
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position of the next read."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves to a position and gives it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._ranges.size}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes, fewer only at the end of the file."""
        stop = self._ranges.size if size is None or size < 0 else self._position + size
        data = self._ranges.get(self._position, max(stop, self._position))
        self._position += len(data)
        return data

    def readinto(self, buffer, /) -> int:  # type: ignore[no-untyped-def]
        """Fills a buffer and gives the number of bytes."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)
