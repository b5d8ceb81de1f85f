"""fsspec's XRootD file system with bounded waits, fresh connections after a failure, and errors by their codes.

Imported only where an address is one of XRootD: it needs the packages of the extra `xrootd`.
"""

import asyncio
import io
import math
import re
from functools import lru_cache
from typing import Any

from fsspec.asyn import sync_wrapper
from fsspec_xrootd import XRootDFileSystem
from XRootD import client

from processors.patient import Patience

#: The largest request whose bytes the client itself waits for [bytes].
LARGEST_REQUEST = 64 * 2**20
#: A file that nobody asked for in this time is closed [s]; fsspec-xrootd counts from the beginning of the last request.
IDLE = 600
#: What the server says, by its code (XErrorCode in XProtocol.hh), and the client by its words: Python's type for it.
TYPES_BY_CODE: dict[int, type[OSError]] = {
    3010: PermissionError, 3011: FileNotFoundError, 3013: io.UnsupportedOperation, 3016: IsADirectoryError,
    3030: PermissionError, 3034: TimeoutError, 3035: TimeoutError,
}  # fmt: skip
TYPES_BY_WORDS: dict[str, type[OSError]] = {
    "Operation expired": TimeoutError,
    "Socket timeout": TimeoutError,
    "Connection error": ConnectionError,
    "Invalid address": ConnectionError,
    "Socket error": ConnectionError,
    "Socket disconnected": ConnectionError,
    "Stream disconnect": ConnectionError,
    "Auth failed": PermissionError,
}


class PatientXRootD(XRootDFileSystem):  # type: ignore[misc]
    """An XRootD server; what it raises are OSErrors of the type that fits, with the words of server or client."""

    async def _info(self, path: str, **options: Any) -> dict[str, Any]:
        try:
            facts: dict[str, Any] = await super()._info(path, **options)
        except OSError as problem:
            raise told(problem) from None
        return facts

    async def _cat_ranges(self, paths: list[str], starts: list[int], ends: list[int], **options: Any) -> list[bytes]:
        try:
            answers: list[bytes] = await super()._cat_ranges(paths, starts, ends, **options)
        except OSError as problem:
            raise told(problem) from None
        return answers

    async def _checksum(self, path: str, *words: Any) -> tuple[str, str]:
        try:
            kind, digits = await super()._checksum(path, *words)
        except OSError as problem:
            raise told(problem) from None
        return kind, digits

    checksum = sync_wrapper(_checksum)

    async def forget(self, path: str) -> None:
        """Has the next read open the file anew, without waiting for the end of what may be a broken connection."""
        self.dircache.pop(path, None)
        closing = asyncio.ensure_future(self._readonly_filehandle_cache._close(self.unstrip_protocol(path), 1))
        # A handle that is broken cannot be closed: it is given up, and that is all that was wanted.
        closing.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.sleep(0)


def file_system(path: str, patience: Patience) -> tuple[PatientXRootD, str]:
    """The server of an address, and the path there; raises ValueError where the address is none."""
    _bound_waits(math.ceil(patience.timeout))
    url = client.URL(path)
    limit = math.ceil(patience.timeout + LARGEST_REQUEST / patience.slowest)
    # Where a server sends a client elsewhere is its own affair: no search for other hosts.
    system = PatientXRootD(url.hostid, timeout=limit, filehandle_cache_ttl=IDLE, locate_all_sources=False)
    return system, url.path_with_params


def told(problem: OSError) -> OSError:
    """What server or client said of an error of fsspec-xrootd, as an error of the type that fits."""
    found = re.search(r"\[(?:ERROR|FATAL)\] (?:Server responded with an error: )?(?:\[(\d+)\] )?(.*)", str(problem))
    if found is None:
        return problem
    code, words = found.groups()
    if code is not None:
        return TYPES_BY_CODE.get(int(code), OSError)(f"[{code}] {words}")
    kind = next((one for key, one in TYPES_BY_WORDS.items() if words.startswith(key)), OSError)
    return kind(words)


@lru_cache(maxsize=1)
def _bound_waits(timeout: int) -> None:
    """Has the client give up in time, once per process; variables `XRD_...` of the environment have precedence.

    By itself it waits 1800 s for an answer, tries for 10 minutes to connect, and calls a server that was away for a
    moment lost for half an hour. Trying again is for the layer above.
    """
    for name, value in {
        "RequestTimeout": timeout,
        "StreamTimeout": timeout,
        "ConnectionWindow": timeout,
        "ConnectionRetry": 1,
        "StreamErrorWindow": 0,
        "TimeoutResolution": 1,
    }.items():
        client.EnvPutInt(name, value)
