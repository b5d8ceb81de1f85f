"""`--detach` and `hepbatch cancel`: a run that outlives its terminal, and ends when it is asked to."""

import json
import time
from pathlib import Path

import psutil
import pytest
from support.command import hepbatch, make_source
from support.slurm import slurm_site

pytestmark = pytest.mark.slow


def test_a_detached_run_finishes_by_itself(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", ("ZZ",))
    begun = hepbatch("skim", "higgs4l", "--source", source, "--output", tmp_path / "out", "--detach", cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    assert "goes on without this terminal" in begun.stdout
    while (tmp_path / "out" / "lock.json").exists():
        time.sleep(0.2)
    assert (tmp_path / "out" / "cutflow.json").is_file()
    status = hepbatch("status", "higgs4l", "--output", tmp_path / "out", cwd=tmp_path)
    assert status.returncode == 0, status.stdout
    again = hepbatch("cancel", "higgs4l", "--output", tmp_path / "out", cwd=tmp_path)
    assert "there is no living run" in again.stdout


def test_a_mistake_is_said_before_the_terminal_is_left(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", ("ZZ",))
    done = hepbatch("run", "higgs4l", "--source", source, "--output", tmp_path / "out", "--detach", cwd=tmp_path)
    assert done.returncode == 2
    assert "--complete simulated would fill it" in done.stderr


def test_cancel_ends_the_process_and_its_jobs(tmp_path: Path) -> None:
    source, output = make_source(tmp_path / "source", ("ZZ",)), tmp_path / "out"
    with slurm_site(tmp_path / "slurm") as site:
        begun = hepbatch(
            "skim", "higgs4l", "--source", source, "--output", output, "--detach", "--cluster", "slurm",
            "--set", "cluster.pools.cpu.queue=closed", cwd=tmp_path, **site.environment,
        )  # fmt: skip
        assert begun.returncode == 0, begun.stderr
        driver = psutil.Process(json.loads((output / "lock.json").read_text())["pid"])
        while not site.queue():
            assert driver.is_running()
            time.sleep(0.2)
        done = hepbatch("cancel", "higgs4l", "--output", output, cwd=tmp_path, **site.environment)
        assert done.returncode == 0, done.stderr
        assert f"process {driver.pid} has ended" in done.stdout
        assert site.queue() == []
    assert not (output / "private").exists()
    assert "interrupted by SIGTERM" in (output / "logs" / "driver.log").read_text()
