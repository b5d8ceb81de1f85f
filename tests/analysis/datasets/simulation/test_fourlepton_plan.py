"""The plan: tasks, their files, normalisation and keys; it needs no generator."""

import dataclasses
import pickle
from typing import Any

import pytest

from analysis.datasets.simulation import atlas_response
from analysis.datasets.simulation.fourlepton import Settings, SimulationTask, plan
from analysis.datasets.simulation.fourlepton_processes import PROCESSES
from analysis.errors import UserError

Catalogue = dict[str, dict[str, Any]]
SIGNALS = ["ggH125_ZZ4lep", "VBFH125_ZZ4lep"]


def make(catalogue: Catalogue, samples: list[str], seed: int = 1, **changes: Any) -> list[SimulationTask]:
    luminosity = changes.pop("luminosity", 1000.0)
    return plan(Settings.model_validate(changes), samples, catalogue, luminosity=luminosity, seed=seed)


def test_fractions_and_shares_cover_each_process() -> None:
    for name, process in PROCESSES.items():
        assert sum(s.fraction for s in process.slices) == pytest.approx(1.0), name
        assert sum(s.share for s in process.slices) == pytest.approx(1.0), name


def test_only_the_samples_asked_for(catalogue: Catalogue) -> None:
    tasks = make(catalogue, SIGNALS)
    assert {sample for task in tasks for sample, _ in task.outputs} == set(SIGNALS)
    assert tasks[0].outputs[0][1].startswith("MC/skim.mc_160155.ggH125_ZZ4lep.0000.root")


def test_all_files_and_names_are_unique(catalogue: Catalogue) -> None:
    tasks = make(catalogue, list(catalogue), scale=3.0)
    paths = [path for task in tasks for _, path in task.outputs]
    assert len(set(paths)) == len(paths)
    assert len({task.name for task in tasks}) == len(tasks)
    assert len({task.key for task in tasks}) == len(tasks)
    assert len({task.spawn_key for task in tasks}) == len(tasks)


@pytest.mark.parametrize("scale", [0.01, 1.0, 4.0])
def test_slices_add_up_to_the_generated_events(catalogue: Catalogue, scale: float) -> None:
    for name in PROCESSES:
        tasks = make(catalogue, [name], scale=scale)
        parts = [part for task in tasks for part in task.parts]
        generated = sum(part.events for part in parts)
        assert sum(part.events * part.weight for part in parts) == pytest.approx(generated)
        for piece in PROCESSES[name].slices:
            weighted = sum(p.events * p.weight for p in parts if p.slice == piece.name)
            assert weighted / generated == pytest.approx(piece.fraction)


def test_pseudo_data_expect_the_cross_section(catalogue: Catalogue) -> None:
    for luminosity in (500.0, 4000.0):
        tasks = make(catalogue, ["DataEgamma", "DataMuons"], luminosity=luminosity)
        parts = [part for task in tasks for part in task.parts]
        for name, process in PROCESSES.items():
            expected = sum(p.events * p.weight for p in parts if p.process == name)
            assert expected == pytest.approx(luminosity * catalogue[name]["xsec"] * process.correction)


def test_pseudo_data_do_not_depend_on_the_size(catalogue: Catalogue) -> None:
    data = ["DataEgamma", "DataMuons"]
    assert [t.key for t in make(catalogue, data)] == [t.key for t in make(catalogue, data, scale=5.0)]
    assert len(make(catalogue, data, luminosity=10_000.0)) > len(make(catalogue, data))


def test_taus_change_the_cross_section(catalogue: Catalogue) -> None:
    (light,) = {task.cross_section for task in make(catalogue, ["ggH125_ZZ4lep"])}
    (all_leptons,) = {task.cross_section for task in make(catalogue, ["ggH125_ZZ4lep"], taus=True)}
    assert light == pytest.approx(0.00538752 * 4 / 9)
    assert all_leptons == pytest.approx(0.00538752)


@pytest.mark.parametrize(
    "changes", [{"taus": True}, {"misidentification": 2.0}, {"enhancement": 2.0}, {"multiparton_interactions": True}]
)
def test_settings_change_the_key(catalogue: Catalogue, changes: dict[str, Any]) -> None:
    before = {task.key for task in make(catalogue, ["ZZ"])}
    assert before == {task.key for task in make(catalogue, ["ZZ"])}
    assert not before & {task.key for task in make(catalogue, ["ZZ"], **changes)}


def test_seed_cross_section_and_response_change_the_key(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {task.key for task in make(catalogue, ["ZZ"])}
    assert not before & {task.key for task in make(catalogue, ["ZZ"], seed=2)}
    other = {**catalogue, "ZZ": {**catalogue["ZZ"], "xsec": 1.6}}
    assert not before & {task.key for task in make(other, ["ZZ"])}
    monkeypatch.setattr(atlas_response, "VERSION", atlas_response.VERSION + 1)
    assert not before & {task.key for task in make(catalogue, ["ZZ"])}


def test_tasks_pickle(catalogue: Catalogue) -> None:
    for task in make(catalogue, list(catalogue)):
        assert pickle.loads(pickle.dumps(task)) == task  # noqa: S301  # our own object
        assert dataclasses.replace(task, key="") != task


def test_unknown_sample(catalogue: Catalogue) -> None:
    with pytest.raises(UserError, match=r"WZ.*known: DataEgamma"):
        make(catalogue, ["WZ"])


def test_missing_cross_section(catalogue: Catalogue) -> None:
    with pytest.raises(UserError, match=r"cross section.*'ZZ'"):
        make({**catalogue, "ZZ": {"dsid": 105986, "xsec": None}}, ["ZZ"])


def test_too_many_files(catalogue: Catalogue) -> None:
    with pytest.raises(UserError, match=r"simulation\.scale"):
        make(catalogue, ["Zee"], scale=1000.0)
