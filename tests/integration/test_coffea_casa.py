"""`--cluster coffea-casa`: attached to a facility that coffea-casa's own class started on a real HTCondor, over TLS."""

import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.command import HEPBATCH, make_source, same_cutflow
from support.condor import PROJECT, CondorSite, condor_site
from support.facility import Facility, facility

OPTIONS = ("--set", "chunk_size=50", "--set", "training.folds=3", "--set", "training.bootstrap=20",
           "--set", "training.models={trees: {kind: boosted_trees}, network: {kind: network}}")  # fmt: skip
PACKAGES = ("analysis", "cluster", "processors", "training", "configs")
WORKERS = {"gpu-worker", "CoffeaCasaCluster-0", "CoffeaCasaCluster-1"}
SAY = "import sys; from distributed import Client; print(Client(sys.argv[1]).run(eval, '__import__(\"os\").getpid()'))"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site() -> Iterator[CondorSite]:
    with condor_site() as running:
        yield running


@pytest.fixture(scope="module")
def casa(site: CondorSite) -> Iterator[Facility]:
    with facility(site) as there:
        yield there


@pytest.fixture(scope="module")
def source(site: CondorSite) -> Path:
    return make_source(site.home / "source", events=400)


@pytest.fixture(scope="module")
def reference(site: CondorSite, source: Path) -> Path:
    """The skim of the local cluster."""
    done = site.run(HEPBATCH, "skim", "higgs4l", *OPTIONS, "--source", source, "--output", site.home / "reference")
    assert done.returncode == 0, done.stderr
    return site.home / "reference"


def attached(casa: Facility, source: Path, output: Path, *more: str) -> list[str | Path]:
    return [*OPTIONS, "--cluster", "coffea-casa", "--set", f"cluster.address={casa.address}", *more, "--source", source,
            "--output", output]  # fmt: skip


def processes(site: CondorSite, casa: Facility) -> str:
    """Addresses and process numbers of the facility's workers."""
    done = site.run(HEPBATCH.with_name("python"), "-c", SAY, casa.address, **casa.environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def who_did(output: Path) -> dict[str, set[str]]:
    with closing(sqlite3.connect(f"file:{output}/ledger/ledger.sqlite?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT stage, worker FROM items WHERE state = 'done'").fetchall()
    return {stage: {worker for one, worker in rows if one == stage} for stage, _ in rows}


def test_a_run(site: CondorSite, casa: Facility, source: Path, reference: Path) -> None:
    output = site.home / "run"
    done = site.run(HEPBATCH, "run", "higgs4l", *attached(casa, source, output), **casa.environment)
    assert done.returncode == 0, done.stderr[-3000:]
    same_cutflow(output, reference)
    did = who_did(output)
    assert did["train"] == {"gpu-worker"}
    assert did["skim"] <= WORKERS - {"gpu-worker"}
    assert casa.process.poll() is None
    assert len(site.queue()) == len(WORKERS)


def test_code_that_changed_is_what_workers_run_next(
    site: CondorSite, casa: Facility, source: Path, reference: Path
) -> None:
    before = processes(site, casa)
    first, second, local = (site.home / name for name in ("first", "second", "second-local"))
    words = site.words(*map(str, (HEPBATCH, "skim", "higgs4l", *attached(casa, source, first))), **casa.environment)
    with subprocess.Popen([*words, "--set", "chunk_size=5"], stderr=subprocess.PIPE, text=True) as interrupted:
        while not list((first / "skim").glob("*/*.parquet")):
            assert interrupted.poll() is None
            time.sleep(0.2)
        interrupted.send_signal(signal.SIGINT)
        assert interrupted.wait(60) == 128 + signal.SIGINT
    changed = changed_project(site)
    mine = {"PYTHONPATH": str(changed)}
    done = site.run(HEPBATCH, "skim", "higgs4l", *attached(casa, source, second), **casa.environment, **mine)
    assert done.returncode == 0, done.stderr[-3000:]
    done = site.run(HEPBATCH, "skim", "higgs4l", *OPTIONS, "--source", source, "--output", local, **mine)
    assert done.returncode == 0, done.stderr[-3000:]
    same_cutflow(second, local)
    with pytest.raises(AssertionError):
        same_cutflow(second, reference)
    assert processes(site, casa) == before, "no worker was restarted"


def changed_project(site: CondorSite) -> Path:
    """A checkout with a tighter cut, in a module that the processor imports."""
    changed = site.home / "changed"
    for package in PACKAGES:
        shutil.copytree(PROJECT / package, changed / package, ignore=shutil.ignore_patterns("__pycache__"))
    selection = changed / "processors" / "higgs4l_selection.py"
    before = selection.read_text()
    after = before.replace("pt[:, 1] > settings.second_pt", "pt[:, 1] > 2 * settings.second_pt")
    assert after != before
    selection.write_text(after)
    return changed


def test_a_tag_that_nobody_has(site: CondorSite, casa: Facility, source: Path) -> None:
    tagged = ("--set", "cluster.pools.cpu={untagged: false, start_limit: 2 s}")
    done = site.run(
        HEPBATCH, "skim", "higgs4l", *attached(casa, source, site.home / "tagged", *tagged), **casa.environment
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip().splitlines()[-1] == (
        f"hepbatch: the cluster at {casa.address} has no worker with the tag CPU after 2 s: its 3 workers have the "
        "tags GPU; pools.cpu.untagged: true would use the 2 workers without one"
    )
