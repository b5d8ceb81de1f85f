"""`--cluster address` on an ordinary scheduler with tagged workers: the numbers of the local cluster."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from distributed import Client
from support.command import hepbatch, make_source, same_cutflow

OPTIONS = ("--set", "chunk_size=100", "--set", "training.folds=3", "--set", "training.bootstrap=20",
           "--set", "training.models={trees: {kind: boosted_trees}}")  # fmt: skip

pytestmark = pytest.mark.slow


@contextmanager
def dask(program: str, directory: Path, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`dask scheduler` or `dask worker`, as docs/sites.md says."""
    common = ["--scheduler-file", "scheduler.json", "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    with (directory / f"{program}.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", program, *common, *options], cwd=directory, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("source"), events=400)


def test_a_run(source: Path, tmp_path: Path) -> None:
    reference, output = tmp_path / "reference", tmp_path / "out"
    done = hepbatch("skim", "higgs4l", *OPTIONS, "--source", source, "--output", reference, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with (
        dask("scheduler", tmp_path, "--port", "0") as scheduler,
        dask("worker", tmp_path, "--name", "one", "--nthreads", "1", "--resources", "CPU=1") as worker,
    ):
        with Client(scheduler_file=str(tmp_path / "scheduler.json"), timeout=60) as client:
            client.wait_for_workers(1, timeout=120)
            address = client.scheduler_info()["address"]
        words = ("run", "higgs4l", *OPTIONS, "--cluster", "address", "--set", f"cluster.address={address}",
                 "--source", source, "--output", output)  # fmt: skip
        done = hepbatch(*words, "--set", "cluster.pools.gpu.start_limit=2 s", cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert done.stderr.strip().splitlines()[-1] == (
            f"hepbatch: the cluster at {address} has no worker with the tag GPU after 2 s: its 1 workers have the tags "
            "CPU"
        )
        with dask("worker", tmp_path, "--name", "two", "--nthreads", "1", "--resources", "GPU=1") as trainer:
            done = hepbatch(*words, cwd=tmp_path)
            assert done.returncode == 0, done.stderr[-3000:]
            assert [one.poll() for one in (scheduler, worker, trainer)] == [None] * 3
    same_cutflow(output, reference)
    with closing(sqlite3.connect(f"file:{output}/ledger/ledger.sqlite?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT DISTINCT stage, worker FROM items WHERE state = 'done'").fetchall()
    assert set(rows) == {("skim", "one"), ("train", "two")}
