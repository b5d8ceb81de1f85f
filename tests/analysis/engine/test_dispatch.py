"""Every item has exactly one end, whatever happens to its call, its worker or the scheduler; innocents are not charged.

With the real local cluster. Each function here takes an item and the number of the attempts before.
"""

import errno
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from analysis.engine.attempts import Kind, Outcome, Policy
from analysis.engine.dispatch import LARGEST_BATCH, QUEUED_PER_WORKER, ClusterLost, Dispatcher, NoSpace, dispatched
from analysis.engine.stopping import Stopped, StopRequest
from cluster.opening import open_cluster
from cluster.pools import Cluster
from cluster.settings import ClusterSettings

WORKERS = 2
SETTINGS = ClusterSettings.model_validate(
    {"kind": "local", "pools": {"cpu": {"workers": WORKERS, "memory": "2GiB"}, "gpu": {"workers": 1, "memory": "2GiB"}}}
)
QUICK = Policy(first_pause=0.05, longest_pause=0.2)

Range = tuple[int, int]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@contextmanager
def started(directory: Path) -> Iterator[Cluster]:
    """The cluster with the workers of its pool `cpu`."""
    with open_cluster(SETTINGS, directory) as running:
        running.need("cpu")
        yield running


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with started(tmp_path_factory.mktemp("run")) as running:
        yield running


def dispatcher(cluster: Cluster, function: Callable[..., Any], policy: Policy = QUICK, **options: Any) -> Dispatcher:
    return Dispatcher(cluster.client, function, "CPU", policy, **options)


def ends(outcomes: Iterable[Outcome]) -> dict[Any, Outcome]:
    """The end of each item; fails where an item has two."""
    found: dict[Any, Outcome] = {}
    for outcome in outcomes:
        if not outcome.split:
            assert outcome.item not in found
            found[outcome.item] = outcome
    return found


def note(directory: Path, item: Any) -> None:
    """Leaves word of a call: the worker's process."""
    with (directory / str(item)).open("a") as file:
        file.write(f"{os.getpid()}\n")


def calls(directory: Path, item: Any) -> list[str]:
    return (directory / str(item)).read_text().split()


def square(item: int, attempt: int) -> int:
    return item * item


def fails_twice(directory: Path, item: int, attempt: int) -> int:
    note(directory, item)
    if attempt < 2 and item % 5 == 0:
        raise OSError("the storage is busy")
    return item


def never_works(directory: Path, item: int, attempt: int) -> int:
    note(directory, item)
    if item == 1:
        raise ConnectionError("nobody\nthere")
    if item == 2:
        raise ValueError("not a ROOT file")
    return item


def finds_a_full_disk(code: int, often: int, item: int, attempt: int) -> int:
    if item == 3 and attempt < often:
        raise OSError(code, os.strerror(code))
    return item


def third_address_works(item: str, attempt: int) -> int:
    if item == "lost" or attempt < 2:
        raise FileNotFoundError(f"address {attempt}")
    return attempt


def slowly(item: int, attempt: int) -> int:
    time.sleep(0.1)
    return item


def halves(floor: int, item: Range) -> tuple[Range, Range] | None:
    start, stop = item
    middle = (start + stop) // 2
    return None if stop - start < 2 * floor else ((start, middle), (middle, stop))


def dies_at(entries: tuple[int, ...], item: Range, attempt: int) -> int:
    if any(item[0] <= entry < item[1] for entry in entries):
        os.kill(os.getpid(), signal.SIGKILL)
    return item[1] - item[0]


def hangs_at(entry: int, item: int, attempt: int) -> int:
    if item == entry:
        time.sleep(3600)
    return item


class TwoWordsError(Exception):
    """Pickle gives it one argument back, where it needs two."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


class Sealed:
    def __reduce__(self) -> Any:
        raise RuntimeError("this does not travel")


class Rotten:
    """Travels, and does not arrive."""

    def __reduce__(self) -> Any:
        return int, ("rotten",)


def odd_ends(item: str, attempt: int) -> Any:
    if item == "raises what cannot be unpickled":
        raise TwoWordsError("two", "words")
    if item == "exits":
        sys.exit("enough")
    return {
        "gives a lock": threading.Lock(),
        "gives what does not travel": Sealed(),
        "gives what does not arrive": Rotten(),
    }.get(item, item)


def test_every_item_has_one_end_and_the_numbers_do_not_depend_on_the_order(cluster: Cluster) -> None:
    one = dispatcher(cluster, square)
    found = ends(one.run(iter(range(1000))))
    assert {item: outcome.value for item, outcome in found.items()} == {item: item * item for item in range(1000)}
    assert {outcome.attempts for outcome in found.values()} == {1}
    assert {outcome.worker for outcome in found.values()} <= {"cpu-0", "cpu-1"}
    assert all(outcome.peak_memory > 2**20 and outcome.host == "127.0.0.1" for outcome in found.values())


def test_no_items_are_no_outcomes(cluster: Cluster) -> None:
    assert list(dispatcher(cluster, square).run(iter(()))) == []


def test_an_error_that_goes_away_is_tried_again_on_another_worker(cluster: Cluster, tmp_path: Path) -> None:
    one = dispatcher(cluster, partial(fails_twice, tmp_path))
    found = ends(one.run(iter(range(20))))
    assert all(outcome.value == item and outcome.error is None for item, outcome in found.items())
    assert {item for item, outcome in found.items() if outcome.attempts == 3} == {0, 5, 10, 15}
    assert one.counts.retries == 8
    for item in (0, 5, 10, 15):
        first, second, third = calls(tmp_path, item)
        assert first != second != third
    assert all(len(calls(tmp_path, item)) == 1 for item in range(20) if item % 5)


def test_an_error_ends_its_item_at_once_or_after_all_attempts(cluster: Cluster, tmp_path: Path) -> None:
    policy = Policy(attempts=4, first_pause=0.01)
    found = ends(dispatcher(cluster, partial(never_works, tmp_path), policy).run(iter(range(50))))
    assert (found[1].error, found[1].attempts) == ("ConnectionError: nobody there", 4)
    assert (found[2].error, found[2].attempts) == ("ValueError: not a ROOT file", 1)
    assert [len(calls(tmp_path, item)) for item in range(4)] == [1, 4, 1, 1]
    assert [item for item, outcome in found.items() if outcome.error is None] != []
    assert len(found) == 50
    assert all(outcome.error is None for item, outcome in found.items() if item not in (1, 2))


def test_all_addresses_of_an_input_are_tried_before_it_is_given_up(cluster: Cluster) -> None:
    kind = Kind(addresses=lambda _: 3)
    found = ends(dispatcher(cluster, third_address_works, kind=kind).run(iter(["there", "lost"])))
    assert (found["there"].value, found["there"].attempts) == (2, 3)
    assert (found["lost"].error, found["lost"].attempts) == ("FileNotFoundError: address 2", 3)


def test_an_item_that_kills_is_halved_until_only_the_guilty_range_fails(cluster: Cluster) -> None:
    items = [(start, start + 40) for start in range(0, 800, 40)]
    one = dispatcher(cluster, partial(dies_at, (417,)), kind=Kind(partial(halves, 10)))
    outcomes = list(one.run(iter(items)))
    found = ends(outcomes)
    failed = {item: outcome for item, outcome in found.items() if outcome.error is not None}
    assert list(failed) == [(410, 420)]
    assert "workers died of it" in str(failed[410, 420].error)
    assert sum(found[item].value for item in found if item not in failed) == 790
    assert sorted(entry for item in found for entry in range(*item)) == list(range(800))
    assert [outcome.item for outcome in outcomes if outcome.split] == [(400, 440), (400, 420)]
    assert all(outcome.attempts == 1 for item, outcome in found.items() if item not in failed)


def test_several_killers_are_told_from_the_innocent(cluster: Cluster) -> None:
    one = dispatcher(cluster, partial(dies_at, (3, 21, 38)))
    found = ends(one.run((start, start + 1) for start in range(40)))
    assert len(found) == 40
    assert {item[0] for item, outcome in found.items() if outcome.error is not None} == {3, 21, 38}


def test_a_worker_that_is_killed_from_outside_loses_nothing(cluster: Cluster) -> None:
    one = dispatcher(cluster, slowly)
    found = {}
    for number, outcome in enumerate(one.run(iter(range(60)))):
        found[outcome.item] = outcome
        if number in (5, 20):
            os.kill(next(iter(cluster.client.run(os.getpid, workers=cpu_workers(cluster)).values())), signal.SIGKILL)
    assert {item: outcome.value for item, outcome in found.items()} == {item: item for item in range(60)}
    assert one.counts.lost_workers >= 1


def cpu_workers(cluster: Cluster) -> list[str]:
    workers = cluster.client.scheduler_info(n_workers=-1)["workers"]
    return [address for address, facts in workers.items() if facts["resources"].get("CPU")]


def test_an_item_that_hangs_is_taken_from_its_worker(cluster: Cluster) -> None:
    policy = Policy(first_pause=0.05, deaths=1, longest_item=8.0)
    one = dispatcher(cluster, partial(hangs_at, 3500), policy)
    found = ends(one.run(iter(range(4000))))  # small items: it is met in a large batch
    assert len(found) == 4000
    assert [item for item, outcome in found.items() if outcome.error is not None] == [3500]
    assert "for more than 8 s" in str(found[3500].error)
    assert one.counts.overdue >= 2


@pytest.mark.parametrize(
    ("item", "error"),
    [
        ("raises what cannot be unpickled", "TwoWordsError: two words"),
        ("exits", "SystemExit: enough"),
        ("gives a lock", "pickle"),
        ("gives what does not travel", "this does not travel"),
        ("gives what does not arrive", "rotten"),
    ],
)
def test_an_odd_end_is_the_error_of_its_item_alone(cluster: Cluster, item: str, error: str) -> None:
    found = ends(dispatcher(cluster, odd_ends).run(iter(["before", item, "after"])))
    assert error in str(found[item].error)
    assert (found["before"].value, found["after"].value) == ("before", "after")


def test_a_function_that_the_workers_do_not_have_is_an_error(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_the_driver_has_this.py").write_text("def function(item, attempt):\n    return item\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_the_driver_has_this  # type: ignore[import-not-found]

    found = ends(dispatcher(cluster, only_the_driver_has_this.function).run(iter(range(3))))
    assert len(found) == 3
    assert all("No module named" in str(outcome.error) for outcome in found.values())


def tasks_that_wait(dask_scheduler: Any) -> int:
    ended = ("memory", "released", "forgotten", "erred")
    return sum(task.state not in ended for task in dask_scheduler.tasks.values())


def test_the_scheduler_holds_a_few_batches_only(cluster: Cluster) -> None:
    drawn = 0

    def source() -> Iterator[int]:
        nonlocal drawn
        for number in range(20_000):
            drawn += 1
            yield number

    held, ahead = [], []
    for number, _ in enumerate(dispatcher(cluster, square).run(source()), start=1):
        ahead.append(drawn - number)
        if number % 1000 == 0:
            held.append(cluster.client.run_on_scheduler(tasks_that_wait))
    assert drawn == 20_000
    assert max(held) <= QUEUED_PER_WORKER * WORKERS
    assert max(ahead) <= (QUEUED_PER_WORKER * WORKERS) * LARGEST_BATCH
    assert max(ahead) > WORKERS  # small items travel together


def test_a_request_to_stop_leaves_nothing_at_the_scheduler(cluster: Cluster) -> None:
    stop = StopRequest()
    one = dispatcher(cluster, slowly, stop=stop)
    found: list[Outcome] = []

    def go() -> None:
        with stop.heeded():
            for outcome in one.run(iter(range(10_000))):
                found.append(outcome)
                if len(found) == 3:
                    stop(signal.SIGINT, None)

    with pytest.raises(Stopped):
        go()
    assert len(found) < 100
    until = time.monotonic() + 30
    while cluster.client.run_on_scheduler(tasks_that_wait):
        assert time.monotonic() < until
        time.sleep(0.1)


def schedulers() -> set[int]:
    return {
        child.pid
        for child in psutil.Process().children(recursive=True)
        if "cluster.scheduler_process" in " ".join(child.cmdline())
    }


def test_without_its_scheduler_a_cluster_is_lost_and_another_one_finishes(tmp_path: Path) -> None:
    before = schedulers()
    reopened = []
    with ExitStack() as stack:

        def reopen(lost: Any) -> Any:
            reopened.append(lost)
            stack.close()
            return stack.enter_context(started(tmp_path)).client

        first = stack.enter_context(started(tmp_path))
        one = dispatcher(first, slowly)
        numbers: Counter[int] = Counter()
        for outcome in dispatched(one, range(60), reopen):
            assert outcome.value == outcome.item
            numbers[outcome.item] += 1
            if sum(numbers.values()) == 10:
                (scheduler,) = schedulers() - before
                os.kill(scheduler, signal.SIGKILL)
        assert numbers == Counter(range(60))
        assert reopened == [first.client]
        assert one.client is not first.client
        assert (one.counts.lost_workers, one.counts.isolated) == (0, 0)


def test_a_lost_cluster_is_said_to_be_lost(tmp_path: Path) -> None:
    before = schedulers()
    with started(tmp_path) as cluster:
        one = dispatcher(cluster, slowly)
        found: list[Outcome] = []

        def go() -> None:
            for outcome in one.run(iter(range(10_000))):
                found.append(outcome)
                if len(found) == 3:
                    (scheduler,) = schedulers() - before
                    os.kill(scheduler, signal.SIGKILL)

        with pytest.raises(ClusterLost):
            go()
        assert 3 <= len(found) < 100


def test_the_full_disk_of_one_node_is_passed_by(cluster: Cluster) -> None:
    one = dispatcher(cluster, partial(finds_a_full_disk, errno.ENOSPC, 1))
    found = ends(one.run(iter(range(6))))
    assert {item: outcome.value for item, outcome in found.items()} == {item: item for item in range(6)}
    assert one.counts.retries == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_for_all_ends_it(cluster: Cluster, code: int) -> None:
    one = dispatcher(cluster, partial(finds_a_full_disk, code, 99))
    with pytest.raises(NoSpace, match=os.strerror(code)):
        ends(one.run(iter(range(6))))
    assert one.counts.retries == 1
