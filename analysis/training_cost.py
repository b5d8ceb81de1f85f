"""What a training costs, from shortened ones that were tried: a straight line in what it does and in its events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_NAMES = ("units", "events", "seconds")


@dataclass(frozen=True)
class Point:
    """A training that was tried: with `units` of its work (epochs, ...) and so many events it took so long."""

    units: int
    events: int
    seconds: float


@dataclass(frozen=True)
class Cost:
    """Seconds of a training: `fixed + event N + units (unit + unit_event N)`; none of the parts is below zero."""

    fixed: float
    event: float
    unit: float
    unit_event: float

    def seconds(self, units: int, events: float) -> float:
        """With so many units of work and events."""
        return self.fixed + self.event * events + units * (self.unit + self.unit_event * events)


def fit(points: Sequence[Point]) -> Cost:
    """The cost that is nearest to the points, by their relative distances.

    Only what varies among the points has a part of its own: with equal events a unit costs the same for any number of
    them, with equal units all is one piece.
    """
    import numpy as np
    from scipy.optimize import nnls

    units, events, seconds = (np.array([getattr(one, name) for one in points], float) for name in _NAMES)
    several_units, several_events = len(set(units)) > 1, len(set(events)) > 1
    columns = {"fixed": np.ones_like(units)}
    if several_units:
        columns["unit"] = units
    if several_events:
        columns["unit_event" if several_units else "event"] = units * events if several_units else events
    matrix = np.stack(list(columns.values()), axis=1) / seconds[:, None]
    scale = matrix.max(axis=0)
    found = nnls(matrix / scale, np.ones(len(points)))[0] / scale
    parts = dict.fromkeys(("fixed", "event", "unit", "unit_event"), 0.0) | dict(
        zip(columns, found.tolist(), strict=True)
    )
    return Cost(**parts)
