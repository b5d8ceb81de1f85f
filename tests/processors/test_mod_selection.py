"""Selections of jets give what energyflow.mod gives, on made and on simulated files."""

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from support.mod_files import jet_tables, write_jets

from processors.energyflow_import import import_energyflow
from processors.formats import reader_of
from processors.mod_selection import parse, passing

SELECTIONS = [
    "375 <= corr_jet_pts <= 425",
    "abs_jet_eta < 1.9",
    "quality >= 2",
    "400.5<corr_jet_pt & abs_jet_y<=1.5&qualitys==3",
    "-1.25 < jet_etas < inf",
    "hard_pid != 21",
    " 3 > quality ",
    "2 == quality",
    "jet_max_nef > .5 & -.5 <= jet_y",
    "abs_gen_jet_eta >= 0.25 & jec < 1.05",
]


def chosen(path: Path, text: str) -> Any:
    comparisons = parse(text)
    columns = [column for comparison in comparisons for column in comparison.columns()]
    reader = reader_of("mod_hdf5")
    entries = reader.facts(str(path), "", columns).entries
    return passing(comparisons, reader.read(str(path), "", columns, 0, entries, {}).arrays, entries)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    path = write_jets(tmp_path_factory.mktemp("made") / "sim.h5", jet_tables(1, 500))
    return path, import_energyflow("datasets.mod").MODDataset(str(path))


@pytest.mark.parametrize("text", SELECTIONS)
def test_a_selection_is_energyflows(made: tuple[Path, Any], text: str) -> None:
    path, dataset = made
    mask = chosen(path, text)
    assert np.array_equal(mask, dataset.sel(text))
    assert mask.any()


@pytest.mark.parametrize("text", ["", "quality", "jet_pt >", "quality >= two", "quality => 2", "jet_pt > 3 | jec < 2"])
def test_what_energyflow_does_not_understand_is_an_error(made: tuple[Path, Any], text: str) -> None:
    if text:
        with pytest.raises(ValueError, match=r"understood|Invalid"):
            made[1].sel(text)
    with pytest.raises(ValueError, match="is not understood"):
        parse(text)


def test_simulated_files_read_as_energyflow_reads_them(test_data: Path) -> None:
    path = test_data / "mod" / "SIM300_like_1.h5"
    texts = ("350 <= corr_jet_pts <= 450", "abs_jet_eta < 1.9", "quality >= 2")
    dataset = import_energyflow("datasets.mod").MODDataset(str(path), *texts)
    keep = np.flatnonzero(chosen(path, " & ".join(texts)))
    assert len(keep) == len(dataset)
    columns = ["jet_pt", "evn", "hard_pid", "pfcs.pt", "pfcs.y", "pfcs.phi", "pfcs.pid"]
    reader = reader_of("mod_hdf5")
    chunk = reader.read(str(path), "", columns, 0, reader.facts(str(path), "", ()).entries, {})
    assert np.array_equal(chunk["jet_pt"][keep], dataset.jet_pts)
    assert np.array_equal(chunk["evn"][keep], dataset.evns)
    assert np.array_equal(chunk["hard_pid"][keep], dataset.hard_pids)
    for name, column in (("pt", 0), ("y", 1), ("phi", 2), ("pid", 4)):
        ours = chunk[f"pfcs.{name}"][keep]
        theirs = np.concatenate([jet[:, column] for jet in dataset.pfcs])
        assert np.array_equal(ak.to_numpy(ak.flatten(ours)), theirs)
        assert ak.num(ours).tolist() == [len(jet) for jet in dataset.pfcs]
