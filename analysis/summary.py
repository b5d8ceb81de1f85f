"""What a run cost, from its manifest: items, time and bytes per stage, work and memory per worker, what went wrong."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from analysis.manifest import STAGES
from analysis.progress import duration

# A site has more workers than a screen has lines: those with the most memory are shown, and totals of all.
MOST_WORKERS = 20
NONE = "-"
MEGABYTE = 1e6

TROUBLES = {
    "retries": "retries",
    "lost_workers": "lost workers",
    "overdue": "overdue items",
    "isolated": "isolated items",
    "split": "split items",
    "reopened": "lost clusters",
}


@dataclass
class Table:
    """Rows of text, the first `names` columns aligned to the left, and lines that follow them."""

    columns: tuple[str, ...]
    names: int
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def without_empty_columns(self) -> Table:
        """The table without the columns that say nothing in any row."""
        kept = [i for i in range(len(self.columns)) if i < self.names or any(row[i] != NONE for row in self.rows)]
        rows = [tuple(row[i] for i in kept) for row in self.rows]
        return Table(tuple(self.columns[i] for i in kept), self.names, rows, self.notes)

    def lines(self) -> list[str]:
        """Aligned text."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        return [self._aligned(row, widths) for row in (self.columns, *self.rows)] + self.notes

    def _aligned(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = [
            text.ljust(width) if i < self.names else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    def rich(self) -> RichTable:
        """The table as rich shows it."""
        table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        for i, name in enumerate(self.columns):
            table.add_column(name, justify="left" if i < self.names else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        return table


def summarise(manifest: dict[str, Any]) -> list[Table]:
    """The tables of a run: its stages, its workers. Empty where nothing has ended."""
    tables = []
    if manifest["stages"]:
        tables.append(stage_table(manifest["stages"], manifest["cluster"]))
    if manifest["workers"]:
        tables.append(worker_table(manifest["workers"]))
    return tables


def show_summary(manifest: dict[str, Any], console: Console, *, terminal: bool) -> None:
    """Shows the tables: drawn on a terminal, as plain lines elsewhere."""
    for table in summarise(manifest):
        if terminal:
            console.print(table.rich())
            for note in table.notes:
                console.print(note, markup=False)
        else:
            for line in table.lines():
                console.print(line, markup=False)


def stage_table(stages: dict[str, dict[str, Any]], cluster: dict[str, Any]) -> Table:
    """A row per stage. Rates are of what was done this time, not of what an earlier session left."""
    columns = ("stage", "items", "done", "kept", "failed", "wall", "events/s", "MB read", "MB/s")
    table = Table(columns, names=1)
    for name in sorted(stages, key=STAGES.index):
        facts = stages[name]
        seconds, read = facts["seconds"], facts.get("bytes_read")
        table.rows.append(
            (
                name,
                *_counts(facts),
                duration(seconds),
                _rate(facts.get("entries_now"), seconds),
                _megabytes(read),
                NONE if not read else _rate(read / MEGABYTE, seconds),
            )
        )
    known = [f"{name} {cluster[key]}" for key, name in TROUBLES.items() if key in cluster]
    table.notes += [", ".join(known)] if known else []
    return table.without_empty_columns()


def worker_table(workers: list[dict[str, Any]]) -> Table:
    """A row per worker, those with the most memory where there are many, and a line per pool on all of them."""
    columns = ("worker", "pool", "host", "tasks", "busy", "MB read", "peak MB")
    table = Table(columns, names=3)
    shown = sorted(workers, key=_peak, reverse=True)[:MOST_WORKERS]
    for one in sorted(shown, key=lambda one: (one["pool"], str(one["host"]), one["name"])):
        table.rows.append(
            (
                one["name"],
                one["pool"],
                one["host"] or NONE,
                str(one["tasks"]),
                duration(one["busy_seconds"]) if "busy_seconds" in one else NONE,
                _megabytes(one.get("bytes_read")),
                _megabytes(_peak(one)),
            )
        )
    if len(workers) > len(shown):
        table.notes.append(f"... and {len(workers) - len(shown)} workers with less memory")
    for pool in sorted({one["pool"] for one in workers}):
        table.notes.append(_pool_line(pool, [one for one in workers if one["pool"] == pool]))
    return table.without_empty_columns()


def _pool_line(pool: str, workers: list[dict[str, Any]]) -> str:
    peaks = [_peak(one) / MEGABYTE for one in workers]
    spread = "/".join(f"{value:,.0f}" for value in (min(peaks), statistics.median(peaks), max(peaks)))
    tasks, busy = sum(one["tasks"] for one in workers), sum(one.get("busy_seconds", 0.0) for one in workers)
    many = f"{len(workers)} worker{'s' * (len(workers) != 1)}"
    return f"{pool}: {many}, {tasks} tasks, {duration(busy)} busy, peak memory min/median/max {spread} MB"


def _counts(facts: dict[str, Any]) -> tuple[str, str, str, str]:
    """Items in all, done this time, kept from before, failed."""
    total = facts.get("items", facts.get("tasks", facts.get("files")))
    if total is None:
        return NONE, NONE, NONE, NONE
    failed = facts.get("failed", 0)
    if "done_now" in facts:
        done = facts["done_now"]
        kept = facts.get("kept", total - done - failed)
    else:
        kept = facts.get("kept", facts.get("remembered", 0))
        done = total - kept - failed
    return str(total), str(done), str(kept), str(failed)


def _peak(worker: dict[str, Any]) -> int:
    return int(worker.get("peak_memory_bytes", 0))


def _megabytes(size: float | None) -> str:
    return NONE if not size else f"{size / MEGABYTE:,.1f}" if size < 10 * MEGABYTE else f"{size / MEGABYTE:,.0f}"


def _rate(number: float | None, seconds: float) -> str:
    """A number per second; nothing where none was counted or the time is too short to be measured."""
    if not number or not seconds:
        return NONE
    rate = number / seconds
    return f"{rate:,.1f}" if rate < 10 else f"{rate:,.0f}"
