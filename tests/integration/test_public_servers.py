"""The real addresses of the catalogues: `HEPBATCH_TEST_INTERNET=1 pytest -m internet`; no other test needs them."""

import json
import os
from pathlib import Path

import pytest
from support.command import hepbatch

pytestmark = [
    pytest.mark.internet,
    pytest.mark.skipif(
        not os.environ.get("HEPBATCH_TEST_INTERNET"), reason="asks public servers (HEPBATCH_TEST_INTERNET=1)"
    ),
]


@pytest.mark.parametrize(
    ("analysis", "catalogue"),
    [
        ("higgs4l", "higgs4l"), ("higgs4l_13tev", "higgs4l_13tev"), ("dijet_anomaly", "dijet_anomaly"),
        ("lepton_id", "lepton_id"), ("lepton_id_13tev", "lepton_id_13tev"), ("lepton_id_cms", "lepton_id_cms"),
        ("ditau_mass_cms", "ditau_mass"),
    ],
)  # fmt: skip
def test_every_listed_file_is_there_as_it_was_published(tmp_path: Path, analysis: str, catalogue: str) -> None:
    done = hepbatch(
        "datasets", "check", analysis, "--limit-files", "2", "--output", "out", "--set", f"datasets={catalogue}",
        "--set", f"opendata.cache={tmp_path / 'cache'}", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    places = json.loads((tmp_path / "out" / "check.json").read_text())["places"]
    assert places
    assert [one["error"] for one in places] == [None] * len(places)


def test_a_small_sample_is_downloaded_verified_and_skimmed(tmp_path: Path) -> None:
    options = ("--set", f"opendata.cache={tmp_path / 'cache'}", "--set", "opendata.samples=[ZZ]", "--output", "out")
    done = hepbatch("datasets", "fetch", "higgs4l", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = hepbatch("skim", "higgs4l", "--source", "opendata", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    cutflow = json.loads((tmp_path / "out" / "cutflow.json").read_text())
    assert cutflow["ZZ"]["all"]["events"] == 125_000  # as its record says
    assert cutflow["ZZ"]["four_leptons"]["events"] > 0


def test_a_sample_is_read_where_it_is(tmp_path: Path) -> None:
    options = ("--source", "opendata", "--set", "opendata.read=in_place", "--set", "opendata.samples=[ZZ]")
    done = hepbatch("skim", "higgs4l", *options, "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["inputs"][0]["path"].startswith("root://eospublic.cern.ch//")
    assert json.loads((tmp_path / "out" / "cutflow.json").read_text())["ZZ"]["all"]["events"] == 125_000
    assert 0 < manifest["stages"]["skim"]["bytes_read"] < manifest["inputs"][0]["size"]
