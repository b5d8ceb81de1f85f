"""What readers of every format give, and what they check alike."""

import difflib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from processors.errors import MissingBranch, ReadError, UnreadableFile, check_identity, first_line
from processors.patient import Ranges, open_ranges


@dataclass(frozen=True)
class FileFacts:
    """What planning needs to know of a file: its identity, entries of the tree or table, size; and what that took.

    `size` and `bytes_read` are in bytes.
    """

    uuid: str
    entries: int
    size: int
    bytes_read: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Chunk:
    """Columns of an entry range: what a processor gets as `events`.

    `chunk[column]` is a numpy array for one number per event and an awkward array for lists, `metadata` has the given
    keys with `filename`, `fileuuid`, `treename`, `entrystart` and `entrystop`. `bytes_read` is what was fetched from
    the file for it, `retries` how many reads had to be tried again.
    """

    arrays: Mapping[str, Any]
    metadata: Mapping[str, Any]
    bytes_read: int = 0
    retries: int = 0

    def __getitem__(self, branch: str) -> Any:
        return self.arrays[branch]

    def __len__(self) -> int:
        return int(self.metadata["entrystop"]) - int(self.metadata["entrystart"])

    @property
    def events(self) -> Any:
        """What a processor gets: the chunk itself, but for formats that have a schema."""
        return self


@dataclass(frozen=True)
class Request:
    """An entry range of a file, and the file's identity when it was planned (None: any)."""

    path: str
    tree: str
    start: int
    stop: int
    uuid: str | None = None

    def check(self, uuid: str, entries: int) -> None:
        """Raises ChangedFile for another file, ReadError for a range outside of the entries."""
        check_identity(self.path, uuid, self.uuid)
        if not 0 <= self.start <= self.stop <= entries:
            where = f"the tree {self.tree} of {self.path}" if self.tree else self.path
            raise ReadError(f"entries {self.start} to {self.stop} are outside {where}, which has {entries}")

    def chunk(self, arrays: Mapping[str, Any], metadata: Mapping[str, Any], uuid: str, ranges: Ranges) -> Chunk:
        """The chunk of this range."""
        details = {
            "filename": self.path,
            "fileuuid": uuid,
            "treename": self.tree,
            "entrystart": self.start,
            "entrystop": self.stop,
        }
        return Chunk(arrays, {**metadata, **details}, ranges.bytes_read, ranges.retries)


def total_of(path: str, column: str, values: Any) -> float:
    """The sum of numbers in double precision; UnreadableFile where it is not a finite one."""
    total = float(np.sum(np.asarray(values), dtype=np.float64))
    if not math.isfinite(total):
        raise UnreadableFile(f"cannot read {path}: the sum of {column} is {total}: not all of its values are numbers")
    return total


def check_finite(result: Any, where: str = "") -> None:
    """Raises ValueError for a sum in a processor's accumulator that is not a finite number.

    One such weight, of a damaged or wrong file, would take the sums of its whole sample with it.
    """
    if isinstance(result, Mapping):
        for key, value in result.items():
            check_finite(value, f"{where}.{key}" if where else str(key))
    elif isinstance(result, float) and not math.isfinite(result):
        raise ValueError(f"{where} is {result}: not all values in these entries are numbers")


@contextmanager
def reading(path: str, kind: str, magic: bytes) -> Iterator[Ranges]:
    """Opens a file; every failure in the block becomes an error that names the file.

    What the file layer could not read is an OSError. All else is of the file's content: libraries meet damaged files
    with whatever fails first, such as struct, index, key and zlib errors and OSErrors of their own.
    """
    with open_ranges(path, kind, magic) as ranges:
        try:
            yield ranges
        except Exception as error:
            if ranges.problem is not None:
                raise ranges.problem from ranges.problem.__cause__
            if isinstance(error, ReadError):
                raise
            raise UnreadableFile(f"cannot read {path}: {type(error).__name__}: {first_line(error)}") from error


def check_columns(path: str, where: str, names: Collection[str], wanted: Sequence[str], kind: str = "branch") -> None:
    """Raises MissingBranch, with the nearest name there is, unless all wanted names are among the names."""
    present = set(names)
    for one in wanted:
        if one not in present:
            near = difflib.get_close_matches(one, names, n=1, cutoff=0.0)
            hint = f"; the nearest name it has is {near[0]!r}" if near else f"; it has no {kind}"
            raise MissingBranch(f"{path}: {where} has no {kind} {one!r}{hint}")
