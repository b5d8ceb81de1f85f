"""Reading entry ranges of ROOT trees, fast and on one thread, with errors that say what is wrong with the file."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from processors.selections import Array


class ReadError(ValueError):
    """What was asked for cannot be read; trying again would not help."""


class UnreadableFile(ReadError):  # noqa: N818
    """The content of a file is not what it should be: empty, truncated, damaged, no ROOT file, a directory."""


class MissingTree(ReadError):  # noqa: N818
    """The file has no tree of the name asked for."""


class MissingBranch(ReadError):  # noqa: N818
    """The tree lacks a branch that is needed."""


@dataclass(frozen=True)
class FileFacts:
    """What planning needs to know of a file: the identity ROOT gave it, entries of the tree, size in bytes."""

    uuid: str
    entries: int
    size: int


@dataclass(frozen=True)
class Chunk:
    """Branches of an entry range: what a processor gets as `events`.

    `chunk[branch]` is a numpy array for one number per event and an awkward array for lists, `metadata` has the given
    keys with `filename`, `fileuuid`, `treename`, `entrystart` and `entrystop`.
    """

    arrays: Mapping[str, Any]
    metadata: Mapping[str, Any]
    bytes_read: int = 0

    def __getitem__(self, branch: str) -> Any:
        return self.arrays[branch]

    def __len__(self) -> int:
        return int(self.metadata["entrystop"]) - int(self.metadata["entrystart"])


def read_root(
    path: str, tree: str, branches: Sequence[str], start: int, stop: int, metadata: Mapping[str, Any]
) -> Chunk:
    """Reads the entries from `start` up to, not including, `stop` of the branches, with one opening of the file.

    Raises MissingTree, MissingBranch, UnreadableFile or, for a range outside the tree, ReadError (all of them
    ValueErrors), and OSError where the file cannot be opened or fetched.
    """
    with _open_tree(path, tree, branches) as (file, ttree):
        _check_range(path, ttree, start, stop)
        details = {
            "filename": path,
            "fileuuid": str(file.file.uuid),
            "treename": tree,
            "entrystart": start,
            "entrystop": stop,
        }
        return Chunk(_arrays(ttree, branches, start, stop), {**metadata, **details})


def root_file_facts(path: str, tree: str, branches: Sequence[str]) -> FileFacts:
    """Opens a file and checks that it has the tree and the branches; reads no data. Raises as `read_root` does."""
    with _open_tree(path, tree, branches) as (file, ttree):
        return FileFacts(uuid=str(file.file.uuid), entries=int(ttree.num_entries), size=int(file.file.source.num_bytes))


def sum_branch(path: str, tree: str, branch: str, start: int, stop: int) -> float:
    """The sum in double precision of a branch over an entry range, such as the weights of unprocessed events."""
    with _open_tree(path, tree, [branch]) as (_, ttree):
        _check_range(path, ttree, start, stop)
        return float(np.sum(_arrays(ttree, [branch], start, stop)[branch], dtype=np.float64))


def _check_range(path: str, ttree: Any, start: int, stop: int) -> None:
    if not 0 <= start <= stop <= ttree.num_entries:
        raise ReadError(
            f"entries {start} to {stop} are outside the tree {ttree.name} of {path}, which has {ttree.num_entries}"
        )


@contextmanager
def _open_tree(path: str, tree: str, branches: Sequence[str]) -> Iterator[tuple[Any, Any]]:
    """Opens a file, finds the tree and checks the branches; every failure becomes an error that names the file."""
    _check_local(path)
    try:
        # The mapping keeps uproot from taking what follows a colon in a path for an object name.
        with uproot.open({path: None}, object_cache=None, array_cache=None) as file:
            size, needed = int(file.file.source.num_bytes), int(file.file.fEND)
            if size < needed:
                raise UnreadableFile(f"cannot read {path}: it is truncated, {size} of {needed} bytes")
            ttree = _tree(file, path, tree)
            _check_branches(ttree, path, tree, branches)
            yield file, ttree
    except ReadError:
        raise
    except OSError as error:
        raise OSError(f"cannot read {path}: {_first_line(error)}") from error
    except Exception as error:
        # uproot meets damaged files with whatever fails first: struct, index, key, zlib errors and its own.
        raise UnreadableFile(f"cannot read {path}: {type(error).__name__}: {_first_line(error)}") from error


def _check_local(path: str) -> None:
    if "://" in path:
        return
    local = Path(path)
    if local.is_dir():
        raise UnreadableFile(f"cannot read {path}: it is a directory, not a ROOT file")
    if not local.exists():
        raise FileNotFoundError(f"cannot read {path}: there is no such file")
    if not local.is_file():
        raise UnreadableFile(f"cannot read {path}: it is not a regular file")
    if local.stat().st_size == 0:
        raise UnreadableFile(f"cannot read {path}: it is empty (zero bytes)")
    with local.open("rb") as handle:
        if handle.read(4) != b"root":
            raise UnreadableFile(f"cannot read {path}: it is not a ROOT file")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _tree(file: Any, path: str, tree: str) -> Any:
    classes = file.classnames(cycle=False)
    trees = sorted(name for name, kind in classes.items() if kind in ("TTree", "TNtuple"))
    if tree in trees:
        return file[tree]
    other = f" (there is a {classes[tree]} of that name)" if tree in classes else ""
    found = f"its trees are: {', '.join(trees)}" if trees else "it has no tree"
    raise MissingTree(f"{path} has no tree {tree!r}{other}; {found}")


def _check_branches(ttree: Any, path: str, tree: str, branches: Sequence[str]) -> None:
    names = ttree.keys(recursive=True)
    present = set(names)
    for branch in branches:
        if branch not in present:
            near = difflib.get_close_matches(branch, names, n=1, cutoff=0.0)
            hint = f"; the nearest name it has is {near[0]!r}" if near else "; it has no branch"
            raise MissingBranch(f"{path}: the tree {tree!r} has no branch {branch!r}{hint}")


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


def _arrays(ttree: Any, branches: Sequence[str], start: int, stop: int) -> dict[str, Any]:
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
