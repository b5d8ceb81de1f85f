"""Names of the files that `hepbatch predict` writes."""

from itertools import permutations
from pathlib import PurePosixPath

import pytest

from analysis.predicting import output_names

ENDING = ".ml_mass.root"


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["/data/x.root"], ["x"]),
        (["/data/x.root", "y.root", "root://h:1094//store/z.root"], ["x", "y", "z"]),
        (["/a/run1/x.root", "/a/run2/x.root", "/a/run2/y.root"], ["run1/x", "run2/x", "y"]),
        (["x.root", "run1/x.root"], ["x", "run1/x"]),
        (["/a/r/x.root", "/b/r/x.root"], ["a/r/x", "b/r/x"]),
        (["https://g/x.root?token=1", "https://h/x.root"], ["g/x", "h/x"]),
        (["a/data.v1.root", "a/data.v2.root"], ["data.v1", "data.v2"]),
    ],
)
def test_outputs_have_the_names_of_their_inputs(files: list[str], names: list[str]) -> None:
    expected = {file: f"{name}{ENDING}" for file, name in zip(files, names, strict=True)}
    for order in permutations(files):
        assert output_names(order, ENDING) == expected


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "files",
    [
        ["http://h/x.root", "https://h/x.root"],
        ["https://h/x.root?a", "https://h/x.root?b"],
        ["../run1/x.root", "run1/x.root"],
        ["x.root", "./x.root", "/x.root"],
        ["data.v1", "data.v2"],
        ["d/evts.root", "d/evts.parquet", "e/evts.root"],
        ["../../x.root", "../x.root", "y.root"],
        ["https://h/", "https://h/.."],
    ],
)
def test_each_input_has_an_output_of_its_own_below_the_directory(files: list[str]) -> None:
    found = output_names(files, ENDING)
    assert set(found) == set(files)
    assert len(set(found.values())) == len(files)
    for name in found.values():
        assert name.endswith(ENDING)
        assert not PurePosixPath(name).is_absolute()
        assert ".." not in PurePosixPath(name).parts
    for order in permutations(files):
        assert output_names(order, ENDING) == found


def test_a_file_named_twice_has_one_output() -> None:
    assert output_names(["/data/x.root", "/data/x.root"], ENDING) == {"/data/x.root": f"x{ENDING}"}


def test_only_files_that_no_directory_tells_apart_have_a_digest() -> None:
    found = output_names(["a/x.root", "b/x.root", "b/x.parquet", "y.root"], ENDING)
    assert found["a/x.root"] == f"a/x{ENDING}"
    assert found["y.root"] == f"y{ENDING}"
    assert found["b/x.root"].startswith("b/x-")
    assert found["b/x.parquet"].startswith("b/x-")
