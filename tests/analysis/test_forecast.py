"""From a few work items that were tried to the whole run."""

import numpy as np
import pytest

from analysis.forecast import (
    FEWEST_PER_WORKER,
    GIB,
    LONGEST,
    SHORTEST,
    Load,
    Probe,
    chunk_size,
    forecast,
    makespan,
    rates,
    worker_memory,
    workers_for,
)

BASE, PER_ENTRY = 300_000_000, 1000


def probe(sample: str, entries: int, per_entry: float, *, first: bool = False, start: float = 0.0) -> Probe:
    return Probe(
        sample, entries, start + per_entry * entries, 50 * entries, BASE + PER_ENTRY * entries * (not first), "a", first
    )


TRIED = [
    probe("ZZ", 10, 0.001, first=True, start=4.0),
    probe("ZZ", 1000, 0.001),
    probe("Zee", 1000, 0.003),
    probe("Zee", 500, 0.003),
]


def load(*items: int) -> Load:
    return Load(1, sum(items), 100 * sum(items), items)


def test_rates_are_those_of_items_whose_worker_has_its_libraries() -> None:
    found = rates(TRIED, ("ZZ", "Zee"))
    assert found.seconds == pytest.approx({"ZZ": 0.001, "Zee": 0.003})
    assert found.bytes == pytest.approx({"ZZ": 50, "Zee": 50})
    assert found.start == pytest.approx(4.0)
    assert found.peak(1000) == pytest.approx(BASE + PER_ENTRY * 1000)


def test_a_sample_that_was_not_tried_costs_what_the_others_cost() -> None:
    found = rates(TRIED, ("ZZ", "WZ"))
    assert found.seconds["WZ"] == pytest.approx((1.0 + 3.0 + 1.5) / 2500)


def test_the_whole_is_the_sum_of_the_items_on_the_workers_there_are() -> None:
    loads = {"ZZ": load(1000, 1000, 1000), "Zee": load(1000)}
    found = forecast(loads, rates(TRIED, loads), 2)
    assert (found.items, found.entries) == (4, 4000)
    assert found.work == pytest.approx(6.0)
    assert found.bytes_read == pytest.approx(200_000)
    # Both load their libraries; one has two items of 1 s, the other one, and then that of 3 s.
    assert found.wall == pytest.approx(4.0 + 4.0)
    assert found.memory == pytest.approx(BASE + PER_ENTRY * 1000)


def test_items_go_to_the_worker_that_is_free_first() -> None:
    assert makespan([], 3, 2.0) == 2.0
    assert makespan([5.0, 1.0, 1.0, 1.0], 2) == 5.0
    seconds = np.random.default_rng(1).exponential(1.0, 20_000)
    assert makespan(seconds, 100) == pytest.approx(seconds.sum() / 100, rel=0.05)


@pytest.mark.parametrize("entries", [1000, 10**6, 10**9])
@pytest.mark.parametrize("workers", [2, 500])
def test_proposed_items_are_enough_for_all_and_not_long(entries: int, workers: int) -> None:
    loads = {"Zee": load(entries)}
    found = rates(TRIED, loads)
    chunk = chunk_size(loads, found, workers)
    shared = found.item("Zee", entries) / (FEWEST_PER_WORKER * workers)
    assert found.item("Zee", chunk) == pytest.approx(min(LONGEST, max(SHORTEST, shared)), rel=0.06)


def test_small_items_do_not_tell_what_an_entry_takes_in_memory() -> None:
    """The peak of a process stays what it was: 50 MB over the libraries need not be those of 50 entries."""
    small = Probe("DataEgamma", 50, 0.1, 2500, BASE + 50_000_000, "a", first=False)
    found = rates([*TRIED, small], ("ZZ", "Zee"))
    assert found.peak(1000) == pytest.approx(BASE + PER_ENTRY * 1000)


def test_workers_and_memory_are_numbers_that_one_can_ask_for() -> None:
    assert (workers_for(10.0, 600.0), workers_for(6001.0, 600.0)) == (1, 11)
    found = rates(TRIED, ("ZZ",))
    assert worker_memory(found, 1000) == 1.0 * GIB
    assert worker_memory(found, 2_000_000) == 3.5 * GIB  # 2.3 GB and half as much again


def test_a_run_is_forecast_as_its_schedule_says() -> None:
    """Two workers on items of 100, 100 and 50 entries of `a` (0.01 s each) and 40 and 40 of `b` (0.1 s), by hand."""
    tried = [
        Probe("a", 10, 2.1, 200, BASE, "one", first=True),  # 2 s of loading, 0.1 s of entries
        Probe("b", 10, 4.0, 5000, BASE + 50, "two", first=True),  # 3 s and 1 s
        Probe("a", 100, 1.5, 2000, BASE + 100_000, "one", first=False),
        Probe("a", 100, 0.5, 2000, BASE + 90_000, "two", first=False),  # 1 s on average
        Probe("b", 20, 2.0, 10_000, BASE + 40_000, "two", first=False),
    ]
    loads = {"a": load(100, 100, 50), "b": load(40, 40)}
    found = forecast(loads, rates(tried, loads), 2)
    # Both begin after 2.5 s. One: a 3.5, a(50) 4.0, b 8.0. The other: a 3.5, b 7.5.
    assert found.wall == pytest.approx(8.0)
    assert found.work == pytest.approx(1.0 + 1.0 + 0.5 + 4.0 + 4.0)
    assert found.bytes_read == pytest.approx(250 * 20 + 80 * 500)
    assert (found.items, found.entries) == (5, 330)
    # Growth is told by the items of 100 entries, 100 kB at most: the 40 kB of b's 20 may be of what came before.
    assert found.memory == pytest.approx(BASE + 100 * 1000)
    assert forecast(loads, rates(tried, loads), 1).wall == pytest.approx(2.5 + 10.5)
    assert forecast(loads, rates(tried, loads), 5).wall == pytest.approx(2.5 + 4.0)
