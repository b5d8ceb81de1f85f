"""Planning: which files a run reads, and the work items they make. A file that has not changed is not opened again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from analysis.engine.identity import stamp
from analysis.engine.items import Failure, InputFile, OpenedFile, WorkItem, split, without_copies
from analysis.run import Run


@dataclass(frozen=True)
class Plan:
    """The files that could be opened, their work items, what could not be opened, and copies that are left out."""

    files: tuple[OpenedFile, ...]
    items: tuple[WorkItem, ...]
    failures: tuple[Failure, ...]
    copies: tuple[Failure, ...]
    remembered: int


@dataclass(frozen=True)
class Known:
    """A file, and what an earlier plan found in it: its stamp then, and uuid, entries and size."""

    file: InputFile
    facts: tuple[str, str, int, int] | None


@dataclass(frozen=True)
class Opened:
    """What opening gave: the stamp to remember, the file, and whether it was opened this time."""

    stamp: str
    file: OpenedFile
    read: bool


def make_plan(run: Run, files: list[InputFile]) -> Plan:
    """Opens every file that is new or has changed, on the cpu pool, and splits all entries into work items."""
    opened: list[OpenedFile] = []
    failures: list[Failure] = []
    remembered = 0
    known = [Known(file, run.ledger.file(file.path)) for file in files]
    look = partial(look_at, run.catalogue.format, run.catalogue.tree)
    for outcome in run.map("cpu", look, known, len(known), "opening files"):
        file = outcome.item.file
        if outcome.error is not None:
            failures.append(Failure("plan", file.sample, file.path, None, None, outcome.error))
            continue
        found: Opened = outcome.value
        opened.append(found.file)
        remembered += not found.read
        if found.read:
            one = found.file
            run.ledger.remember_file(one.path, found.stamp, one.uuid, one.entries, one.size)
    run.ledger.commit()
    order = {(file.sample, file.path): number for number, file in enumerate(files)}
    opened.sort(key=lambda file: order[file.sample, file.path])
    originals, copies = without_copies(opened)
    items = [item for file in originals for item in split(file, run.configuration.chunk_size)]
    return Plan(tuple(originals), tuple(items), tuple(failures), tuple(copies), remembered)


def look_at(format: str, tree: str, known: Known, attempt: int) -> Opened:  # noqa: ARG001  (a plan has no replicas to turn to)
    """On a worker: identity and entries of a file, from memory where its stamp is unchanged."""
    file, mark = known.file, stamp(known.file.path)
    if known.facts is not None and known.facts[0] == mark:
        return Opened(mark, OpenedFile(file.sample, file.path, *known.facts[1:]), read=False)
    from processors.formats import reader_of

    facts = reader_of(format).facts(file.path, tree, ())
    return Opened(mark, OpenedFile(file.sample, file.path, facts.uuid, facts.entries, facts.size), read=True)
