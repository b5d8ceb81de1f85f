"""The Parquet files of a run: staged by workers, published with the ledger, small ones joined, found again.

Whoever looks at `skim/<sample>/*.parquet` sees files of the ledger only, each row once: a worker writes below
`skim/.staged/<fingerprint>/`, and a file gets its place after its item is safe in the ledger. What a kill leaves
between the two is put right by the next run.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from analysis.engine.attempts import Outcome
from analysis.engine.ledger import Ledger, Skim

# A Parquet file of this size reads fast everywhere and keeps a directory short [bytes].
JOINED_SIZE = 128 * 2**20
# Rows of a joined file that are written at a time.
ROW_GROUP = 2**18
STAGED = ".staged"


@dataclass(frozen=True)
class Join:
    """Skim files of a sample that are to become one."""

    directory: str
    sample: str
    names: tuple[str, ...]

    @property
    def joined(self) -> str:
        """The name of the file they become."""
        return f"{self.sample}/part-{hashlib.sha256(' '.join(self.names).encode()).hexdigest()[:16]}.parquet"


def staged_name(fingerprint: str, name: str) -> str:
    """Where a worker writes the skim `name`, below the skim directory.

    Workers of an earlier run with other code or settings, that did not notice its end, write elsewhere.
    """
    return f"{STAGED}/{fingerprint}/{name}"


def restore(directory: Path, ledger: Ledger) -> list[str]:
    """Makes the skim directory that of the ledger again, and gives the samples of which something is lost."""
    _remove_others(directory, ledger)  # first out of sight, then in, as everywhere
    lost = []
    for sample in ledger.samples_with_skims():
        skims = ledger.skims(sample)
        publish(directory, [skim for skim in skims if not (directory / skim.name).exists()])
        if not all(_is_whole(directory, skim) for skim in skims):
            lost.append(sample)
    return lost


def publish(directory: Path, skims: Iterable[Skim]) -> None:
    """Gives staged files their place; those that are not staged stay away."""
    for skim in skims:
        staged, place = directory / skim.staged, directory / skim.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if staged.exists():
            staged.replace(place)


def finish(directory: Path, ledger: Ledger) -> None:
    """Removes all that is not a valid skim."""
    _remove_others(directory, ledger)
    shutil.rmtree(directory / STAGED, ignore_errors=True)


def join_small(
    directory: Path, ledger: Ledger, call: Callable[[Callable[[Join, int], Skim], list[Join]], Iterator[Outcome]]
) -> list[str]:
    """Joins the small files of each sample on the workers; gives a sentence for each group where that failed.

    `call(function, joins)` gives the outcomes of `function(join, attempt)`.
    """
    problems = []
    joins = [
        Join(str(directory), sample, tuple(skim.name for skim in group))
        for sample in ledger.samples_with_skims()
        for group in _groups(ledger.skims(sample), JOINED_SIZE)
        if len(group) > 1
    ]
    for outcome in call(partial(join), joins) if joins else ():
        if outcome.error is not None:
            problems.append(f"the skim files of {outcome.item.sample} could not be joined: {outcome.error}")
            continue
        # First out of sight, then in: in between rows are missing, never there twice.
        ledger.record_joined(outcome.item.names, outcome.value)
        for name in outcome.item.names:
            (directory / name).unlink(missing_ok=True)
        publish(directory, [outcome.value])
    return problems


def join(group: Join, attempt: int) -> Skim:  # noqa: ARG001  (a second attempt does the same)
    """On a worker: writes the rows of the group's files, in the order of their names, to one staged file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    directory = Path(group.directory)
    # A place of its own: a worker of a run that was killed may still be joining the same files.
    place = staged_name(f"joined-{secrets.token_hex(4)}", group.joined)
    staged = directory / place
    staged.parent.mkdir(parents=True, exist_ok=True)
    rows, waiting, held = 0, [], 0
    with pq.ParquetWriter(
        staged, pq.read_schema(directory / group.names[0]), compression="zstd", write_page_checksum=True
    ) as writer:
        for name in group.names:
            # `pq.read_table` would first import pyarrow's datasets, and with them pandas.
            with pq.ParquetFile(directory / name) as file:
                table = file.read()
            rows, held = rows + table.num_rows, held + table.num_rows
            waiting.append(table)
            if held >= ROW_GROUP:
                writer.write_table(pa.concat_tables(waiting), row_group_size=ROW_GROUP)
                waiting, held = [], 0
        if waiting:
            writer.write_table(pa.concat_tables(waiting), row_group_size=ROW_GROUP)
    return Skim(group.joined, group.sample, place, staged.stat().st_size, rows)


def skim_paths(directory: Path, sample: str) -> tuple[str, ...]:
    """The Parquet files of a sample below a run directory, in a fixed order."""
    return tuple(str(path) for path in sorted((directory / "skim" / sample).glob("*.parquet")))


def _is_whole(directory: Path, skim: Skim) -> bool:
    path = directory / skim.name
    return path.is_file() and path.stat().st_size == skim.bytes


def _remove_others(directory: Path, ledger: Ledger) -> None:
    """Removes the skims that are not the ledger's: of earlier settings, of items whose end was not recorded."""
    for sample in (path for path in directory.glob("*") if path.is_dir() and path.name != STAGED):
        valid = {skim.name for skim in ledger.skims(sample.name)}
        for path in sample.glob("*"):
            if f"{sample.name}/{path.name}" not in valid:
                path.unlink()


def _groups(skims: list[Skim], size: int) -> Iterator[list[Skim]]:
    group: list[Skim] = []
    total = 0
    for skim in skims:
        group.append(skim)
        total += skim.bytes
        if total >= size:
            yield group
            group, total = [], 0
    if group:
        yield group
