"""`--cluster htcondor` and `lxplus` on a real HTCondor with fake GPUs: the numbers of the local cluster."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.command import HEPBATCH, make_source, same_cutflow
from support.condor import PROJECT, USER, CondorSite, condor_site
from support.packed import packed_environment

OPTIONS = ("--set", "chunk_size=50", "--set", "training.folds=3", "--set", "training.bootstrap=20",
           "--set", "training.models={trees: {kind: boosted_trees}, network: {kind: network}}")  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site() -> Iterator[CondorSite]:
    with condor_site() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_job_is_left_to_the_next_test(site: CondorSite) -> Iterator[None]:
    yield
    site.empty()


@pytest.fixture(scope="module")
def source(site: CondorSite) -> Path:
    return make_source(site.home / "source", events=400)


@pytest.fixture(scope="module")
def reference(site: CondorSite, source: Path) -> Path:
    """The skim of the local cluster."""
    done = site.run(HEPBATCH, "skim", "higgs4l", *OPTIONS, "--source", source, "--output", site.home / "reference")
    assert done.returncode == 0, done.stderr
    return site.home / "reference"


def cluster_file(site: CondorSite, kind: str, **cpu: Any) -> Path:
    pool = {"memory": "2GiB", "disk": "1MiB", "start_limit": "2 min"}
    content = {
        "kind": kind,
        "scheduler": {"query_interval": 2},
        "pools": {"cpu": {"workers": 2, **pool, **cpu}, "gpu": {"workers": 1, "gpus": 1, **pool}},
    }
    path = site.home / f"{kind}.yaml"
    path.write_text(yaml.safe_dump(content))
    os.chown(path, USER, USER)
    return path


# What this pool of one machine has less of than a site; the rest is as the files come.
SMALLER = ("--set", "cluster.pools.gpu.memory=4GiB", "--set", "cluster.pools.cpu.disk=1MiB",
           "--set", "cluster.pools.gpu.disk=1MiB", "--set", "cluster.scheduler.query_interval=2",
           "--set", "cluster.pools.cpu.workers.maximum=3")  # fmt: skip
# It has no service for tickets either.
NO_TICKETS = ("--set", "cluster.credentials.kerberos=false", "--set", "cluster.pools.cpu.directives={}",
              "--set", "cluster.pools.gpu.directives={}")  # fmt: skip


@pytest.mark.parametrize(("kind", "more"), [("htcondor", ()), ("lxplus", NO_TICKETS)])
def test_a_run(site: CondorSite, source: Path, reference: Path, kind: str, more: tuple[str, ...]) -> None:
    """By the name of the file that comes with the program."""
    output = site.home / f"run-{kind}"
    seen: set[tuple[str, str]] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(1):
            rows = (line.split() for line in site.queue())
            seen.update((row[0].strip('"').rpartition("-")[2], row[2]) for row in rows if len(row) == 3)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        done = site.run(
            HEPBATCH, "run", "higgs4l", *OPTIONS, "--cluster", kind, *SMALLER, *more, "--source", source,
            "--output", output,
        )  # fmt: skip
    finally:
        over.set()
        watcher.join()
    assert done.returncode == 0, done.stderr[-3000:]
    same_cutflow(output, reference)
    assert seen == {("cpu", "undefined"), ("gpu", "1")}
    with closing(sqlite3.connect(f"file:{output}/ledger/ledger.sqlite?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT stage, worker FROM items WHERE state = 'done'").fetchall()
    assert {(stage, worker.partition("-")[0]) for stage, worker in rows} == {("skim", "cpu"), ("train", "gpu")}
    assert site.queue() == []
    assert not (output / "private").exists()


def test_lxplus_from_eos(site: CondorSite, source: Path, reference: Path) -> None:
    output, seen = site.home / "eos" / "user" / "run", "/eos/user/run"
    arguments = ("--cluster", cluster_file(site, "lxplus"), "--source", source, "--output", seen)
    done = site.run(HEPBATCH, "skim", "higgs4l", *OPTIONS, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    same_cutflow(output, reference)
    for script in (output / "logs").glob("*.job"):
        commands = script.read_text().partition("Arguments")[0]
        assert "/eos" not in commands
    assert "Start worker at" in (output / "logs" / "cpu-0.log").read_text()
    where = site.run("condor_history", "-limit", "2", "-af", "Iwd").stdout.splitlines()
    assert len(where) == 2
    assert all(line.startswith(f"{site.home}/spool/") for line in where)
    assert site.queue() == []


def test_removed_jobs_are_replaced(site: CondorSite, source: Path, reference: Path) -> None:
    output = site.home / "removed"
    words = (HEPBATCH, "skim", "higgs4l", *OPTIONS, "--set", "chunk_size=10", "--cluster",
             cluster_file(site, "htcondor"), "--source", source, "--output", output)  # fmt: skip
    process = subprocess.Popen(site.words(*map(str, words)), stderr=subprocess.PIPE, text=True)
    try:
        removed = 0
        while process.poll() is None:
            if removed == 0 and list((output / "skim").glob("*/*.parquet")):
                site.run("condor_rm", "-all")
                removed += 1
            time.sleep(0.5)
    finally:
        process.kill()
        _, said = process.communicate()
    assert process.returncode == 0, said[-3000:]
    assert removed == 1
    same_cutflow(output, reference)
    assert site.queue() == []


def test_a_pool_that_does_not_start_says_why(site: CondorSite, source: Path) -> None:
    greedy = cluster_file(site, "htcondor", cores=1000, start_limit="10 s")
    done = site.run(
        HEPBATCH, "skim", "higgs4l", "--cluster", greedy, "--source", source, "--output", site.home / "greedy"
    )
    assert done.returncode == 2, done.stderr
    assert "has no worker after 10 s: job" in done.stderr
    assert "condor_q -better-analyze" in done.stderr
    assert site.queue() == []


def test_an_environment_that_jobs_unpack(site: CondorSite, source: Path, reference: Path) -> None:
    output = site.home / "unpacked"
    where = "import cluster, coffea, numpy; print(*(one.__file__ for one in (cluster, coffea, numpy)), sep='\\n')"
    settings: dict[str, Any] = {
        "workers": 1,
        "archive": str(packed_environment(site.home)),
        "setup": [f'"$HEPBATCH_ENVIRONMENT/bin/python" -c "{where}"', f"ls {PROJECT} {sys.prefix}"],
    }
    packed = cluster_file(site, "htcondor", **settings)
    with site.hidden(PROJECT, Path(sys.prefix).resolve()):
        done = site.run(
            HEPBATCH, "skim", "higgs4l", *OPTIONS, "--cluster", packed, "--source", source, "--output", output
        )
    assert done.returncode == 0, done.stderr[-3000:]
    said = (output / "logs" / "cpu-0.log").read_text().splitlines()
    assert all(line.startswith(f"{site.home}/execute/dir_") and "/hepbatch-env-" in line for line in said[:3])
    assert "hepbatch-env" in said[0]
    same_cutflow(output, reference)
    assert site.queue() == []


def driver_file(site: CondorSite, **driver: Any) -> Path:
    content = yaml.safe_load(cluster_file(site, "htcondor").read_text())
    content["driver"] = {"where": "job", "memory": "2GiB", "wait": "3 min", **driver}
    path = site.home / "driver.yaml"
    path.write_text(yaml.safe_dump(content))
    os.chown(path, USER, USER)
    return path


def test_a_driver_that_is_a_job_of_a_short_walltime(site: CondorSite, source: Path, reference: Path) -> None:
    output = site.home / "driven"
    short = driver_file(site, walltime="60 s", stop_before="30 s", sessions=40)  # however slow the machine is
    begun = site.run(HEPBATCH, "skim", "higgs4l", *OPTIONS, "--set", "chunk_size=4", "--cluster", short,
                     "--source", source, "--output", output, "--detach")  # fmt: skip
    assert begun.returncode == 0, begun.stderr
    assert "goes on without this terminal" in begun.stdout
    until = time.monotonic() + 500
    while (record := json.loads((output / "driver.json").read_text()))["ended"] is None:
        assert time.monotonic() < until, (output / "logs" / "driver.log").read_text()[-3000:]
        if record["session"] == 1 and list((output / "skim").glob("*/*.parquet")):
            # However fast the machine is, the first session does not come to the end: the site stops its workers.
            site.run("condor_suspend", "-constraint", 'regexp("-cpu$", JobBatchName)')
        time.sleep(0.5)
    log = (output / "logs" / "driver.log").read_text()
    assert record["ended"] == 0, log[-3000:]
    assert record["session"] == 1 + log.count("the run goes on when the batch system starts this job again")
    assert record["session"] > 1
    same_cutflow(output, reference)
    while site.queue():
        assert time.monotonic() < until
        time.sleep(1)


def test_a_driver_that_is_a_job_is_cancelled(site: CondorSite, source: Path) -> None:
    output = site.home / "cancelled"
    begun = site.run(HEPBATCH, "skim", "higgs4l", *OPTIONS, "--set", "chunk_size=2", "--cluster", driver_file(site),
                     "--source", source, "--output", output, "--detach")  # fmt: skip
    assert begun.returncode == 0, begun.stderr
    while not list((output / "skim").glob("*/*.parquet")):
        time.sleep(0.5)
    done = site.run(HEPBATCH, "cancel", "higgs4l", "--output", output)
    assert done.returncode == 0, done.stderr
    assert "the driver, htcondor job" in done.stdout
    assert "interrupted by SIGTERM" in (output / "logs" / "driver.log").read_text()
    assert site.queue() == []
    assert not (output / "lock.json").exists()
    assert not (output / "private").exists()
