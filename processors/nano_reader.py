"""Reading entry ranges of CMS NanoAOD: the branches needed, through `RootReader`'s ways, as coffea's NanoEvents."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import awkward as ak
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory
from coffea.nanoevents.mapping import SimplePreloadedColumnSource

from processors.chunks import Chunk, FileFacts, Request
from processors.nanoaod import resolve
from processors.readers import facts_of, open_tree, read_arrays, sum_branch


class NeededBranches(NanoAODSchema):  # type: ignore[misc]
    """`NanoAODSchema` on some of the branches: references to collections that were not read are left out silently."""

    warn_missing_crossrefs = False


@dataclass(frozen=True)
class NanoChunk(Chunk):
    """A chunk of NanoAOD; its processor gets NanoEvents."""

    @cached_property
    def events(self) -> Any:
        """The columns as NanoEvents, with the metadata."""
        arrays = {
            name: array if isinstance(array, ak.Array) else ak.Array(array) for name, array in self.arrays.items()
        }
        uuid = str(self.metadata["fileuuid"])
        source = SimplePreloadedColumnSource(arrays, uuid, len(self), str(self.metadata["treename"]))
        with warnings.catch_warnings():
            # Files of all versions have branches beyond what the schema knows.
            warnings.simplefilter("ignore", RuntimeWarning)
            return NanoEventsFactory.from_preloaded(
                source, schemaclass=NeededBranches, metadata=dict(self.metadata)
            ).events()


def _branches(columns: Sequence[str], ttree: Any, path: str, tree: str) -> tuple[str, ...]:
    return resolve(columns, set(ttree.keys(recursive=False)), f"{path}: the tree {tree!r}")


class NanoReader:
    """NanoAOD files; columns are branches, or names of a quantity in several versions (`processors.nanoaod`).

    The counters of the collections must be among the columns.
    """

    def facts(self, path: str, tree: str, columns: Sequence[str]) -> FileFacts:
        """Identity, entries and size; raises as `root_file_facts`, MissingBranch as `read`."""
        with open_tree(path, tree, ()) as (ranges, file, ttree):
            _branches(columns, ttree, path, tree)
            return facts_of(path, ranges, file, ttree)

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
        """An entry range; raises as `read_root`, MissingBranch where none of a quantity's names is there."""
        with open_tree(path, tree, ()) as (ranges, file, ttree):
            request = Request(path, tree, start, stop, uuid)
            request.check(str(file.file.uuid), ttree.num_entries)
            branches = _branches(columns, ttree, path, tree)
            chunk = request.chunk(read_arrays(ttree, branches, start, stop), metadata, str(file.file.uuid), ranges)
            return NanoChunk(chunk.arrays, chunk.metadata, chunk.bytes_read, chunk.retries)

    def total(self, path: str, tree: str, column: str, start: int, stop: int) -> float:
        """The sum of a branch; see `sum_branch`."""
        return sum_branch(path, tree, column, start, stop)
