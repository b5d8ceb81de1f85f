"""Branches of CMS NanoAOD by what they mean: names that differ between versions, and where coffea's events hold them.

A column is written as the names that a quantity has had, the preferred one first: `MET_covXX|PFMET_covXX`. One of them
must be there; `Jet_jetId?` may be absent.
"""

import difflib
from collections.abc import Collection, Sequence
from typing import Any

from processors.errors import MissingBranch

#: Between the names of one quantity.
OR = "|"
#: Ends a column that a file may lack.
OPTIONAL = "?"


def names_of(column: str) -> tuple[str, ...]:
    """The branches that a column may be, in order of preference."""
    return tuple(column.removesuffix(OPTIONAL).split(OR))


def chosen(column: str, present: Collection[str]) -> str | None:
    """The branch that a column is among those present, or None."""
    return next((name for name in names_of(column) if name in present), None)


def resolve(columns: Sequence[str], present: Collection[str], where: str) -> tuple[str, ...]:
    """The branches to read for the columns; `where` (file and tree) begins the error.

    Raises MissingBranch where a column that is needed has none of its names.
    """
    found: dict[str, None] = {}
    for column in columns:
        name = chosen(column, present)
        if name is not None:
            found[name] = None
        elif not column.endswith(OPTIONAL):
            raise MissingBranch(_sentence(column, present, where))
    return tuple(found)


def split(branch: str, fields: Collection[str]) -> tuple[str, ...]:
    """Where the events of `NanoAODSchema` hold a branch: `Tau_pt` is the field pt of Tau, `run` is run."""
    collection, underscore, name = branch.partition("_")
    return (collection, name) if underscore and collection in fields else (branch,)


def column(events: Any, column: str) -> Any:
    """A column of coffea's NanoEvents; None where it is optional and absent. Raises MissingBranch as `resolve`."""
    for name in names_of(column):
        found = _field(events, name)
        if found is not None:
            return found
    if column.endswith(OPTIONAL):
        return None
    where = f"{events.metadata['filename']}: the tree {events.metadata['treename']!r}"
    raise MissingBranch(_sentence(column, branches_of(events), where))


def require(events: Any, columns: Sequence[str]) -> None:
    """Raises MissingBranch unless NanoEvents have the columns; counters of collections are no fields of theirs."""
    for one in columns:
        if not (one.startswith("n") and one[1:] in events.fields):
            column(events, one)


def found_as(events: Any, column: str) -> str | None:
    """The branch that a column is in these events, or None."""
    return next((name for name in names_of(column) if _field(events, name) is not None), None)


def branches_of(events: Any) -> list[str]:
    """The branches of coffea's NanoEvents, as the file names them."""
    return [
        name
        for collection in events.fields
        for name in ([f"{collection}_{field}" for field in events[collection].fields] or [collection])
    ]


def _field(events: Any, branch: str) -> Any:
    path = split(branch, events.fields)
    if path[0] not in events.fields:
        return None
    first = events[path[0]]
    if len(path) == 1:
        return None if first.fields else first
    return first[path[1]] if path[1] in first.fields else None


def _sentence(column: str, present: Collection[str], where: str) -> str:
    first, *others = names_of(column)
    near = difflib.get_close_matches(first, present, n=1, cutoff=0.0)
    hint = f"; the nearest name it has is {near[0]!r}" if near else "; it has no branch"
    also = f" (nor {', '.join(others)})" if others else ""
    return f"{where} has no branch {first!r}{also}{hint}"
