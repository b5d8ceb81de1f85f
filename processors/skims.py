"""Writing skims: one Parquet file per chunk, complete or absent."""

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def skim_name(file_uuid: str, start: int, stop: int) -> str:
    """The name of the skim file of an entry range of an input file."""
    return f"{file_uuid}_{start}-{stop}.parquet"


def write_skim(path: Path, tables: Sequence[Mapping[str, Any]], *, compression: str = "lz4") -> int:
    """Writes tables, one after another, as a Parquet file of one row group and gives the number of rows.

    Each table maps the same names to columns of equal length, numpy arrays or (for lists) Arrow arrays. The file
    appears under its name only when it is complete: it is written under a temporary name in the same directory (which
    starts with a dot) and renamed, replacing an earlier file. The directory is made if needed.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_batches(
        [pa.record_batch({name: _arrow(column) for name, column in columns.items()}) for columns in tables]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}"
    try:
        # Dictionaries and page statistics do not pay for measured floating-point values.
        pq.write_table(
            table,
            temporary,
            compression=compression,
            use_dictionary=False,
            write_statistics=False,
            row_group_size=max(1, table.num_rows),
            write_page_checksum=True,
        )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return int(table.num_rows)


def arrow_numbers(values: Any) -> Any:
    """An Arrow array of a numpy array of numbers or truth values, which it shares where it can.

    `pa.array` gives the same, but first imports pandas: half a second and 40 MB for every worker.
    """
    import numpy as np
    import pyarrow as pa

    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    kind = pa.from_numpy_dtype(native.dtype)
    content = np.packbits(native, bitorder="little") if kind == pa.bool_() else native
    return pa.Array.from_buffers(kind, len(native), [None, pa.py_buffer(content)])


def _arrow(column: Any) -> Any:
    import pyarrow as pa

    if isinstance(column, pa.Array):
        return column
    return arrow_numbers(column) if column.dtype.kind in "biuf" else pa.array(column)
