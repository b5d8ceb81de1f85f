"""Trying work items for `hepbatch plan`: some of each sample first, and more of them where those are not enough."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from analysis.engine.attempts import Kind
from analysis.engine.items import InputFile, OpenedFile, WorkItem, split
from analysis.forecast import Probe
from analysis.planning import make_plan
from analysis.run import Run
from analysis.skim_job import Processed, SkimJob, process_item

#: Files of a sample that are opened at first, and at a time where more are needed; others count as these on average.
OPENED = 20
#: Items of a sample that are tried, and the least number for each worker.
TRIED, PER_WORKER = 3, 3
#: The first item of a worker is so much smaller: it is there for what loading the libraries takes.
SMALL = 10


@dataclass
class ItemTrials:
    """The work items that were tried, what they gave (but for the small first ones), and those that wait, in order.

    `unopened` are files whose items are not known yet.
    """

    run: Run
    job: SkimJob
    waiting: list[WorkItem]
    unopened: list[InputFile] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    skims: dict[str, list[Processed]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    opened_later: int = 0
    _workers: set[str] = field(default_factory=set)

    def begin(self, number: int, workers: int) -> None:
        """Tries the first items, after a small one for each worker."""
        items, self.waiting = self.waiting[:number], self.waiting[number:]
        self._try([_first_part(item) for item in (items * workers)[:workers]], "loading libraries", keep=False)
        self._try(items, "trying work items", keep=True)

    def more(self) -> bool:
        """Tries as many as were tried until now, or all that are left, also of files that were not opened before.

        False where none was left.
        """
        if not self.waiting and self.unopened:
            files, self.unopened = self.unopened[:OPENED], self.unopened[OPENED:]
            plan = make_plan(self.run, files, self.job.trees)
            self.opened_later += len(plan.files)
            self.failures += [f"failed: plan: {one.sample}: {one.file}: {one.error}" for one in plan.failures]
            self.waiting, _ = in_turn(plan.files, self.run.configuration.chunk_size, 1)
        number = max(1, sum(map(len, self.skims.values())))
        items, self.waiting = self.waiting[:number], self.waiting[number:]
        self._try(items, "trying more work items", keep=True)
        return bool(items)

    def _try(self, items: Sequence[WorkItem], what: str, *, keep: bool) -> None:
        clock = time.monotonic()
        for outcome in self.run.map(
            "cpu", partial(process_item, self.job), items, len(items), what,
            kind=Kind(addresses=WorkItem.addresses, batches=False), longest=self.run.configuration.retries.longest_item,
        ):  # fmt: skip
            item: WorkItem = outcome.item
            if outcome.error is not None:
                self.failures.append(f"failed: plan: {item.sample}: {item.path}: {outcome.error}")
                continue
            value: Processed = outcome.value
            if keep:
                self.skims.setdefault(item.sample, []).append(value)
            worker = str(outcome.worker)
            first = worker not in self._workers
            self._workers.add(worker)
            self.probes.append(
                Probe(item.sample, item.entries, outcome.seconds, value.bytes_read, outcome.peak_memory, worker, first)
            )
        self.seconds += time.monotonic() - clock


def in_turn(files: Iterable[OpenedFile], chunk: int, workers: int) -> tuple[list[WorkItem], int]:
    """All items, one of each sample in turn and each sample's evenly spread; and how many of them to try first."""
    of_sample: dict[str, list[WorkItem]] = {}
    for file in files:
        of_sample.setdefault(file.sample, []).extend(item for item in split(file, chunk) if item.entries)
    number = max(TRIED, -(-workers * PER_WORKER // max(1, len(of_sample))))
    spread = [[items[place] for place in _spread(len(items))] for items in of_sample.values()]
    longest = max(map(len, spread), default=0)
    ordered = [items[row] for row in range(longest) for items in spread if row < len(items)]
    return ordered, sum(min(number, len(items)) for items in spread)


def _spread(number: int) -> Iterator[int]:
    """All places below `number` so that the first ones are evenly spread however many are taken: 0, 1/2, 1/4, 3/4, ...

    >>> list(_spread(6))
    [0, 4, 2, 1, 5, 3]
    """
    bits = max(1, (number - 1).bit_length())
    for place in range(2**bits):
        turned = int(f"{place:0{bits}b}"[::-1], 2)
        if turned < number:
            yield turned


def _first_part(item: WorkItem) -> WorkItem:
    if not item.divisible:
        return item
    return replace(item, stop=item.start + max(1, item.entries // SMALL))
