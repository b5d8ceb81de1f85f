"""Reading entry ranges equals uproot's own reading; every bad file gives one clear error."""

import os
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from support.mini_files import EventMaker, write_mini

from processors.higgs4l import BRANCHES
from processors.readers import MissingBranch, MissingTree, UnreadableFile, read_root, root_file_facts, sum_branch


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_mini(tmp_path_factory.mktemp("mini") / "mini.root", EventMaker(4).events(1000), basket=130))


def assert_equals_uproot(path: str, start: int, stop: int, branches: tuple[str, ...] = BRANCHES) -> None:
    chunk = read_root(path, "mini", branches, start, stop, {"dataset": "x"})
    assert len(chunk) == stop - start
    with uproot.open({path: "mini"}) as tree:
        expected = tree.arrays(list(branches), entry_start=start, entry_stop=stop)
    for branch in branches:
        assert ak.array_equal(ak.Array(chunk[branch]), expected[branch], dtype_exact=True), branch


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1000), (0, 0), (500, 500), (1000, 1000), (0, 130), (130, 260), (129, 131), (7, 993)]
)
def test_ranges(mini: str, start: int, stop: int) -> None:
    assert_equals_uproot(mini, start, stop)


@pytest.mark.parametrize("name", ["atlas-8tev/MC/skim.mc_105986.ZZ.root", "simulated/ggH125_ZZ4lep.root"])
def test_real_files(test_data: Path, name: str) -> None:
    path = str(test_data / name)
    entries = root_file_facts(path, "mini", BRANCHES).entries
    assert_equals_uproot(path, 0, entries)
    assert_equals_uproot(path, 3, entries - 5)


def test_counter_that_is_not_asked_for(mini: str) -> None:
    assert_equals_uproot(mini, 5, 700, ("lep_pt",))


def test_vectors_and_fixed_arrays(tmp_path: Path) -> None:
    path = str(tmp_path / "other.root")
    with uproot.recreate(path) as file:
        file.mktree("mini", {"x": ("float64", (2,)), "n": "int32", "s": "string"}).extend(
            {"x": np.arange(12.0).reshape(6, 2), "n": np.arange(6), "s": ["a", "bc", "", "d", "e", "f"]}
        )
    chunk = read_root(path, "mini", ["x", "n", "s"], 1, 4, {})
    assert np.array_equal(chunk["x"], np.arange(2.0, 8.0).reshape(3, 2))
    assert ak.to_list(chunk["s"]) == ["bc", "", "d"]


def test_metadata(mini: str) -> None:
    chunk = read_root(mini, "mini", ["lep_n"], 10, 20, {"dataset": "x", "xsec": 2.0})
    facts = root_file_facts(mini, "mini", BRANCHES)
    assert chunk.metadata == {
        "dataset": "x",
        "xsec": 2.0,
        "filename": mini,
        "fileuuid": facts.uuid,
        "treename": "mini",
        "entrystart": 10,
        "entrystop": 20,
    }
    assert facts.entries == 1000
    assert facts.size == Path(mini).stat().st_size


def test_colon_in_a_path(tmp_path: Path) -> None:
    path = str(write_mini(tmp_path / "a:b.root", EventMaker(1).events(5)))
    assert root_file_facts(path, "mini", BRANCHES).entries == 5


def test_sum_of_a_branch(mini: str) -> None:
    with uproot.open({mini: "mini"}) as tree:
        expected = tree["mcWeight"].array(library="np").astype(np.float64)
    assert sum_branch(mini, "mini", "mcWeight", 0, 1000) == pytest.approx(expected.sum(), rel=1e-12)
    assert sum_branch(mini, "mini", "mcWeight", 100, 333) == pytest.approx(expected[100:333].sum(), rel=1e-12)
    assert sum_branch(mini, "mini", "mcWeight", 5, 5) == 0.0


def test_range_outside_the_tree(mini: str) -> None:
    with pytest.raises(ValueError, match=r"entries 900 to 1001 are outside the tree mini of .*mini\.root.* 1000"):
        read_root(mini, "mini", BRANCHES, 900, 1001, {})


def test_missing_branch_names_the_nearest(tmp_path: Path) -> None:
    path = str(write_mini(tmp_path / "less.root", EventMaker(1).events(5), without=["lep_etcone20"]))
    with pytest.raises(
        MissingBranch, match=r"less\.root: the tree 'mini' has no branch 'lep_etcone20'.*nearest.*'lep_"
    ):
        read_root(path, "mini", BRANCHES, 0, 5, {})
    with pytest.raises(MissingBranch):
        root_file_facts(path, "mini", BRANCHES)


def test_other_tree(tmp_path: Path) -> None:
    path = str(write_mini(tmp_path / "other.root", EventMaker(1).events(5), tree="nominal", extra_trees=["meta"]))
    with pytest.raises(MissingTree, match=r"other\.root has no tree 'mini'; its trees are: meta, nominal"):
        read_root(path, "mini", BRANCHES, 0, 5, {})


def test_ntuple_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "ntuple.root")
    with uproot.recreate(path) as file:
        file.mkrntuple("mini", {"x": np.arange(3.0)})
    with pytest.raises(MissingTree, match=r"ntuple\.root has no tree 'mini' \(there is a ROOT::RNTuple of that name\)"):
        root_file_facts(path, "mini", BRANCHES)


def test_no_tree_at_all(tmp_path: Path) -> None:
    path = str(tmp_path / "histogram.root")
    with uproot.recreate(path) as file:
        file["mini"] = np.histogram([1.0, 2.0])
    with pytest.raises(
        MissingTree, match=r"histogram\.root has no tree 'mini' \(there is a TH1D of that name\); it has no tree"
    ):
        root_file_facts(path, "mini", BRANCHES)


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    good = write_mini(folder / "good.root", EventMaker(1).events(500)).read_bytes()
    (folder / "directory.root").mkdir()
    (folder / "zero.root").touch()
    (folder / "text.root").write_text("not a ROOT file\n" * 100)
    (folder / "header.root").write_bytes(good[:20])
    (folder / "half.root").write_bytes(good[: len(good) // 2])
    os.mkfifo(folder / "pipe.root")
    names = {
        "directory.root": "it is a directory",
        "zero.root": r"it is empty \(zero bytes\)",
        "text.root": "it is not a ROOT file",
        "header.root": "cannot read",
        "half.root": "it is truncated",
        "pipe.root": "not a regular file",
    }
    return {name: (folder / name, message) for name, message in names.items()}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["directory.root", "zero.root", "text.root", "header.root", "half.root", "pipe.root"])
def test_unreadable_files(tmp_path: Path, name: str) -> None:
    path, message = bad_files(tmp_path)[name]
    for call in (
        lambda: root_file_facts(str(path), "mini", BRANCHES),
        lambda: read_root(str(path), "mini", BRANCHES, 0, 5, {}),
        lambda: sum_branch(str(path), "mini", "mcWeight", 0, 5),
    ):
        with pytest.raises((UnreadableFile, OSError), match=message) as caught:
            call()
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_damaged_basket(tmp_path: Path) -> None:
    """A file that opens but whose data cannot be decompressed is an error, not numbers."""
    path = write_mini(tmp_path / "damaged.root", EventMaker(1).events(2000), basket=2000)
    with uproot.open({str(path): "mini"}) as tree:
        key = tree["lep_pt"].basket_key(0)
        position = key.data_cursor.index + 9 + 200
    content = bytearray(path.read_bytes())
    content[position : position + 200] = b"\xff" * 200
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=r"cannot read .*damaged\.root"):
        read_root(str(path), "mini", BRANCHES, 0, 2000, {})


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.root: there is no such file"):
        root_file_facts(str(tmp_path / "absent.root"), "mini", BRANCHES)
