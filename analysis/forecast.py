"""What a whole run takes, from a few work items that were tried: time, bytes, memory; and sizes that suit it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

#: A work item should last so long at most [s]: what a lost worker, a stop or a full queue costs.
LONGEST = 60.0
#: Fewer items than this per worker leave workers without work at the end.
FEWEST_PER_WORKER = 4
#: A shorter item is mostly overhead [s].
SHORTEST = 1.0
#: What a worker is given beyond what was seen, since events differ and memory is not given back at once.
RESERVE = 1.5
#: Pools are proposed for stages of these lengths [s].
TARGETS = (600.0, 3600.0)
GIB = 2**30


@dataclass(frozen=True)
class Probe:
    """A work item that was tried, `first` if it was its worker's first: that one loads libraries, too.

    `memory` is the peak of the worker's process until then [bytes].
    """

    sample: str
    entries: int
    seconds: float
    bytes_read: int
    memory: int
    worker: str
    first: bool


@dataclass(frozen=True)
class Load:
    """All there is of a sample: files, their entries and bytes, and how many entries each work item has."""

    files: int
    entries: int
    bytes: int
    items: tuple[int, ...]


@dataclass(frozen=True)
class Forecast:
    """A prediction for one stage of processing: seconds of work and of waiting, bytes, memory per worker [bytes]."""

    items: int
    entries: int
    work: float
    wall: float
    bytes_read: float
    memory: float


@dataclass(frozen=True)
class Rates:
    """What an entry costs, by sample; and what the first item of a worker costs beside it [s]."""

    seconds: Mapping[str, float]
    bytes: Mapping[str, float]
    start: float
    memory: int
    memory_per_entry: float

    def item(self, sample: str, entries: int) -> float:
        """Seconds that an item of so many entries takes."""
        return self.seconds[sample] * entries

    def peak(self, entries: int) -> float:
        """Memory of a worker with items of so many entries [bytes]."""
        return self.memory + self.memory_per_entry * entries


def rates(probes: Sequence[Probe], samples: Iterable[str]) -> Rates:
    """The rates of every sample; one that was not tried costs what the others cost on average.

    The first items of workers are best small ones: what they leave in memory is the libraries'. What an entry takes in
    memory is told by the largest items.
    """
    steady = [probe for probe in probes if not probe.first]
    start = 0.0
    seconds, volume = {}, {}
    for sample in {*samples, *(probe.sample for probe in probes)}:
        own = [probe for probe in steady if probe.sample == sample] or steady or list(probes)
        seconds[sample] = _ratio(sum(one.seconds for one in own), own)
        volume[sample] = _ratio(sum(one.bytes_read for one in own), own)
    first = [probe for probe in probes if probe.first]
    if steady and first:
        start = sum(max(0.0, one.seconds - seconds[one.sample] * one.entries) for one in first) / len(first)
    base = min((probe.memory for probe in first), default=0)
    # A peak is that of the process until then: what a small item has beside the libraries is not its own.
    large = max((one.entries for one in steady), default=0) / 2
    own = [one for one in steady if one.entries >= large]
    growth = max((max(0, one.memory - base) / max(1, one.entries) for one in own), default=0.0)
    return Rates(seconds, volume, start, base, growth)


def forecast(loads: Mapping[str, Load], rates: Rates, workers: int) -> Forecast:
    """What the loads take on so many workers, each of which takes the next item when it is free."""
    items = [(sample, entries) for sample, load in loads.items() for entries in load.items]
    seconds = [rates.item(sample, entries) for sample, entries in items]
    return Forecast(
        len(items),
        sum(load.entries for load in loads.values()),
        sum(seconds),
        makespan(seconds, workers, rates.start),
        sum(rates.bytes[sample] * load.entries for sample, load in loads.items()),
        rates.peak(max((entries for _, entries in items), default=0)),
    )


def makespan(seconds: Iterable[float], workers: int, start: float = 0.0) -> float:
    """When the last item ends, if each of the workers begins after `start` and takes the next item when it is free.

    >>> makespan([3.0, 1.0, 1.0, 1.0], 2)
    3.0
    """
    free = [start] * workers
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def chunk_size(loads: Mapping[str, Load], rates: Rates, workers: int) -> int:
    """Entries per work item: enough items for every worker, none that is long, none that is mostly overhead."""
    entries = sum(load.entries for load in loads.values())
    work = sum(rates.seconds[sample] * load.entries for sample, load in loads.items())
    if not entries or not work:
        return 1
    per_entry = work / entries
    wanted = min(LONGEST, max(SHORTEST, work / (workers * FEWEST_PER_WORKER))) / per_entry
    digits = int(10 ** max(0, math.floor(math.log10(max(1.0, wanted))) - 1))  # two digits: a number to type
    return max(1, round(wanted / digits) * digits)


def workers_for(work: float, target: float, most: int | None = None) -> int:
    """Workers that do so many seconds of work in `target` seconds; no more than the `most` parts that it has."""
    enough = max(1, math.ceil(work / target))
    return enough if most is None else min(enough, most)


def worker_memory(rates: Rates, entries: int) -> float:
    """What to give a worker whose items have so many entries, in halves of a GiB [bytes]."""
    return max(1.0, math.ceil(2 * RESERVE * rates.peak(entries) / GIB) / 2) * GIB


def _ratio(total: float, probes: Sequence[Probe]) -> float:
    return total / max(1, sum(probe.entries for probe in probes))
