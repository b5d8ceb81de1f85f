"""Errors that may go away are told from those that will not."""

import errno
import socket

import pytest

from analysis.engine.faults import is_transient


class StatusError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


def raised_from(problem: Exception, cause: Exception) -> Exception:
    problem.__cause__ = cause
    return problem


@pytest.mark.parametrize(
    "problem",
    [
        OSError("the storage is busy"),
        OSError(errno.EIO, "input/output error"),
        TimeoutError(),
        ConnectionResetError(),
        socket.gaierror("no name server"),
        StatusError(503),
        StatusError(429),
        OSError("[ERROR] Operation expired"),
        OSError("[ERROR] Server responded with an error: [3005] file system error"),
        raised_from(ValueError("cannot read the basket"), ConnectionError("reset")),
    ],
)
def test_what_may_go_away(problem: Exception) -> None:
    assert is_transient(problem)


@pytest.mark.parametrize(
    "problem",
    [
        ValueError("not a ROOT file"),
        KeyError("lep_pt"),
        MemoryError(),
        FileNotFoundError(errno.ENOENT, "no such file"),
        FileNotFoundError("fsspec gives no number"),
        PermissionError("nor here"),
        IsADirectoryError("nor here"),
        OSError(errno.EACCES, "denied"),
        StatusError(404),
        StatusError(403),
        OSError("[ERROR] Server responded with an error: [3011] No such file or directory"),
        raised_from(ValueError("cannot read"), KeyError("lep_pt")),
    ],
)
def test_what_will_not_go_away(problem: Exception) -> None:
    assert not is_transient(problem)


def test_a_chain_of_causes_that_bites_its_tail_ends() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert not is_transient(first)
