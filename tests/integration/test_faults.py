"""Workers, schedulers and drivers killed at random (seeded) moments: in the end the numbers of an undisturbed run."""

import itertools
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from support.command import HEPBATCH, NAMES, make_source

SKIM_KILLS, TRAINING_KILLS = 24, 6
OPTIONS = ("--set", "chunk_size=10", "--set", "training.folds=3", "--set", "training.bootstrap=20",
           "--set", "training.models={trees: {kind: boosted_trees}, network: {kind: network}}")  # fmt: skip

pytestmark = pytest.mark.slow


@dataclass
class Tally:
    kills: int = 0
    resumes: int = 0
    by_victim: dict[str, int] = field(default_factory=dict)


@contextmanager
def running(verb: str, *options: str | Path, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    with (cwd / "log.txt").open("a") as log:
        process = subprocess.Popen(
            [str(HEPBATCH), verb, "higgs4l", *OPTIONS, *map(str, options)], cwd=cwd, stdout=log, stderr=log, text=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def victims_of(process: subprocess.Popen[str]) -> dict[str, list[psutil.Process]]:
    """The processes of a run by their part in it."""
    victims: dict[str, list[psutil.Process]] = {"driver": [], "scheduler": [], "worker": []}
    try:
        driver = psutil.Process(process.pid)
        victims["driver"].append(driver)
        for child in driver.children(recursive=True):
            command = " ".join(child.cmdline())
            part = "worker" if "spawn_main" in command else "scheduler" if "scheduler_process" in command else None
            if part is not None:
                victims[part].append(child)
    except psutil.NoSuchProcess:  # it ended while we looked
        pass
    return victims


def disturb(
    verb: str, options: tuple[str | Path, ...], kills: int, chance: random.Random, tally: Tally, cwd: Path
) -> int:
    """Runs until the end, killing up to `kills` times on the way; gives the exit status of the last session."""
    done = 0
    while True:
        with running(verb, *options, cwd=cwd) as process:
            while process.poll() is None and done < kills:
                time.sleep(chance.uniform(0.2, 3.0))
                victims = victims_of(process)
                if process.poll() is not None or len(victims["worker"]) < 2:
                    continue
                part = chance.choice(["driver", "driver", "scheduler", "worker", "worker", "worker"])
                if not victims[part]:
                    continue
                os.kill(chance.choice(victims[part]).pid, signal.SIGKILL)
                done += 1
                tally.kills += 1
                tally.by_victim[part] = tally.by_victim.get(part, 0) + 1
                if part == "driver":
                    process.wait()
                    _, alive = psutil.wait_procs([*victims["worker"], *victims["scheduler"]], timeout=60)
                    assert not alive, "what the driver started outlives it"
            if process.returncode != -signal.SIGKILL:
                return process.wait()
            tally.resumes += 1


def rows(directory: Path) -> list[Any]:
    table = pq.read_table(directory).sort_by([("run", "ascending"), ("event", "ascending"), ("m4l", "ascending")])
    return [table[name].to_pylist() for name in table.column_names if name != "phi"]


def differences(output: Path, reference: Path) -> int:
    """How many counts, weighted sums (to 1e-12), skims and file lists differ; names them on standard output."""
    found = 0
    mine, theirs = (json.loads((one / "cutflow.json").read_text()) for one in (output, reference))
    for sample, cut in itertools.product(NAMES, theirs["ZZ"]):
        scale = max(1.0, abs(theirs[sample]["all"]["weighted"]))
        same = mine[sample][cut]["events"] == theirs[sample][cut]["events"]
        near = abs(mine[sample][cut]["weighted"] - theirs[sample][cut]["weighted"]) <= 1e-12 * scale
        found += not (same and near)
    for sample in NAMES:
        if repr(rows(output / "skim" / sample)) != repr(rows(reference / "skim" / sample)):  # repr: NaN equals NaN
            print(f"the skim of {sample} differs")
            found += 1
    bins = [json.loads((one / "histograms.json").read_text()) for one in (output, reference)]
    for sample in NAMES:
        mine, theirs = (np.asarray(one[sample]["m4l"]["storage"]["values"]) for one in bins)
        scale = max(1.0, float(np.abs(theirs).sum()))
        if not np.allclose(mine, theirs, rtol=0, atol=1e-12 * scale):
            print(f"the histogram of {sample} differs")
            found += 1
    temporary = list(output.rglob(".*"))
    if temporary:
        print(f"temporary files: {temporary}")
    return found + len(temporary)


@pytest.mark.timeout(1800)
def test_a_killed_run_resumes_to_the_same_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_source(tmp_path / "source", events=1500)
    reference, output = tmp_path / "reference", tmp_path / "out"
    with running("run", "--source", source, "--output", reference, cwd=tmp_path) as process:
        assert process.wait() == 0, (tmp_path / "log.txt").read_text()[-3000:]
    chance, skim, training = random.Random(20120704), Tally(), Tally()  # noqa: S311  (not for security)
    total = 0
    while skim.kills < SKIM_KILLS:
        options = ("--source", source, "--output", output)
        with running("skim", "--fresh", *options, cwd=tmp_path) as process:  # a new round begins, and is cut off
            time.sleep(chance.uniform(2.0, 4.0))
        status = disturb("skim", options, SKIM_KILLS - skim.kills, chance, skim, tmp_path)
        assert status == 0, (tmp_path / "log.txt").read_text()[-3000:]
        total += differences(output, reference)
    rounds = 0
    while training.kills < TRAINING_KILLS:
        options = ("--source", source, "--output", output, "--set", f"training.bootstrap={20 + rounds}")
        rounds += 1
        status = disturb("run", options, TRAINING_KILLS - training.kills, chance, training, tmp_path)
        assert status == 0, (tmp_path / "log.txt").read_text()[-3000:]
        total += differences(output, reference)
    with running("run", "--source", source, "--output", output, cwd=tmp_path) as process:
        assert process.wait() == 0
    figures = [json.loads((one / "results.json").read_text()) for one in (output, reference)]
    names = [name for name in figures[1] if name.startswith(("significance.", "auc.", "yield."))]
    changed = [
        name for name in names if figures[0][name]["value"] != pytest.approx(figures[1][name]["value"], rel=1e-9)
    ]
    with capsys.disabled():
        print(
            f"\nkills: {skim.kills} in the skim {skim.by_victim}, {training.kills} in training {training.by_victim}; "
            f"resumes: {skim.resumes + training.resumes}; differences: {total + len(changed)}"
        )
    assert total == 0
    assert changed == []
