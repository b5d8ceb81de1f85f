"""`--cluster slurm` on a real Slurm with fake GPUs: the numbers of the local cluster, whatever happens to the jobs."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from support.command import HEPBATCH, hepbatch, make_source, same_cutflow
from support.slurm import SlurmSite, slurm_site

OPTIONS = ("--set", "chunk_size=25", "--set", "training.folds=3", "--set", "training.bootstrap=20",
           "--set", "training.models={trees: {kind: boosted_trees}, network: {kind: network}}")  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmSite]:
    with slurm_site(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_job_is_left_to_the_next_test(site: SlurmSite) -> Iterator[None]:
    yield
    site.empty()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("source"), events=600)


@pytest.fixture(scope="module")
def reference(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The skim of the local cluster."""
    directory = tmp_path_factory.mktemp("reference")
    done = hepbatch("skim", "higgs4l", *OPTIONS, "--source", source, "--output", directory / "out", cwd=directory)
    assert done.returncode == 0, done.stderr
    return directory / "out"


def cluster_file(directory: Path, cpu: dict[str, Any] | None = None, gpu: dict[str, Any] | None = None) -> Path:
    pool: dict[str, Any] = {"memory": "2GiB", "start_limit": "2 min"}
    content = {
        "kind": "slurm",
        "scheduler": {"query_interval": 2},
        "pools": {
            "cpu": {"workers": 2, **pool, **(cpu or {})},
            "gpu": {"workers": 1, "gpus": 1, **pool, **(gpu or {})},
        },
    }
    path = directory / "site.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@contextmanager
def started(site: SlurmSite, cwd: Path, *arguments: str | Path) -> Iterator["subprocess.Popen[str]"]:
    with (cwd / "log.txt").open("a") as log:
        process = subprocess.Popen(
            [str(HEPBATCH), *map(str, arguments)], cwd=cwd, env={**os.environ, **site.environment}, stdout=log,
            stderr=log, text=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def await_true(what: Callable[[], bool], process: "subprocess.Popen[str]", log: Path) -> None:
    while not what():
        assert process.poll() is None, log.read_text()[-3000:]
        time.sleep(0.2)


def ledger(output: Path, query: str) -> list[Any]:
    path = output / "ledger" / "ledger.sqlite"
    if not path.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
            return database.execute(query).fetchall()
    except sqlite3.OperationalError:  # it is only just being made
        return []


def skimmed(output: Path) -> int:
    rows = ledger(output, "SELECT count(*) FROM items WHERE stage = 'skim' AND state = 'done'")
    return int(rows[0][0]) if rows else 0


def jobs(site: SlurmSite, pool: str, state: str = "R") -> list[str]:
    rows = (line.split() for line in site.queue("%i %j %t"))
    return [number for number, name, found in rows if name.endswith(f"-{pool}") and found == state]


def manifest(output: Path) -> Any:
    return json.loads((output / "manifest.json").read_text())


def test_a_run_whose_jobs_are_cancelled_in_the_middle(
    site: SlurmSite, source: Path, reference: Path, tmp_path: Path
) -> None:
    output, log = tmp_path / "out", tmp_path / "log.txt"
    seen: set[tuple[str, str]] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            seen.update((line.split()[1].rpartition("-")[2], line.split()[3]) for line in site.queue("%i %j %t %b"))

    watcher = threading.Thread(target=look)
    with started(
        site, tmp_path, "run", "higgs4l", *OPTIONS, "--set", "chunk_size=2", "--cluster", cluster_file(tmp_path),
        "--source", source, "--output", output,
    ) as process:  # fmt: skip
        watcher.start()
        try:
            await_true(lambda: skimmed(output) > 5, process, log)
            first = jobs(site, "cpu")
            site.command("scancel", first[0])
            await_true(lambda: bool(set(jobs(site, "cpu")) - set(first)), process, log)  # another one comes for it
            await_true(lambda: bool(jobs(site, "gpu")), process, log)
            assert not jobs(site, "cpu"), "the pool of the skim has ended with it"
            time.sleep(2)  # wherever it is by then
            site.command("scancel", *jobs(site, "gpu"))
            assert process.wait() == 0, log.read_text()[-3000:]
        finally:
            over.set()
            watcher.join()
    same_cutflow(output, reference)
    assert seen == {("cpu", "N/A"), ("gpu", "gres:gpu:1")}
    rows = ledger(output, "SELECT stage, worker FROM items WHERE state = 'done'")
    pools = {(stage, worker.partition("-")[0]) for stage, worker in rows}
    assert pools == {("skim", "cpu"), ("train", "gpu")}
    facts = manifest(output)["cluster"]
    assert facts["kind"] == "slurm"
    assert len(facts["pools"]["cpu"]["jobs"]) >= 3
    assert len(facts["pools"]["gpu"]["jobs"]) >= 2
    assert {one["pool"] for one in manifest(output)["workers"]} == {"cpu", "gpu"}
    assert site.queue() == []


def test_the_file_that_comes_with_the_program(site: SlurmSite, source: Path, reference: Path, tmp_path: Path) -> None:
    done = hepbatch(
        "run", "higgs4l", *OPTIONS, "--cluster", "slurm", "--set", "cluster.pools.gpu.memory=4GiB", "--source", source,
        "--output", tmp_path / "out", cwd=tmp_path, **site.environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    same_cutflow(tmp_path / "out", reference)
    assert site.queue() == []


def test_a_walltime_shorter_than_the_run_is_no_fault(
    site: SlurmSite, source: Path, reference: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    short = {"walltime": "30 s", "retire_before": "14 s"}
    rounds = 0
    while rounds == 0 or (len(manifest(output)["cluster"]["pools"]["cpu"]["jobs"]) <= 2 and rounds < 5):
        rounds += 1  # a fast machine may be through within one walltime: then with smaller items
        done = hepbatch(
            "skim", "higgs4l", *OPTIONS, "--set", f"chunk_size={max(1, 10 // rounds**2)}", "--fresh",
            "--cluster", cluster_file(tmp_path, cpu=short), "--source", source, "--output", output, cwd=tmp_path,
            **site.environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
    facts = manifest(output)["cluster"]
    assert len(facts["pools"]["cpu"]["jobs"]) > 2, "jobs were renewed"
    assert facts["lost_workers"] == 0
    assert facts["isolated"] == 0
    same_cutflow(output, reference)
    assert site.queue() == []


def test_a_walltime_shorter_than_the_training_is_no_fault(
    site: SlurmSite, source: Path, reference: Path, tmp_path: Path
) -> None:
    short = {"walltime": "45 s", "retire_before": "20 s"}
    for number in (10, 30):  # a fast machine may be through within one walltime: then with more models
        models = ", ".join(f"t{one}: {{kind: boosted_trees}}" for one in range(number))
        options = (*OPTIONS[:2], "--set", "training.folds=3", "--set", "training.bootstrap=2", "--set",
                   f"training.models={{{models}}}")  # fmt: skip
        local, output = tmp_path / f"local-{number}", tmp_path / f"slurm-{number}"
        for place, more in ((local, ()), (output, ("--cluster", cluster_file(tmp_path, gpu=short)))):
            shutil.copytree(reference, place)
            done = hepbatch("train", "higgs4l", *options, *more, "--output", place, cwd=tmp_path, **site.environment)
            assert done.returncode == 0, done.stderr[-3000:]
        facts = manifest(output)["cluster"]
        if len(facts["pools"]["gpu"]["jobs"]) > 1:
            break
    assert len(facts["pools"]["gpu"]["jobs"]) > 1, "jobs were renewed"
    assert facts["lost_workers"] == 0
    names = sorted(path.relative_to(local) for path in local.glob("models/*/scores.parquet"))
    assert len(names) >= number
    for name in names:
        assert pq.read_table(output / name).equals(pq.read_table(local / name)), name
    assert site.queue() == []


def test_ctrl_c_leaves_no_job_and_no_key(site: SlurmSite, source: Path, reference: Path, tmp_path: Path) -> None:
    output, log = tmp_path / "out", tmp_path / "log.txt"
    arguments = ("skim", "higgs4l", *OPTIONS, "--set", "chunk_size=5", "--cluster", cluster_file(tmp_path),
                 "--source", source, "--output", output)  # fmt: skip
    with started(site, tmp_path, *arguments) as process:
        await_true(lambda: skimmed(output) > 5, process, log)
        scripts = [path.read_text() for path in (output / "logs").glob("*.job")]
        key = (output / "private" / "key.pem").read_text()
        assert (output / "private").stat().st_mode & 0o777 == 0o700
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in (output / "private").iterdir())
        process.send_signal(signal.SIGINT)
        assert process.wait() == 128 + signal.SIGINT, log.read_text()[-3000:]
    assert site.queue() == []
    assert not (output / "private").exists()
    assert scripts
    for line in key.splitlines():
        assert not any(line in script for script in scripts)
    with started(site, tmp_path, *arguments) as process:
        assert process.wait() == 0, log.read_text()[-3000:]
    same_cutflow(output, reference)
    assert site.queue() == []


def test_jobs_of_a_killed_driver_end_when_the_run_resumes(
    site: SlurmSite, source: Path, reference: Path, tmp_path: Path
) -> None:
    output, log = tmp_path / "out", tmp_path / "log.txt"
    wide = cluster_file(tmp_path, cpu={"workers": 3, "cores": 8})  # two nodes of 8: the third waits
    arguments = ("skim", "higgs4l", *OPTIONS, "--cluster", wide, "--source", source, "--output", output)
    with started(site, tmp_path, *arguments) as process:
        await_true(lambda: skimmed(output) > 0 and bool(jobs(site, "cpu", "PD")), process, log)
        orphan = jobs(site, "cpu", "PD")[0]
        site.command("scontrol", "hold", orphan)  # it would start, find nobody, and end by itself
        process.kill()
        process.wait()
    assert orphan in site.queue("%i")
    with started(site, tmp_path, *arguments) as process:
        assert process.wait() == 0, log.read_text()[-3000:]
    assert "jobs of an earlier run were still there" in log.read_text()
    same_cutflow(output, reference)
    assert site.queue() == []


@pytest.mark.parametrize(
    ("cpu", "words"),
    [
        ({"queue": "nowhere"}, ("sbatch", "invalid partition")),
        ({"queue": "closed", "start_limit": "8 s"}, ("after 8 s", "PartitionDown")),
        ({"setup": ["echo the module cvmfs is missing", "exit 1"]}, ("ended before", "the module cvmfs is missing")),
    ],
)
def test_a_pool_that_does_not_start_says_why(
    site: SlurmSite, source: Path, tmp_path: Path, cpu: dict[str, Any], words: tuple[str, ...]
) -> None:
    done = hepbatch(
        "skim", "higgs4l", "--cluster", cluster_file(tmp_path, cpu=cpu), "--source", source, "--output",
        tmp_path / "out", cwd=tmp_path, **site.environment,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    for word in words:
        assert word in last
    assert "Traceback" not in done.stderr
    assert site.queue() == []
    assert not (tmp_path / "out" / "private").exists()


def test_workers_with_other_software_are_an_error(site: SlurmSite, source: Path, tmp_path: Path) -> None:
    metadata = tmp_path / "other" / "coffea-2020.1.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: coffea\nVersion: 2020.1\n")
    cpu = {"setup": [f"export PYTHONPATH={metadata.parent.parent}:$PYTHONPATH"]}
    done = hepbatch(
        "skim", "higgs4l", "--cluster", cluster_file(tmp_path, cpu=cpu), "--source", source, "--output",
        tmp_path / "out", cwd=tmp_path, **site.environment,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert f"coffea 2020.1 instead of {version('coffea')}" in done.stderr
    assert site.queue() == []
