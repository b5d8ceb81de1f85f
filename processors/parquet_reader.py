"""Reading entry ranges of Parquet files: the columns needed, of the row groups that overlap the range."""

import hashlib
import uuid as uuids
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from processors.chunks import Chunk, FileFacts, Request, check_columns, reading, total_of
from processors.errors import UnreadableFile
from processors.patient import PatientFile, Ranges

MAGIC = b"PAR1"
#: The identity covers this much of the beginning of each column [bytes] ...
SAMPLE = 1024
#: ... of so many columns of the first row group.
SAMPLED_COLUMNS = 64


class ParquetReader:
    """Parquet files; a row is an entry, a column is one at the top level. The tree's name is not used.

    Columns of plain numbers without missing values are numpy arrays, all others awkward arrays. Page checksums are
    verified where the file has them.
    """

    def facts(self, path: str, tree: str, columns: Sequence[str]) -> FileFacts:  # noqa: ARG002  (a file is one table)
        """Identity, rows and size; reads the footer and the beginnings of some columns."""
        with _open(path, columns) as (ranges, file):
            return FileFacts(
                _identity(ranges, file.metadata), int(file.metadata.num_rows), ranges.size, ranges.bytes_read
            )

    def read(
        self,
        path: str,
        tree: str,
        columns: Sequence[str],
        start: int,
        stop: int,
        metadata: Mapping[str, Any],
        uuid: str | None = None,
    ) -> Chunk:
        """The rows from `start` up to, not including, `stop`."""
        with _open(path, columns) as (ranges, file):
            request, found = Request(path, tree, start, stop, uuid), _identity(ranges, file.metadata)
            request.check(found, file.metadata.num_rows)
            return request.chunk(_arrays(path, file, columns, start, stop), metadata, found, ranges)

    def total(self, path: str, tree: str, column: str, start: int, stop: int) -> float:
        """The sum in double precision of a column of numbers."""
        return total_of(path, column, ak.to_numpy(self.read(path, tree, [column], start, stop, {})[column]))


@contextmanager
def _open(path: str, columns: Sequence[str]) -> Iterator[tuple[Ranges, pq.ParquetFile]]:
    with reading(path, "Parquet", MAGIC) as ranges:
        if ranges.get(ranges.size - len(MAGIC), ranges.size) != MAGIC:
            raise UnreadableFile(f"cannot read {path}: it is truncated, its end is not that of a Parquet file")
        source = pa.PythonFile(PatientFile(ranges), mode="r")
        # Whole column chunks in one read each, on this thread.
        with pq.ParquetFile(source, pre_buffer=False, page_checksum_verification=True) as file:
            _check_footer(path, file.metadata, ranges.size)
            check_columns(path, "the table", file.schema_arrow.names, columns, "column")
            yield ranges, file


def _check_footer(path: str, metadata: Any, size: int) -> None:
    """Numbers of a damaged footer must not reach the plan or an allocation."""
    rows = 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        rows += group.num_rows
        for index in range(group.num_columns):
            column = group.column(index)
            flat = metadata.schema.column(index).max_repetition_level == 0
            begin = column.data_page_offset
            if column.has_dictionary_page and column.dictionary_page_offset is not None:
                begin = min(begin, column.dictionary_page_offset)
            end = begin + column.total_compressed_size
            if (
                group.num_rows < 0
                or (flat and column.num_values != group.num_rows)
                or not 0 < begin <= end <= size
                or column.num_values < 0
                or column.total_uncompressed_size < 0
            ):
                raise UnreadableFile(f"cannot read {path}: its footer is damaged at {column.path_in_schema!r}")
    if rows != metadata.num_rows:
        raise UnreadableFile(f"cannot read {path}: its footer has {metadata.num_rows} rows, its row groups {rows}")


def _identity(ranges: Ranges, metadata: Any) -> str:
    """A digest in the form of a uuid, which Parquet files do not have.

    It covers the size, the footer and the beginning of the columns in the first row group: footers alone are the same
    for tables of equal layout without statistics.
    """
    tail = ranges.get(ranges.size - 8, ranges.size)
    length = int.from_bytes(tail[:4], "little")
    digest = hashlib.sha256(ranges.size.to_bytes(8, "little"))
    digest.update(ranges.get(max(0, ranges.size - 8 - length), ranges.size))
    if metadata.num_row_groups:
        group = metadata.row_group(0)
        for index in range(min(group.num_columns, SAMPLED_COLUMNS)):
            begin = group.column(index).data_page_offset
            digest.update(ranges.get(begin, begin + SAMPLE))
    return str(uuids.UUID(bytes=digest.digest()[:16]))


def _arrays(path: str, file: pq.ParquetFile, columns: Sequence[str], start: int, stop: int) -> dict[str, Any]:
    metadata = file.metadata
    sizes = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    bounds = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    groups = [index for index, size in enumerate(sizes) if size and bounds[index] < stop and bounds[index + 1] > start]
    wanted = list(dict.fromkeys(columns))
    table = file.read_row_groups(groups, columns=wanted, use_threads=False)
    first = int(bounds[groups[0]]) if groups else start
    if table.num_rows < stop - first:
        raise UnreadableFile(f"cannot read {path}: {table.num_rows} rows came where {stop - first} were announced")
    return {name: _array(table[name])[start - first : stop - first] for name in wanted}


def _array(column: Any) -> Any:
    kind = column.type
    plain = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    if plain and column.null_count == 0:
        return column.to_numpy()
    # Slices are made of the result: awkward 2.14 misplaces missing values in slices of Arrow arrays.
    return ak.transform(_without_idle_option, ak.from_arrow(column))


def _without_idle_option(layout: Any, **_options: Any) -> Any:
    """Most writers mark every column and every number of a list as possibly missing; here, only where one is."""
    if layout.is_option and not layout.mask_as_bool(valid_when=False).any():
        return ak.to_layout(ak.transform(_without_idle_option, layout.project()))
    return None
