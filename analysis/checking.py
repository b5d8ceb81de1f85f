"""Whether every file of a source is there, can be read and has what the analysis reads: each is opened on a worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from analysis.addresses import opened_as
from analysis.engine.attempts import Outcome
from analysis.errors import UserError
from analysis.skim_job import columns_of

if TYPE_CHECKING:
    from analysis.configuration import Configuration
    from analysis.datasets.catalogue import Catalogue
    from analysis.datasets.samples import Sample
    from analysis.run import Run
    from processors.chunks import FileFacts

#: What can be wrong with a file, in the order of the table.
PROBLEMS = ("missing", "unreadable", "other schema", "other content")
SCHEMA_ERRORS = ("MissingTree", "MissingBranch")
MISSING_ERRORS = ("FileNotFoundError",)


@dataclass(frozen=True)
class Place:
    """One address of a file: `file` is the first one, `size` [bytes] and `events` what was published."""

    sample: str
    address: str
    file: str
    size: int | None = None
    events: int | None = None


@dataclass(frozen=True)
class Schema:
    """What the analysis reads of the files of a sample: the name of the tree, and its columns."""

    tree: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """What was found at one address of a file."""

    sample: str
    address: str
    file: str
    size: int | None = None
    entries: int | None = None
    uuid: str | None = None
    bytes_read: int = 0
    problem: str | None = None
    error: str | None = None


@dataclass
class Totals:
    """What was found of one sample; events and bytes are of its files, each counted once."""

    files: int = 0
    places: int = 0
    events: int = 0
    bytes: int = 0
    problems: Counter[str] = field(default_factory=Counter)


def open_all(run: Run, places: Sequence[Place], expected: Mapping[str, Schema]) -> list[Found]:
    """Opens every address on the cpu pool and compares what it finds with what was published, in the given order.

    `expected` is what the files of each sample must have.
    """
    look = partial(look_at, run.catalogue.format, run.cluster_settings.xrootd_prefix, dict(expected))
    longest = run.configuration.retries.longest_item
    found = [judge(outcome) for outcome in run.map("cpu", look, places, len(places), "opening files", longest=longest)]
    order = {place.address: number for number, place in enumerate(places)}
    return sorted(compare(found), key=lambda one: order[one.address])


def look_at(
    format: str,
    prefix: str | None,
    expected: dict[str, Schema],
    place: Place,
    attempt: int,  # noqa: ARG001
) -> FileFacts:
    """On a worker: identity, entries and size of a file that must have the columns of its sample."""
    from processors.formats import reader_of

    schema = expected[place.sample]
    return reader_of(format).facts(opened_as(place.address, prefix), schema.tree, schema.columns)


def judge(outcome: Outcome) -> Found:
    """What was found at an address, and what is wrong with it."""
    place: Place = outcome.item
    what = (place.sample, place.address, place.file)
    if outcome.error is not None:
        kind = outcome.error.partition(":")[0]
        problem = "missing" if kind in MISSING_ERRORS else "other schema" if kind in SCHEMA_ERRORS else "unreadable"
        return Found(*what, problem=problem, error=outcome.error)
    facts: FileFacts = outcome.value
    differs = [
        f"{now} {unit} where {published} were published"
        for now, published, unit in ((facts.size, place.size, "bytes"), (facts.entries, place.events, "entries"))
        if published is not None and now != published
    ]
    return Found(
        *what, facts.size, facts.entries, facts.uuid, facts.bytes_read,
        problem="other content" if differs else None, error=f"it has {' and '.join(differs)}" if differs else None,
    )  # fmt: skip


def compare(found: Iterable[Found]) -> list[Found]:
    """The same, where an address that gives another file than the first readable one of the file has a problem."""
    found = list(found)
    first: dict[str, Found] = {}
    for one in sorted(found, key=lambda one: one.address != one.file):
        if one.uuid is not None:
            first.setdefault(one.file, one)
    return [_beside(one, first.get(one.file)) for one in found]


def _beside(one: Found, other: Found | None) -> Found:
    if one.problem is not None or other is None or (one.uuid, one.size) == (other.uuid, other.size):
        return one
    error = f"it is another file than {other.address}: uuid {one.uuid}, not {other.uuid}"
    return replace(one, problem="other content", error=error)


def totals(found: Iterable[Found]) -> dict[str, Totals]:
    """The sums for each sample, in the order in which they come."""
    sums: dict[str, Totals] = {}
    counted: set[tuple[str, str]] = set()
    files: set[tuple[str, str]] = set()
    for one in found:
        of_sample = sums.setdefault(one.sample, Totals())
        of_sample.places += 1
        key = (one.sample, one.file)
        of_sample.files += key not in files
        files.add(key)
        if one.problem is not None:
            of_sample.problems[one.problem] += 1
        elif key not in counted:
            counted.add(key)
            of_sample.events += one.entries or 0
            of_sample.bytes += one.size or 0
    return sums


def schemas(configuration: Configuration, catalogue: Catalogue, samples: Iterable[Sample]) -> dict[str, Schema]:
    """What the processor reads of the files of each sample. Raises UserError for a tree that it does not know."""
    module = configuration.module("processor")
    settings: Any = configuration.settings("processor")
    processor = module.build(settings, luminosity=configuration.luminosity, skim_directory=None)
    found = {}
    for sample in samples:
        tree = sample.tree or catalogue.tree
        metadata = {**sample.metadata(), "dataset": sample.name, "tree": tree}
        try:
            found[sample.name] = Schema(tree, columns_of(module, processor, metadata))
        except ValueError as error:
            raise UserError(f"the sample {sample.name}: {error}") from error
    return found
