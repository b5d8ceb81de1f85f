"""Data events that two trigger streams recorded: such an event counts once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.results.tables import EventTable


@dataclass(frozen=True)
class Overlap:
    """Per stream the rows to keep, and how many rows of all streams were dropped."""

    keep: Mapping[str, NDArray[np.bool_]]
    duplicates: int


def cross_stream_overlap(streams: Mapping[str, EventTable]) -> Overlap:
    """Find events of equal `run` and `event` number in different streams of data.

    The first stream in the order given keeps the event. Equal numbers within one stream are left alone: whether a
    stream holds an event twice is a question of its files, not of the triggers. Not meant for simulated samples: their
    run number is that of the sample, so that equal numbers do not mean the same event.
    """
    keep: dict[str, NDArray[np.bool_]] = {}
    seen = np.empty(0, dtype=_EVENT)
    for name, events in streams.items():
        identity = np.empty(len(events), dtype=_EVENT)
        identity["run"] = events["run"]
        identity["event"] = events["event"]
        keep[name] = ~np.isin(identity, seen)
        seen = np.concatenate([seen, identity])
    return Overlap(keep, sum(int(np.count_nonzero(~rows)) for rows in keep.values()))


_EVENT = np.dtype([("run", np.int64), ("event", np.int64)])
