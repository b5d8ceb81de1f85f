"""Samples whose trees have other names than the catalogue's, and entries that have no weight."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import uproot
from support.lepton_files import lepton, write

from analysis.cluster_choice import load_cluster
from analysis.configuration import load_configuration
from analysis.datasets.catalogue import load_catalogue
from analysis.datasets.samples import Sample
from analysis.engine.items import InputFile, WorkItem
from analysis.engine.ledger import Ledger
from analysis.engine.lock import run_lock
from analysis.engine.stopping import StopRequest
from analysis.manifest import Manifest
from analysis.planning import make_plan
from analysis.run import Run
from analysis.skim_job import make_job, process_item, sum_weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    directory = tmp_path_factory.mktemp("run")
    configuration = load_configuration("lepton_id", ())
    catalogue = load_catalogue(configuration.datasets)
    with (
        run_lock(directory) as lock,
        Ledger(directory / "ledger") as ledger,
        Run(
            configuration, catalogue, directory, Manifest.begin(directory, configuration, catalogue),
            load_cluster("local", workers=1), ledger, StopRequest(), lock,
        ) as running,
    ):  # fmt: skip
        yield running


def samples(world: Path, mini: Path) -> dict[str, Sample]:
    return {
        "ttbar_leptons": Sample("ttbar_leptons", "background", "tt", (str(world),), "here", simulated=False),
        "ttbar_lep": Sample("ttbar_lep", "background", "tt", (str(mini),), "here", simulated=False, tree="mini"),
    }


def test_each_sample_is_opened_and_read_from_its_own_tree(run: Run, tmp_path: Path) -> None:
    world = write(tmp_path / "world.root", "worldTree", [[lepton(20.0, 0.3, 1.0, 0, 0.0005)]] * 3)
    mini = write(tmp_path / "mini.root", "mini", [[lepton(25e3, 0.3, 1.0, 13, 105.7)]] * 5)
    both = samples(world, mini)
    files = [InputFile(name, one.files[0]) for name, one in both.items()]
    plan = make_plan(run, files, {"ttbar_lep": "mini"})
    assert plan.failures == ()
    assert {file.sample: file.entries for file in plan.files} == {"ttbar_leptons": 3, "ttbar_lep": 5}
    job = make_job(run, both)
    for file in plan.files:
        content = process_item(job, WorkItem(file.sample, file.path, file.uuid, 1, file.entries), 0).content
        assert content["cutflow"]["finite"]["events"] == file.entries - 1
        # There is no branch of weights: each entry has 1, in a range and in the whole file.
        assert sum_weights(job, file.sample, (file.path, 1, file.entries), 0) == file.entries - 1
        assert sum_weights(job, file.sample, (file.path, 0, None), 0) == file.entries
    without = make_plan(run, files[1:])
    assert [Path(failure.file).name for failure in without.failures] == ["mini.root"]


def test_a_file_is_looked_at_again_and_its_results_are_others_when_its_tree_is_another(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "two.root"
    with uproot.recreate(path) as file:
        for tree, entries in (("mini", 4), ("other", 7)):
            file.mktree(tree, {"x": "float64"}).extend({"x": np.zeros(entries)})
    files = [InputFile("ttbar_lep", str(path))]
    plans = [make_plan(run, files, {"ttbar_lep": tree}) for tree in ("mini", "other", "other")]
    assert [(plan.files[0].entries, plan.remembered) for plan in plans] == [(4, 0), (7, 0), (7, 1)]
    sample = samples(path, path)["ttbar_lep"]
    marks = [make_job(run, {"ttbar_lep": replace(sample, tree=tree)}).fingerprints for tree in ("mini", "other")]
    assert marks[0] != marks[1]
    assert make_job(run, {"ttbar_lep": replace(sample, tree=None)}).tree_of("ttbar_lep") == "worldTree"


def test_a_tree_that_the_processor_does_not_know_is_named(run: Run, tmp_path: Path) -> None:
    sample = replace(samples(tmp_path, tmp_path)["ttbar_lep"], tree="events")
    item = WorkItem("ttbar_lep", str(tmp_path / "a.root"), "u", 0, 1)
    with pytest.raises(ValueError, match="lepton_id knows the trees worldTree, mini and Events, not 'events'"):
        process_item(make_job(run, {"ttbar_lep": sample}), item, 0)
