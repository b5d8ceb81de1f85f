"""A stand-in of the CERN Open Data portal: records as its interface gives them, to cernopendata-client."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

EOS = "root://eospublic.cern.ch//eos/opendata"


def listed(path: str, size: int, checksum: str) -> dict[str, Any]:
    """A file of a record."""
    return {"key": path.rsplit("/", 1)[-1], "uri": f"{EOS}/{path}", "size": size, "checksum": checksum, "tags": {}}


def record(
    number: str,
    title: str,
    files: list[dict[str, Any]],
    *,
    doi: str | None = None,
    indexed: bool = False,
    **distribution: Any,
) -> dict[str, Any]:
    """A record of these files; `indexed`: in lists of files, two for all of them, as large data sets have them."""
    metadata: dict[str, Any] = {"recid": number, "title": title, "doi": doi, "distribution": distribution}
    if not indexed:
        metadata |= {"files": files, "_files": files}
    else:
        half = len(files) // 2
        metadata["_file_indices"] = [
            {"key": f"{title}_{k}_file_index.json", "files": part, "number_files": len(part), "size": 1}
            for k, part in enumerate((files[:half], files[half:]))
        ]
    return {"id": number, "metadata": metadata, "links": {}}


@dataclass
class Portal:
    """Its address, its records by number, and what goes wrong: the HTTP status of a request (from 1), or None."""

    address: str
    records: dict[str, dict[str, Any]]
    fault: Callable[[int], int | None]
    requests: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, portal: Portal, *arguments: object) -> None:
        self.portal = portal
        super().__init__(*arguments)  # type: ignore[arg-type]

    def log_message(self, format: str, *arguments: object) -> None:
        """Prints nothing."""

    def do_GET(self) -> None:
        with self.portal.lock:
            self.portal.requests.append(self.path)
            fault = self.portal.fault(len(self.portal.requests))
        parts = urlsplit(self.path)
        if fault is not None:
            self._send(fault, {"status": fault})
        elif parts.path == "/api/records":
            doi = parse_qs(parts.query)["q"][0].removeprefix('doi:"').removesuffix('"')
            hits = [one for one in self.portal.records.values() if one["metadata"]["doi"] == doi]
            self._send(200, {"hits": {"hits": hits[:1], "total": len(hits)}})
        else:
            found = self.portal.records.get(parts.path.rsplit("/", 1)[-1])
            if found is None:
                self._send(404, {"status": 404, "message": "PID does not exist."})
            else:
                self._send(200, found if parts.path.startswith("/api/") else {"page": "of people"})

    def _send(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def portal(*records: dict[str, Any], fault: Callable[[int], int | None] = lambda _: None) -> Iterator[Portal]:
    """Serves the records while the block runs."""
    served = Portal("", {one["id"]: one for one in records}, fault)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, served))
    served.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
