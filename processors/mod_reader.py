"""Reading jets from files in MOD HDF5 format (arXiv:1908.08542), as energyflow.mod documents it, without energyflow.

An entry is a jet: a row of `jets_i` (integers) and `jets_f` (floating-point numbers). The particles of all jets follow
each other in `pfcs` (reconstructed) and `gens` (generated); `pfcs_index` and `gens_index` say where a jet's begin
and end. The attribute `cols` of each data set names its columns.
"""

import atexit
import ctypes
import hashlib
import itertools
import re
import uuid as uuids
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import numpy.typing as npt

from processors.chunks import Chunk, FileFacts, Request, check_columns, reading, total_of
from processors.errors import MissingTree, UnreadableFile
from processors.patient import PatientFile, Ranges

MAGIC = b"\x89HDF\r\n\x1a\n"
JETS = ("jets_i", "jets_f")
PARTICLES = ("pfcs", "gens")
#: The identity covers so many jets.
SAMPLE = 1000
#: Decompressed chunks that are kept while columns of one chunk are read one after another [bytes].
CHUNK_CACHE = 16 * 2**20
#: A larger chunk is the work of a damaged header: HDF5 would take memory for it [bytes].
LARGEST_CHUNK = 2**30


class ModReader:
    """MOD HDF5 files; an entry is a jet. The tree's name is not used.

    Columns are those of the jets by their names in the file (`jet_pt`, `evn`: numpy arrays), `pfcs` and `gens` (one
    list per jet of records with all columns of the particles), and single columns of them as `pfcs.pt` (one list of
    numbers per jet). Momenta are in GeV, as in the file; `weight` is in nb.
    """

    def facts(self, path: str, tree: str, columns: Sequence[str]) -> FileFacts:  # noqa: ARG002  (a file is one table)
        """Identity, jets and size; reads the first jets."""
        with _open(path) as (ranges, tables):
            tables.check(columns)
            return FileFacts(tables.identity(), tables.jets, ranges.size, ranges.bytes_read)

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
        """The jets from `start` up to, not including, `stop`, and their particles."""
        with _open(path) as (ranges, tables):
            tables.check(columns)
            request, found = Request(path, tree, start, stop, uuid), tables.identity()
            request.check(found, tables.jets)
            return request.chunk(tables.read(columns, start, stop), metadata, found, ranges)

    def total(self, path: str, tree: str, column: str, start: int, stop: int) -> float:
        """The sum in double precision of a column of the jets."""
        return total_of(path, column, self.read(path, tree, [column], start, stop, {})[column])


class _WholeReads(PatientFile):
    """h5py takes what lies beyond the end of a file for zeros: here it is an error."""

    def readinto(self, buffer, /) -> int:  # type: ignore[no-untyped-def]
        """Fills the whole buffer; raises UnreadableFile where the file ends before."""
        wanted, start = memoryview(buffer).nbytes, self.tell()
        if super().readinto(buffer) < wanted:
            raise UnreadableFile(
                f"cannot read {self.path}: its content refers to the bytes {start} to {start + wanted}, beyond its end"
            )
        return wanted


@contextmanager
def _open(path: str) -> Iterator[tuple[Ranges, "_Tables"]]:
    _end_hdf5_before_python()
    with (
        reading(path, "HDF5", MAGIC) as ranges,
        h5py.File(_WholeReads(ranges), "r", rdcc_nbytes=CHUNK_CACHE) as file,
    ):
        yield ranges, _tables(path, file, ranges.size)


@lru_cache(maxsize=1)
def _end_hdf5_before_python() -> None:
    """Has the HDF5 library end while there is still an interpreter.

    It keeps a file that it could not open half open, and asks the Python file below it to close when the process ends:
    by itself it does so after Python has ended, which is a segmentation fault.
    """
    loaded = set(re.findall(r"/\S*/libhdf5[-.][^/\s]*", Path("/proc/self/maps").read_text()))
    for library in loaded:
        atexit.register(ctypes.CDLL(library).H5close)


def _tables(path: str, file: Any, size: int) -> "_Tables":
    names = {name for name in file if isinstance(file.get(name), h5py.Dataset)}
    for name in JETS:
        if name not in names:
            found = f"its data sets are: {', '.join(sorted(names))}" if names else "it has no data set"
            raise MissingTree(f"{path} has no data set {name!r}, it is not in MOD format; {found}")
    particles = tuple(name for name in PARTICLES if name in names and f"{name}_index" in names)
    columns = {}
    for name in (*JETS, *particles):
        _check_table(path, file[name])
        columns[name] = _names(path, file[name])
    jets = int(file["jets_i"].shape[0])
    for name, rows in {"jets_f": jets, **{f"{one}_index": jets + 1 for one in particles}}.items():
        if file[name].shape[:1] != (rows,):
            raise UnreadableFile(f"cannot read {path}: {name} has the shape {file[name].shape}, {rows} rows are due")
    return _Tables(path, file, size, jets, columns)


def _check_table(path: str, table: Any) -> None:
    chunk = int(np.prod(table.chunks, dtype=np.float64)) * table.dtype.itemsize if table.chunks else 0
    if table.ndim != 2 or table.dtype.kind not in "iuf" or chunk > LARGEST_CHUNK:
        raise UnreadableFile(
            f"cannot read {path}: {table.name} has the shape {table.shape} of {table.dtype} in chunks of "
            f"{table.chunks}, it should be a table of numbers"
        )


def _names(path: str, table: Any) -> tuple[str, ...]:
    if "cols" not in table.attrs:
        raise UnreadableFile(f"cannot read {path}: {table.name} has no attribute 'cols' with the names of its columns")
    names = tuple(one.decode() if isinstance(one, bytes) else str(one) for one in table.attrs["cols"])
    if len(names) != table.shape[1]:
        raise UnreadableFile(f"cannot read {path}: {table.name} has {table.shape[1]} columns and {len(names)} names")
    return names


@dataclass(frozen=True)
class _Tables:
    """The data sets of an open file, checked against each other."""

    path: str
    file: Any
    size: int
    jets: int
    columns: Mapping[str, tuple[str, ...]]

    def names(self) -> list[str]:
        """All columns that can be asked for."""
        names = [name for table in JETS for name in self.columns[table]]
        for table in PARTICLES:
            if table in self.columns:
                names += [table, *(f"{table}.{name}" for name in self.columns[table])]
        return names

    def check(self, columns: Sequence[str]) -> None:
        """Raises MissingBranch unless all columns are there."""
        check_columns(self.path, "the file", self.names(), columns, "column")

    def identity(self) -> str:
        """A digest in the form of a uuid, which HDF5 files do not have: size, origin and the first jets."""
        digest = hashlib.sha256(f"{self.size} {self.jets}".encode())
        if "filenames" in self.file:
            digest.update(np.asarray(self.file["filenames"][:1], dtype="S").tobytes())
        for table in JETS:
            digest.update(np.ascontiguousarray(self.file[table][:SAMPLE]).tobytes())
        return str(uuids.UUID(bytes=digest.digest()[:16]))

    def read(self, columns: Sequence[str], start: int, stop: int) -> dict[str, Any]:
        """The columns of a range of jets."""
        arrays: dict[str, Any] = {}
        for name in columns:
            if name.partition(".")[0] not in PARTICLES:
                arrays[name] = self._jets(name, start, stop)
        for table in PARTICLES:
            wanted = [name for name in columns if name.partition(".")[0] == table]
            if wanted:
                arrays |= self._particles(table, wanted, start, stop)
        return {name: arrays[name] for name in columns}

    def _jets(self, name: str, start: int, stop: int) -> npt.NDArray[Any]:
        table = next(table for table in JETS if name in self.columns[table])
        return self._rows(table, start, stop, self.columns[table].index(name))

    def _rows(self, name: str, start: int, stop: int, column: int | None = None) -> npt.NDArray[Any]:
        """Rows of a table, or of one of its columns.

        HDF5 gives zeros for a chunk that a damaged index lacks, and takes a filter for optional. So every chunk must be
        in the index, within the file and with all filters, and one of nothing but zeros must be found once more.
        """
        table = self.file[name]
        values: npt.NDArray[Any] = table[start:stop] if column is None else table[start:stop, column]
        if table.chunks is None or start >= stop:
            return values
        step, *widths = table.chunks
        firsts = [range(0, size, width) for size, width in zip(table.shape[1:], widths, strict=True)]
        if column is not None:
            firsts = [range(column // widths[0] * widths[0], column + 1, widths[0])]
        for place in itertools.product(range(start // step * step, stop, step), *firsts):
            chunk = table.id.get_chunk_info_by_coord(place)
            inside = chunk.size and 0 < chunk.byte_offset <= self.size - chunk.size
            if not inside or chunk.filter_mask:
                raise UnreadableFile(f"cannot read {self.path}: its index of {name} is damaged at {place}")
            part = values[max(place[0] - start, 0) : place[0] + step - start]
            if not (part[:1].any() or part.any()):  # nearly always the first row has something
                table.id.read_direct_chunk(place)
        return values

    def _particles(self, table: str, wanted: Sequence[str], start: int, stop: int) -> dict[str, Any]:
        bounds = self._rows(f"{table}_index", start, stop + 1).astype(np.int64)
        rows = self.file[table].shape[0]
        if bounds[0] < 0 or bounds[-1] > rows or bool((np.diff(bounds) < 0).any()):
            raise UnreadableFile(
                f"cannot read {self.path}: {table}_index does not ascend within the {rows} rows of {table} for the "
                f"jets {start} to {stop}"
            )
        block = self._rows(table, int(bounds[0]), int(bounds[-1]))
        offsets = ak.index.Index64(bounds - bounds[0])
        names = self.columns[table]
        needed = names if table in wanted else [name.partition(".")[2] for name in wanted]
        numbers = {name: ak.contents.NumpyArray(np.ascontiguousarray(block[:, names.index(name)])) for name in needed}
        lists = {name: ak.Array(ak.contents.ListOffsetArray(offsets, numbers[name])) for name in needed}
        arrays = {f"{table}.{name}": values for name, values in lists.items()}
        if table in wanted:
            records = ak.contents.RecordArray([numbers[name] for name in names], list(names), length=len(block))
            arrays[table] = ak.Array(ak.contents.ListOffsetArray(offsets, records))
        return arrays
