"""The local cluster with real processes: pools, tags, loopback, logs, and an end that leaves nothing."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from distributed.core import Status

from analysis.engine.attempts import Outcome
from analysis.engine.dispatch import Dispatcher
from cluster.errors import SchedulerGone
from cluster.local import LOOPBACK, LocalCluster
from cluster.opening import open_cluster
from cluster.pools import Cluster, tagged_workers
from cluster.scheduler import ended
from cluster.settings import TAGS, ClusterSettings

SETTINGS = ClusterSettings.model_validate(
    {"kind": "local", "pools": {"cpu": {"workers": 2, "environment": {"OMP_NUM_THREADS": "1"}}, "gpu": {"workers": 1}}}
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with open_cluster(SETTINGS, tmp_path_factory.mktemp("run")) as running:
        for pool in TAGS:
            running.need(pool)
        yield running


def identify(item: int, attempt: int) -> tuple[int, str | None, str | None]:
    return os.getpid(), os.environ.get("OMP_NUM_THREADS"), os.environ.get("CUDA_VISIBLE_DEVICES")


def greet(item: int, attempt: int) -> None:
    os.write(1, b"greetings\n")


def blocked_signals(item: int, attempt: int) -> set[int]:
    """The signals that no thread of the worker's process receives."""
    masks = [
        int(line.split()[1], 16)
        for status in Path("/proc/self/task").glob("*/status")
        for line in status.read_text().splitlines()
        if line.startswith("SigBlk:")
    ]
    return {number for number in range(1, 32) if all(mask >> (number - 1) & 1 for mask in masks)}


def ends(cluster: Cluster, function: Any, number: int, tag: str = "CPU") -> list[Outcome]:
    return list(Dispatcher(cluster.client, function, tag).run(iter(range(number))))


def descendants() -> dict[int, psutil.Process]:
    return {child.pid: child for child in psutil.Process().children(recursive=True)}


def living(processes: Iterable[psutil.Process], part: str = "") -> list[psutil.Process]:
    """Those that go on, with a word in their command; multiprocessing keeps one of its own for all of the tests."""
    found = []
    for process in processes:
        try:
            command = " ".join(process.cmdline())
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if part in command and "resource_tracker" not in command and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def test_each_pool_runs_its_own_tasks_in_processes_of_its_own(cluster: Cluster) -> None:
    assert {pool: facts["workers"] for pool, facts in cluster.facts()["pools"].items()} == {"cpu": 2, "gpu": 1}
    cpu, gpu = ends(cluster, identify, 300), ends(cluster, identify, 3, tag="GPU")
    assert {str(one.worker).partition("-")[0] for one in cpu} == {"cpu"}
    assert {one.worker for one in gpu} == {"gpu-0"}
    processes = [{one.value[0] for one in outcomes} for outcomes in (cpu, gpu)]
    assert processes[0].isdisjoint(processes[1])
    assert os.getpid() not in processes[0] | processes[1]
    assert {one.value[1:] for one in cpu} == {("1", "")}


def test_everything_listens_on_loopback_only(cluster: Cluster) -> None:
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {LOOPBACK}


def test_the_signals_of_the_terminal_do_not_reach_the_workers(cluster: Cluster) -> None:
    (outcome,) = ends(cluster, blocked_signals, 1)
    assert {signal.SIGINT, signal.SIGHUP} <= outcome.value
    assert signal.SIGTERM not in outcome.value


def test_what_workers_print_goes_to_their_logs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with open_cluster(SETTINGS, tmp_path) as cluster:
        cluster.need("cpu")
        ends(cluster, greet, 8)
    assert "greetings" not in "".join(capfd.readouterr())
    assert sum(path.read_text().count("greetings") for path in tmp_path.glob("logs/cpu-*.log")) == 8


def kill_one(before: dict[int, psutil.Process], part: str) -> None:
    """Kills a process of the cluster; after a worker, it waits until that begins to start again."""
    alike = living((child for pid, child in descendants().items() if pid not in before), part)
    alike[0].kill()
    while part == "spawn_main" and len(living(set(descendants().values()) - set(alike), part)) == 0:
        time.sleep(0.02)


@pytest.mark.parametrize(
    "victims",
    [(), ("spawn_main",), ("cluster.scheduler_process",), ("spawn_main", "cluster.scheduler_process")],
    ids=["nothing", "a worker", "the scheduler", "both"],
)
def test_the_end_leaves_no_process(tmp_path: Path, victims: tuple[str, ...]) -> None:
    """Also where a worker or the scheduler was killed the moment before."""
    before = descendants()
    with open_cluster(SETTINGS, tmp_path) as cluster:
        for pool in TAGS:
            cluster.need(pool)
        started = {pid: child for pid, child in descendants().items() if pid not in before}
        assert len(living(started.values())) >= 4
        for part in victims:
            kill_one(before, part)
        started |= {pid: child for pid, child in descendants().items() if pid not in before}
    assert living(started.values()) == []
    assert living([child for pid, child in descendants().items() if pid not in before]) == []


def test_an_end_by_an_error_leaves_no_process_either(tmp_path: Path) -> None:
    before = descendants()

    def fail() -> None:
        with open_cluster(SETTINGS, tmp_path) as cluster:
            cluster.need("cpu")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert living([child for pid, child in descendants().items() if pid not in before]) == []


def test_a_scheduler_that_is_killed_while_the_workers_start_is_said_at_once(tmp_path: Path) -> None:
    before = descendants()
    killed: list[int] = []

    def kill_scheduler() -> None:
        while not killed:
            mine = [child for pid, child in descendants().items() if pid not in before]
            if living(mine, "spawn_main"):
                (scheduler,) = living(mine, "cluster.scheduler_process")
                scheduler.kill()
                killed.append(scheduler.pid)
            time.sleep(0.01)

    with open_cluster(SETTINGS, tmp_path) as cluster:
        killer = threading.Thread(target=kill_scheduler, daemon=True)
        killer.start()
        with pytest.raises(SchedulerGone):
            cluster.need("cpu")
    killer.join()
    assert living([child for pid, child in descendants().items() if pid not in before]) == []


def names(cluster: Cluster) -> set[str]:
    return {str(facts["name"]) for facts in cluster.client.scheduler_info()["workers"].values()}


def test_pools_come_and_go(tmp_path: Path) -> None:
    with open_cluster(SETTINGS, tmp_path) as cluster:
        assert names(cluster) == set()
        cluster.need("cpu")
        assert names(cluster) == {"cpu-0", "cpu-1"}
        assert cluster.facts()["pools"].keys() == {"cpu"}
        cluster.need("cpu")
        assert names(cluster) == {"cpu-0", "cpu-1"}
        cluster.release("cpu")
        cluster.need("gpu")
        assert names(cluster) == {"gpu-0"}
        assert len(tagged_workers(cluster.client, "GPU")) == 1
        cluster.need("cpu")
        assert names(cluster) == {"cpu-0", "cpu-1", "gpu-0"}


def test_a_scheduler_that_is_gone_is_said(tmp_path: Path) -> None:
    before = descendants()
    with open_cluster(SETTINGS, tmp_path) as cluster:
        cluster.need("gpu")
        mine = [child for pid, child in descendants().items() if pid not in before]
        (scheduler,) = living(mine, "cluster.scheduler_process")
        scheduler.kill()
        scheduler.wait()
        with pytest.raises(SchedulerGone):
            cluster.need("cpu")


class Slow:
    """A `SpecCluster` of a machine so busy that Dask gives up waiting for its end."""

    def __init__(self, problem: BaseException) -> None:
        self.problem = problem
        self.worker_spec: dict[str, Any] = {"cpu-0": None}
        self.scheduler = SimpleNamespace(status=Status.running)
        self.scheduler_comm = None
        self.workers: dict[str, Any] = {}

    async def _correct_state(self) -> None:
        raise self.problem

    def sync(self, function: Any) -> Any:
        return asyncio.run(function())

    def close(self) -> None:
        raise self.problem


@pytest.mark.parametrize("problem", [TimeoutError("60 s"), asyncio.CancelledError()])
def test_an_end_that_takes_too_long_is_noted_and_no_error(
    problem: BaseException, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What the run found does not depend on it."""
    slow = Slow(problem)
    with ended(slow):
        LocalCluster(SETTINGS, tmp_path, slow, None).release("cpu")
        assert slow.worker_spec == {}
    assert [record.message.partition(" did not end in order: ")[0] for record in caplog.records] == [
        "the pool cpu",
        "the Dask cluster",
    ]
    with pytest.raises(KeyboardInterrupt), ended(Slow(KeyboardInterrupt())):
        pass
    with pytest.raises(ZeroDivisionError), ended(slow):
        raise ZeroDivisionError
