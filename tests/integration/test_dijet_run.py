"""`hepbatch run dijet_anomaly` whole: from MOD files to the report, also when driver and worker die in the training."""

import importlib.util
import json
import math
import os
import shlex
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from support.command import HEPBATCH, hepbatch
from support.mod_files import jet_tables, write_jets

from analysis.configuration import load_configuration

TRAINING = (
    "sample_sizes=[700]", "samples=4", "bin_edges=[660, 800, 960, 1160]", "min_events=50", "train_jets=120",
    "test_jets=80", "validation_jets=10", "composition_trainings=1", "stack=8",
    "network={phi_units: [8], f_units: [8], learning_rate: 0.001, batch_size: 20, epochs: 2}",
    "injection={bin: 1, mode: replace, sizes: [10, 30], sample_sizes: [700]}",
)  # fmt: skip
OPTIONS = ("dijet_anomaly", *(word for one in TRAINING for word in ("--set", f"training.{one}")),
           "--set", "results.bootstrap=100", "--set", "chunk_size=2000")  # fmt: skip

#: A full-size run takes minutes, on a busy machine several times as many.
LONG = 1700

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("source")
    for number in range(2):
        tables = jet_tables(number, 4000)
        gluon = np.random.default_rng(number).random(len(tables["hard_pid"])) < 0.6
        tables["hard_pid"][gluon] = 21
        write_jets(directory / f"SIM300_{number}.h5", tables, number, least=1)
    return directory


def trained(output: Path) -> int:
    ledger = output / "ledger" / "ledger.sqlite"
    if not ledger.is_file():
        return 0
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'items'").fetchone():
            return 0
        return int(
            database.execute("SELECT count(*) FROM items WHERE stage = 'train' AND state = 'done'").fetchone()[0]
        )


def await_more(output: Path, than: int, process: "subprocess.Popen[str]") -> None:
    while trained(output) <= than:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def figures(output: Path) -> dict[str, Any]:
    content = json.loads((output / "results.json").read_text())
    return {name: one["value"] for name, one in content.items() if not name.startswith(("stage.", "worker."))}


def test_a_run_that_is_killed_in_the_training_has_the_same_figures(source: Path, tmp_path: Path) -> None:
    reference = hepbatch("run", *OPTIONS, "--source", source, "--output", "reference", cwd=tmp_path)
    assert reference.returncode == 0, reference.stderr
    assert (tmp_path / "reference" / "report.html").stat().st_size > 50_000
    output = tmp_path / "out"
    words = [str(HEPBATCH), "run", *map(str, OPTIONS), "--source", str(source), "--output", "out"]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        await_more(output, 0, process)
        training = [
            child for child in psutil.Process(process.pid).children(recursive=True)
            if "spawn_main" in " ".join(child.cmdline()) and child.memory_info().rss > 400e6
        ]  # fmt: skip
        assert len(training) == 1
        os.kill(training[0].pid, signal.SIGKILL)
        await_more(output, trained(output), process)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    resumed = hepbatch(*words[1:], cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    train = json.loads((output / "manifest.json").read_text())["stages"]["train"]
    assert 0 < train["done_now"] < train["tasks"] == 4
    mine, theirs = figures(output), figures(tmp_path / "reference")
    assert list(mine) == list(theirs)
    assert any(name.startswith("signal.") and name.endswith("significance") for name in theirs)
    for name, value in theirs.items():
        assert mine[name] == (None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)), name


def test_the_command_for_few_events_runs(test_data: Path, tmp_path: Path) -> None:
    """As in docs/dijet-anomaly.md, with one epoch: that samples, bins and signal suit the files is what is tested."""
    files = test_data / "mod"
    if not files.is_dir():
        pytest.skip(f"no directory {files}")
    page = (Path(__file__).resolve().parents[2] / "docs" / "dijet-anomaly.md").read_text()
    section = page.split("## Fewer events")[1]
    words = shlex.split(section.split("```console\n$ ")[1].split("```")[0].replace("\\\n", " "))
    assert words[:4] == ["hepbatch", "run", "dijet_anomaly", "--source"]
    done = hepbatch("run", "dijet_anomaly", "--source", files, *words[5:], "--set", "training.network.epochs=1",
                    "--set", "results.formats=[png]", "--output", "out", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = figures(tmp_path / "out")
    events = [found[f"pool.bin{number}.events"] for number in range(1, 6)]
    gluons = round(events[1] * found["pool.bin2.all_gluon"])
    assert f"{sum(events):,d} events in the mass" in section.replace("\n", " ")
    assert f"{gluons} of them of gluons in the second bin" in section.replace("\n", " ")
    assert all(found[name] == 8 for name in found if name.startswith(("null.", "signal.")) and name.endswith(".samples")
               and "above" not in name)  # fmt: skip


def unexplained(found: dict[str, Any], size: int, pair: str) -> float:
    """By how much the mean AUC without signal is away from 0.5 beyond what the report's tables explain.

    That is what the classifiers can see of the bins: single observables of the jets (not their pT, of which they see
    shares alone), whose small effects add up in quadrature if they are independent, or the shares of gluons. In units
    of the error of the mean for a new pool; not positive where nothing is left.
    """
    prefix = f"null.{size}.{pair}"
    of_observables = math.hypot(
        *(value - 0.5 for name, value in found.items()
          if name.startswith(f"{prefix}.auc_of.") and not name.endswith("jet_pt"))
    )  # fmt: skip
    composition = (abs(found[f"{prefix}.composition_{kind}"] - 0.5) for kind in ("score", "tagger"))
    left = abs(found[f"{prefix}.auc"] - 0.5) - max(of_observables, *composition)
    return float(left / found[f"{prefix}.auc_error_of_pools"])


@pytest.mark.skipif(importlib.util.find_spec("pythia8mc") is None, reason="the extra `simulation` is not installed")
@pytest.mark.timeout(LONG + 60)
def test_the_shipped_analysis_finds_its_signal_and_nothing_else(tmp_path: Path, full_size: bool) -> None:
    if not full_size:
        pytest.skip("a full-size run, which has no smaller one: make test-full")
    done = hepbatch("run", "dijet_anomaly", "--output", tmp_path / "out", cwd=tmp_path, seconds=LONG)
    assert done.returncode == 0, done.stderr
    found = figures(tmp_path / "out")
    training = load_configuration("dijet_anomaly").training
    edges = [f"{660 + 100 * number}" for number in range(6)]
    pairs = ["_".join(edges[first : first + 3]) for first in range(4)]
    injection = training["injection"]
    (size,), largest = injection["sample_sizes"], max(injection["sizes"])
    touched = pairs[injection["bin"] - 2 : injection["bin"]]
    seen = {pair: found[f"signal.{size}.{largest}.{pair}.significance"] for pair in touched}
    assert max(seen.values()) > 5, seen
    for of_size in training["sample_sizes"]:
        for pair in pairs:
            entered, left_out = (found.get(f"null.{of_size}.{pair}.{name}", 0) for name in ("samples", "left_out"))
            assert entered + left_out == training["samples"]
            assert left_out <= 2, (of_size, pair)
            # Half of the samples against the other half: nothing is there to be found.
            assert abs(found[f"null.{of_size}.{pair}.significance.halves"]) < 2, (of_size, pair)
            assert unexplained(found, of_size, pair) < 3, (of_size, pair)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Significance without injection" in page
    assert "before the look-elsewhere effect" in page
