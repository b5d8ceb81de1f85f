"""Planning: which files a run reads, and how many entries they have. A file is opened again only if it has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from analysis.addresses import opened_as
from analysis.engine.attempts import Kind
from analysis.engine.identity import stamp
from analysis.engine.items import Failure, InputFile, OpenedFile, without_copies
from analysis.engine.ledger import RememberedFile
from analysis.run import Run


@dataclass(frozen=True)
class Plan:
    """The files that could be opened, what could not be opened, and copies that are left out."""

    files: tuple[OpenedFile, ...]
    failures: tuple[Failure, ...]
    copies: tuple[Failure, ...]
    remembered: int
    bytes_read: int


@dataclass(frozen=True)
class Known:
    """A file, and what an earlier plan found in it."""

    file: InputFile
    facts: RememberedFile | None
    tree: str


@dataclass(frozen=True)
class Opened:
    """What opening gave: the stamp to remember, the file, whether it was opened this time and what was read for it."""

    found: RememberedFile
    read: bool
    bytes_read: int = 0


def make_plan(run: Run, files: list[InputFile], trees: Mapping[str, str] = MappingProxyType({})) -> Plan:
    """Opens every file that is new or has changed, on the cpu pool, and splits all entries into work items.

    `trees` are the names of the samples' trees, where they are not that of the catalogue.
    """
    opened: list[OpenedFile] = []
    failures: list[Failure] = []
    remembered = bytes_read = 0
    catalogue = run.catalogue
    known = [Known(file, run.ledger.file(file.path), trees.get(file.sample, catalogue.tree)) for file in files]
    look = partial(look_at, catalogue.format, catalogue.event, run.cluster_settings.xrootd_prefix)
    longest = run.configuration.retries.longest_item
    kind = Kind(addresses=_addresses)
    for outcome in run.map("cpu", look, known, len(known), "opening files", kind=kind, longest=longest):
        one: Known = outcome.item
        file = one.file
        if outcome.error is not None and one.facts is not None and outcome.attempts > _addresses(one):
            # The storage does not answer now: no reason to forget what was done. What is not done tries for itself.
            opened.append(_opened(file, one.facts))
            remembered += 1
            continue
        if outcome.error is not None:
            failures.append(
                Failure(
                    "plan", file.sample, file.path, None, None, outcome.error,
                    outcome.attempts, outcome.worker, outcome.host,
                )
            )  # fmt: skip
            continue
        value: Opened = outcome.value
        opened.append(_opened(file, value.found))
        remembered += not value.read
        bytes_read += value.bytes_read
        if value.read:
            run.ledger.remember_file(file.path, value.found)
    run.ledger.commit()
    order = {(file.sample, file.path): number for number, file in enumerate(files)}
    opened.sort(key=lambda file: order[file.sample, file.path])
    originals, copies = without_copies(opened)
    return Plan(tuple(originals), tuple(failures), tuple(copies), remembered, bytes_read)


def look_at(format: str, event: tuple[str, ...], prefix: str | None, known: Known, attempt: int) -> Opened:
    """On a worker: identity and entries of a file, from memory where its stamp is unchanged.

    Where entries are parts of events, which the columns `event` identify, the whole file is looked through for events
    whose entries lie apart.
    """
    file, tree = known.file, known.tree
    address = (file.path, *file.replicas)[attempt % _addresses(known)]
    opened = opened_as(address, prefix)
    mark = " ".join([address, stamp(opened), format, tree, *event])
    if known.facts is not None and known.facts.stamp == mark:
        return Opened(known.facts, read=False)
    from processors.formats import reader_of

    reader = reader_of(format)
    facts = reader.facts(opened, tree, event)
    divisible = True
    if event:
        from processors.event_ranges import events_adjoin

        divisible = events_adjoin(reader, opened, tree, event, facts.entries)
    return Opened(
        RememberedFile(mark, facts.uuid, facts.entries, facts.size, divisible), read=True, bytes_read=facts.bytes_read
    )


def _opened(file: InputFile, found: RememberedFile) -> OpenedFile:
    return OpenedFile(
        file.sample, file.path, found.uuid, found.entries, found.size, file.replicas, divisible=found.divisible
    )


def _addresses(known: Known) -> int:
    return 1 + len(known.file.replicas)
