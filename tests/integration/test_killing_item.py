"""An item that kills its workers costs its own entries only, and what is done is done again only for a reason."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.command import hepbatch, python_path
from support.counting import SAMPLES, counts, make_counting, skimmed

EVENTS = 120
WHOLE = {sample: {"all": EVENTS, "cut": EVENTS} for sample in SAMPLES}

pytestmark = pytest.mark.slow


def manifest(directory: Path) -> Any:
    return json.loads((directory / "out" / "manifest.json").read_text())


def test_only_the_guilty_entries_are_missing_and_come_back_when_the_cause_is_gone(tmp_path: Path) -> None:
    arguments, output = make_counting(tmp_path, EVENTS), tmp_path / "out"
    (tmp_path / "flag").write_text("ZZ 47")  # of the item 40 to 60
    deadly = hepbatch(*arguments, cwd=tmp_path, PYTHONPATH=python_path(tmp_path))
    assert deadly.returncode == 1, deadly.stderr
    assert "Traceback" not in deadly.stderr
    (failure,) = manifest(tmp_path)["failures"]
    assert (failure["sample"], failure["start"], failure["stop"]) == ("ZZ", 45, 50)
    assert "entries 45 to 50" in deadly.stderr
    assert "workers died" in failure["error"]
    assert counts(output) == WHOLE | {"ZZ": {"all": EVENTS - 5, "cut": EVENTS - 5}}
    assert skimmed(output, "ZZ") == [*range(45), *range(50, EVENTS)]
    assert manifest(tmp_path)["samples"]["ZZ"]["flags"] != []
    status = hepbatch("status", "./counting.yaml", "--output", output, cwd=tmp_path, PYTHONPATH=python_path(tmp_path))
    assert status.returncode == 1
    assert "entries 45 to 50" in status.stdout

    kept = hepbatch(*arguments, cwd=tmp_path, PYTHONPATH=python_path(tmp_path))
    assert kept.returncode == 1
    assert manifest(tmp_path)["stages"]["skim"]["done_now"] == 0

    (tmp_path / "flag").unlink()
    healed = hepbatch(*arguments, "--retry-failed", cwd=tmp_path, PYTHONPATH=python_path(tmp_path))
    assert healed.returncode == 0, healed.stderr
    assert manifest(tmp_path)["stages"]["skim"]["done_now"] == 1
    assert counts(output) == WHOLE
    for sample in SAMPLES:
        assert skimmed(output, sample) == list(range(EVENTS))
    assert manifest(tmp_path)["samples"]["ZZ"]["scale"] == 1.0


def test_what_a_change_makes_out_of_date_is_done_again_and_nothing_else(tmp_path: Path) -> None:
    arguments, output = make_counting(tmp_path, EVENTS), tmp_path / "out"

    def skim(*changes: str) -> int:
        """How many items were processed."""
        options = [option for change in changes for option in ("--set", change)]
        session = hepbatch(*arguments, *options, cwd=tmp_path, PYTHONPATH=python_path(tmp_path))
        assert session.returncode == 0, session.stderr
        done_now: int = manifest(tmp_path)["stages"]["skim"]["done_now"]
        return done_now

    items = 2 * EVENTS // 20
    assert skim() == items
    before = {path: path.stat().st_mtime_ns for path in output.glob("skim/*/*.parquet")}
    assert skim("results.color=red", "training.cut=3", "seed=2", "retries.attempts=3") == 0
    assert {path: path.stat().st_mtime_ns for path in output.glob("skim/*/*.parquet")} == before
    assert manifest(tmp_path)["stages"]["plan"]["remembered"] == len(SAMPLES)
    assert counts(output) == WHOLE
    assert skim("processor.cut=100") == items
    assert counts(output) == {sample: {"all": EVENTS, "cut": 20} for sample in SAMPLES}
    assert skimmed(output, "ZZ") == list(range(100, EVENTS))
    processor = tmp_path / "counting_processor.py"
    processor.write_text(processor.read_text() + "\n# another line of code\n")
    assert skim("processor.cut=100") == items
    (next((output / "skim" / "ZZ").glob("*.parquet"))).unlink()
    assert skim("processor.cut=100") == items // 2
    assert skimmed(output, "ZZ") == list(range(100, EVENTS))
    assert skim("processor.cut=100", "chunk_size=30") == 2 * EVENTS // 30
    assert counts(output) == {sample: {"all": EVENTS, "cut": 20} for sample in SAMPLES}
