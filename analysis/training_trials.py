"""How far a kind of trainings is tried, so that what all of it takes can be told."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from analysis.engine.attempts import Outcome
from analysis.training_cost import Cost, Point, fit

#: More is tried until a trial took so long [s], and so many times as long as the first: what does not grow with the
#: work, such as compiling, tells nothing of the rest. What cannot be cut short is tried longer: it varies more.
ENOUGH, ENOUGH_WHOLE, VISIBLE = 4.0, 8.0, 1.5
#: The first trial does this part of the work; each further one so many times more.
FIRST_UNITS, MORE_UNITS = 1 / 64, 4
#: Most events of a trial of what is cut short, and of the first trial of what is not; of fewer each has half at least.
MOST_EVENTS, FIRST_EVENTS = 200_000, 20_000
#: Where the run has so many times the events that were tried, what an event costs is tried, too: with half of them.
FEW = 1.2


@dataclass(frozen=True)
class Trial:
    """One task to try: what it does, and with which part of the events (1, 1/2, 1/4, ...)."""

    kind: str
    task: Any
    units: int
    share: float


class TooFewEventsError(Exception):
    """A kind of trainings could not be tried with the events that there are; in one sentence."""


@dataclass
class Trials:
    """What was tried of a kind of trainings, and found.

    `units` is what its largest task does, `scales` whether more events make it longer, and `most` the events beyond
    which a unit of its work does not grow; `rows` are the events that were tried, `expected` those of the whole run.
    """

    kind: str
    task: Any
    units: int
    scales: bool
    most: int | None
    rows: int
    expected: float
    points: list[Point] = field(default_factory=list)
    error: str | None = None
    failed: bool = False

    def __post_init__(self) -> None:
        self._steps = self._more_units() if self.units > 1 else self._more_events()

    def next(self) -> Trial | None:
        """What to try next; None where enough is known, or nothing will be."""
        try:
            units, share = next(self._steps)
        except StopIteration:
            return None
        return Trial(self.kind, self.task, units, share)

    def note(self, outcome: Outcome) -> None:
        """What came of a trial."""
        trial: Trial = outcome.item
        self.failed = outcome.error is not None
        if outcome.error is None:
            self.points.append(Point(trial.units, round(self.rows * trial.share), outcome.seconds))
        else:
            self.error = outcome.error

    def cost(self) -> Cost:
        """Raises TooFewEventsError where no trial succeeded, or what an event costs is needed and not known."""
        if not self.points:
            raise TooFewEventsError(f"{self.kind}: {self.error}")
        largest = max(one.events for one in self.points)
        if self.scales and self.expected > FEW * largest and len({one.events for one in self.points}) == 1:
            raise TooFewEventsError(f"{self.kind}: with a part of the events that were tried it fails: {self.error}")
        return fit(self.points, self.most)

    def _more_units(self) -> Generator[tuple[int, float], None, None]:
        first = max(1, round(self.units * FIRST_UNITS))
        share = self._share(MOST_EVENTS) if self.scales else 1.0
        yield first, share
        if self.failed and share < 1:  # too few for it
            share = 1.0
            yield first, share
        units = first
        while not self.failed and units < self.units and not self._slow(ENOUGH):
            units = min(self.units, MORE_UNITS * units)
            yield units, share
        if not self.failed and self.scales and self.expected > FEW * self.rows * share:
            yield units, share / 2
            if units > first and not self.failed:
                yield first, share / 2

    def _more_events(self) -> Generator[tuple[int, float], None, None]:
        share = min(0.5, self._share(FIRST_EVENTS)) if self.scales else 1.0
        yield 1, share
        while share < 1 and (len(self.points) < 2 or not self._slow(ENOUGH_WHOLE)):
            share *= 2
            yield 1, share

    def _share(self, most: int) -> float:
        """The largest of 1, 1/2, 1/4, ... with which a trial has no more than so many events."""
        share = 1.0
        while self.rows * share > most:
            share /= 2
        return share

    def _slow(self, enough: float) -> bool:
        longest = max((one.seconds for one in self.points), default=0.0)
        return longest >= enough and longest >= VISIBLE * self.points[0].seconds
