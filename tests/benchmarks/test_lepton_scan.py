"""The benchmark of the scan runs, compares both ways, and says what is wrong with its options."""

import re
from pathlib import Path

import pytest

from benchmarks.lepton_scan import main


@pytest.mark.slow
def test_a_small_scan_gives_the_ratio_and_the_same_accuracies(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--nodes", "2", "--seeds", "2", "--leptons", "200", "--epochs", "60"]) == 0
    said = capsys.readouterr().out
    assert "8 networks of 4 structures, 200 training leptons" in said
    ratio = re.search(r"one by one / stacked: ([0-9.]+) \(wall\)", said)
    assert ratio is not None
    assert float(ratio.group(1)) > 1
    assert "MISSED" not in said


def test_wrong_options_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for options, sentence in (
        (["--file", str(tmp_path / "no.root")], f"there is no file {tmp_path}/no.root"),
        (["--leptons", "0"], "0 is not above zero"),
    ):
        with pytest.raises(SystemExit):
            main(options)
        assert sentence in capsys.readouterr().err
