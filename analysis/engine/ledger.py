"""The state of every file, work item and training task, in one small database in the run directory.

SQLite with batched commits: a million items are rows, not files, and need a few thousand synchronisations. What an item
added to the sums is committed together with its state, so that after a kill at any moment the sums are those of exactly
the items that are done.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAME = "ledger.sqlite"
# A kill loses at most this much finished work [s].
COMMIT_INTERVAL = 2.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
  path TEXT PRIMARY KEY, stamp TEXT NOT NULL, uuid TEXT NOT NULL, entries INTEGER NOT NULL, size INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS items (
  stage TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, sample TEXT NOT NULL, path TEXT NOT NULL,
  start INTEGER, stop INTEGER, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, error TEXT, worker TEXT,
  seconds REAL, output TEXT, parent TEXT, PRIMARY KEY (stage, key)
) WITHOUT ROWID;
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
    seconds: float | None = None
    output: str | None = None
    parent: str | None = None


class Ledger:
    """The ledger of a run directory, open for writing by its one run."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(directory / NAME, isolation_level=None)
        self._database.executescript(_SCHEMA)
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._open = False
        self._committed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What was recorded after the last commit is not in the sums: it goes, and its items are done again.
        if self._open and kind is not None:
            self._database.execute("ROLLBACK")
        else:
            self.commit()
        self._database.close()

    def file(self, path: str) -> tuple[str, str, int, int] | None:
        """Stamp, uuid, entries and size of a file that was opened before; None otherwise."""
        query = "SELECT stamp, uuid, entries, size FROM files WHERE path = ?"
        found: tuple[str, str, int, int] | None = self._database.execute(query, (path,)).fetchone()
        return found

    def remember_file(self, path: str, stamp: str, uuid: str, entries: int, size: int) -> None:
        """Remembers what planning found."""
        self._begin()
        self._database.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", (path, stamp, uuid, entries, size)
        )

    def plan(self, stage: str, entries: Iterable[Entry]) -> None:
        """Makes `entries` the plan of a stage.

        A row that is planned again with the same fingerprint keeps its state; all others start as planned, and rows of
        an earlier plan go. Sums that hold anything but done rows of a sample are dropped with the states of its rows:
        what was added cannot be taken out again.
        """
        self.commit()
        database = self._database
        database.execute("BEGIN")
        database.execute("CREATE TEMP TABLE IF NOT EXISTS wanted AS SELECT * FROM items WHERE 0")
        database.execute("DELETE FROM wanted")
        database.executemany(
            "INSERT INTO wanted (stage, key, fingerprint, sample, path, start, stop, state, attempts) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, 'planned', 0)",
            ((stage, e.key, e.fingerprint, e.sample, e.path, e.start, e.stop) for e in entries),
        )
        database.execute("CREATE INDEX IF NOT EXISTS temp.wanted_key ON wanted (key)")
        kept = (
            "EXISTS (SELECT 1 FROM wanted w WHERE w.key = coalesce(items.parent, items.key) "
            "AND w.fingerprint = items.fingerprint)"
        )
        stale = database.execute(
            f"SELECT DISTINCT sample FROM items WHERE stage = ? AND state = 'done' AND NOT {kept}", (stage,)
        ).fetchall()
        if self._has_sums(stage):
            database.executemany("DELETE FROM items WHERE stage = ? AND sample = ?", ((stage, *one) for one in stale))
            database.executemany("DELETE FROM sums WHERE stage = ? AND sample = ?", ((stage, *one) for one in stale))
        database.execute(f"DELETE FROM items WHERE stage = ? AND NOT {kept}", (stage,))
        database.execute("INSERT OR IGNORE INTO items SELECT * FROM wanted")
        database.execute("COMMIT")

    def unfinished(self, stage: str, *, retry_failed: bool) -> list[Entry]:
        """The planned rows of a stage, and the failed ones where they are to be tried again, in order of the files."""
        states = ("planned", "failed" if retry_failed else "planned")
        where = "stage = ? AND state IN (?, ?) ORDER BY sample, path, start, key"
        return [
            _entry(row)
            for row in self._database.execute(f"SELECT {_COLUMNS} FROM items WHERE {where}", (stage, *states))
        ]

    def record(self, stage: str, entry: Entry) -> None:
        """Records the end of a row; it is safe after the next commit."""
        self._begin()
        self._database.execute(
            "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (stage, entry.key, entry.fingerprint, entry.sample, entry.path, entry.start, entry.stop, entry.state,
             entry.attempts, entry.error, entry.worker, entry.seconds, entry.output, entry.parent),
        )  # fmt: skip

    def set_output(self, stage: str, outputs: dict[str, str]) -> None:
        """Renames outputs of done rows (old name to new name) in one transaction."""
        self.commit()
        self._database.execute("BEGIN")
        self._database.executemany(
            "UPDATE items SET output = ? WHERE stage = ? AND output = ?",
            ((new, stage, old) for old, new in outputs.items()),
        )
        self._database.execute("COMMIT")

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

    def rows(self, stage: str, state: str | None = None) -> Iterator[Entry]:
        """Rows of a stage, of one state where given."""
        where = "stage = ?" + ("" if state is None else " AND state = ?") + " ORDER BY sample, path, start, key"
        arguments = (stage,) if state is None else (stage, state)
        for row in self._database.execute(f"SELECT {_COLUMNS} FROM items WHERE {where}", arguments):
            yield _entry(row)

    def outputs(self, stage: str) -> set[str]:
        """What the done rows of a stage have written."""
        query = "SELECT DISTINCT output FROM items WHERE stage = ? AND state = 'done' AND output IS NOT NULL"
        return {row[0] for row in self._database.execute(query, (stage,))}

    def _has_sums(self, stage: str) -> bool:
        return self._database.execute("SELECT 1 FROM sums WHERE stage = ? LIMIT 1", (stage,)).fetchone() is not None

    def _begin(self) -> None:
        if not self._open:
            self._database.execute("BEGIN")
            self._open = True


_COLUMNS = "key, fingerprint, sample, path, start, stop, state, attempts, error, worker, seconds, output, parent"


def _entry(row: tuple[Any, ...]) -> Entry:
    return Entry(*row)


def read_ledger(directory: Path) -> tuple[dict[tuple[str, str], Counter[str]], list[tuple[str, Entry]]]:
    """States counted per (stage, sample), and the failed rows with their stage; empty where there is no ledger."""
    if not (directory / NAME).is_file():
        return {}, []
    counts: dict[tuple[str, str], Counter[str]] = {}
    with closing(sqlite3.connect(f"file:{directory / NAME}?mode=ro", uri=True)) as database:
        query = "SELECT stage, sample, state, count(*) FROM items GROUP BY stage, sample, state"
        for stage, sample, state, number in database.execute(query):
            counts.setdefault((stage, sample), Counter())[state] = number
        failed = database.execute(
            f"SELECT stage, {_COLUMNS} FROM items WHERE state = 'failed' ORDER BY sample, path, start"
        )
        return counts, [(row[0], _entry(row[1:])) for row in failed]
