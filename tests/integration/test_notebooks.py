"""The notebooks of docs/notebooks run from the first cell to the last, on a small run that they make themselves."""

import os
from pathlib import Path

import pytest
from support.command import HEPBATCH, make_source

NOTEBOOKS = Path(__file__).resolve().parents[2] / "docs" / "notebooks"
OPTIONS = "--workers 2 --set training.folds=3 --set training.bootstrap=20"
MODELS = "'training.models={trees: {kind: boosted_trees}}'"

pytestmark = pytest.mark.slow


def test_the_notebook_of_higgs4l(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="the extra `dev` is not installed")
    nbclient = pytest.importorskip("nbclient", reason="the extra `dev` is not installed")
    source = make_source(tmp_path / "source")
    monkeypatch.setenv("PATH", os.pathsep.join([str(HEPBATCH.parent), os.environ["PATH"]]))
    monkeypatch.setenv("HEPBATCH_RUN", str(tmp_path / "run"))
    monkeypatch.setenv("HEPBATCH_OPTIONS", f"--source {source} {OPTIONS} --set {MODELS}")
    notebook = nbformat.read(NOTEBOOKS / "higgs4l.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "a notebook is kept without its outputs"
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = "".join(
        output.get("text", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if cell != notebook.cells[1]
    )
    assert "ggH125_ZZ4lep" in said
    assert "from 120 to 130 GeV" in said
    assert "area under the curve 0." in said or "area under the curve 1." in said
    assert (tmp_path / "run" / "report.html").is_file()
