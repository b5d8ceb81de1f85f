"""The benchmark of the scan runs, compares both ways, and says what is wrong with its options."""

import re
from pathlib import Path

import pytest

from benchmarks.lepton_scan import main


@pytest.mark.slow
def test_a_small_scan_gives_the_ratio_and_the_same_accuracies(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--nodes", "2", "--seeds", "2", "--leptons", "200", "--epochs", "60", "--threads", "2"]) == 0
    said = capsys.readouterr().out
    assert "8 networks of 4 structures, 200 training leptons" in said
    assert "2 thread(s) for both ways" in said
    seconds = {way: float(wall) for way, wall in re.findall(r"(stacked|one by one) +([0-9.]+) s wall", said)}
    found = re.search(r"one by one / stacked: ([0-9.]+) \(wall\), ([0-9.]+) \(processor\), both with 2 thread", said)
    assert found is not None
    assert float(found.group(1)) == pytest.approx(seconds["one by one"] / seconds["stacked"], rel=0.05)
    difference = re.search(r"largest difference of an accuracy ([0-9.]+)", said)
    assert difference is not None
    assert float(difference.group(1)) <= 0.005
    assert "MISSED" not in said


def test_wrong_options_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for options, sentence in (
        (["--file", str(tmp_path / "no.root")], f"there is no file {tmp_path}/no.root"),
        (["--leptons", "0"], "0 is not above zero"),
    ):
        with pytest.raises(SystemExit):
            main(options)
        assert sentence in capsys.readouterr().err
