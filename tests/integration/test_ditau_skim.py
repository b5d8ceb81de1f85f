"""`hepbatch skim ditau_mass` with real workers, on NanoAOD of several versions, one of which cannot be used."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.command import hepbatch
from support.independent_ditau import select
from support.nano_files import write_nano

pytestmark = pytest.mark.slow


def test_a_directory_of_several_versions(test_data: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    files = [
        write_nano(source / f"HTT_{version}.root", number, 300, version=version)
        for number, version in enumerate(("v9", "v15"))
    ]
    shutil.copy(test_data / "cms-nanoaod" / "nano_tree.root", source / "HTT_old.root")
    run = tmp_path / "run"
    options = ("--source", str(source), "--output", str(run), "--workers", "2", "--set", "chunk_size=170")
    done = hepbatch("skim", "ditau_mass", *options, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "HTT_old.root: the tree 'Events' has no branch 'Tau_idDeepTau2017v2p1VSjet'" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    expected = [select(path) for path in files]
    cutflow = json.loads((run / "cutflow.json").read_text())["HTT"]
    for cut in cutflow:
        assert cutflow[cut]["events"] == sum(counts[cut] for counts, _ in expected)
    events = [
        row["event"] for path in (run / "skim" / "HTT").glob("*.parquet") for row in pq.read_table(path).to_pylist()
    ]
    assert sorted(events) == sorted(row["event"] for _, rows in expected for row in rows)
    notes = json.loads((run / "notes.json").read_text())["HTT"]
    assert notes == {
        "DeepTau 2018v2p5 in place of 2017v2p1": 300,
        "jets without identification: the file has no Jet_jetId": 300,
    }
    again = hepbatch("skim", "ditau_mass", *options, cwd=tmp_path)
    assert again.returncode == 1
    assert json.loads((run / "cutflow.json").read_text())["HTT"] == cutflow
    assert json.loads((run / "notes.json").read_text())["HTT"] == notes
