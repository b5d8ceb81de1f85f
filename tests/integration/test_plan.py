"""`hepbatch plan` against what then happens."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.command import hepbatch, make_source
from support.http_files import serving

pytestmark = pytest.mark.slow

SAMPLES = ("DataMuons", "ZZ")
EVENTS, CHUNK = 6000, 1000
OPTIONS = ("--workers", "2", "--set", f"chunk_size={CHUNK}")


def content(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.parametrize("door", ["directory", "http"])
def test_items_entries_bytes_and_memory_are_as_they_then_are(tmp_path: Path, door: str) -> None:
    source = make_source(tmp_path / "source", SAMPLES, EVENTS)
    with serving(source) as served:
        where = source
        if door == "http":
            where = tmp_path / "source.yaml"
            files = {"DataMuons": "Data/skim.DataMuons.root", "ZZ": "MC/skim.mc_105986.ZZ.root"}
            lines = [f"  {name}: {{files: ['{served.address}/{path}']}}" for name, path in files.items()]
            where.write_text("\n".join(["samples:", *lines, ""]))
        done = hepbatch("plan", "higgs4l", "--source", where, *OPTIONS, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        planned = content(tmp_path / "results" / "plan" / "higgs4l" / "plan.json")
        done = hepbatch("skim", "higgs4l", "--source", where, "--output", "out", *OPTIONS, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    manifest = content(tmp_path / "out" / "manifest.json")
    skim = manifest["stages"]["skim"]
    assert (planned["items"], planned["entries"]) == (skim["items"], skim["entries"]) == (12, 2 * EVENTS)
    assert planned["bytes_read"] == pytest.approx(skim["bytes_read"], rel=0.3)
    assert planned["memory_bytes"] == pytest.approx(
        max(worker["peak_memory_bytes"] for worker in manifest["workers"]), rel=0.3
    )
    assert planned["seconds"] > planned["skim_seconds"] > 0
    assert planned["proposed"]["chunk_size"] > 0
    assert planned["trainings"] == 10
    assert planned["device_hours"] is None
    # Nothing of the items that were tried is left.
    assert not (tmp_path / "results" / "plan" / "higgs4l" / "skim").exists()


def test_what_cannot_be_planned_is_one_sentence(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", ("ZZ",), 10)
    (tmp_path / "a-run").mkdir()
    (tmp_path / "a-run" / "manifest.json").write_text("{}")
    for words, expected in (
        ((), "the simulated source has no files before the run makes them: 'hepbatch datasets simulate higgs4l"),
        (("--source", source, "--output", "a-run"), "--output a-run is the directory of a run"),
        (("--source", source, "--like", "nowhere"), "--like nowhere: there is no run with finished trainings"),
    ):
        done = hepbatch("plan", "higgs4l", *words, cwd=tmp_path)
        assert done.returncode == 2
        assert expected in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "a-run" / "manifest.json").read_text() == "{}"
