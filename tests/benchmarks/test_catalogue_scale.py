"""The benchmark of a large catalogue at a reduced size: every event accounted for, and its arithmetic."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import uproot

from benchmarks.catalogue_scale import extrapolated, main, measure
from benchmarks.stand_ins import TREE, Size, make_analysis


def test_the_files_are_different_ones_with_all_their_events(tmp_path: Path) -> None:
    size = Size(datasets=2, files=6, events=300_000, chunk=25_000)
    total = make_analysis(tmp_path, size)
    paths = sorted((tmp_path / "cache").rglob("*.root"))
    assert len(paths) == size.files
    assert sum(path.stat().st_size for path in paths) == total
    uuids = set()
    for path in paths:
        with uproot.open(path) as file:
            uuids.add(str(file.file.uuid))
            assert file[TREE].num_entries == size.events_per_file
    assert len(uuids) == size.files
    assert size.items == 12


@pytest.mark.slow
def test_a_killed_run_of_a_large_catalogue_counts_every_event_once(tmp_path: Path) -> None:
    size = Size(datasets=4, files=200, events=10_000_000, chunk=1_250)
    measured = measure(tmp_path / "run", size, 2)
    assert measured.problems() == []
    assert measured.counted == 10_000_000
    assert measured.done == size.items == 8000
    figures = measured.figures()
    assert all(value > 0 for value in figures.values()), figures
    # Less than half a kilobyte for an item and its file.
    assert measured.ledger_bytes < 500 * size.items
    assert replace(measured, counted=measured.counted - 1).problems() == [
        "9999999 entries counted, required 10000000"
    ]  # fmt: skip
    double = replace(measured, size=replace(size, files=400), ledger_bytes=3 * measured.ledger_bytes)
    far = extrapolated(measured, double, 800)
    assert far["ledger [MB]"] == pytest.approx(7 * figures["ledger [MB]"])
    assert far["driver: CPU time [s]"] == pytest.approx(figures["driver: CPU time [s]"])
    assert far["plan, every file opened [s]"] == pytest.approx(2 * figures["plan, every file opened [s]"])


def test_sizes_that_cannot_be_compared_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--files", "30", "--datasets", "4"])
    assert re.search(r"--files must be a multiple of 10 times --datasets", capsys.readouterr().err)
