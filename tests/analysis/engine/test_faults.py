"""Which errors are tried again: real ones of each library where it can be had, judged by where they began."""

import asyncio
import concurrent.futures
import errno
import http.client
import socket
import ssl
import struct
import urllib.error
from collections.abc import Callable

import aiohttp
import pytest
import requests
import urllib3
from distributed.comm.core import CommClosedError
from fsspec.exceptions import FSTimeoutError

from analysis.engine.faults import is_transient
from processors.errors import ChangedFile, MissingBranch, UnreadableFile


def raised(*chain: BaseException, explicit: bool = True, hidden: bool = False) -> BaseException:
    """The last of the errors, each raised from the one before it, or only while that one was handled."""

    def fail(rest: tuple[BaseException, ...]) -> None:
        *earlier, last = rest
        if not earlier:
            raise last
        try:
            fail(tuple(earlier))
        except BaseException as problem:
            if hidden:
                raise last from None
            if explicit:
                raise last from problem
            raise last  # noqa: B904  (the implicit context is the case at hand)

    try:
        fail(chain)
    except BaseException as problem:
        return problem
    raise AssertionError("unreachable")


def answer(status: int) -> aiohttp.ClientResponseError:
    url = aiohttp.client_reqrep.URL("http://server/file.root")  # type: ignore[attr-defined]
    info = aiohttp.RequestInfo(url, "GET", None, url)  # type: ignore[arg-type]
    return aiohttp.ClientResponseError(info, (), status=status, message="told by the server")


def requests_error(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status} Error", response=response)


class ClientError(Exception):
    """As botocore's, which is not installed here: the status lies in a mapping."""

    def __init__(self, status: int) -> None:
        super().__init__("An error occurred (SlowDown) when calling the GetObject operation")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


def botocore(name: str) -> BaseException:
    """An error of botocore's connections, by the name of its class and module."""
    kind: type[BaseException] = type(name, (Exception,), {"__module__": "botocore.exceptions"})
    return kind("connection was closed before we received a valid response")


XROOTD = "File did not open properly: [ERROR] Server responded with an error: [{}] {}"
CERTIFICATE = ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")

TRANSIENT: dict[str, Callable[[], BaseException]] = {
    "read error": lambda: OSError(errno.EIO, "Input/output error"),
    "stale handle": lambda: OSError(errno.ESTALE, "Stale file handle"),
    "file system not there": lambda: OSError(errno.ENOTCONN, "Transport endpoint is not connected"),
    "interrupted": lambda: OSError(errno.EINTR, "Interrupted system call"),
    "too many open files": lambda: OSError(errno.EMFILE, "Too many open files"),
    "no number": lambda: OSError("the server gave 5 of 10 bytes"),
    "named outside, read error inside": lambda: raised(OSError(errno.EIO, "?"), OSError("cannot read a.root")),
    "wrapped by a library": lambda: raised(OSError(errno.EIO, "?"), ValueError("cannot decode")),
    "while handling": lambda: raised(ConnectionResetError("?"), ValueError("x"), explicit=False),
    "time-out": lambda: TimeoutError("no answer"),
    "asyncio time-out": lambda: raised(asyncio.CancelledError(), asyncio.TimeoutError()),  # noqa: UP041
    "futures time-out": concurrent.futures.TimeoutError,
    "fsspec time-out": FSTimeoutError,
    "refused": lambda: ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
    "reset": lambda: ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    "name service": lambda: socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
    "HTTP 503": lambda: answer(503),
    "HTTP 500": lambda: answer(500),
    "HTTP 429": lambda: answer(429),
    "HTTP 503 as fsspec tells it": lambda: raised(answer(503), FileNotFoundError("http://server/file.root")),
    "lost server as fsspec tells it": lambda: raised(aiohttp.ServerDisconnectedError(), FileNotFoundError("http://")),
    "aiohttp payload": lambda: aiohttp.ClientPayloadError("Response payload is not completed"),
    "aiohttp disconnected": aiohttp.ServerDisconnectedError,
    "aiohttp time-out": aiohttp.ServerTimeoutError,
    "urllib3 protocol": lambda: urllib3.exceptions.ProtocolError("Connection broken"),
    "urllib3 incomplete": lambda: urllib3.exceptions.IncompleteRead(5, 10),
    "requests connection": lambda: requests.ConnectionError("Max retries exceeded"),
    "requests chunked": lambda: requests.exceptions.ChunkedEncodingError("Connection broken"),
    "requests 502": lambda: requests_error(502),
    "urllib 503": lambda: urllib.error.HTTPError("http://server", 503, "Unavailable", http.client.HTTPMessage(), None),
    "http.client": lambda: http.client.IncompleteRead(b"", 10),
    "botocore 503": lambda: ClientError(503),
    "botocore connection": lambda: botocore("HTTPClientError"),
    "distributed": lambda: CommClosedError("in <TCP>: Stream is closed"),
    "XRootD expired": lambda: OSError("File did not open properly: [ERROR] Operation expired"),
    "XRootD connection": lambda: OSError("File did not open properly: [FATAL] Connection error"),
    "XRootD overloaded": lambda: OSError(XROOTD.format(3024, "server is overloaded")),
    "XRootD I/O": lambda: OSError(XROOTD.format(3007, "I/O error")),
}

PERMANENT: dict[str, Callable[[], BaseException]] = {
    "not found": lambda: FileNotFoundError(errno.ENOENT, "No such file or directory"),
    "not found, no number": lambda: FileNotFoundError("http://server/file.root"),
    "not found as fsspec tells it": lambda: raised(answer(404), FileNotFoundError("http://server/file.root")),
    "named outside, not found inside": lambda: raised(
        FileNotFoundError(errno.ENOENT, "?"), OSError("cannot read a.root")
    ),
    "not found while handling": lambda: raised(FileNotFoundError("?"), OSError("cannot read"), explicit=False),
    "no right": lambda: PermissionError(errno.EACCES, "Permission denied"),
    "directory": lambda: IsADirectoryError(errno.EISDIR, "Is a directory"),
    "loop": lambda: OSError(errno.ELOOP, "Too many levels of symbolic links"),
    "HTTP 404": lambda: answer(404),
    "HTTP 403": lambda: answer(403),
    "HTTP 416": lambda: answer(416),
    "requests 404": lambda: requests_error(404),
    "botocore 403": lambda: ClientError(403),
    "certificate": lambda: raised(CERTIFICATE, OSError("Cannot connect to host")),
    "XRootD not found": lambda: OSError(XROOTD.format(3011, "No such file or directory")),
    "XRootD not authorised": lambda: OSError(XROOTD.format(3010, "permission denied")),
    "XRootD directory": lambda: OSError(XROOTD.format(3016, "is a directory")),
    "XRootD log-in": lambda: OSError("File did not open properly: [FATAL] Auth failed"),
    "damaged": lambda: raised(struct.error("unpack requires"), UnreadableFile("cannot read a.root: struct.error")),
    "missing branch": lambda: MissingBranch("a.root: the tree 'mini' has no branch 'lep_eta'"),
    "other file": lambda: ChangedFile("a.root is not the file that was planned"),
    "content, found while an OSError was handled": lambda: raised(
        OSError("expected Chunk of length 5"), UnreadableFile("cannot read a.root"), explicit=False
    ),
    "programming": lambda: KeyError("lep_pt"),
    "OSError that has nothing to do with it": lambda: raised(OSError(errno.EIO, "?"), KeyError("x"), hidden=True),
    "memory": MemoryError,
}


@pytest.mark.parametrize("name", TRANSIENT)
def test_may_go_away(name: str) -> None:
    assert is_transient(TRANSIENT[name]())


@pytest.mark.parametrize("name", PERMANENT)
def test_will_not_go_away(name: str) -> None:
    assert not is_transient(PERMANENT[name]())
