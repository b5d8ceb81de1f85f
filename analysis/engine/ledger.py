"""The state of every file, work item, training task and skim file, in one small database in the run directory.

SQLite with batched commits: a million items are rows, not files, and need a few thousand synchronisations. What an item
added to the sums, and the file it wrote, are committed together with its state, so that after a kill at any moment they
are those of exactly the items that are done. Nothing here grows in memory with the number of items.
"""

from __future__ import annotations

import operator
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Self

NAME = "ledger.sqlite"
# A kill loses at most this much finished work [s].
COMMIT_INTERVAL = 2.0
# Rows that are read at a time.
PAGE = 1000
# Someone who reads the ledger of a running run may hold it for a moment [s].
TIMEOUT = 30.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS opened_files (
  path TEXT PRIMARY KEY, stamp TEXT NOT NULL, uuid TEXT NOT NULL, entries INTEGER NOT NULL, size INTEGER NOT NULL,
  divisible INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (
  stage TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, sample TEXT NOT NULL, path TEXT NOT NULL,
  start INTEGER, stop INTEGER, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, error TEXT, worker TEXT,
  host TEXT, seconds REAL, parent TEXT, PRIMARY KEY (stage, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS skims (
  name TEXT PRIMARY KEY, sample TEXT NOT NULL, staged TEXT NOT NULL, bytes INTEGER NOT NULL, rows INTEGER NOT NULL,
  part_of TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS skims_of_sample ON skims (sample, part_of);
CREATE TABLE IF NOT EXISTS sums (
  stage TEXT NOT NULL, sample TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (stage, sample)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: a work item or a training task.

    `start` and `stop` are None for what has no entry range. The state is planned, done, failed or split; the parts of a
    split item name the planned item they come from as `parent`.
    """

    key: str
    fingerprint: str
    sample: str
    path: str
    start: int | None = None
    stop: int | None = None
    state: str = "planned"
    attempts: int = 0
    error: str | None = None
    worker: str | None = None
    host: str | None = None
    seconds: float | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Skim:
    """A skim file by its name below skim/: where a worker wrote it (also below skim/), its bytes and rows."""

    name: str
    sample: str
    staged: str
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class RememberedFile:
    """What planning found in a file: its stamp then, uuid, entries, size in bytes, and whether it may be divided."""

    stamp: str
    uuid: str
    entries: int
    size: int
    divisible: bool = True


class Ledger:
    """The ledger of a run directory, open for writing by its one run."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(directory / NAME, isolation_level=None, timeout=TIMEOUT)
        self._database.executescript(_SCHEMA)
        self._open = False
        self._committed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What was recorded after the last commit is not in the sums: it goes, and its items are done again.
        if kind is None:
            self.commit()
        elif self._database.in_transaction:
            self._database.execute("ROLLBACK")
        self._database.close()

    def file(self, path: str) -> RememberedFile | None:
        """What is known of a file that was opened before; None otherwise."""
        query = "SELECT stamp, uuid, entries, size, divisible FROM opened_files WHERE path = ?"
        found = self._database.execute(query, (path,)).fetchone()
        if found is None:
            return None
        mark, uuid, entries, size, divisible = found
        return RememberedFile(mark, uuid, entries, size, bool(divisible))

    def remember_file(self, path: str, found: RememberedFile) -> None:
        """Remembers what planning found."""
        self._begin()
        self._database.execute(
            "INSERT OR REPLACE INTO opened_files VALUES (?, ?, ?, ?, ?, ?)",
            (path, found.stamp, found.uuid, found.entries, found.size, found.divisible),
        )

    def plan(self, stage: str, entries: Iterable[Entry]) -> None:
        """Makes `entries` the plan of a stage.

        A row that is planned again with the same fingerprint keeps its state; all others start as planned, and rows of
        an earlier plan go. A sample of which a done row is not wanted any more starts again: what the row added to the
        sums cannot be taken out.
        """
        self.commit()
        database = self._database
        with self._transaction():
            database.execute("CREATE TEMP TABLE wanted AS SELECT * FROM items WHERE 0")
            database.executemany(
                f"INSERT INTO wanted (stage, {_COLUMNS}) VALUES (?{', ?' * len(_NAMES)})",
                ((stage, *_values(entry)) for entry in entries),
            )
            database.execute("CREATE INDEX temp.wanted_key ON wanted (key)")
            kept = (
                "EXISTS (SELECT 1 FROM wanted w WHERE w.key = coalesce(items.parent, items.key) "
                "AND w.fingerprint = items.fingerprint)"
            )
            stale = database.execute(
                f"SELECT DISTINCT sample FROM items JOIN sums USING (stage, sample) "
                f"WHERE stage = ? AND state = 'done' AND NOT {kept}",
                (stage,),
            ).fetchall()
            for (sample,) in stale:
                self._forget(stage, sample)
            database.execute(f"DELETE FROM items WHERE stage = ? AND NOT {kept}", (stage,))
            database.execute("INSERT OR IGNORE INTO items SELECT * FROM wanted")
            # The key has the file's uuid, not its place, which may be another now.
            same = "FROM wanted w WHERE w.key = coalesce(items.parent, items.key)"
            database.execute(
                f"UPDATE items SET path = (SELECT w.path {same}) "
                f"WHERE stage = ? AND EXISTS (SELECT 1 {same} AND w.path != items.path)",
                (stage,),
            )
            database.execute("DROP TABLE wanted")

    def begin_again(self, stage: str, sample: str) -> None:
        """Everything of a sample is planned again: what it had is lost."""
        self.commit()
        with self._transaction():
            whose = "stage = ? AND sample = ?"
            self._database.execute(f"DELETE FROM items WHERE {whose} AND parent NOT NULL", (stage, sample))
            self._database.execute(
                "UPDATE items SET state = 'planned', attempts = 0, error = NULL, worker = NULL, host = NULL, "
                f"seconds = NULL WHERE {whose}",
                (stage, sample),
            )
            self._database.execute("DELETE FROM skims WHERE sample = ?", (sample,))
            self._database.execute("DELETE FROM sums WHERE stage = ? AND sample = ?", (stage, sample))

    def record(self, stage: str, entry: Entry, skim: Skim | None = None) -> None:
        """Records the end of a row, and the file it wrote; safe after the next commit."""
        self._begin()
        self._database.execute(
            f"INSERT OR REPLACE INTO items (stage, {_COLUMNS}) VALUES (?{', ?' * len(_NAMES)})",
            (stage, *_values(entry)),
        )
        if skim is not None:
            self._database.execute("INSERT OR REPLACE INTO skims VALUES (?, ?, ?, ?, ?, NULL)", _skim_values(skim))

    def record_joined(self, names: Iterable[str], joined: Skim) -> None:
        """From now on the rows of the skims `names` are in the file `joined`."""
        self.commit()
        with self._transaction():
            self._database.executemany("UPDATE skims SET part_of = ? WHERE name = ?", ((joined.name, n) for n in names))
            self._database.execute("INSERT OR REPLACE INTO skims VALUES (?, ?, ?, ?, ?, NULL)", _skim_values(joined))

    def due(self) -> bool:
        """Whether it is time to commit."""
        return self._open and time.monotonic() - self._committed > COMMIT_INTERVAL

    def commit(self, stage: str = "", sums: dict[str, str] | None = None) -> None:
        """Makes everything recorded so far safe, together with `sums` (sample to JSON text) that include it."""
        for sample, content in (sums or {}).items():
            self._begin()
            self._database.execute("INSERT OR REPLACE INTO sums VALUES (?, ?, ?)", (stage, sample, content))
        if self._open:
            self._database.execute("COMMIT")
            self._open = False
        self._committed = time.monotonic()

    def sums(self, stage: str) -> dict[str, str]:
        """The committed sums of a stage, per sample, as JSON text."""
        return dict(self._database.execute("SELECT sample, content FROM sums WHERE stage = ?", (stage,)))

    def count(self, stage: str, *states: str) -> int:
        """How many rows of a stage are in one of the states."""
        query = f"SELECT count(*) FROM items WHERE stage = ? AND state IN ({', '.join('?' * len(states))})"
        return int(self._database.execute(query, (stage, *states)).fetchone()[0])

    def rows(self, stage: str, *states: str) -> Iterator[Entry]:
        """Rows of a stage in one of the states, in order of their keys; rows may change while this goes on."""
        query = (
            f"SELECT {_COLUMNS} FROM items WHERE stage = ? AND key > ? AND state IN ({', '.join('?' * len(states))}) "
            f"ORDER BY key LIMIT {PAGE}"
        )
        last = ""
        while page := self._database.execute(query, (stage, last, *states)).fetchall():
            yield from (Entry(*row) for row in page)
            last = page[-1][0]

    def skims(self, sample: str) -> list[Skim]:
        """The valid skim files of a sample, by name."""
        query = "SELECT name, sample, staged, bytes, rows FROM skims WHERE sample = ? AND part_of IS NULL ORDER BY name"
        return [Skim(*row) for row in self._database.execute(query, (sample,))]

    def samples_with_skims(self) -> list[str]:
        """The samples that have valid skim files."""
        return [row[0] for row in self._database.execute("SELECT DISTINCT sample FROM skims ORDER BY sample")]

    def _forget(self, stage: str, sample: str) -> None:
        for statement in ("DELETE FROM items WHERE stage = ? AND sample = ?",
                          "DELETE FROM sums WHERE stage = ? AND sample = ?"):  # fmt: skip
            self._database.execute(statement, (stage, sample))
        self._database.execute("DELETE FROM skims WHERE sample = ?", (sample,))

    def _begin(self) -> None:
        if not self._open:
            self._database.execute("BEGIN")
            self._open = True

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


def read_ledger(directory: Path) -> tuple[dict[tuple[str, str], Counter[str]], list[tuple[str, Entry]]]:
    """States counted per (stage, sample), and the failed rows with their stage; empty where there is no ledger.

    A run may be writing, or have been killed in the middle of a commit, which is then taken back.
    """
    path = directory / NAME
    if not path.is_file():
        return {}, []
    counts: dict[tuple[str, str], Counter[str]] = {}
    with _reading(path) as database:
        query = "SELECT stage, sample, state, count(*) FROM items GROUP BY stage, sample, state"
        for stage, sample, state, number in database.execute(query):
            counts.setdefault((stage, sample), Counter())[state] = number
        failed = database.execute(
            f"SELECT stage, {_COLUMNS} FROM items WHERE state = 'failed' ORDER BY stage, sample, path, start"
        )
        return counts, [(row[0], Entry(*row[1:])) for row in failed]


_NAMES = tuple(field.name for field in fields(Entry))
_COLUMNS = ", ".join(_NAMES)
# Not `astuple`, which copies every value: that took longer than the database.
_values = operator.attrgetter(*_NAMES)
_skim_values = operator.attrgetter(*(field.name for field in fields(Skim)))


def finished_seconds(directory: Path, stage: str) -> dict[str, float]:
    """How long the finished items of a stage took [s], by their keys; empty where there is no ledger."""
    path = directory / NAME
    if not path.is_file():
        return {}
    query = "SELECT key, seconds FROM items WHERE stage = ? AND state = 'done' AND seconds IS NOT NULL"
    with _reading(path) as database:
        return dict(database.execute(query, (stage,)).fetchall())


def _reading(path: Path) -> closing[sqlite3.Connection]:
    # Taking back a commit writes; a reader who must not write can see everything else.
    mode = "rw" if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK) else "ro"
    return closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=TIMEOUT))
