"""Telling errors that may go away from those that will not."""

import errno
import re
import ssl
from typing import Any

from processors.errors import ReadError

# A file system's own word that the name, the right or the request is wrong: no later try will find it otherwise.
PERMANENT_ERRNO = frozenset(
    {errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG,
     errno.EINVAL, errno.EBADF, errno.EFBIG, errno.EROFS, errno.EEXIST, errno.ENOTEMPTY, errno.ENXIO, errno.ENODEV,
     errno.EOPNOTSUPP}
)  # fmt: skip
# The file system, or the user's part of it, is full: whoever writes must stop until there is room.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# Python has types for some of them; libraries raise these without a number, such as fsspec for an HTTP 404.
PERMANENT_TYPES = (
    FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError,
    ssl.SSLCertVerificationError,
)  # fmt: skip
RETRIED_HTTP = frozenset({408, 425, 429})
# Names of the errors of a connection, by the package they come from: no package is imported for the sake of its errors.
CONNECTION_ERRORS = {
    "aiohttp": {"ClientConnectionError", "ClientPayloadError"},
    "botocore": {"HTTPClientError", "ConnectionError", "IncompleteReadError", "ResponseStreamingError"},
    "distributed": {"CommClosedError"},
    "http": {"IncompleteRead", "RemoteDisconnected", "BadStatusLine"},
    "httpx": {"TransportError"},
    "requests": {"ConnectionError", "Timeout", "ChunkedEncodingError"},
    "urllib3": {"ProtocolError", "TimeoutError", "HTTPError"},
}
# Codes of XRootD's protocol (XErrorCode in XProtocol.hh) that name a wrong request, not a passing fault: arguments
# (3000 to 3002), request (3006), right (3010), not found (3011), unsupported (3013), no file (3015), directory (3016),
# exists (3018), read-only (3025), TLS (3028) and log-in (3030).
PERMANENT_XROOTD = frozenset({3000, 3001, 3002, 3006, 3010, 3011, 3013, 3015, 3016, 3018, 3025, 3028, 3030})


def is_transient(problem: BaseException) -> bool:
    """Whether the same call may succeed later: an operating-system or network error, a time-out, an HTTP 5xx.

    What a file's content causes (no ROOT file, missing branch, corrupt basket) is permanent. An error that was raised
    from others is judged by the deepest of them that tells anything: that is where it began.
    """
    if any(isinstance(one, ReadError) for one in _causes(problem)):
        return False
    return bool(_verdict(root_cause(problem)))


def root_cause(problem: BaseException) -> BaseException:
    """The deepest of the causes of an error that tells whether it may go away; the error itself where none does."""
    return next((one for one in reversed(_causes(problem)) if _verdict(one) is not None), problem)


def _causes(problem: BaseException) -> list[BaseException]:
    """The error, what it was raised from or while handling, and so on down to the first."""
    causes: list[BaseException] = []
    current: BaseException | None = problem
    while current is not None and current not in causes:
        causes.append(current)
        context = None if current.__suppress_context__ else current.__context__
        current = current.__cause__ or context
    return causes


def _verdict(problem: BaseException) -> bool | None:
    """Whether this one error may go away; None where it does not tell."""
    status = http_status(problem)
    if status is not None:
        return status >= 500 or status in RETRIED_HTTP
    if isinstance(problem, PERMANENT_TYPES):
        return False
    if isinstance(problem, TimeoutError | ConnectionError) or _of_a_connection(problem):
        return True
    if isinstance(problem, OSError):
        code = _xrootd_code(problem)
        if code is not None:
            return code not in PERMANENT_XROOTD
        return problem.errno not in PERMANENT_ERRNO | FULL and "Auth failed" not in str(problem)
    return None


def _of_a_connection(problem: BaseException) -> bool:
    return any(
        kind.__name__ in CONNECTION_ERRORS.get(kind.__module__.partition(".")[0], ()) for kind in type(problem).__mro__
    )


def http_status(problem: BaseException) -> int | None:
    """The HTTP status of a client library's error: of aiohttp and httpx, of requests, of urllib, of botocore."""
    response: Any = getattr(problem, "response", None)
    told = [getattr(one, name, None) for one in (problem, response) for name in ("status", "status_code")]
    if isinstance(response, dict):
        told.append(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    return next((status for status in told if isinstance(status, int) and 400 <= status < 600), None)


def _xrootd_code(problem: OSError) -> int | None:
    """The code in a message such as `[ERROR] Server responded with an error: [3011] No such file or directory`."""
    found = re.search(r"\[(3\d{3})\]", str(problem))
    return int(found.group(1)) if found else None
