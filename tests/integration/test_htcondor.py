"""`--cluster htcondor` and `lxplus` on a real HTCondor with fake GPUs: the numbers of the local cluster."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
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

OPTIONS = ("--set", "chunk_size=50", "--set", "training.folds=3", "--set", "training.bootstrap=20",
           "--set", "training.models={trees: {kind: boosted_trees}, network: {kind: network}}")  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site() -> Iterator[CondorSite]:
    with condor_site() as running:
        yield running


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
    pool = {"memory": "2GiB", "disk": "1MiB", "start_limit": "5 min"}
    content = {
        "kind": kind,
        "scheduler": {"query_interval": 2},
        "pools": {"cpu": {"workers": 2, **pool, **cpu}, "gpu": {"workers": 1, "gpus": 1, **pool}},
    }
    path = site.home / f"{kind}.yaml"
    path.write_text(yaml.safe_dump(content))
    os.chown(path, USER, USER)
    return path


@pytest.mark.parametrize("kind", ["htcondor", "lxplus"])
def test_a_run(site: CondorSite, source: Path, reference: Path, kind: str) -> None:
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
            HEPBATCH, "run", "higgs4l", *OPTIONS, "--cluster", cluster_file(site, kind), "--source", source,
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


def packed_environment(directory: Path) -> Path:
    """An environment with its own Python and hepbatch in a .tar.gz; the packages of others stay where they are."""
    place = directory / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--copies", "--without-pip", place], check=True)
    packages = next(place.glob("lib/python3*/site-packages"))
    (packages / "others.pth").write_text(f"{Path(pytest.__file__).parent.parent}\n")
    for package in ("analysis", "cluster", "processors", "training", "configs"):
        shutil.copytree(PROJECT / package, packages / package, ignore=shutil.ignore_patterns("__pycache__"))
    archive = directory / "hepbatch.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(place, ".")
    return archive


def test_an_environment_that_jobs_unpack(site: CondorSite, source: Path, reference: Path) -> None:
    output = site.home / "unpacked"
    say_where = '"$HEPBATCH_ENVIRONMENT/bin/python" -c "import cluster; print(cluster.__file__)"'
    packed = cluster_file(site, "htcondor", archive=str(packed_environment(site.home)), setup=[say_where])
    done = site.run(HEPBATCH, "skim", "higgs4l", *OPTIONS, "--cluster", packed, "--source", source, "--output", output)
    assert done.returncode == 0, done.stderr[-3000:]
    said = (output / "logs" / "cpu-0.log").read_text()
    assert f"{site.home}/execute/dir_" in said
    assert "hepbatch-env" in said
    same_cutflow(output, reference)
    assert site.queue() == []
