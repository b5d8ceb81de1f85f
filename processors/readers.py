"""Reading entry ranges of ROOT trees, fast and on one thread, with errors that say what is wrong with the file."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
import uproot

from processors.chunks import Chunk, FileFacts, Request, check_columns, reading, total_of
from processors.errors import ChangedFile, MissingBranch, MissingTree, ReadError, UnreadableFile
from processors.patient import Ranges
from processors.root_source import open_root
from processors.selections import Array

__all__ = [
    "ChangedFile", "Chunk", "FileFacts", "MissingBranch", "MissingTree", "ReadError", "RootReader", "UnreadableFile",
    "read_root", "root_file_facts", "sum_branch",
]  # fmt: skip


def read_root(
    path: str,
    tree: str,
    branches: Sequence[str],
    start: int,
    stop: int,
    metadata: Mapping[str, Any],
    uuid: str | None = None,
) -> Chunk:
    """Reads the entries from `start` up to, not including, `stop` of the branches, with one opening of the file.

    Raises MissingTree, MissingBranch, UnreadableFile, ChangedFile where the file's uuid is not the one given, or, for a
    range outside the tree, ReadError (all of them ValueErrors), and OSError where the file cannot be opened or fetched.
    """
    with open_tree(path, tree, branches) as (ranges, file, ttree):
        request = Request(path, tree, start, stop, uuid)
        request.check(str(file.file.uuid), ttree.num_entries)
        return request.chunk(read_arrays(ttree, branches, start, stop), metadata, str(file.file.uuid), ranges)


def root_file_facts(path: str, tree: str, branches: Sequence[str]) -> FileFacts:
    """Opens a file and checks that it has the tree and the branches; reads no data. Raises as `read_root` does."""
    with open_tree(path, tree, branches) as (ranges, file, ttree):
        return facts_of(path, ranges, file, ttree)


def facts_of(path: str, ranges: Ranges, file: Any, ttree: Any) -> FileFacts:
    """Identity, entries and size of an open file; UnreadableFile where its numbers of entries contradict each other."""
    _check_entries(path, ttree)
    return FileFacts(str(file.file.uuid), int(ttree.num_entries), ranges.size, ranges.bytes_read)


def sum_branch(path: str, tree: str, branch: str, start: int, stop: int) -> float:
    """The sum in double precision of a branch over an entry range, such as the weights of unprocessed events."""
    with open_tree(path, tree, [branch]) as (_, file, ttree):
        Request(path, tree, start, stop).check(str(file.file.uuid), ttree.num_entries)
        return total_of(path, branch, read_arrays(ttree, [branch], start, stop)[branch])


class RootReader:
    """ROOT files with a TTree; columns are branches."""

    def facts(self, path: str, tree: str, columns: Sequence[str]) -> FileFacts:
        """Identity, entries and size; see `root_file_facts`."""
        return root_file_facts(path, tree, columns)

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
        """An entry range; see `read_root`."""
        return read_root(path, tree, columns, start, stop, metadata, uuid)

    def total(self, path: str, tree: str, column: str, start: int, stop: int) -> float:
        """The sum of a branch; see `sum_branch`."""
        return sum_branch(path, tree, column, start, stop)


def _check_entries(path: str, ttree: Any) -> None:
    """A damaged number of entries would make a plan of any length: the branches must have it, too."""
    entries, branches = int(ttree.num_entries), ttree.branches
    longest = max((int(branch.num_entries) for branch in branches), default=entries)
    if entries < 0 or longest != entries:
        raise UnreadableFile(
            f"cannot read {path}: the tree {ttree.name!r} claims {entries} entries, its branches have {longest}"
        )


@contextmanager
def open_tree(path: str, tree: str, branches: Sequence[str]) -> Iterator[tuple[Ranges, Any, Any]]:
    """Opens a file, finds the tree and checks the branches; every failure becomes an error that names the file."""
    with reading(path, "ROOT", b"root") as ranges, open_root(path, ranges) as file:
        if ranges.size < int(file.file.fEND):
            raise UnreadableFile(f"cannot read {path}: it is truncated, {ranges.size} of {file.file.fEND} bytes")
        ttree = _tree(file, path, tree)
        check_columns(path, f"the tree {tree!r}", ttree.keys(recursive=True), branches)
        yield ranges, file, ttree


def _tree(file: Any, path: str, tree: str) -> Any:
    classes = file.classnames(cycle=False)
    trees = sorted(name for name, kind in classes.items() if kind in ("TTree", "TNtuple"))
    if tree in trees:
        return file[tree]
    other = f" (there is a {classes[tree]} of that name)" if tree in classes else ""
    found = f"its trees are: {', '.join(trees)}" if trees else "it has no tree"
    raise MissingTree(f"{path} has no tree {tree!r}{other}; {found}")


class _FlatContent(uproot.interpretation.jagged.AsJagged):  # type: ignore[misc]
    """Reads a counted branch (`lep_pt[lep_n]/F`) as its numbers one after another.

    The lists' boundaries are the same for all branches of one counter, so they are made once from the counter; of the
    stored ones, only those at the ends of the entry range are used.
    """

    def basket_array(
        self,
        data: Any,
        byte_offsets: Any,
        basket: Any,
        branch: Any,
        context: Any,
        cursor_offset: Any,
        library: Any,
        options: Any,
    ) -> Any:
        if byte_offsets is None:
            jagged = super().basket_array(data, byte_offsets, basket, branch, context, cursor_offset, library, options)
            return _Basket(jagged.content, jagged.offsets, 1)
        values = data.view(self.content.from_dtype)
        return _Basket(values, byte_offsets, self.content.from_dtype.itemsize)

    def final_array(
        self,
        basket_arrays: Any,
        entry_start: Any,
        entry_stop: Any,
        entry_offsets: Any,
        library: Any,  # noqa: ARG002
        branch: Any,  # noqa: ARG002
        options: Any,  # noqa: ARG002
    ) -> Any:
        parts = []
        for number in sorted(basket_arrays):
            first = entry_offsets[number]
            low, high = max(entry_start - first, 0), min(entry_stop, entry_offsets[number + 1]) - first
            if low < high:
                parts.append(basket_arrays[number].entries(low, high))
        out = np.empty(sum(len(part) for part in parts), dtype=self.content.to_dtype)
        position = 0
        for part in parts:
            out[position : position + len(part)] = part
            position += len(part)
        return out


@dataclass(frozen=True)
class _Basket:
    values: Array
    offsets: Array
    unit: int
    """How many steps of `offsets` one value takes."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def entries(self, low: int, high: int) -> Array:
        return self.values[self.offsets[low] // self.unit : self.offsets[high] // self.unit]


def read_arrays(ttree: Any, branches: Sequence[str], start: int, stop: int) -> dict[str, Any]:
    """The branches of an entry range: numpy arrays, and awkward arrays with shared offsets for counted branches."""
    arrays: dict[str, Any] = {}
    offsets: dict[str, Any] = {}

    def scalar(branch: Any) -> Any:
        if branch.name not in arrays:
            arrays[branch.name] = branch.array(entry_start=start, entry_stop=stop, library="np", array_cache=None)
        return arrays[branch.name]

    for name in branches:
        branch = ttree[name]
        interpretation = branch.interpretation
        counter = branch.count_branch
        if isinstance(interpretation, uproot.AsDtype):
            scalar(branch)
        elif (
            isinstance(interpretation, uproot.AsJagged)
            and interpretation.header_bytes == 0
            and type(interpretation.content) is uproot.AsDtype
            and interpretation.content.to_dtype.shape == ()
            and counter is not None
        ):
            content = branch.array(
                _FlatContent(interpretation.content), entry_start=start, entry_stop=stop, library="np", array_cache=None
            )
            if counter.name not in offsets:
                bounds = np.zeros(stop - start + 1, dtype=np.int64)
                np.cumsum(scalar(counter), out=bounds[1:])
                offsets[counter.name] = ak.index.Index64(bounds)
            if len(content) != offsets[counter.name][-1]:
                raise UnreadableFile(
                    f"cannot read {ttree.file.file_path}: {name} has {len(content)} values where its counter "
                    f"{counter.name} gives {offsets[counter.name][-1]}"
                )
            arrays[name] = ak.Array(ak.contents.ListOffsetArray(offsets[counter.name], ak.contents.NumpyArray(content)))
        else:
            arrays[name] = branch.array(entry_start=start, entry_stop=stop, library="ak", array_cache=None)
    return {name: arrays[name] for name in branches}
