"""Telling errors that may go away from those that will not."""

from __future__ import annotations

import errno

# A file system's own word that the name or the right is wrong: no later try will find it otherwise.
PERMANENT_ERRNO = frozenset({errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP})
# The same from libraries that raise these without a number.
PERMANENT_TYPES = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
RETRIED_HTTP = frozenset({408, 425, 429})
# Codes of XRootD's protocol (XErrorCode) that name a wrong request, not a passing fault:
# 3000 ArgInvalid, 3006 InvalidRequest, 3010 NotAuthorized, 3011 NotFound, 3015 isDirectory.
PERMANENT_XROOTD = frozenset({3000, 3006, 3010, 3011, 3015})


def is_transient(problem: BaseException) -> bool:
    """Whether the same call may succeed later: an operating-system or network error, a time-out, an HTTP 5xx.

    What a file's content causes (no ROOT file, missing branch, corrupt basket) is permanent. An error that was raised
    from another is transient if any of its causes is.
    """
    return any(_is_transient(one) for one in _chain(problem))


def _is_transient(problem: BaseException) -> bool:
    status = getattr(problem, "status", None) or getattr(problem, "status_code", None)
    if isinstance(status, int) and 400 <= status < 600:
        return status >= 500 or status in RETRIED_HTTP
    if isinstance(problem, TimeoutError | ConnectionError):
        return True
    if isinstance(problem, PERMANENT_TYPES):
        return False
    if isinstance(problem, OSError):
        code = _xrootd_code(problem)
        if code is not None:
            return code not in PERMANENT_XROOTD
        return problem.errno not in PERMANENT_ERRNO
    return False


def _chain(problem: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = problem
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__
    return chain


def _xrootd_code(problem: OSError) -> int | None:
    """The code in a message such as `[ERROR] Server responded with an error: [3011] No such file or directory`."""
    import re

    found = re.search(r"\[(3\d{3})\]", str(problem))
    return int(found.group(1)) if found else None
