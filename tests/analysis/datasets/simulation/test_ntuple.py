"""Events in memory and the tree they are written to."""

import json
from pathlib import Path

import numpy as np
import pytest
import uproot

from analysis.datasets.simulation import ntuple


def three_events() -> ntuple.Events:
    lep_n, jet_n = np.array([4, 5, 4]), np.array([1, 0, 2])
    leptons = {name: np.arange(13).astype(kind) for name, kind in ntuple.LEPTON_BRANCHES.items()}
    jets = {name: np.arange(3).astype(kind) for name, kind in ntuple.JET_BRANCHES.items()}
    scalars = {name: np.arange(3).astype(kind) for name, kind in ntuple.EVENT_BRANCHES.items()}
    return ntuple.Events({**scalars, "weight": np.ones(3)}, leptons, lep_n, jets, jet_n)


def test_take_by_mask_and_by_index() -> None:
    events = three_events()
    picked = events.take(np.array([False, True, True]))
    assert picked.leptons["pt"].tolist() == list(range(4, 13))
    assert picked.jets["pt"].tolist() == [1, 2]
    swapped = events.take(np.array([2, 0]))
    assert swapped.leptons["pt"].tolist() == [9, 10, 11, 12, 0, 1, 2, 3]
    assert swapped.scalars["runNumber"].tolist() == [2, 0]


def test_concatenate_restores_the_order() -> None:
    events = three_events()
    joined = ntuple.concatenate([events.take(np.array([0])), ntuple.empty(), events.take(np.array([1, 2]))])
    for name, column in events.leptons.items():
        np.testing.assert_array_equal(joined.leptons[name], column)
    assert len(ntuple.concatenate([])) == 0


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "MC" / "x.root"
    events = three_events()
    ntuple.write(path, events, {"sumw": 3.0})
    assert sorted(p.name for p in path.parent.iterdir()) == ["x.root", "x.root.json"]
    assert json.loads((tmp_path / "MC" / "x.root.json").read_text()) == {"sumw": 3.0}
    with uproot.open(path) as file:
        tree = file["mini"]
        assert tree["lep_n"].array(library="np").tolist() == [4, 5, 4]
        assert tree["alljet_n"].array(library="np").tolist() == [1, 0, 2]
        assert np.concatenate(tree["lep_pt"].array(library="np")).tolist() == list(range(13))
        assert "weight" not in tree.keys()  # noqa: SIM118  # a tree, not a dict


def test_no_events_give_an_empty_tree(tmp_path: Path) -> None:
    ntuple.write(tmp_path / "none.root", ntuple.empty(), {})
    with uproot.open(tmp_path / "none.root") as file:
        assert file["mini"].num_entries == 0
        assert "lep_pt" in file["mini"].keys()  # noqa: SIM118


@pytest.mark.parametrize("sample", ["MC/skim.mc_105986.ZZ.root", "Data/skim.DataMuons.root"])
def test_tree_equals_the_public_one(sample: str, test_data: Path, tmp_path: Path) -> None:
    """Names, order, types and leaf counts; the two counters are signed (uproot writes no others)."""
    ntuple.write(tmp_path / "mine.root", three_events(), {})
    with uproot.open(tmp_path / "mine.root") as mine, uproot.open(test_data / "atlas-8tev" / sample) as public:
        ours, theirs = ({b.name: b for b in f["mini"].branches} for f in (mine, public))
        counters = ("lep_n", "alljet_n")
        assert [n for n in ours if n not in counters] == [n for n in theirs if n not in counters]
        assert set(ours) == set(theirs)
        for name, branch in theirs.items():
            if name not in counters:
                assert ours[name].typename == branch.typename, name
                assert ours[name].title == branch.title, name
