"""The local cluster with real worker processes: pools, tags, loopback, and errors that stay with their item."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from analysis.engine.feeding import feed

from cluster.local import LOOPBACK, Cluster
from cluster.opening import open_cluster
from cluster.settings import ClusterSettings

SETTINGS = ClusterSettings.model_validate(
    {"kind": "local", "pools": {"cpu": {"workers": 2, "environment": {"OMP_NUM_THREADS": "1"}}, "gpu": {"workers": 1}}}
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with open_cluster(SETTINGS, tmp_path_factory.mktemp("logs")) as running:
        yield running


def identify(_: int) -> tuple[int, str | None, str | None]:
    return os.getpid(), os.environ.get("OMP_NUM_THREADS"), os.environ.get("CUDA_VISIBLE_DEVICES")


def third_fails(number: int) -> int:
    if number == 3:
        raise ValueError("entry 3 is\nbroken")
    return number * number


def greet(_: int) -> None:
    os.write(1, b"greetings\n")


def kill_worker(number: int) -> int:
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_each_pool_runs_its_own_tasks_in_processes_of_its_own(cluster: Cluster) -> None:
    cpu = list(feed(cluster.client, identify, range(20), tag="CPU", workers=2))
    gpu = list(feed(cluster.client, identify, range(3), tag="GPU", workers=1))
    assert {cluster.pool_of[str(one.worker)] for one in cpu} == {"cpu"}
    assert {cluster.pool_of[str(one.worker)] for one in gpu} == {"gpu"}
    processes = [{one.value[0] for one in outcomes} for outcomes in (cpu, gpu)]
    assert processes[0].isdisjoint(processes[1])
    assert os.getpid() not in processes[0] | processes[1]
    assert {one.value[1:] for one in cpu} == {("1", "")}


def test_an_error_is_the_outcome_of_its_item_alone(cluster: Cluster) -> None:
    outcomes = {one.argument: one for one in feed(cluster.client, third_fails, range(50), tag="CPU", workers=2)}
    assert len(outcomes) == 50
    assert outcomes.pop(3).error == "ValueError: entry 3 is broken"
    assert all(one.error is None and one.value == number**2 for number, one in outcomes.items())


def test_everything_listens_on_loopback_only(cluster: Cluster) -> None:
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {LOOPBACK}


def test_what_workers_print_goes_to_their_logs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with open_cluster(SETTINGS, tmp_path) as cluster:
        list(feed(cluster.client, greet, range(8), tag="CPU", workers=2))
    assert "greetings" not in "".join(capfd.readouterr())
    assert sum(path.read_text().count("greetings") for path in tmp_path.glob("cpu-*.log")) == 8


def test_the_end_leaves_no_process(tmp_path: Path) -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with open_cluster(SETTINGS, tmp_path):
        started = {process.pid for process in psutil.Process().children(recursive=True)} - before
        assert len(started) >= 3
    living = {pid for pid in started if psutil.pid_exists(pid) and _is_worker(pid)}
    assert living == set()


def _is_worker(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def test_an_item_that_kills_its_workers_fails_and_the_others_go_on(tmp_path: Path) -> None:
    with open_cluster(SETTINGS, tmp_path) as cluster:
        outcomes = {one.argument: one for one in feed(cluster.client, kill_worker, range(12), tag="CPU", workers=2)}
    assert "KilledWorker" in str(outcomes[5].error)
    finished = [number for number, one in outcomes.items() if one.error is None and one.value == number]
    assert len(outcomes) == 12
    assert 5 not in finished
