"""What the engine counts: files, work items and failures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of a sample, as the source names it."""

    sample: str
    path: str
    replicas: tuple[str, ...] = ()  # other addresses of the same file


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file that planning has opened: its identity, entries and size in bytes."""

    sample: str
    path: str
    uuid: str
    entries: int
    size: int
    replicas: tuple[str, ...] = ()
    divisible: bool = True  # False: the entries of an event lie apart, and one item must have them all


@dataclass(frozen=True, slots=True)
class WorkItem:
    """Entries [start, stop) of one file: the unit that ends done, or failed."""

    sample: str
    path: str
    uuid: str
    start: int
    stop: int
    parent: str | None = None
    replicas: tuple[str, ...] = ()
    divisible: bool = True

    def addresses(self) -> int:
        """At how many addresses the file is."""
        return 1 + len(self.replicas)

    def address(self, attempt: int) -> str:
        """Where an attempt reads: each address in turn."""
        return (self.path, *self.replicas)[attempt % self.addresses()]

    @property
    def key(self) -> str:
        """A text that identifies the item in its run."""
        return f"{self.sample}/{self.uuid}/{self.start}-{self.stop}"

    @property
    def entries(self) -> int:
        """Number of entries."""
        return self.stop - self.start

    def halves(self, floor: int) -> tuple[WorkItem, WorkItem] | None:
        """The item in two, or None where a half would have fewer than `floor` entries, or it must stay whole."""
        if self.entries < 2 * floor or not self.divisible:
            return None
        middle = (self.start + self.stop) // 2
        parent = self.parent or self.key
        return replace(self, stop=middle, parent=parent), replace(self, start=middle, parent=parent)


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that could not be done: in which stage, on what, why, after how many attempts, and where the last was.

    `stop` is None where the range is unknown; `worker` and `host` are where no worker answered.
    """

    stage: str
    sample: str
    file: str
    start: int | None
    stop: int | None
    error: str
    attempts: int | None = None
    worker: str | None = None
    host: str | None = None

    def __str__(self) -> str:
        """One line for the user, never cut: stage, sample, file, entry range, error, attempts and place."""
        entries = "" if self.stop is None else f" entries {self.start} to {self.stop}"
        notes = [] if not self.attempts else [f"{self.attempts} attempt{'s' * (self.attempts != 1)}"]
        if self.worker:
            notes.append(f"{self.worker} on {self.host}" if self.host else self.worker)
        note = f" ({', '.join(notes)})" if notes else ""
        return f"failed: {self.stage}: {self.sample}: {self.file}{entries}: {self.error}{note}"


def without_copies(files: Iterable[OpenedFile]) -> tuple[list[OpenedFile], list[Failure]]:
    """The files whose uuid comes first, and a failure for every other one of the same uuid: it is a copy."""
    first: dict[str, OpenedFile] = {}
    copies = []
    for file in files:
        original = first.setdefault(file.uuid, file)
        if original is not file:
            error = f"the same file as {original.path} of {original.sample} (uuid {file.uuid}); it was left out"
            copies.append(Failure("plan", file.sample, file.path, None, None, error))
    return list(first.values()), copies


def split(file: OpenedFile, chunk_size: int) -> Iterator[WorkItem]:
    """Work items of nearly equal size, at most `chunk_size` entries each; a file without entries has an empty one.

    A file that cannot be divided is one item.
    """
    pieces = max(1, -(-file.entries // chunk_size)) if file.divisible else 1
    for piece in range(pieces):
        start, stop = piece * file.entries // pieces, (piece + 1) * file.entries // pieces
        yield WorkItem(file.sample, file.path, file.uuid, start, stop, divisible=file.divisible)
