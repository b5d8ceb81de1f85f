"""Entry ranges of files whose entries are parts of events, such as jets: the parts of an event stay together.

Which columns identify an event is the catalogue's to say. A range from `start` to `stop` stands for the events that
begin in it: neighbouring ranges, and the halves of a range, then cover every event exactly once.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from processors.formats import Reader
from processors.selections import scalar_content

#: Entries that are read at a time where the end of an event is looked for.
STEP = 64
#: Entries that are read at a time where a whole file is looked through.
BLOCK = 200_000

Identities = npt.NDArray[np.int64]


def event_range(
    reader: Reader, path: str, tree: str, columns: Sequence[str], start: int, stop: int, entries: int
) -> tuple[int, int]:
    """The range with both ends moved on to where an event begins; `entries` is how many the file has."""
    first = _next_begin(reader, path, tree, columns, start, entries)
    return first, _next_begin(reader, path, tree, columns, stop, entries) if stop > start else first


def events_adjoin(reader: Reader, path: str, tree: str, columns: Sequence[str], entries: int) -> bool:
    """Whether the entries of every event follow each other; only then can the file be divided.

    Reads the columns of the whole file, a block at a time, and keeps them for one entry of each event.
    """
    begins = []
    last = None
    for start in range(0, entries, BLOCK):
        found = _identities(reader, path, tree, columns, start, min(start + BLOCK, entries))
        before = found[:0] if last is None else last
        begins.append(found[first_of_its_event(np.concatenate([before, found]))[len(before) :]])
        last = found[-1:]
    if not begins:
        return True
    events = np.concatenate(begins)
    return bool(first_of_its_event(events[np.lexsort(events.T)]).all())


def first_of_its_event(identities: Identities) -> npt.NDArray[np.bool_]:
    """True for entries whose identity, a row of (entries, columns), is not that of the entry before."""
    first = np.ones(len(identities), dtype=np.bool_)
    first[1:] = (identities[1:] != identities[:-1]).any(axis=1)
    return first


def _next_begin(reader: Reader, path: str, tree: str, columns: Sequence[str], position: int, entries: int) -> int:
    """The first entry from `position` on that belongs to another event than the entry before it."""
    if position <= 0:
        return position
    while position < entries:
        found = _identities(reader, path, tree, columns, position - 1, min(position + STEP, entries))
        others = np.flatnonzero((found[1:] != found[0]).any(axis=1))
        if len(others):
            return position + int(others[0])
        position += len(found) - 1
    return position


def _identities(reader: Reader, path: str, tree: str, columns: Sequence[str], start: int, stop: int) -> Identities:
    """The columns that identify an event, shape (entries, columns)."""
    chunk = reader.read(path, tree, columns, start, stop, {})
    return np.stack([scalar_content(chunk[column]).astype(np.int64) for column in columns], axis=1)
