"""Event tables read from Parquet files: named columns of equal length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import UserError

Column = NDArray[Any]

# Rows are sorted by these where a table has them, so that neither file names nor chunk sizes decide about the order.
ORDER = ("run", "event", "entry", "m4l")


@dataclass(frozen=True)
class EventTable:
    """One row per event; every column is a numpy array of the same length."""

    columns: Mapping[str, Column]

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def where(self, keep: NDArray[np.bool_]) -> EventTable:
        """The rows for which `keep` is true."""
        return EventTable({name: column[keep] for name, column in self.columns.items()})

    def passing(self, flags: Iterable[str]) -> NDArray[np.bool_]:
        """Rows for which all these boolean columns are true; all rows for no column."""
        keep = np.ones(len(self), dtype=bool)
        for flag in flags:
            keep &= self.columns[flag].astype(bool)
        return keep


def read_tables(paths: Sequence[Path], columns: Iterable[str] | None = None, every: int = 1) -> EventTable:
    """All rows of Parquet files in canonical order.

    With `columns` only these are read, and a table without any file has them with no rows. With `every` only events
    whose number in their file (column `entry`) is a multiple of it are kept: which these are depends on no division
    into chunks.
    Raises UserError when a file cannot be read or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = None if columns is None else list(dict.fromkeys([*columns, *(["entry"] if every > 1 else [])]))
    if not paths:
        return EventTable({name: np.empty(0) for name in wanted or ()})
    parts = []
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                missing = sorted(set(wanted or ()) - set(file.schema_arrow.names))
                if missing:
                    raise UserError(
                        f"{path} lacks the column {missing[0]!r}: it was made by another version, skim again"
                    )
                part = file.read(columns=wanted, use_threads=False)
                parts.append(part if every == 1 else part.filter(part.column("entry").to_numpy() % every == 0))
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{path} is not a readable Parquet file: {error}") from error
    merged = pa.concat_tables(parts, promote_options="default")
    table = {name: merged.column(name).to_numpy() for name in merged.column_names}
    keys = [table[name] for name in ORDER if name in table]
    if not keys:
        return EventTable(table)
    order = np.lexsort(keys[::-1])
    return EventTable({name: column[order] for name, column in table.items()})


def concatenate(tables: Sequence[EventTable]) -> EventTable:
    """Tables one after the other; they need the same columns."""
    return EventTable({name: np.concatenate([table[name] for table in tables]) for name in tables[0].columns})
