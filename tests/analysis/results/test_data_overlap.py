"""Events of two data streams count once."""

import numpy as np
from numpy.typing import NDArray

from analysis.results.data_overlap import cross_stream_overlap
from analysis.results.tables import EventTable


def stream(*events: tuple[int, int]) -> EventTable:
    run, event = np.array(events, np.int64).reshape(-1, 2).T
    return EventTable({"run": run.astype(np.int32), "event": event})


def kept(stream: EventTable, keep: NDArray[np.bool_]) -> list[int]:
    events: list[int] = stream.where(keep)["event"].tolist()
    return events


def test_the_first_stream_keeps_the_event() -> None:
    streams = {"DataEgamma": stream((1, 10), (1, 11), (2, 10)), "DataMuons": stream((2, 11), (1, 11), (2, 10), (3, 11))}
    overlap = cross_stream_overlap(streams)
    assert overlap.duplicates == 2
    assert kept(streams["DataEgamma"], overlap.keep["DataEgamma"]) == [10, 11, 10]
    assert kept(streams["DataMuons"], overlap.keep["DataMuons"]) == [11, 11]


def test_equal_event_numbers_of_other_runs_are_other_events() -> None:
    overlap = cross_stream_overlap({"a": stream((1, 10)), "b": stream((2, 10))})
    assert overlap.duplicates == 0


def test_equal_numbers_within_a_stream_stay() -> None:
    overlap = cross_stream_overlap({"a": stream((1, 10), (1, 10)), "b": stream((1, 12), (1, 12))})
    assert overlap.duplicates == 0


def test_three_streams_and_an_empty_one() -> None:
    streams = {"a": stream((1, 1)), "none": stream(), "b": stream((1, 1), (1, 2)), "c": stream((1, 2), (1, 3))}
    overlap = cross_stream_overlap(streams)
    assert overlap.duplicates == 2
    assert [int(keep.sum()) for keep in overlap.keep.values()] == [1, 0, 1, 1]


def test_large_event_numbers_are_not_confused() -> None:
    overlap = cross_stream_overlap({"a": stream((1, 2**53)), "b": stream((1, 2**53 + 1))})
    assert overlap.duplicates == 0


def test_no_stream() -> None:
    assert cross_stream_overlap({}).duplicates == 0
