"""The 13 TeV analysis from files laid out as the public ones, behind a server, to the report; nothing is downloaded."""

import json
from pathlib import Path

import pytest
from support.command import hepbatch
from support.http_files import serving
from support.mini_13tev import write_13tev
from support.mini_files import EventMaker

from analysis.datasets.catalogue import load_catalogue
from processors.higgs4l import CUTS

EVENTS = 300
#: Public files of fewer bytes can hold no events: they are no larger than the names of their branches.
EMPTY = 10_000

pytestmark = pytest.mark.slow


def test_the_public_layout_is_run_in_place(tmp_path: Path) -> None:
    catalogue = load_catalogue("higgs4l_13tev")
    expected, number = {}, {}
    for seed, (name, entry) in enumerate(catalogue.samples.items()):
        (listed,) = catalogue.publication(name).files
        xsec, sumw = 0.5 + seed, 1000.0 * (1 + seed)
        number[name] = 0 if (listed.size or 0) < EMPTY else EVENTS
        events = EventMaker(seed).events(number[name])
        write_13tev(tmp_path / "public" / listed.path, events, xsec, sumw)
        weight = sum(
            one.mc_weight * one.pileup * one.electron * one.muon * one.trigger * 1.0e4 * xsec / sumw for one in events
        )
        expected[name] = number[name] if entry.role == "data" else weight
    with serving(tmp_path / "public") as served:
        options = (
            f"opendata.servers=[{served.address}]", "opendata.read=in_place", "training.folds=3",
            "training.bootstrap=20", "training.models={trees: {kind: boosted_trees}}",
        )  # fmt: skip
        words = [word for option in options for word in ("--set", option)]
        done = hepbatch("run", "higgs4l_13tev", "--workers", "2", "--output", "out", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    cutflow = json.loads((tmp_path / "out" / "cutflow.json").read_text())
    assert list(cutflow) == list(catalogue.samples)
    for name, cuts in cutflow.items():
        assert list(cuts) == list(CUTS)
        assert cuts["all"]["events"] == number[name]
        # The files hold single precision.
        assert cuts["all"]["weighted"] == pytest.approx(expected[name], rel=1e-4)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["status"], manifest["sqrt_s_tev"], manifest["luminosity_ipb"]) == ("complete", 13, 10000)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "13 TeV" in page
    assert not list((tmp_path / "out").rglob("*.root.part"))
