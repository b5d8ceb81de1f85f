"""`hepbatch run higgs4l` from files to the report, on real files and on the simulated source."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from support.command import NAMES, hepbatch, make_source

REAL = {
    "DataEgamma": (89, 88, 4),
    "DataMuons": (112, 109, 6),
    "Zee": (720, 709, None),
    "Zmumu": (1057, 1045, None),
    "ttbar_lep": (897, 880, None),
    "ZZ": (1973, 1956, None),
}
# Fewer fits and events than the shipped configuration; every kind of model still has its part.
REDUCED = ("--set", "training.folds=3", "--set", "training.bootstrap=30")

pytestmark = pytest.mark.slow


def content(directory: Path, name: str) -> Any:
    return json.loads((directory / name).read_text())


def test_real_files_completed_with_simulated_signals(test_data: Path, full_size: bool, tmp_path: Path) -> None:
    complete = "simulated" if full_size else test_data / "simulated"
    reduced = () if full_size else REDUCED
    output = tmp_path / "out"
    done = hepbatch(
        "run", "higgs4l", "--source", test_data / "atlas-8tev", "--complete", complete, "--output", output, *reduced,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cutflow = content(output, "cutflow.json")
    for sample, (read, four_leptons, selected) in REAL.items():
        assert cutflow[sample]["all"]["events"] == read
        assert cutflow[sample]["four_leptons"]["events"] == four_leptons
        if selected is not None:
            assert cutflow[sample]["m_z2"]["events"] == selected
    samples = content(output, "manifest.json")["samples"]
    assert {name for name, one in samples.items() if one["simulated"]} == {"ggH125_ZZ4lep", "VBFH125_ZZ4lep"}
    results = content(output, "results.json")
    assert results["yield.data.selected"]["value"] == 10
    assert results["significance.asimov.cut_based"]["uncertainty"] > 0
    page = (output / "report.html").read_text()
    assert "ggH125_ZZ4lep" in page
    assert "Simulated" in page


@pytest.mark.skipif(importlib.util.find_spec("pythia8mc") is None, reason="the extra `simulation` is not installed")
def test_the_simulated_source(tmp_path: Path) -> None:
    options = (
        "--output",
        tmp_path / "out",
        "--set",
        "simulation.scale=0.1",
        "--set",
        "simulation.pseudo_data_pool=0.3",
    )
    done = hepbatch("run", "higgs4l", *options, *REDUCED, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(content(tmp_path / "out", "cutflow.json")) == list(NAMES)
    assert content(tmp_path / "out", "manifest.json")["simulated"] is True
    assert "report: " in done.stdout
    again = hepbatch("skim", "higgs4l", *options, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "simulated 0 of" in again.stderr


def test_a_role_without_events_ends_the_run_after_the_skim(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", events=50)
    for sample in ("ggH125_ZZ4lep", "VBFH125_ZZ4lep"):
        (source / f"{NAMES[sample]}.root").write_bytes(b"")
    done = hepbatch("run", "higgs4l", "--source", source, "--output", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 1
    assert "stops after the skim: no events with a known yield in the role signal" in done.stderr
    assert not (tmp_path / "out" / "models").exists()
