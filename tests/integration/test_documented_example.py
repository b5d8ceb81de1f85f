"""The analysis of docs/adding-an-analysis.md runs as it stands in the page."""

import json
import re
from pathlib import Path

import pytest
from support.command import hepbatch, make_source, python_path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "adding-an-analysis.md"

pytestmark = pytest.mark.slow


def test_the_worked_example_runs(tmp_path: Path) -> None:
    for name, text in re.findall(r"^# file: (\S+)\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(text)
    source = make_source(tmp_path / "source", ("ZZ", "ttbar_lep"))
    done = hepbatch("run", "./dilepton.yaml", "--source", source, cwd=tmp_path, PYTHONPATH=python_path(tmp_path))
    assert done.returncode == 0, done.stderr
    run = tmp_path / "results" / "dilepton"
    cutflow = json.loads((run / "cutflow.json").read_text())
    assert cutflow["ZZ"]["all"]["events"] == 300
    assert 0 < cutflow["ZZ"]["lepton_pt"]["events"] < 300
    assert 0 < json.loads((run / "results.json").read_text())["auc"]["value"] < 1
    assert "Two leptons" in (run / "report.html").read_text()
