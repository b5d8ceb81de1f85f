"""Work items and their halves cover every entry of a file exactly once; attempts go round the addresses."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.engine.items import OpenedFile, WorkItem, split, without_copies


@given(entries=st.integers(1, 10**9), pieces=st.integers(1, 1000))
def test_items_cover_the_file_exactly_once(entries: int, pieces: int) -> None:
    chunk_size = max(1, entries // pieces)
    items = list(split(OpenedFile("ZZ", "f.root", "u", entries, 1), chunk_size))
    assert items[0].start == 0
    assert items[-1].stop == entries
    assert all(one.stop == following.start for one, following in itertools.pairwise(items))
    assert all(0 < item.entries <= chunk_size for item in items)
    assert len({item.key for item in items}) == len(items)


@pytest.mark.parametrize("chunk_size", [1, 100])
def test_a_file_without_entries_is_one_empty_item(chunk_size: int) -> None:
    (item,) = split(OpenedFile("ZZ", "f.root", "u", 0, 1), chunk_size)
    assert (item.start, item.stop) == (0, 0)


@given(start=st.integers(0, 10**9), entries=st.integers(0, 10**6), floor=st.integers(1, 10**5))
def test_halves_down_to_the_floor_cover_the_item_exactly_once(start: int, entries: int, floor: int) -> None:
    item = WorkItem("ZZ", "f.root", "u", start, start + entries, replicas=("g.root",))
    waiting, whole = [item], []
    while waiting:
        one = waiting.pop()
        parts = one.halves(floor)
        if parts is None:
            whole.append(one)
        else:
            waiting += reversed(parts)
        if len(whole) > 100:  # enough seen of a large item
            return
    assert (whole[0].start, whole[-1].stop) == (item.start, item.stop)
    assert all(one.stop == following.start for one, following in itertools.pairwise(whole))
    assert len({one.key for one in whole}) == len(whole)
    if len(whole) > 1:
        assert all(floor <= one.entries < 2 * floor for one in whole)
        assert {(one.parent, one.replicas) for one in whole} == {(item.key, ("g.root",))}
    else:
        assert whole == [item]
        assert entries < 2 * floor


def test_attempts_go_round_the_addresses() -> None:
    item = WorkItem("ZZ", "a", "u", 0, 1, replicas=("b", "c"))
    assert item.addresses() == 3
    assert [item.address(attempt) for attempt in range(7)] == ["a", "b", "c", "a", "b", "c", "a"]
    assert [WorkItem("ZZ", "a", "u", 0, 1).address(attempt) for attempt in range(3)] == ["a", "a", "a"]


def test_an_item_is_the_same_wherever_it_is_read() -> None:
    assert WorkItem("ZZ", "a", "u", 0, 9).key == WorkItem("ZZ", "b", "u", 0, 9, replicas=("a",)).key
    one, another = WorkItem("ZZ", "a", "u", 0, 9), WorkItem("Zee", "a", "u", 0, 9)
    assert len({one.key, another.key, WorkItem("ZZ", "a", "v", 0, 9).key, WorkItem("ZZ", "a", "u", 0, 8).key}) == 4


def test_of_files_with_one_uuid_the_first_counts() -> None:
    files = [OpenedFile("ZZ", "a", "u", 5, 1), OpenedFile("Zee", "b", "v", 5, 1), OpenedFile("Zee", "c", "u", 5, 1)]
    kept, copies = without_copies(files)
    assert kept == files[:2]
    assert [(copy.sample, copy.file) for copy in copies] == [("Zee", "c")]
    assert "the same file as a of ZZ (uuid u)" in copies[0].error


def test_a_file_that_cannot_be_divided_is_one_item() -> None:
    (item,) = split(OpenedFile("CMS", "f.h5", "u", 5000, 1, divisible=False), chunk_size=100)
    assert (item.start, item.stop) == (0, 5000)
    assert item.halves(1) is None
