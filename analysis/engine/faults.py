"""Telling errors that may go away from those that will not, and those that say that a disk is full.

The first rule belongs to the layer that reads files, which tries again by itself before the engine does: both must
agree.
"""

import re
import sqlite3
from collections.abc import Iterator

from processors.faults import FULL, is_transient

__all__ = ["is_full", "is_transient"]
# numpy's word for a file that was written in part, without a number.
_WRITTEN_IN_PART = re.compile(r"\d+ requested and \d+ written")


def is_full(problem: BaseException) -> bool:
    """Whether an error, or one that it was raised from, says that a file system or a quota is full."""
    return any(_says_full(one) for one in _chain(problem))


def _says_full(problem: BaseException) -> bool:
    if isinstance(problem, sqlite3.Error):
        return getattr(problem, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return isinstance(problem, OSError) and (problem.errno in FULL or _WRITTEN_IN_PART.search(str(problem)) is not None)


def _chain(problem: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    current: BaseException | None = problem
    while current is not None and current not in seen:
        yield current
        seen.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
