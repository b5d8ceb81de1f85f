"""The end of batch workers, with real `dask worker` processes: who leaves in order loses nothing and blames nobody."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, get_worker, wait
from distributed.scheduler import KilledWorker

from cluster.scheduler import scheduler_and_client
from cluster.worker_setup import GPUS, JOB_END, RETIRE_AT, STAGGER, retire, take_devices


@contextmanager
def worker(client: Client, name: str, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker as a job starts it, whose time is far from over."""
    later = str(time.time() + 3600)
    variables = {GPUS: "0", STAGGER: "0", RETIRE_AT: later, JOB_END: later}
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_worker", client.scheduler.address, "--name", name,
             "--nthreads", "1", "--memory-limit", "1GiB", "--host", "127.0.0.1", "--nanny", "--no-dashboard",
             "--dashboard-address", "127.0.0.1:0", "--preload", "cluster.worker_setup"],
            env={**os.environ, **variables}, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    listens = {"host": "127.0.0.1", "port": 0, "dashboard_address": "127.0.0.1:0"}
    with scheduler_and_client(listens, tmp_path / "scheduler.log") as (_, client):
        yield client


def take(seconds: float, marks: str) -> str:
    """A task that leaves a mark where it begins."""
    name = str(get_worker().name)
    with (Path(marks) / "begun").open("a") as file:
        file.write(f"{name}\n")
    time.sleep(seconds)
    return name


async def end_of_time(dask_worker: Any) -> None:
    await retire(dask_worker, time.time() + 15)


def fill_memory() -> int:
    return len(bytearray(os.urandom(1)) * (4 * 2**30))


def address_of(client: Client, name: str) -> str:
    workers = client.scheduler_info()["workers"]
    return next(address for address, facts in workers.items() if facts["name"] == name)


def begun(marks: Path) -> list[str]:
    path = marks / "begun"
    return path.read_text().split() if path.exists() else []


@pytest.mark.slow
def test_a_worker_that_is_asked_to_go_hands_its_tasks_over(client: Client, tmp_path: Path) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(worker(client, "first", tmp_path))
        client.wait_for_workers(1)
        future = client.submit(take, 5, str(tmp_path), pure=False)
        while not begun(tmp_path):
            time.sleep(0.1)
        stack.enter_context(worker(client, "second", tmp_path))
        first.send_signal(signal.SIGTERM)
        assert future.result() == "second"  # the scheduler allows no failure: it was not taken for one
        assert begun(tmp_path) == ["first", "second"]
        assert first.wait() is not None


@pytest.mark.slow
def test_a_worker_at_the_end_of_its_time_finishes_what_it_has(client: Client, tmp_path: Path) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(worker(client, "first", tmp_path))
        stack.enter_context(worker(client, "second", tmp_path))
        client.wait_for_workers(2)
        futures = client.map(take, [1.0] * 12, marks=str(tmp_path), pure=False)
        while "first" not in begun(tmp_path):
            time.sleep(0.1)
        client.run(end_of_time, workers=[address_of(client, "first")], wait=False)
        names = client.gather(futures)
        assert first.wait() == 0
        assert set(names) == {"first", "second"}
        assert len(begun(tmp_path)) == 12, "nothing was done twice"


@pytest.mark.slow
def test_results_that_nobody_can_take_are_made_again(client: Client, tmp_path: Path) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(worker(client, "first", tmp_path))
        client.wait_for_workers(1)
        futures = client.map(take, [1.0] * 4, marks=str(tmp_path), pure=False)
        wait(futures[0])  # its result stays there
        client.run(end_of_time, workers=[address_of(client, "first")], wait=False)
        assert first.wait() == 0
        stack.enter_context(worker(client, "second", tmp_path))
        assert client.gather(futures) == ["second"] * 4


@pytest.mark.slow
def test_too_much_memory_is_still_the_task_s_fault(client: Client, tmp_path: Path) -> None:
    with worker(client, "only", tmp_path):
        client.wait_for_workers(1)
        with pytest.raises(KilledWorker):
            client.submit(fill_memory, pure=False).result()


@pytest.mark.parametrize(
    ("name", "given", "each", "left"),
    [
        ("gpu-3", "0", 1, "0"), ("gpu-3-0", "0,1", 1, "0"), ("gpu-3-1", "0,1", 1, "1"),
        ("gpu-0-1", "4,5,6,7", 2, "6,7"), ("gpu-7", "GPU-a,GPU-b", 1, "GPU-b"), ("cpu-1", "", 0, ""),
    ],
)  # fmt: skip
def test_each_worker_has_its_own_devices(
    name: str, given: str, each: int, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    take_devices(name, each)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == left
