"""`hepbatch cluster check`: what a worker of each pool finds, and nothing left behind."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import HEPBATCH, hepbatch, make_source
from support.credentials import voms_proxy
from support.slurm import SlurmSite, slurm_site

pytestmark = pytest.mark.slow
SLURM = ("cluster", "check", "slurm", "--set", "cluster.scheduler.query_interval=2",
         "--set", "cluster.pools.gpu.cores=1", "--set", "cluster.pools.gpu.memory=2GiB")  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmSite]:
    with slurm_site(tmp_path_factory.mktemp("slurm")) as running:
        yield running


def test_this_machine(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", ("ZZ",), events=10)
    done = hepbatch("cluster", "check", "local", "--analysis", "higgs4l", "--source", source, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    size = next(source.rglob("*.root")).stat().st_size
    for pool in ("cpu", "gpu"):
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(f"{pool}: ")]
        assert f"{pool}: worker {pool}-0 on {os.uname().nodename}" in lines[0]
        assert f"{pool}: reads the input: {size} bytes" in lines
        assert any("coffea" in line and line.endswith("as here") for line in lines)


def test_a_file_that_workers_cannot_read(tmp_path: Path) -> None:
    listing = tmp_path / "elsewhere.yaml"
    listing.write_text("samples: {ZZ: {files: ['http://127.0.0.1:9/not/there.root']}}\n")
    done = hepbatch("cluster", "check", "local", "--analysis", "higgs4l", "--source", listing, cwd=tmp_path)
    assert done.returncode == 1
    assert "cpu: cannot read: " in done.stdout + done.stderr


def test_slurm(site: SlurmSite, tmp_path: Path) -> None:
    done = hepbatch(*SLURM, cwd=tmp_path, **site.environment)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "cpu: worker cpu-0" in said
    assert "CUDA_VISIBLE_DEVICES = ''" in said
    assert "gpu: worker gpu-0" in said
    assert "CUDA_VISIBLE_DEVICES = '0'" in said
    assert site.queue() == []


def test_credentials_here_and_on_the_workers(site: SlurmSite, tmp_path: Path) -> None:
    proxy = voms_proxy(tmp_path / "voms", hours=24, attribute_hours=20)
    environment = {**site.environment, "X509_USER_PROXY": str(proxy)}
    needs = ("--set", "cluster.credentials.x509_proxy=true")
    hidden = ("--set", "cluster.pools.cpu.environment={X509_USER_PROXY: /nowhere}")
    done = hepbatch(*SLURM, *needs, *hidden, cwd=tmp_path, **environment)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert f"here: the X.509 proxy ({proxy}) is valid for 19 h" in said
    assert "on the worker cpu-0 the X.509 proxy (/nowhere) is not there" in said
    assert f"gpu: the X.509 proxy ({proxy}) is valid for 19 h" in said
    copied = ("--set", "cluster.credentials.copy_proxy=true")
    done = hepbatch(*SLURM, *needs, *copied, cwd=tmp_path, **environment)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count("private/x509_proxy.pem) is valid for 19 h") == 2
    assert not list(tmp_path.rglob("x509_proxy.pem"))


def test_one_pool_that_does_not_start_does_not_hide_the_other(site: SlurmSite, tmp_path: Path) -> None:
    done = hepbatch(
        *SLURM, "--set", "cluster.pools.cpu.queue=closed", "--set", "cluster.pools.cpu.start_limit=5", cwd=tmp_path,
        **site.environment,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "cpu: the pool cpu has no worker after 5 s: job" in said
    assert "PartitionDown" in said
    assert "gpu: worker gpu-0" in said
    assert site.queue() == []


def test_ctrl_c_leaves_nothing(site: SlurmSite, tmp_path: Path) -> None:
    with (tmp_path / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [str(HEPBATCH), *SLURM, "--set", "cluster.pools.cpu.queue=closed"],
            cwd=tmp_path, env={**os.environ, **site.environment}, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            while not site.queue():
                assert process.poll() is None
                time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            assert process.wait() == 128 + signal.SIGINT
        finally:
            process.kill()
            process.wait()
    assert "interrupted" in (tmp_path / "log.txt").read_text()
    assert site.queue() == []
    assert not list(tmp_path.rglob("*.pem"))
