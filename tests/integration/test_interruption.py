"""A run that is asked to stop ends soon, says what is done in one sentence, and goes on when it is started again."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from support.command import HEPBATCH, hepbatch, python_path
from support.counting import SAMPLES, counts, make_counting, skimmed

from analysis.engine.ledger import read_ledger

EVENTS, ITEMS = 600, 60
PAUSE = "0.3"  # of each item, so that the run is met at work [s]

pytestmark = pytest.mark.slow


@contextmanager
def started(arguments: tuple[str, ...], cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A slow run in a process group of its own, as a shell starts it."""
    (cwd / "pause").write_text(PAUSE)
    process = subprocess.Popen(
        [str(HEPBATCH), *arguments], cwd=cwd, env={**os.environ, "PYTHONPATH": python_path(cwd)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def done(output: Path) -> int:
    return sum(states["done"] for (stage, _), states in read_ledger(output / "ledger")[0].items() if stage == "skim")


def wait_until_at_work(process: subprocess.Popen[str], output: Path) -> None:
    while done(output) == 0:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("number", "whole_group"),
    [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGTERM, True)],
    ids=["Ctrl-C", "kill", "a batch system"],
)
def test_a_stopped_run_says_what_is_done_and_goes_on(tmp_path: Path, number: signal.Signals, whole_group: bool) -> None:
    arguments, output = make_counting(tmp_path, EVENTS), tmp_path / "out"
    with started(arguments, tmp_path) as process:
        wait_until_at_work(process, output)
        family = psutil.Process(process.pid).children(recursive=True)
        (os.killpg if whole_group else os.kill)(process.pid, number)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 128 + number, said
        _, alive = psutil.wait_procs(family, timeout=60)
        assert alive == []
    assert "Traceback" not in said
    found = re.findall(r"^hepbatch: interrupted by (\w+); skim: (\d+) of (\d+) done; the same command", said, re.M)
    assert found == [(number.name, str(done(output)), str(ITEMS))]
    before = done(output)
    assert 0 < before < ITEMS

    (tmp_path / "pause").unlink()
    again = hepbatch(*arguments, cwd=tmp_path, PYTHONPATH=python_path(tmp_path))
    assert again.returncode == 0, again.stderr
    stages = json.loads((output / "manifest.json").read_text())["stages"]
    assert (stages["skim"]["kept"], stages["skim"]["done_now"]) == (before, ITEMS - before)
    assert counts(output) == {sample: {"all": EVENTS, "cut": EVENTS} for sample in SAMPLES}
    for sample in SAMPLES:
        assert skimmed(output, sample) == list(range(EVENTS))
    assert sorted(path.name for path in (output / "skim").iterdir()) == sorted(SAMPLES)


def test_impatience_loses_at_most_the_last_items(tmp_path: Path) -> None:
    arguments, output = make_counting(tmp_path, EVENTS), tmp_path / "out"
    with started(arguments, tmp_path) as process:
        wait_until_at_work(process, output)
        family = psutil.Process(process.pid).children(recursive=True)
        for _ in range(2):
            os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 128 + signal.SIGINT, said
        _, alive = psutil.wait_procs(family, timeout=60)
        assert alive == []
    assert "hepbatch: interrupted by SIGINT; skim: " in said
    (tmp_path / "pause").unlink()
    again = hepbatch(*arguments, cwd=tmp_path, PYTHONPATH=python_path(tmp_path))
    assert again.returncode == 0, again.stderr
    assert counts(output) == {sample: {"all": EVENTS, "cut": EVENTS} for sample in SAMPLES}


def test_a_second_run_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    arguments, output = make_counting(tmp_path, EVENTS), tmp_path / "out"
    with started(arguments, tmp_path) as process:
        while not (output / "lock.json").exists():
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        second = hepbatch(*arguments, cwd=tmp_path, PYTHONPATH=python_path(tmp_path))
        assert process.poll() is None
    assert second.returncode == 2
    assert len(second.stderr.strip().splitlines()) == 1
    assert f"is in use by process {process.pid} on" in second.stderr
