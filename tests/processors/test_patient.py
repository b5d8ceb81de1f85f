"""Reads that fail are tried again, on a fresh file; what will not go away is an error at once."""

import errno
import io
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from support.http_files import serving

from processors.errors import ReadError, UnreadableFile
from processors.patient import LocalRanges, Patience, PatientFile, Ranges, open_ranges
from processors.remote import BLOCK, RemoteRanges

CONTENT = bytes(range(256)) * 4096
FAST = Patience(first_pause=0.001, growth=1.0, timeout=0.5, slowest=1e7)
Pread = Callable[[int, int, int], bytes]


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "file.bin").write_bytes(CONTENT)
    return str(tmp_path / "file.bin")


class Trouble:
    """Stands in for the system: `os.pread` fails as told, and otherwise reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: int | Callable[[bytes], bytes]) -> None:
        self.answers = list(answers)
        self.descriptors: list[int] = []
        self._pread: Pread = os.pread
        monkeypatch.setattr(os, "pread", self.pread)

    def pread(self, descriptor: int, size: int, offset: int) -> bytes:
        self.descriptors.append(descriptor)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        data = self._pread(descriptor, size, offset)
        return data if answer is None else answer(data)


PASSING = (errno.EIO, errno.ETIMEDOUT, errno.ESTALE, errno.EAGAIN, errno.EINTR, errno.EREMOTEIO, errno.ENOTCONN)


@pytest.mark.parametrize("number", PASSING)
def test_what_may_go_away_is_tried_again(path: str, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    with LocalRanges(path, FAST) as ranges:
        trouble = Trouble(monkeypatch, number, number)
        assert ranges.get(1000, 3000) == CONTENT[1000:3000]
        assert (ranges.retries, ranges.bytes_read, ranges.problem) == (2, 2000, None)
        assert len(trouble.descriptors) == 3


def test_a_fault_that_stays_is_an_error_after_all_attempts(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalRanges(path, FAST) as ranges:
        trouble = Trouble(monkeypatch, *[errno.EIO] * 100)
        with pytest.raises(OSError, match=r"file\.bin: .*Input/output error \(5 attempts at bytes 0 to 9\)"):
            ranges.get(0, 9)
        assert len(trouble.descriptors) == FAST.attempts
        assert ranges.problem is not None
        assert ranges.problem.__cause__.errno == errno.EIO  # type: ignore[union-attr]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EISDIR, errno.EINVAL])
def test_what_will_not_go_away_is_not_tried_again(path: str, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    with LocalRanges(path, FAST) as ranges:
        trouble = Trouble(monkeypatch, number)
        with pytest.raises(OSError, match=r"cannot read .*file\.bin"):
            ranges.get(0, 9)
        assert (len(trouble.descriptors), ranges.retries) == (1, 0)


def test_short_reads_are_completed(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalRanges(path, FAST) as ranges:
        Trouble(monkeypatch, lambda data: data[:7], lambda data: data[:1], lambda _: b"")
        assert ranges.get(500, 900) == CONTENT[500:900]
        assert ranges.retries == 1  # only the read that gave nothing before the end of the file


def test_a_file_that_shrank_is_an_error(path: str) -> None:
    with LocalRanges(path, FAST) as ranges:
        os.truncate(path, 100)
        with pytest.raises(OSError, match=r"file\.bin"):
            ranges.get(50, 200)


def test_a_file_that_was_replaced_is_not_mixed_with_the_new_one(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalRanges(path, FAST) as ranges:
        Trouble(monkeypatch, errno.EIO)
        Path(path).with_name("other").write_bytes(CONTENT[::-1])
        Path(path).with_name("other").replace(path)
        with pytest.raises(OSError, match="replaced while it was read"):
            ranges.get(0, 9)


def test_ranges_outside_of_the_file(path: str) -> None:
    with LocalRanges(path, FAST) as ranges:
        assert ranges.get(len(CONTENT) - 3, len(CONTENT) + 50) == CONTENT[-3:]
        assert ranges.get(len(CONTENT) + 5, len(CONTENT) + 50) == b""
        for start, stop in ((-5, 5), (10, 5)):
            with pytest.raises(UnreadableFile, match=r"file\.bin: its content refers to the bytes"):
                ranges.get(start, stop)


def test_opening(path: str, tmp_path: Path) -> None:
    with open_ranges(path, "test", CONTENT[:4]) as ranges:
        assert ranges.size == len(CONTENT)
    with pytest.raises(UnreadableFile, match="it is not a ROOT file"):
        open_ranges(path, "ROOT", b"root")
    with pytest.raises(UnreadableFile, match="it is a directory"):
        open_ranges(str(tmp_path), "ROOT", b"root")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        open_ranges(str(tmp_path / "absent"), "ROOT", b"root")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        with pytest.raises(UnreadableFile):
            open_ranges(path, "ROOT", b"root")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_as_a_python_file(path: str) -> None:
    with LocalRanges(path, FAST) as ranges, PatientFile(ranges) as file:
        assert file.read(10) == CONTENT[:10]
        assert file.seek(-5, io.SEEK_END) == len(CONTENT) - 5
        assert file.read() == CONTENT[-5:]
        assert file.read() == b""
        file.seek(100)
        buffer = bytearray(50)
        assert file.readinto(buffer) == 50
        assert (bytes(buffer), file.tell()) == (CONTENT[100:150], 150)


def read_remote(ranges: Ranges) -> None:
    assert ranges.size == len(CONTENT)
    assert ranges.get(10, 20) == CONTENT[10:20]
    assert ranges.get(BLOCK - 5, BLOCK + 5) == CONTENT[BLOCK - 5 : BLOCK + 5]
    assert ranges.get(100, BLOCK + 200) == CONTENT[100 : BLOCK + 200]
    assert ranges.get(len(CONTENT) - 5, len(CONTENT) + 5) == CONTENT[-5:]


def test_a_server(path: str) -> None:
    with serving(Path(path).parent) as served, RemoteRanges(f"{served.address}/file.bin", FAST) as ranges:
        read_remote(ranges)
        requests = served.requests
        assert ranges.get(0, 50) == CONTENT[:50]
        assert served.requests == requests  # the block is kept
        assert ranges.submit([(0, 5), (7, 9)]).result() == [CONTENT[0:5], CONTENT[7:9]]
        assert ranges.retries == 0


@pytest.mark.parametrize("fault", ["503", "429", "cut", "stall"])
def test_a_server_with_faults(path: str, fault: str) -> None:
    with (
        serving(Path(path).parent, lambda number: fault if number % 3 == 0 else None) as served,
        RemoteRanges(f"{served.address}/file.bin", FAST) as ranges,
    ):
        read_remote(ranges)
        assert ranges.submit([(n, n + 5) for n in range(10)]).result() == [CONTENT[n : n + 5] for n in range(10)]
        assert served.faults[fault] >= ranges.retries > 0


def test_a_server_that_stays_away(path: str) -> None:
    with serving(Path(path).parent, lambda number: "503" if number > 3 else None) as served:
        ranges = RemoteRanges(f"{served.address}/file.bin", FAST)
        assert ranges.get(0, 5) == CONTENT[:5]
        assert ranges.get(BLOCK, BLOCK + 5) == CONTENT[BLOCK : BLOCK + 5]
        with pytest.raises(OSError, match=r"cannot read http.*file\.bin: ClientResponseError: 503.*5 attempts"):
            ranges.get(2 * BLOCK, 2 * BLOCK + 5)


def test_what_a_server_does_not_have(path: str) -> None:
    with serving(Path(path).parent) as served:
        with pytest.raises(FileNotFoundError, match=r"absent\.bin: there is no such file"):
            RemoteRanges(f"{served.address}/absent.bin", FAST)
        with pytest.raises(ReadError, match="not a ROOT file"):
            open_ranges(f"{served.address}/file.bin", "ROOT", b"root")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(OSError, match=r"cannot read http.*attempts at its size"):
        RemoteRanges(f"http://127.0.0.1:{port}/file.bin", FAST)
