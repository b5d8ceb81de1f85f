"""What a report says about samples, failures and the run itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.runs import edit_json, make_run

from analysis.results.document import Section
from analysis.results.quantities import Results
from analysis.results.run_files import Manifest, RunDirectory, SampleRecord
from analysis.results.run_sections import (
    failures_section,
    notices,
    provenance_section,
    run_flags,
    sample_flags,
    samples_section,
    status_text,
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    directory = make_run(tmp_path_factory.mktemp("run"), np.random.default_rng(2), train=False)
    return RunDirectory(directory).manifest


def cells(section: Section, table: int = 0) -> list[list[str]]:
    return [[cell.text for cell in row] for row in section.tables[table].rows]


@pytest.mark.parametrize(
    ("values", "flags"),
    [
        ({"entries": 10, "processed": 10, "scale": 1.0}, ()),
        ({"entries": 10, "processed": 10, "scale": 1 + 1e-9}, ()),  # to a published total, but for rounding
        ({"entries": 10, "processed": 9, "scale": 1 + 1e-9}, ("ZZ: 9 of 10 entries processed, yields scaled by 1",)),
        ({"entries": 10, "processed": 5, "scale": 2.0}, ("ZZ: 5 of 10 entries processed, yields scaled by 2",)),
        ({"entries": None, "processed": 5, "scale": None}, ("ZZ: yield not known, 5 entries processed",)),
        ({"entries": 10, "processed": 0, "scale": None}, ("ZZ: yield not known, 0 of 10 entries processed",)),
        ({"entries": 10, "processed": 5, "scale": 1.0}, ("ZZ: 5 of 10 entries processed",)),
        (
            {"role": "data", "entries": 10, "processed": 5, "scale": 1.0},
            ("ZZ: 5 of 10 entries processed, the events of the others are missing",),
        ),
        ({"entries": 9, "processed": 9, "scale": 1.0, "flags": ("completed",)}, ("ZZ: completed",)),
    ],
)
def test_what_is_said_about_a_sample(values: dict[str, Any], flags: tuple[str, ...]) -> None:
    assert sample_flags("ZZ", SampleRecord.model_validate({"role": "background", **values})) == flags


def test_constants_are_shown_in_full(manifest: Manifest) -> None:
    results = Results()
    rows = cells(samples_section(manifest, results))
    row = next(row for row in rows if row[0] == "ZZ")
    assert row[8:] == ["1.5376", "2.03795456×10¹⁴", "0.95088"]
    assert row[4:8] == ["1", "812", "812", "1"]
    assert results["sample.ZZ.entries"].unit == results["sample.ZZ.processed"].unit == "entries"
    assert results["sample.ZZ.xsec"].as_json() == {"value": 1.5376, "uncertainty": None, "unit": "pb"}
    simulated = next(row for row in rows if row[0] == "ggH125_ZZ4lep")
    assert simulated[3] == "simulated"


def test_failures_are_listed(tmp_path: Path) -> None:
    directory = make_run(tmp_path, np.random.default_rng(2), train=False)
    failure = {"stage": "skim", "sample": "ZZ", "file": "ZZ.root", "start": 0, "stop": 9, "error": "no tree"}
    edit_json(directory / "manifest.json", lambda content: content["failures"].extend([failure] * 3))
    failed = RunDirectory(directory).manifest
    assert cells(failures_section(failed)) == [["skim", "ZZ", "ZZ.root", "0–9", "no tree"]] * 3
    assert run_flags(failed)[0] == "3 items failed (skim): see the table of failures"
    assert status_text(failed) == "finished with 3 failed items"


def test_a_complete_run_has_no_flags(manifest: Manifest) -> None:
    assert run_flags(manifest) == []
    assert status_text(manifest) == "complete"
    assert failures_section(manifest).text == ("No item failed.",)


def test_notices_name_the_simulated_samples(manifest: Manifest) -> None:
    simulated, files = notices(manifest)
    assert simulated.endswith(": ggH125_ZZ4lep, VBFH125_ZZ4lep.")
    assert files == "From files: DataEgamma, DataMuons, Zee, Zmumu, ttbar_lep, ZZ."


def test_what_was_run_where(manifest: Manifest) -> None:
    results = Results()
    section = provenance_section(manifest, results)
    facts = dict(cells(section))  # type: ignore[arg-type]
    assert facts["Code revision"] == "abcdef0, with uncommitted changes"
    assert facts["Pool cpu"] == "workers: 2, memory: 2 GiB"
    captions = [table.caption for table in section.tables]
    assert captions == ["The run", "Time per stage", "Workers", "Input files", "Versions of packages"]
    assert cells(section, 1) == [["skim", "2026-11-22T03:00:01+00:00", "12.50", "items: 8"]]
    assert results["worker.cpu-0.peak_memory"].value == 0.5
    assert cells(section, 3)[0][2] == "00000000-0000-0000-0000-000000000000"
