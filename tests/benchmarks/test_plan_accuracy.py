"""The comparison of a plan with the run after it: what it compares, and what it says."""

import re
from pathlib import Path
from typing import Any

import pytest
from support.command import make_source

from benchmarks.plan_accuracy import compare, main, report

PLAN: dict[str, Any] = {
    "seconds": 12.0, "skim_seconds": 8.0, "plan_seconds": 1.0, "bytes_read": 2e6, "memory_bytes": 3e8,
    "device_hours": 0.01, "train_seconds": 38.0, "total_seconds": 50.0,
}  # fmt: skip
MANIFEST: dict[str, Any] = {
    "started": "2026-11-22T18:00:00+00:00",
    "stages": {
        "plan": {"started": "2026-11-22T18:00:01+00:00", "seconds": 0.5},
        "skim": {"started": "2026-11-22T18:00:02+00:00", "seconds": 8.0, "bytes_read": 2.5e6},
        "train": {"started": "2026-11-22T18:00:11+00:00", "seconds": 40.0},
    },
    "workers": [
        {"pool": "cpu", "busy_seconds": 7.0, "peak_memory_bytes": 1e8},
        {"pool": "cpu", "busy_seconds": 7.0, "peak_memory_bytes": 2e8},
        {"pool": "gpu", "busy_seconds": 30.0, "peak_memory_bytes": 9e8},
    ],
}


def test_each_quantity_is_compared_with_that_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    found = {one.what: one for one in compare(PLAN, MANIFEST)}
    assert {name: (one.predicted, one.happened) for name, one in found.items()} == {
        "wall time [s]": (50.0, 51.0), "of it until the skim [s]": (12.0, 10.0), "of it training [s]": (38.0, 40.0),
        "of it skim [s]": (8.0, 8.0), "of it opening [s]": (1.0, 0.5),
        "read [MB]": (2.0, 2.5), "memory [MB]": (300.0, 200.0), "device [s]": (36.0, 30.0),
    }  # fmt: skip
    assert [name for name, one in found.items() if one.missed] == ["memory [MB]"]  # a part may be off by more
    skimmed = {**MANIFEST, "stages": {name: one for name, one in MANIFEST["stages"].items() if name != "train"}}
    assert {one.what: (one.predicted, one.happened) for one in compare(PLAN, skimmed)}["wall time [s]"] == (12.0, 10.0)
    unknown = {**PLAN, "device_hours": None, "train_seconds": None, "total_seconds": None}
    assert {one.what for one in compare(unknown, MANIFEST) if one.missed} == {
        "wall time [s]", "device [s]", "memory [MB]",
    }  # fmt: skip
    assert not report("higgs4l", list(found.values()))
    said = capsys.readouterr().out.splitlines()
    assert [line.endswith("off by  50% MISSED") for line in said].count(True) == 1
    assert report("higgs4l", [one for one in found.values() if not one.missed])


@pytest.mark.slow
def test_a_run_is_planned_made_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_source(tmp_path / "source", ("DataMuons", "ZZ"), 2000)
    status = main(["--analysis", "higgs4l", "--source", f"higgs4l={source}", "--set", "chunk_size=500", "--skim-only"])
    said = capsys.readouterr().out
    assert [line.split()[1] for line in said.splitlines()] == ["wall", "of", "of", "read", "memory"]
    # How well it does is for a machine that does nothing else; that there is something to compare is for any.
    numbers = re.findall(r"predicted +(\S+)  happened +(\S+)  off by", said)
    assert [float(predicted) > 0 and float(happened) > 0 for predicted, happened in numbers] == [True] * 5
    assert status in (0, 1)


def test_a_wrong_source_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ("higgs4l", "higs4l=there"):
        with pytest.raises(SystemExit):
            main(["--source", words])
        assert "--source is ANALYSIS=DIR, with an analysis of higgs4l, dijet_anomaly" in capsys.readouterr().err
