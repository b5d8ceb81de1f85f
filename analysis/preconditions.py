"""What a run needs from the outset and all along: credentials that last, and room for its output."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.engine.faults import is_full
from analysis.errors import UserError
from cluster import credentials, space
from cluster.errors import ClusterError
from cluster.settings import ClusterSettings

# As much as a commit of the ledger may need [bytes].
TRIAL = 2**20


def check_before(cluster: ClusterSettings, directory: Path) -> None:
    """Raises UserError with one sentence where a run in `directory` had better not begin."""
    try:
        wrong = space.shortage(directory, cluster.free_space)
        if wrong is not None:
            raise UserError(wrong)
        credentials.check(cluster.credentials)
    except ClusterError as error:
        raise UserError(str(error)) from error


@contextmanager
def room_may_end(directory: Path) -> Iterator[None]:
    """Makes one sentence (UserError) of the error of a file system or a quota that is full."""
    try:
        yield
    except (OSError, sqlite3.Error) as problem:
        if is_full(problem) or _takes_nothing(directory, problem):
            raise UserError(no_room(directory, problem)) from problem
        raise


def no_room(directory: Path, problem: BaseException) -> str:
    """A sentence on a run directory that is full, and how to go on."""
    try:
        free = f" ({space.shown(space.free_space(directory).bytes)} free there)"
    except ClusterError:
        free = ""
    said = " ".join(str(problem).split())
    return (
        f"no space is left, or a quota is reached, for what the run writes to {directory}{free}: {said}; what is done "
        "is kept: make room, and the same command goes on"
    )


def _takes_nothing(directory: Path, problem: BaseException) -> bool:
    """SQLite calls a quota that is reached an I/O error: whether it met one shows when something is written."""
    if getattr(problem, "sqlite_errorname", None) != "SQLITE_IOERR_WRITE":
        return False
    try:
        with tempfile.NamedTemporaryFile(dir=directory) as file:
            file.write(bytes(TRIAL))
            file.flush()
            os.fsync(file.fileno())
    except OSError as trial:
        return is_full(trial)
    return False
