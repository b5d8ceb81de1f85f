"""Work items cover every entry of a file exactly once."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.engine.items import OpenedFile, split


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
