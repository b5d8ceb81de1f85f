"""`--detach` with the driver as a batch job of its own, on a real Slurm: status and cancel from outside."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.command import hepbatch, make_source
from support.credentials import voms_proxy
from support.slurm import SlurmSite, slurm_site

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
    return make_source(tmp_path_factory.mktemp("source"), ("ZZ", "Zee"), events=600)


@pytest.fixture(scope="module")
def reference(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The cutflow of the local cluster."""
    directory = tmp_path_factory.mktemp("reference")
    done = hepbatch("skim", "higgs4l", "--source", source, "--output", directory / "out", cwd=directory)
    assert done.returncode == 0, done.stderr
    return events(directory / "out")


def events(output: Path) -> dict[str, Any]:
    content = json.loads((output / "cutflow.json").read_text())
    return {sample: {cut: one["events"] for cut, one in cuts.items()} for sample, cuts in content.items()}


def arguments(directory: Path, source: Path, chunk_size: int, **keys: Any) -> tuple[str | Path, ...]:
    pool = {"workers": 2, "memory": "2GiB", "start_limit": "2 min", **keys.pop("pool", {})}
    driver = {"where": "job", "memory": "2GiB", "wait": "3 min", **keys.pop("driver", {})}
    content = {
        "kind": "slurm", "scheduler": {"query_interval": 2}, "pools": {"cpu": pool, "gpu": pool}, "driver": driver,
        **keys,
    }  # fmt: skip
    (directory / "site.yaml").write_text(yaml.safe_dump(content))
    # Relative names: the job must stand where the user stood.
    return ("skim", "higgs4l", "--source", source, "--output", "out", "--cluster", "site.yaml",
            "--set", f"chunk_size={chunk_size}")  # fmt: skip


def ask(directory: Path, verb: str, site: SlurmSite) -> Any:
    return hepbatch(verb, "higgs4l", "--output", "out", cwd=directory, **site.environment)


def await_end(directory: Path, site: SlurmSite) -> None:
    while site.queue() or (directory / "out" / "lock.json").exists():
        time.sleep(0.5)


def skimmed(directory: Path) -> int:
    return len(list((directory / "out" / "skim").glob("Z*/*.parquet")))


def await_skims(directory: Path) -> None:
    log = directory / "out" / "logs" / "driver.log"
    until = time.monotonic() + 300
    while skimmed(directory) < 3:
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.2)


def record(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "out" / "driver.json").read_text())
    return content


def test_a_run_whose_driver_is_a_job_that_goes_on_in_a_second_one(
    site: SlurmSite, source: Path, reference: dict[str, Any], tmp_path: Path
) -> None:
    proxy = voms_proxy(tmp_path / "voms", hours=24, attribute_hours=20)
    words = arguments(
        tmp_path, source, 1, credentials={"x509_proxy": str(proxy), "copy_proxy": True, "lifetime": "1h"},
        pool={"setup": ["echo the proxy is $X509_USER_PROXY"]},
    )  # fmt: skip
    (tmp_path / "out" / "models").mkdir(parents=True)
    begun = hepbatch(*words, "--fresh", "--detach", cwd=tmp_path, **site.environment)
    assert begun.returncode == 0, begun.stderr
    assert not (tmp_path / "out" / "models").exists()
    first = record(tmp_path)["job"]
    assert f"job {first}, process" in begun.stdout
    assert "goes on without this terminal" in begun.stdout
    twice = hepbatch(*words, "--detach", cwd=tmp_path, **site.environment)
    assert twice.returncode == 2
    assert "is in use by process" in twice.stderr
    status = ask(tmp_path, "status", site)
    assert f"out: the driver is slurm job {first}, running" in status.stdout
    assert "running on" in status.stdout
    await_skims(tmp_path)
    site.command("scancel", "--signal=USR1", "--batch", first)  # what Slurm sends before the walltime (--signal)
    await_end(tmp_path, site)
    log = (tmp_path / "out" / "logs" / "driver.log").read_text()
    assert "interrupted by SIGTERM" in log
    second = record(tmp_path)["job"]
    assert f"the walltime of job {first} is nearly over: the run goes on in job {second}" in log
    assert record(tmp_path)["ended"] == 0, log
    shares = re.search(r"skim: .*?(\d+) done now, (\d+) before", log.rpartition("the run goes on in job")[2])
    assert shares is not None, log
    assert min(map(int, shares.groups())) > 0
    assert events(tmp_path / "out") == reference
    assert ask(tmp_path, "status", site).returncode == 0
    private = str(tmp_path / "out" / "private" / "x509_proxy.pem")
    assert f"the proxy is {private}" in (tmp_path / "out" / "logs" / "cpu-0.log").read_text()
    assert not list((tmp_path / "out").glob("private*"))
    assert "there is no living run" in ask(tmp_path, "cancel", site).stdout


def test_cancel_in_the_middle(site: SlurmSite, source: Path, reference: dict[str, Any], tmp_path: Path) -> None:
    words = arguments(tmp_path, source, 2)
    begun = hepbatch(*words, "--detach", cwd=tmp_path, **site.environment)
    assert begun.returncode == 0, begun.stderr
    await_skims(tmp_path)
    done = ask(tmp_path, "cancel", site)
    assert done.returncode == 0, done.stderr
    assert f"the driver, slurm job {record(tmp_path)['job']}, has ended" in done.stdout
    assert site.queue() == []
    assert not (tmp_path / "out" / "lock.json").exists()
    assert "interrupted by SIGTERM" in (tmp_path / "out" / "logs" / "driver.log").read_text()
    status = ask(tmp_path, "status", site)
    assert "interrupted in the stage skim: the same command goes on" in status.stdout
    assert hepbatch(*words, cwd=tmp_path, **site.environment).returncode == 0
    assert events(tmp_path / "out") == reference


def test_a_driver_that_waits_in_the_queue(site: SlurmSite, source: Path, tmp_path: Path) -> None:
    words = arguments(tmp_path, source, 100, driver={"queue": "closed", "wait": "4 s"})
    begun = hepbatch(*words, "--detach", cwd=tmp_path, **site.environment)
    assert begun.returncode == 0, begun.stderr
    number = record(tmp_path)["job"]
    assert f"job {number} is pending (PartitionDown); the run begins with it" in begun.stdout
    again = hepbatch(*words, "--detach", cwd=tmp_path, **site.environment)
    assert again.returncode == 2
    assert f"job {number} is the driver in" in again.stderr
    status = ask(tmp_path, "status", site)
    assert f"out: the driver is slurm job {number}, pending (PartitionDown)" in status.stdout
    elsewhere = hepbatch("status", "higgs4l", "--output", "out", cwd=tmp_path, PATH="/nowhere")
    assert f"the driver was submitted as slurm job {number}" in elsewhere.stdout
    done = ask(tmp_path, "cancel", site)
    assert f"slurm job {number}, has ended" in done.stdout
    assert site.queue() == []
    assert ask(tmp_path, "cancel", site).stdout.startswith("there is no living run")


@pytest.mark.parametrize(
    ("driver", "pool", "words"),
    [
        ({"setup": ["export PATH=/nowhere"]}, {}, "there is no command sbatch here"),
        ({}, {"queue": "elsewhere"}, "sbatch failed: "),
    ],
)
def test_nodes_that_may_not_submit(
    site: SlurmSite, source: Path, tmp_path: Path, driver: dict[str, Any], pool: dict[str, Any], words: str
) -> None:
    done = hepbatch(
        *arguments(tmp_path, source, 100, driver=driver, pool=pool), "--detach", cwd=tmp_path, **site.environment
    )
    assert done.returncode == 2, done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("hepbatch: the run ended at once: the driver is a job on")
    assert "where no jobs can be submitted" in last
    assert words in last
    assert "use driver.where=here on a machine that may submit" in last
    assert (
        last.removeprefix("hepbatch: the run ended at once: ").partition(" (log:")[0]
        in (tmp_path / "out" / "logs" / "driver.log").read_text()
    )
    await_end(tmp_path, site)
