"""Getting what is missing of a file from a web server, an XRootD server, or any other that fsspec knows."""

from __future__ import annotations

import http.client
import io
import os
import re
import time
import urllib.error
import urllib.request
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, BinaryIO

from analysis.addresses import XROOTD
from analysis.datasets.publication import DIGESTS
from processors.errors import UnreadableFile
from processors.patient import Attempts, Patience, patience

WEB = ("http://", "https://")
#: Bytes that are held at a time; of a server that gives ranges, so many blocks are under way at once.
BLOCK = 4 * 2**20
AHEAD = 4
#: A server that does not know a file's checksum yet reads the file: at least so fast [bytes/s], and a file of unknown
#: size is taken to have so many bytes.
OWN_PACE, TYPICAL = 1e7, 2**32


@dataclass
class Told:
    """What a server said of a file: its size [bytes], and what it calls this version of it (ETag or date)."""

    size: int | None = None
    validator: str | None = None


def append(address: str, out: BinaryIO, told: Told, *, verified: bool) -> None:
    """Appends to `out` what it lacks of the file at `address`, from the beginning where only whole files are given.

    `told` has the version that `out` holds a part of, and gets what the server says. `verified`: a checksum is compared
    afterwards, so that a part of another version is found out.

    Raises UnreadableFile for an address that nothing here can read, and OSError where the server does not answer, the
    connection breaks, or it is slower than anybody waits for; what came by then is in `out`.
    """
    if address.startswith(WEB):
        _web(address, out, patience(), told, verified=verified)
    elif "://" in address and not address.startswith(("file:", "local:")):
        _ranges(address, out, patience(), told)
    else:
        raise UnreadableFile(f"{address} is no address of a server: it must begin with https://, root:// or the like")


def checksum_of_server(address: str, size: int | None = None) -> str | None:
    """The checksum that the server of a file knows, as `kind:digits`: XRootD servers can be asked.

    None of other servers, and of one that says that it has none or no such file: then there is nothing to compare with.
    `size` [bytes] tells how long it may take to compute it. Raises OSError where the server did not answer that, after
    as many attempts as a read has: the file must not pass as one that cannot be verified.
    """
    if not address.startswith(XROOTD):
        return None
    from processors.remote import file_system

    limits = patience()
    limit = limits.timeout + (TYPICAL if size is None else size) / OWN_PACE
    system, inner = file_system(address, limits)

    def ask() -> tuple[str, str] | None:
        try:
            kind, digits = system.checksum(inner, timeout=limit)
        except (FileNotFoundError, io.UnsupportedOperation):
            return None
        except TimeoutError as problem:  # fsspec's own has no words
            if problem.args:
                raise
            raise TimeoutError(f"no answer within {limit:.0f} s") from None
        return kind, digits

    answer = Attempts(address, limits).patiently("its checksum", ask)
    if answer is None:
        return None
    kind, digits = answer
    return f"{kind}:{digits.lower()}" if len(digits) == DIGESTS.get(kind) else None


def _web(address: str, out: BinaryIO, limits: Patience, told: Told, *, verified: bool) -> None:
    have = out.seek(0, os.SEEK_END)
    # A body that is compressed on the way has another length than the file.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if told.validator is not None:
            headers["If-Range"] = told.validator  # of another version, all is sent
    request = urllib.request.Request(address, headers=headers)  # noqa: S310  (the scheme is checked)
    try:
        answer = urllib.request.urlopen(request, timeout=limits.timeout)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise
        told.size = _total(error.headers)
        if told.size == have or (told.size is None and verified):  # all of it is there
            return
        out.truncate(0)
        _web(address, out, limits, told, verified=verified)
        return
    with answer:
        if have and not _continues(answer, have):
            out.truncate(0)
        length = answer.headers.get("Content-Length", "")
        if answer.status == http.client.PARTIAL_CONTENT:
            told.size = _total(answer.headers)
        else:
            told.size = int(length) if length.isdigit() else None
        told.validator = _validator(answer.headers)
        pace = _Pace(address, limits)
        # What has arrived, not a whole block: a server that sends a byte now and then is noticed.
        while block := answer.read1(BLOCK):
            out.write(block)
            pace.add(len(block))
        missing = getattr(answer, "length", None)
    if missing:
        raise OSError(f"the connection to {address} broke off {missing} bytes before the end")


def _total(headers: Any) -> int | None:
    """The size of the whole file in a Content-Range, `bytes 1-2/3` or `bytes */3`."""
    found = re.match(r"bytes (?:\*|\d+-\d+)/(\d+)$", headers.get("Content-Range", ""))
    return int(found[1]) if found is not None else None


def _validator(headers: Any) -> str | None:
    """What If-Range takes: an ETag that is strong, or the date (RFC 9110, 13.1.5)."""
    tag: str | None = headers.get("ETag")
    return tag if tag is not None and not tag.startswith("W/") else headers.get("Last-Modified")


def _continues(answer: Any, have: int) -> bool:
    """Whether an answer is the rest of the file from the byte asked for on."""
    if answer.status != http.client.PARTIAL_CONTENT:
        return False
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return found is not None and int(found[1]) == have


def _ranges(address: str, out: BinaryIO, limits: Patience, told: Told) -> None:
    from processors.remote import RemoteRanges

    with RemoteRanges(address, limits) as ranges:
        have = out.seek(0, os.SEEK_END)
        told.size = ranges.size
        if have > ranges.size:
            out.truncate(0)
            have = 0
        waiting: deque[Future[list[bytes]]] = deque()
        try:
            for start in range(have, ranges.size, BLOCK):
                waiting.append(ranges.submit([(start, start + BLOCK)]))
                if len(waiting) > AHEAD:
                    out.write(waiting.popleft().result()[0])
            while waiting:
                out.write(waiting.popleft().result()[0])
        finally:
            for one in waiting:
                one.cancel()


class _Pace:
    """Gives up a server that, over a whole time limit, was slower than anybody waits for."""

    def __init__(self, address: str, limits: Patience) -> None:
        self._address, self._limits = address, limits
        self._since, self._bytes = time.monotonic(), 0

    def add(self, number: int) -> None:
        self._bytes += number
        taken = time.monotonic() - self._since
        if taken < self._limits.timeout:
            return
        if self._bytes < self._limits.slowest * taken:
            raise TimeoutError(f"{self._address} gave {self._bytes} bytes in {taken:.0f} s: it is too slow")
        self._since, self._bytes = time.monotonic(), 0
