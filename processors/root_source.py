"""uproot's physical layer on top of ranges that are read with patience."""

import queue
from typing import Any

import uproot
from uproot.source.chunk import Chunk, Source, notifier
from uproot.source.coalesce import coalesce_requests
from uproot.source.futures import TrivialFuture

from processors.patient import Ranges
from processors.remote import RemoteRanges


class PatientSource(Source):  # type: ignore[misc]
    """Gives uproot the ranges of a file: `uproot.open(path, handler=PatientSource, ranges=ranges)`.

    Local ranges are read at once, one call each; those of a server are asked for together.
    """

    def __init__(self, file_path: str, *, ranges: Ranges, **_options: Any) -> None:
        super().__init__()
        self._file_path = file_path
        self._ranges = ranges
        self._is_closed = False

    def chunk(self, start: int, stop: int) -> Any:
        """One range."""
        self._count([(start, stop)])
        return Chunk(self, start, stop, TrivialFuture(self._ranges.get(start, stop)))

    def chunks(self, ranges: list[tuple[int, int]], notifications: "queue.Queue[Any]") -> list[Any]:
        """Many ranges; each chunk is put on the queue when it is there."""
        self._count(ranges)
        if isinstance(self._ranges, RemoteRanges):
            chunks: list[Any] = coalesce_requests(ranges, self._ranges.submit, self, notifications)
            return chunks
        chunks = [Chunk(self, start, stop, TrivialFuture(self._ranges.get(start, stop))) for start, stop in ranges]
        for chunk in chunks:
            notifier(chunk, notifications)()
        return chunks

    def _count(self, ranges: list[tuple[int, int]]) -> None:
        self._num_requests += 1
        self._num_requested_chunks += len(ranges)
        self._num_requested_bytes += sum(stop - start for start, stop in ranges)

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return self._ranges.size

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._is_closed

    def __enter__(self) -> "PatientSource":
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        self._is_closed = True


def open_root(path: str, ranges: Ranges) -> Any:
    """The ROOT file at `path`, read through `ranges`."""
    # The mapping keeps uproot from taking what follows a colon in a path for an object name.
    return uproot.open({path: None}, handler=PatientSource, ranges=ranges, object_cache=None, array_cache=None)
