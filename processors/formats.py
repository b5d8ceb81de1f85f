"""The file formats that can be read, behind one interface."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from processors.chunks import Chunk, FileFacts

Format = Literal["root", "parquet", "mod_hdf5", "nanoaod"]


class Reader(Protocol):
    """Reads entry ranges of one format.

    All methods raise MissingTree, MissingBranch, UnreadableFile, ChangedFile or another ReadError (a ValueError) for
    what lies in the file, and OSError where the file cannot be opened or fetched; each sentence names the file.
    """

    def facts(self, path: str, tree: str, columns: Sequence[str]) -> FileFacts:
        """Identity, entries and size [bytes] of a file, after a check that it has the columns."""

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
        """The entries from `start` up to, not including, `stop`; ChangedFile where the identity is not `uuid`."""

    def total(self, path: str, tree: str, column: str, start: int, stop: int) -> float:
        """The sum in double precision of a column over an entry range."""


def reader_of(format: str) -> Reader:
    """The reader of a format: "root", "parquet", "mod_hdf5" or "nanoaod"; the library it needs is loaded here."""
    if format == "root":
        from processors.readers import RootReader

        return RootReader()
    if format == "parquet":
        from processors.parquet_reader import ParquetReader

        return ParquetReader()
    if format == "mod_hdf5":
        from processors.mod_reader import ModReader

        return ModReader()
    if format == "nanoaod":
        from processors.nano_reader import NanoReader

        return NanoReader()
    raise ValueError(f"unknown file format {format!r}: it is one of root, parquet, mod_hdf5, nanoaod")
