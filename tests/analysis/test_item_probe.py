"""Which work items `plan` tries, and in which order."""

import numpy as np
import pytest

from analysis.engine.items import OpenedFile
from analysis.item_probe import TRIED, _spread, in_turn


def opened(sample: str, number: int, entries: int) -> OpenedFile:
    return OpenedFile(sample, f"{sample}_{number}.root", f"uuid-{sample}-{number}", entries, 1000)


@pytest.mark.parametrize("number", [0, 1, 2, 6, 37, 4096])
def test_the_first_places_are_spread_over_all_however_many_are_taken(number: int) -> None:
    places = list(_spread(number))
    assert sorted(places) == list(range(number))
    for taken in range(1, number + 1, max(1, number // 50)):
        edges = np.sort([0, *places[:taken], number])
        assert np.diff(edges).max() <= 4 * number / taken


def test_every_item_comes_once_and_the_samples_in_turn() -> None:
    files = [opened("a", k, 100) for k in range(7)] + [opened("b", 0, 25), opened("c", 0, 0)]
    items, number = in_turn(files, 10, workers=2)
    assert len({(item.path, item.start) for item in items}) == len(items) == 7 * 10 + 3
    assert [item.sample for item in items[:6]] == ["a", "b", "a", "b", "a", "b"]
    assert number == 2 * TRIED  # a file without entries has no item
    assert len({item.path for item in items[:number] if item.sample == "a"}) == TRIED


def test_each_worker_has_enough() -> None:
    files = [opened("a", k, 100) for k in range(9)]
    assert in_turn(files, 10, workers=16)[1] == 48
    assert in_turn(files[:1], 50, workers=16)[1] == 2
