"""Ranges of jets: whichever way a file is divided, each event is in one piece."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mod_files import jet_tables, write_jets

from processors import event_ranges
from processors.dijet_anomaly import EVENT
from processors.event_ranges import event_range, events_adjoin
from processors.formats import reader_of

READER = reader_of("mod_hdf5")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    tables = jet_tables(1, 60)
    # One event is longer than what is read at a time.
    long = event_ranges.STEP * 2 + 7
    tables = {name: np.concatenate([column, np.repeat(column[-1:], long)]) for name, column in tables.items()}
    path = write_jets(tmp_path_factory.mktemp("ranges") / "sim.h5", tables)
    return str(path), np.stack([tables[name] for name in EVENT], axis=1)


@settings(max_examples=12)
@given(cuts=st.lists(st.integers(0, 320), max_size=6))
def test_pieces_cover_every_jet_once_and_no_event_twice(file: tuple[str, Any], cuts: list[int]) -> None:
    path, identities = file
    entries = len(identities)
    ends = [0, *sorted(min(cut, entries) for cut in cuts), entries]
    pieces = [event_range(READER, path, "", EVENT, start, stop, entries) for start, stop in itertools.pairwise(ends)]
    covered = [jet for start, stop in pieces for jet in range(start, stop)]
    assert covered == list(range(entries))
    owners: dict[tuple[int, ...], set[int]] = {}
    for number, (start, stop) in enumerate(pieces):
        for identity in identities[start:stop].tolist():
            owners.setdefault(tuple(identity), set()).add(number)
    assert all(len(owner) == 1 for owner in owners.values())


def test_events_that_lie_apart_are_seen_also_across_blocks(
    file: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_ranges, "BLOCK", 10)
    path, identities = file
    assert events_adjoin(READER, path, "", EVENT, len(identities))
    tables = jet_tables(2, 60, largest=1)
    tables = {name: np.concatenate([column, column[3:4]]) for name, column in tables.items()}
    apart = write_jets(tmp_path / "sim.h5", tables)
    assert not events_adjoin(READER, str(apart), "", EVENT, 61)
    assert events_adjoin(READER, str(apart), "", EVENT, 60)
