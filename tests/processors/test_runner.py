"""The same processor under coffea's Runner gives the numbers and rows of our own reading."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from coffea import processor
from coffea.nanoevents import BaseSchema
from coffea.processor import accumulate
from distributed import Client, LocalCluster
from support.higgs4l_samples import LUMINOSITY, REAL, metadata, sample
from support.lepton_files import lepton, write
from support.mini_files import EventMaker, write_mini

from processors import lepton_id
from processors.formats import reader_of
from processors.higgs4l import CUTS, TREE, Settings, branches, build
from processors.readers import read_root, root_file_facts

SAMPLES = ("DataEgamma", "DataMuons", "Zee", "ZZ")


@pytest.fixture(scope="module")
def dask_client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def inputs(test_data: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    return {name: sample(test_data, name) for name in SAMPLES}


def own(inputs: dict[str, tuple[str, dict[str, Any]]], skim: Path, **settings: Any) -> Any:
    """What reading with `processors.readers` and processing gives, one chunk per file."""
    ours = build(Settings(**settings), luminosity=LUMINOSITY, skim_directory=str(skim))
    parts = []
    for path, meta in inputs.values():
        names = branches(meta["role"])
        entries = root_file_facts(path, TREE, names).entries
        parts.append(ours.process(read_root(path, TREE, names, 0, entries, meta)))
    return accumulate(parts)


def run(executor: Any, inputs: dict[str, tuple[str, dict[str, Any]]], skim: Path, chunk: int, **settings: Any) -> Any:
    runner = processor.Runner(executor=executor, schema=BaseSchema, chunksize=chunk)
    fileset = {
        name: {"files": {path: TREE}, "metadata": {k: v for k, v in meta.items() if k != "dataset"}}
        for name, (path, meta) in inputs.items()
    }
    ours = build(Settings(**settings), luminosity=LUMINOSITY, skim_directory=str(skim))
    return runner(fileset, processor_instance=ours)


def rows(skim: Path, dataset: str) -> Any:
    """All rows of a data set in order of entry, after checking the columns of every file."""
    tables = [pq.read_table(path) for path in sorted((skim / dataset).glob("*.parquet"))]
    return pa.concat_tables(tables).sort_by("entry").to_pandas()


def assert_equal(found: Any, expected: Any, found_skim: Path, expected_skim: Path) -> None:
    assert set(found) == set(expected)
    for dataset, entry in expected.items():
        for key in ("entries", "sum_mc_weight"):
            assert found[dataset][key] == pytest.approx(entry[key], rel=1e-12)
        for cut in CUTS:
            assert found[dataset]["cutflow"][cut]["events"] == entry["cutflow"][cut]["events"]
            assert found[dataset]["cutflow"][cut]["weighted"] == pytest.approx(
                entry["cutflow"][cut]["weighted"], rel=1e-12
            )
        ours, theirs = entry["histograms"]["m4l"], found[dataset]["histograms"]["m4l"]
        assert theirs.axes == ours.axes
        assert theirs.values(flow=True) == pytest.approx(ours.values(flow=True), rel=1e-12)
        assert rows(found_skim, dataset).equals(rows(expected_skim, dataset))
        recorded = {record["file"] for record in found[dataset]["skims"]}
        assert recorded == {path.relative_to(found_skim).as_posix() for path in (found_skim / dataset).iterdir()}


@pytest.mark.parametrize("chunk", [100, 100000])
@pytest.mark.parametrize("kind", ["iterative", "futures", "dask"])
def test_executors(
    inputs: dict[str, tuple[str, dict[str, Any]]], tmp_path: Path, kind: str, chunk: int, request: pytest.FixtureRequest
) -> None:
    executors = {
        "iterative": lambda: processor.IterativeExecutor(status=False),
        "futures": lambda: processor.FuturesExecutor(workers=2, status=False),
        "dask": lambda: processor.DaskExecutor(client=request.getfixturevalue("dask_client"), status=False),
    }
    found = run(executors[kind](), inputs, tmp_path / "coffea", chunk)
    assert_equal(found, own(inputs, tmp_path / "own"), tmp_path / "coffea", tmp_path / "own")


def test_at_least_four_and_synthetic_files(tmp_path: Path) -> None:
    """Without the real files: more than four leptons, and leptons out of order."""
    path = str(write_mini(tmp_path / "random.root", EventMaker(9).events(1500), basket=400))
    inputs = {"made": (path, metadata("made", (1.0, 2.0, 0.5)))}
    found = run(processor.IterativeExecutor(status=False), inputs, tmp_path / "coffea", 333, leptons="at_least_4")
    expected = own(inputs, tmp_path / "own", leptons="at_least_4")
    assert_equal(found, expected, tmp_path / "coffea", tmp_path / "own")


def test_every_real_sample_is_known(test_data: Path) -> None:
    assert all(Path(sample(test_data, name)[0]).is_file() for name in REAL)


@pytest.mark.parametrize("tree", list(lepton_id.SCHEMAS))
def test_the_lepton_processor_under_the_runner(tmp_path: Path, tree: str) -> None:
    schema = lepton_id.schema_of(tree)
    kinds = {0: schema.electron, 1: schema.muon}
    events = [[lepton(20.0 + k, 0.1 * (k % 9), 0.2, kinds[(k + j) % 2], 0.1) for j in range(k % 3)] for k in range(60)]
    path = str(write(tmp_path / "leptons.root", tree, events))

    def built(folder: str) -> Any:
        return lepton_id.build(lepton_id.Settings(), luminosity=None, skim_directory=str(tmp_path / folder))

    runner = processor.Runner(
        executor=processor.IterativeExecutor(status=False), schema=BaseSchema, chunksize=17
    )  # fmt: skip
    fileset = {"leptons": {"files": {path: tree}, "metadata": {"role": "background"}}}
    found = runner(fileset, processor_instance=built("coffea"))["leptons"]
    meta = {"dataset": "leptons", "role": "background", "tree": tree}
    columns = built("own").branches_of(meta)
    expected = built("own").process(reader_of("root").read(path, tree, columns, 0, 60, meta))["leptons"]
    assert found["entries"] == expected["entries"] == 60
    assert found["cutflow"] == expected["cutflow"]
    assert found["cutflow"]["finite"]["events"] == 40
    for name, histogram in expected["histograms"].items():
        assert found["histograms"][name].values(flow=True) == pytest.approx(histogram.values(flow=True))
    assert rows(tmp_path / "coffea", "leptons").equals(rows(tmp_path / "own", "leptons"))
