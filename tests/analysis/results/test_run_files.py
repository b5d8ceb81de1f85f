"""Run directories: what is read, and one sentence for what is missing."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.runs import SAMPLES, edit_json, make_run, write_json

from analysis.errors import UserError
from analysis.results.run_files import RunDirectory
from analysis.results.tables import read_tables


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return RunDirectory(make_run(tmp_path_factory.mktemp("run"), np.random.default_rng(3)))


def test_reads_every_part(run: RunDirectory) -> None:
    assert list(run.manifest.samples) == list(SAMPLES)
    assert run.cutflow["ZZ"]["four_leptons"].events == 800
    assert run.histograms["ZZ"]["m4l"].axes[0].size == 34
    assert len(run.skim("ZZ", ("run", "event", "m4l"))) == 800
    assert {model.name for model in run.models} >= {"baselines", "notebook", "boosted_trees_full"}
    assert run.models[0].name == "baselines"


def test_the_order_of_events_does_not_depend_on_files(run: RunDirectory, tmp_path: Path) -> None:
    whole = run.skim("Zee")
    for index, rows in enumerate(np.array_split(np.random.default_rng(1).permutation(len(whole)), 5)):
        pq.write_table(pa.table({name: whole[name][rows] for name in whole.columns}), tmp_path / f"{9 - index}.parquet")
    again = read_tables(sorted(tmp_path.glob("*.parquet")))
    np.testing.assert_array_equal(again["event"], whole["event"])
    np.testing.assert_array_equal(again["lep1_pt"], whole["lep1_pt"])


def test_every_nth_event_is_the_same_whatever_the_files(tmp_path: Path) -> None:
    entry = np.random.default_rng(2).permutation(1000)
    for name, parts in (("few", 2), ("many", 7)):
        for index, rows in enumerate(np.array_split(entry, parts)):
            (tmp_path / name).mkdir(exist_ok=True)
            pq.write_table(pa.table({"entry": rows, "x": rows * 2.0}), tmp_path / name / f"{index}.parquet")
    for name in ("few", "many"):
        table = read_tables(sorted((tmp_path / name).glob("*.parquet")), ("x",), every=3)
        np.testing.assert_array_equal(table["x"], np.arange(0, 1000, 3) * 2.0)


def test_a_sample_without_files_has_no_events(run: RunDirectory) -> None:
    table = run.skim("unheard_of", ("run", "m4l"))
    assert len(table) == 0
    assert table["m4l"].shape == (0,)


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a directory"):
        RunDirectory(tmp_path / "absent")


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no manifest\.json in"):
        RunDirectory(tmp_path)


def test_no_skim_names_the_command(tmp_path: Path) -> None:
    make_manifest(tmp_path)
    run = RunDirectory(tmp_path)
    for read in (run.require_skim, lambda: run.cutflow, lambda: run.histograms, lambda: run.skim("ZZ")):
        with pytest.raises(UserError, match=r"run 'hepbatch skim higgs4l' first"):
            read()


def test_a_wrong_manifest_names_the_key(tmp_path: Path) -> None:
    make_manifest(tmp_path)
    edit_json(tmp_path / "manifest.json", lambda content: content["samples"]["ZZ"].pop("role"))
    with pytest.raises(UserError, match=r"samples\.ZZ\.role"):
        RunDirectory(tmp_path)


def test_broken_json(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="not valid JSON"):
        RunDirectory(tmp_path)


def test_a_missing_column_is_named(run: RunDirectory) -> None:
    with pytest.raises(UserError, match="lacks the column 'm_w'"):
        run.skim("ZZ", ("run", "m_w"))


def test_a_broken_skim_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(UserError, match=r"broken\.parquet is not a readable Parquet file"):
        read_tables([path])


def make_manifest(directory: Path) -> None:
    sample = {"role": "background", "process": "ZZ", "processed": 0}
    write_json(directory / "manifest.json", {"analysis": "higgs4l", "title": "t", "samples": {"ZZ": sample}})
