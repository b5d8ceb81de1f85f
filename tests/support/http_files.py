"""A real HTTP server on the loopback interface that serves parts of files and, where it is told to, fails."""

import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

#: What can go wrong with a request: an HTTP status, the connection cut in the middle of the body, no answer.
FAULTS = ("503", "cut", "stall")
#: What else can: half of the file as if it were all of it, its last byte another, 1 kB/s.
MORE_FAULTS = ("truncated", "damaged", "slow")


@dataclass
class Served:
    """What a server did. `fault` gives for the number of a request (from 1) its fault, or None."""

    address: str
    fault: Callable[[int], str | None]
    stall: float = 5.0  # [s]
    ranges: bool = True  # whether parts of files are served
    requests: int = 0
    sent: int = 0  # of the files [bytes]
    faults: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)

    def next_fault(self) -> str | None:
        with self.lock:
            self.requests += 1
            fault = self.fault(self.requests)
            if fault is not None:
                self.faults[fault] += 1
            return fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, directory: Path, served: Served, *arguments: object) -> None:
        self.directory = directory
        self.served = served
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *arguments: object) -> None:
        """Prints nothing."""

    def _answer(self, *, body: bool) -> None:
        path = self.directory / self.path.partition("?")[0].lstrip("/")
        fault = self.served.next_fault()
        if fault == "stall":
            self.served.ended.wait(self.served.stall)
            self.close_connection = True
            return
        if fault is not None and fault.isdigit():
            self.send_error(int(fault))
            return
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        if fault == "truncated":
            content = content[: len(content) // 2]
        if fault == "damaged":
            content = content[:-1] + bytes([content[-1] ^ 1])
        part, status, size = content, 200, len(content)
        asked = self.headers.get("Range")
        tag = f'"{zlib.crc32(content)}"'
        if asked is not None and self.served.ranges and self.headers.get("If-Range", tag) == tag:
            first, last = asked.removeprefix("bytes=").split("-")
            if int(first) >= size:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            part, status = content[int(first) : int(last) + 1 if last else size], 206
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if fault == "cut":
            self.close_connection = True
            part = part[: len(part) // 2]
        if body:
            self._send(part, slowly=fault == "slow")

    def _send(self, part: bytes, *, slowly: bool) -> None:
        while slowly and part and not self.served.ended.is_set():
            self._write(part[:100])
            part = part[100:]
            self.served.ended.wait(0.1)
        self._write(part)

    def _write(self, part: bytes) -> None:
        with self.served.lock:  # before they go: who has received them may ask at once how many there were
            self.served.sent += len(part)
        self.wfile.write(part)


@contextmanager
def serving(
    directory: Path,
    fault: Callable[[int], str | None] = lambda _: None,
    stall: float = 5.0,
    *,
    ranges: bool = True,
) -> Iterator[Served]:
    """Serves the files of a directory while the block runs."""
    served = Served("", fault, stall, ranges)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory, served))
    server.daemon_threads = True
    served.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield served
    finally:
        served.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def one_in_five(number: int) -> str | None:
    """A fault for every fifth request, of each kind in turn."""
    return FAULTS[number // 5 % len(FAULTS)] if number % 5 == 0 else None
