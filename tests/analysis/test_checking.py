"""What `datasets check` and `plan` ask of a file: the tree of its own sample, and what is read of that one."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.lepton_files import lepton, write
from support.mini_13tev import write_13tev
from support.mini_files import EventMaker
from support.nano_files import write_nano

from analysis.checking import Place, look_at, schemas
from analysis.configuration import load_configuration
from analysis.dataset_verbs import _places
from analysis.datasets.catalogue import load_catalogue
from analysis.datasets.samples import Sample
from analysis.engine.attempts import Outcome
from analysis.engine.ledger import Ledger
from analysis.errors import UserError
from analysis.foresight import BEGUN, _look, plan_only
from analysis.run import Run
from analysis.stages import Request
from cluster.settings import ClusterSettings
from processors.errors import MissingBranch, MissingTree
from processors.lepton_id import SCHEMAS


def mini_sample(path: Path) -> Sample:
    return Sample("ttbar_lep", "background", "tt", (str(path),), "here", simulated=False, tree="mini")


def test_each_file_is_checked_for_its_own_tree(tmp_path: Path) -> None:
    configuration, catalogue = load_configuration("lepton_id", ()), load_catalogue("lepton_id")
    mini = write(tmp_path / "mini.root", "mini", [[lepton(25e3, 0.3, 1.0, 13, 105.7)]] * 5)
    world = write(tmp_path / "world.root", "worldTree", [[lepton(20.0, 0.3, 1.0, 0, 0.0005)]] * 3)
    other = Sample("ttbar_leptons", "background", "tt", (str(world),), "here", simulated=False)
    expected = schemas(configuration, catalogue, [mini_sample(mini), other])
    assert {name: (one.tree, one.columns) for name, one in expected.items()} == {
        "ttbar_lep": ("mini", SCHEMAS["mini"].branches), "ttbar_leptons": ("worldTree", SCHEMAS["worldTree"].branches),
    }  # fmt: skip
    for sample, path, entries in (("ttbar_lep", mini, 5), ("ttbar_leptons", world, 3)):
        assert look_at("root", None, expected, Place(sample, str(path), str(path)), 0).entries == entries
    with pytest.raises(MissingTree):
        look_at("root", None, expected, Place("ttbar_leptons", str(mini), str(mini)), 0)


def test_the_public_samples_are_checked_for_what_their_catalogue_says(tmp_path: Path) -> None:
    path = write_13tev(tmp_path / "ttbar.root", EventMaker(1).events(4), 452.7, 4.9e7)
    for words, tree in (((), "mini"), (("datasets=lepton_id_13tev",), "mini")):
        configuration = load_configuration("lepton_id", ("source=opendata", *words))
        catalogue = load_catalogue(configuration.datasets)
        request = Request(configuration, catalogue, tmp_path, cast(ClusterSettings, None), "local")
        samples, places = _places(request)
        assert {place.sample for place in places} == {"ttbar_lep"}
        expected = schemas(configuration, catalogue, samples)
        assert expected["ttbar_lep"].tree == tree
        assert look_at("root", None, expected, Place("ttbar_lep", str(path), str(path)), 0).entries == 4


def test_a_tree_that_the_analysis_does_not_know_is_one_sentence() -> None:
    configuration, catalogue = load_configuration("lepton_id", ()), load_catalogue("lepton_id")
    sample = Sample("ours", "background", "tt", ("a.root",), "here", simulated=False, tree="events")
    with pytest.raises(
        UserError, match="the sample ours: lepton_id knows the trees worldTree, mini and Events, not 'events'"
    ):
        schemas(configuration, catalogue, [sample])


def test_a_plan_looks_into_the_samples_own_tree(tmp_path: Path) -> None:
    mini = write(tmp_path / "mini.root", "mini", [[lepton(25e3, 0.3, 1.0, 13, 105.7)]] * 40)
    configuration = load_configuration("lepton_id", ("chunk_size=10",))
    catalogue = load_catalogue("lepton_id")
    with Ledger(tmp_path / "ledger") as ledger:
        run = SimpleNamespace(
            configuration=configuration, catalogue=catalogue, directory=tmp_path, ledger=ledger, map=_here,
            cluster_settings=SimpleNamespace(xrootd_prefix=None),
            cluster=SimpleNamespace(facts=lambda: {"pools": {"cpu": {"workers": 1}}}),
        )  # fmt: skip
        found, trials = _look(cast(Run, run), {"ttbar_lep": mini_sample(mini)}, None)
        assert trials.failures == []
        assert [len(trials.skims["ttbar_lep"]), len(trials.waiting)] == [3, 1]
        assert trials.more()
        assert [len(trials.skims["ttbar_lep"]), len(trials.waiting)] == [4, 0]
        assert not trials.more()
    assert found.loads["ttbar_lep"].entries == 40
    assert found.loads["ttbar_lep"].items == (10, 10, 10, 10)
    assert [probe.entries for probe in found.probes] == [1, 10, 10, 10, 10]


@pytest.mark.parametrize("version", ["v9", "v12", "v15"])
def test_nanoaod_of_every_version_is_right_and_a_missing_branch_is_named(tmp_path: Path, version: str) -> None:
    configuration, catalogue = load_configuration("ditau_mass", ()), load_catalogue("ditau_mass")
    sample = Sample("HTT", "signal", "HTT", (), "here", simulated=False)
    expected = schemas(configuration, catalogue, [sample])
    whole = write_nano(tmp_path / "whole.root", 1, 20, version=version)
    assert look_at("nanoaod", None, expected, Place("HTT", str(whole), str(whole)), 0).entries == 20
    without = write_nano(tmp_path / "part.root", 1, 20, version=version, without=("Muon_mediumId",))
    with pytest.raises(MissingBranch, match=r"part.root: the tree 'Events' has no branch 'Muon_mediumId'"):
        look_at("nanoaod", None, expected, Place("HTT", str(without), str(without)), 0)


def test_a_plan_removes_nothing_that_it_has_not_made(tmp_path: Path) -> None:
    configuration, catalogue = load_configuration("lepton_id", ()), load_catalogue("lepton_id")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "ours.txt").write_text("weeks of work")
    request = Request(configuration, catalogue, tmp_path, cast(ClusterSettings, None), "local")
    (tmp_path / "plan.json").write_text("{}")  # also not where there was a plan before
    with pytest.raises(UserError, match="already has models, which a plan would remove"):
        plan_only(request, None)
    assert (tmp_path / "models" / "ours.txt").read_text() == "weeks of work"
    (tmp_path / BEGUN).touch()  # a plan that was interrupted goes on to the next check
    with pytest.raises(UserError, match="the simulated source has no files before the run makes them"):
        plan_only(request, None)


def _here(
    pool: str, function: Callable[[Any, int], Any], arguments: Iterable[Any], *_: object, **__: object
) -> Iterator[Outcome]:
    """Calls in this process, as Run.map makes them on workers."""
    for argument in arguments:
        try:
            value, error = function(argument, 0), None
        except Exception as problem:
            value, error = None, f"{type(problem).__name__}: {problem}"
        yield Outcome(argument, value, error, pool, pool, 0.1, 1000, 1)
