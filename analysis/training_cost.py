"""What a training costs, from shortened ones that were tried: a straight line in what it does and in its events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """A training that was tried: with `units` of its work (epochs, ...) and so many events it took so long."""

    units: int
    events: int
    seconds: float


@dataclass(frozen=True)
class Cost:
    """Seconds of a training with N events: `fixed + event N + units (unit + unit_event min(N, most))`.

    `most` is how many events a unit of work has at most; None: all. No part is below zero.
    """

    fixed: float
    event: float
    unit: float
    unit_event: float
    most: int | None = None

    def seconds(self, units: int, events: float) -> float:
        """With so many units of work and events."""
        own = events if self.most is None else min(events, self.most)
        return self.fixed + self.event * events + units * (self.unit + self.unit_event * own)


def fit(points: Sequence[Point], most: int | None = None) -> Cost:
    """The cost that is nearest to the points, by their relative distances.

    Only what varies among the points has a part of its own: with equal events the cost does not depend on them, with
    equal units they are one piece.
    """
    import numpy as np
    from scipy.optimize import nnls

    units = np.array([one.units for one in points], float)
    events = np.array([one.events for one in points], float)
    seconds = np.array([one.seconds for one in points], float)
    columns = {"fixed": np.ones_like(units)}
    if len(set(units)) > 1:
        columns["unit"] = units
    if len(set(events)) > 1:
        columns["event"] = events
        if "unit" in columns:
            columns["unit_event"] = units * (events if most is None else np.minimum(events, most))
    matrix = np.stack(list(columns.values()), axis=1) / seconds[:, None]
    scale = matrix.max(axis=0)
    found = nnls(matrix / scale, np.ones(len(points)))[0] / scale
    parts = dict.fromkeys(("fixed", "event", "unit", "unit_event"), 0.0) | dict(
        zip(columns, found.tolist(), strict=True)
    )
    return Cost(**parts, most=most)
