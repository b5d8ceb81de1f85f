"""The same processor on 13 TeV files, by configuration: it finds what it finds in 8 TeV files of the same events."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from pydantic import ValidationError
from support.mini_13tev import has_root, with_vectors, write_13tev
from support.mini_files import EventMaker, write_mini

from analysis.configuration import load_configuration
from processors.errors import MissingBranch
from processors.higgs4l import CUTS, TREE, Settings, branches, build
from processors.readers import read_root

XSEC, SUMW = np.float32(0.0060239), np.float32(27881776.6536)
SIMULATED = {"role": "signal", "xsec": 1.0, "sumw": 2.0, "reduction_efficiency": 1.0, "dataset": "ggH125_ZZ4lep"}
DATA = {"role": "data", "dataset": "data_A"}


def settings(**changes: Any) -> Settings:
    """Those of configs/analyses/higgs4l_13tev.yaml."""
    of_analysis: Settings = load_configuration("higgs4l_13tev").settings("processor")
    return of_analysis.model_copy(update=changes)


def result(path: Path, meta: dict[str, Any], chosen: Settings, skim: Path | None = None) -> Any:
    processor = build(chosen, luminosity=1.0e4, skim_directory=None if skim is None else str(skim))
    entries = uproot.open(path)[TREE].num_entries
    events = read_root(str(path), TREE, processor.branches(meta["role"]), 0, entries, meta)
    return processor.process(events)[meta["dataset"]]


@pytest.mark.parametrize("vectors", [False, True])
def test_it_finds_what_it_finds_in_8_tev_files_of_the_same_events(tmp_path: Path, vectors: bool) -> None:
    events = EventMaker(3).events(400)
    old = write_mini(tmp_path / "old.root", events)
    new = write_13tev(tmp_path / "new.root", events, XSEC, SUMW)
    if vectors:
        if not has_root():
            pytest.skip("only ROOT writes std::vectors, and it is not installed (extra `benchmark`)")
        new = with_vectors(new)
        assert "vector<float>" in uproot.open(new)[TREE]["lep_pt"].typename
    for meta in (SIMULATED, DATA):
        normalised = {**meta, "xsec": float(XSEC), "sumw": float(SUMW)}
        expected = result(old, normalised, Settings(), tmp_path / "skim_old")
        found = result(new, meta, settings(), tmp_path / "skim_new")
        for cut in CUTS:
            assert found["cutflow"][cut]["events"] == expected["cutflow"][cut]["events"]
            # L * xsec / sumw is the same number for all events in one, an array in the other.
            assert found["cutflow"][cut]["weighted"] == pytest.approx(expected["cutflow"][cut]["weighted"], rel=1e-12)
        assert found["cutflow"]["m_z2"]["events"] > 0
        assert np.array_equal(found["histograms"]["m4l"].counts() > 0, expected["histograms"]["m4l"].counts() > 0)
        assert found["sum_mc_weight"] == expected["sum_mc_weight"]


def test_without_these_columns_the_catalogue_normalises(tmp_path: Path) -> None:
    path = write_13tev(tmp_path / "new.root", EventMaker(4).events(50), XSEC, SUMW)
    found = result(path, SIMULATED, settings(xsec_column=None, sumw_column=None))
    of_file = result(path, SIMULATED, settings())
    ratio = (1.0 / 2.0) / (float(XSEC) / float(SUMW))
    assert found["cutflow"]["all"]["weighted"] == pytest.approx(of_file["cutflow"]["all"]["weighted"] * ratio)


def test_a_sum_of_weights_of_zero_is_an_error(tmp_path: Path) -> None:
    path = write_13tev(tmp_path / "new.root", EventMaker(4).events(5), XSEC, 0.0)
    with pytest.raises(ValueError, match=r"SumWeights of ggH125_ZZ4lep is 0\.0 in 5 events"):
        result(path, SIMULATED, settings())


def test_8_tev_settings_say_which_branch_13_tev_files_lack(tmp_path: Path) -> None:
    path = write_13tev(tmp_path / "new.root", EventMaker(4).events(5), XSEC, SUMW)
    with pytest.raises(MissingBranch, match=r"'scaleFactor_TRIGGER'; the nearest .* 'scaleFactor_LepTRIGGER'"):
        read_root(str(path), TREE, branches("signal"), 0, 5, SIMULATED)


def test_a_column_that_the_selection_does_not_read_is_an_error() -> None:
    with pytest.raises(ValidationError, match="the selection reads no 'lep_z0'"):
        Settings(columns={"lep_z0": "lep_z"})
