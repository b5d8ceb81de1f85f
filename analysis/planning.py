"""Planning: which files a run reads, and how many entries they have. A file is opened again only if it has changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

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


@dataclass(frozen=True)
class Known:
    """A file, and what an earlier plan found in it."""

    file: InputFile
    facts: RememberedFile | None


@dataclass(frozen=True)
class Opened:
    """What opening gave, and whether the file was opened this time."""

    found: RememberedFile
    read: bool


def make_plan(run: Run, files: list[InputFile]) -> Plan:
    """Opens every file that is new or has changed, on the cpu pool, and splits all entries into work items."""
    opened: list[OpenedFile] = []
    failures: list[Failure] = []
    remembered = 0
    known = [Known(file, run.ledger.file(file.path)) for file in files]
    look = partial(look_at, run.catalogue.format, run.catalogue.tree, run.catalogue.event)
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
        if value.read:
            run.ledger.remember_file(file.path, value.found)
    run.ledger.commit()
    order = {(file.sample, file.path): number for number, file in enumerate(files)}
    opened.sort(key=lambda file: order[file.sample, file.path])
    originals, copies = without_copies(opened)
    return Plan(tuple(originals), tuple(failures), tuple(copies), remembered)


def look_at(format: str, tree: str, event: tuple[str, ...], known: Known, attempt: int) -> Opened:
    """On a worker: identity and entries of a file, from memory where its stamp is unchanged.

    Where entries are parts of events, which the columns `event` identify, the whole file is looked through for events
    whose entries lie apart.
    """
    file = known.file
    address = (file.path, *file.replicas)[attempt % _addresses(known)]
    mark = " ".join([address, stamp(address), format, tree, *event])
    if known.facts is not None and known.facts.stamp == mark:
        return Opened(known.facts, read=False)
    from processors.formats import reader_of

    reader = reader_of(format)
    facts = reader.facts(address, tree, event)
    divisible = True
    if event:
        from processors.event_ranges import events_adjoin

        divisible = events_adjoin(reader, address, tree, event, facts.entries)
    return Opened(RememberedFile(mark, facts.uuid, facts.entries, facts.size, divisible), read=True)


def _opened(file: InputFile, found: RememberedFile) -> OpenedFile:
    return OpenedFile(
        file.sample, file.path, found.uuid, found.entries, found.size, file.replicas, divisible=found.divisible
    )


def _addresses(known: Known) -> int:
    return 1 + len(known.file.replicas)
