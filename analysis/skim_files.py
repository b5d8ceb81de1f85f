"""Parquet skims of a run: small files made into larger ones, and found again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from analysis.engine.ledger import Ledger
from analysis.files import replacing

# A Parquet file of this size reads fast everywhere and keeps a directory short [bytes].
COMPACT_SIZE = 128 * 2**20


def compact(directory: Path, ledger: Ledger, size: int = COMPACT_SIZE) -> None:
    """Joins the small files of each sample below `directory` into files of about `size` bytes.

    Rows keep the order of file names. A file that is large enough already stays as it is. The ledger learns of a joined
    file in one step: what a kill in between leaves behind is not in it, and is removed by the next run.
    """
    for sample in sorted(path for path in directory.glob("*") if path.is_dir()):
        for group in _groups(sorted(sample.glob("*.parquet")), size):
            if len(group) > 1:
                names = [path.relative_to(directory).as_posix() for path in group]
                joined = f"{sample.name}/part-{hashlib.sha256(' '.join(names).encode()).hexdigest()[:16]}.parquet"
                _join(group, directory / joined)
                ledger.set_output("skim", dict.fromkeys(names, joined))
                for path in group:
                    path.unlink()


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
