"""Parquet skims of a run: small files made into larger ones, and found again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from analysis.files import replacing

# A Parquet file of this size reads fast everywhere and keeps a directory short [bytes].
COMPACT_SIZE = 128 * 2**20


def compact(directory: Path, size: int = COMPACT_SIZE) -> None:
    """Joins the small files of each sample below `directory` into files of about `size` bytes.

    Rows keep the order of file names. A file that is large enough already stays as it is.
    """
    for sample in sorted(path for path in directory.glob("*") if path.is_dir()):
        for number, group in enumerate(_groups(sorted(sample.glob("*.parquet")), size)):
            if len(group) > 1:
                _join(group, sample / f"part-{number:05d}.parquet")


def remove_others(directory: Path, valid: set[str]) -> None:
    """Removes every file below `directory` that no finished work item wrote: of failed items, of killed workers."""
    for path in directory.glob("*/*"):
        if path.relative_to(directory).as_posix() not in valid:
            path.unlink()


def skim_paths(directory: Path, sample: str) -> tuple[str, ...]:
    """The Parquet files of a sample below a run directory, in a fixed order."""
    return tuple(str(path) for path in sorted((directory / "skim" / sample).glob("*.parquet")))


def _groups(paths: list[Path], size: int) -> Iterator[list[Path]]:
    group: list[Path] = []
    total = 0
    for path in paths:
        group.append(path)
        total += path.stat().st_size
        if total >= size:
            yield group
            group, total = [], 0
    if group:
        yield group


def _join(paths: list[Path], joined: Path) -> None:
    import pyarrow.parquet as pq

    schema = pq.read_schema(paths[0])
    with replacing(joined) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for path in paths:
            writer.write_table(pq.read_table(path))
    for path in paths:
        path.unlink()
