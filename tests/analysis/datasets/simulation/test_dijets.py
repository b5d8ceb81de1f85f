"""Simulated dijets: reproducible files that energyflow reads, jets and their partons, a filter that loses little."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from analysis.datasets.simulation import cms_jets, cms_response, dijets, dijets_filter, mod_file, pythia
from analysis.datasets.simulation.cms_jets import Momenta
from analysis.datasets.simulation.dijets_plan import SLICES, DijetTask, EventNumbers, Settings, plan
from analysis.errors import UserError
from processors.dijet_anomaly import Settings as Selection
from processors.dijet_anomaly import build
from processors.energyflow_import import import_energyflow
from processors.formats import reader_of


def tasks(events: int = 150, **changes: Any) -> list[DijetTask]:
    settings = Settings.model_validate({"events": {"SIM300": events, "SIM470": events // 5}, **changes})
    return plan(settings, tuple(SLICES), {}, luminosity=None, seed=7)


def tables(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        return {name: file[name][:] for name in file}


def test_the_options_say_which_partons_are_generated() -> None:
    assert set(EventNumbers.model_fields) == set(SLICES)
    for name, of_sample in SLICES.items():
        assert f"{of_sample.low:g} to {of_sample.high:g} GeV" in str(EventNumbers.model_fields[name].description)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    pytest.importorskip("pythia8mc", reason="the extra `simulation` is not installed")
    directory = tmp_path_factory.mktemp("dijets")
    task = tasks(600)[0]
    (note,) = dijets.generate(task, str(directory))
    return directory / task.outputs[0][1], note


@pytest.mark.slow
def test_energyflow_reads_what_is_written(made: tuple[Path, dict[str, Any]]) -> None:
    path, note = made
    dataset = import_energyflow("datasets.mod").MODDataset(str(path))
    assert dataset.sim
    assert len(dataset) == note["entries"] > 300
    assert json.loads(path.with_name(path.name + ".json").read_text()) == note
    assert dataset.corr_jet_pts.min() > 375
    assert set(np.abs(dataset.hard_pids)) <= {0, 1, 2, 3, 4, 5, 21}
    assert np.mean(dataset.hard_pids == 0) < 0.05
    # A jet is the sum of its particles.
    for jet in range(20):
        pt, y, phi, mass, _, _ = dataset.pfcs[jet].T
        px, py = (pt * np.cos(phi)).sum(), (pt * np.sin(phi)).sum()
        transverse = np.hypot(pt, mass)
        energy, pz = (transverse * np.cosh(y)).sum(), (transverse * np.sinh(y)).sum()
        assert math.hypot(px, py) == pytest.approx(dataset.jet_pts[jet], rel=1e-5)
        assert math.atanh(pz / energy) == pytest.approx(dataset.jet_ys[jet], abs=1e-5)
        assert np.sqrt(energy**2 - px**2 - py**2 - pz**2) == pytest.approx(dataset.jet_ms[jet], rel=1e-3)
    # Every particle type has a number for the training.
    remapped = np.array([jet.copy() for jet in dataset.pfcs[:50]], dtype=object)
    import_energyflow("utils.data_utils").remap_pids(remapped, pid_i=4)


@pytest.mark.slow
def test_jets_have_the_energies_masses_and_weights_they_should(made: tuple[Path, dict[str, Any]]) -> None:
    path, note = made
    dataset = import_energyflow("datasets.mod").MODDataset(str(path))
    generated = dataset.gen_jet_pts > 0
    assert generated.mean() > 0.99
    # Jets that just reach the threshold are more often too high than too low: hence the range in the middle.
    middle = generated & (dataset.gen_jet_pts > 400)
    assert np.median(dataset.corr_jet_pts[middle] / dataset.gen_jet_pts[middle]) == pytest.approx(1.0, abs=0.03)
    assert dataset.weights == pytest.approx(note["cross_section_nb"] / 600)
    assert len(np.unique(dataset.evns)) <= 600
    assert np.all(np.diff(dataset.evns) >= 0)
    assert np.mean(dataset.qualitys == 3) > 0.98


@pytest.mark.slow
def test_equal_tasks_make_equal_files(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc", reason="the extra `simulation` is not installed")
    task = tasks(40)[0]
    other = replace(task, spawn_key=(1, 1))
    for name, one in (("a", task), ("b", task), ("c", other)):
        dijets.generate(one, str(tmp_path / name))
    first, second, third = (tables(tmp_path / name / task.outputs[0][1]) for name in "abc")
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(first["jets_f"], third["jets_f"])


@pytest.mark.slow
def test_the_filter_keeps_events_with_a_selected_pair(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All events of the hard process are kept, with what the filter says of them."""
    pytest.importorskip("pythia8mc", reason="the extra `simulation` is not installed")
    verdicts: list[bool] = []

    def remember(jets: Any, pt: Any, mass: Any, real: Any = dijets_filter.has_pair) -> bool:
        verdicts.append(real(jets, pt, mass))
        return True

    monkeypatch.setattr(dijets_filter, "has_pair", remember)
    task = replace(tasks()[0], events=1200)
    dijets.generate(task, str(tmp_path))
    assert 0.2 < np.mean(verdicts) < 0.6
    path = str(tmp_path / task.outputs[0][1])
    processor = build(Selection(), luminosity=None, skim_directory=str(tmp_path))
    reader = reader_of("mod_hdf5")
    entries = reader.facts(path, "", ()).entries
    chunk = reader.read(path, "", processor.branches("background"), 0, entries, {"dataset": "s", "role": "background"})
    (record,) = processor.process(chunk)["s"]["skims"]
    import pyarrow.parquet as pq

    events = pq.read_table(tmp_path / record["file"])["event"].to_numpy()
    assert len(events) > 50
    assert np.mean(np.array(verdicts)[events]) > 0.9


@pytest.mark.slow
def test_the_gluon_fraction_falls_with_the_mass(full_size: bool, tmp_path: Path) -> None:
    if not full_size:
        pytest.skip("takes minutes: make test-full")
    import pyarrow.parquet as pq

    processor = build(Selection(), luminosity=None, skim_directory=str(tmp_path))
    reader = reader_of("mod_hdf5")
    masses, gluons = [], []
    for task in tasks(24_000)[:4]:
        dijets.generate(task, str(tmp_path))
        path = str(tmp_path / task.outputs[0][1])
        entries = reader.facts(path, "", ()).entries
        facts = {"dataset": "s", "role": "background"}
        chunk = reader.read(path, "", processor.branches("background"), 0, entries, facts)
        (record,) = processor.process(chunk)["s"]["skims"]
        table = pq.read_table(tmp_path / record["file"])
        masses.append(table["mjj"].to_numpy())
        gluons.append((np.array(table["jet_parton_id"].to_pylist()) == 21).all(axis=1))
    mass, both = np.concatenate(masses), np.concatenate(gluons)
    assert both[mass < 860].mean() == pytest.approx(0.19, abs=0.03)
    assert both[mass > 1010].mean() == pytest.approx(0.13, abs=0.04)


def test_partons_cluster_as_in_fastjet() -> None:
    fastjet = pytest.importorskip("fastjet", reason="the extra `simulation` is not installed")
    rng = np.random.default_rng(3)
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, cms_jets.RADIUS)
    for _ in range(50):
        number = int(rng.integers(2, 15))
        pt, y, phi = rng.uniform(5, 400, number), rng.normal(0, 1, number), rng.uniform(-3.1, 3.1, number)
        p = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(y), pt * np.cosh(y)], axis=1)
        ours = sorted(dijets_filter.parton_jets([tuple(row) for row in p.tolist()]), reverse=True)
        sequence = fastjet.ClusterSequence([fastjet.PseudoJet(*row) for row in p.tolist()], definition)
        theirs = sorted(((jet.pt(), jet.rap(), jet.phi_std()) for jet in sequence.inclusive_jets()), reverse=True)
        assert np.array(ours) == pytest.approx(np.array(theirs), rel=1e-9)


def test_a_pair_needs_momenta_rapidities_and_a_mass() -> None:
    pair = [(400.0, 0.3, 0.1), (390.0, -0.4, 3.1), (50.0, 0.0, 1.0)]
    assert dijets_filter.has_pair(pair, (345, 490), (620, 1300))
    assert not dijets_filter.has_pair(pair, (395, 490), (620, 1300))
    assert not dijets_filter.has_pair(pair, (345, 490), (900, 1300))
    assert not dijets_filter.has_pair([(400.0, 2.2, 0.1), *pair[1:]], (345, 490), (0, 9999))
    assert not dijets_filter.has_pair(pair[:1], (345, 490), (0, 9999))


def test_the_nearest_object_of_the_same_event() -> None:
    rng = np.random.default_rng(5)

    def some(number: int) -> Momenta:
        event = np.sort(rng.integers(0, 20, number))
        return Momenta(
            event, rng.uniform(10, 400, number), rng.normal(0, 1, number), rng.uniform(-np.pi, np.pi, number),
            rng.uniform(0, 50, number),
        )  # fmt: skip

    jets, others = some(60), some(80)
    found = cms_jets.nearest(jets, others, 1.0)
    for jet in range(60):
        best, expected = 1.0, -1
        for other in np.flatnonzero(others.event == jets.event[jet]):
            turn = math.remainder(float(others.phi[other] - jets.phi[jet]), 2 * math.pi)
            distance = math.hypot(float(others.rapidity[other] - jets.rapidity[jet]), turn)
            if distance < best:
                best, expected = distance, int(other)
        assert found[jet] == expected
    assert set(found) > {-1}


def test_the_response_keeps_order_range_and_mean_of_particles() -> None:
    rng = np.random.default_rng(6)
    number = 40_000
    event = np.sort(rng.integers(0, 500, number))
    pid = rng.choice([211, -211, 22, 130, 2112, 11, -13, 321], number)
    pt, eta, phi = rng.uniform(0.2, 30, number), rng.uniform(-5.2, 5.2, number), rng.uniform(-np.pi, np.pi, number)
    px, py, pz, energy = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)
    found = cms_response.candidates(event, px, py, pz, energy, pid, rng)
    assert np.all(np.diff(found.event) >= 0)
    assert set(found.pid) <= {211, -211, 22, 130, 11, -13, 1, 2}
    assert found.pt.min() > cms_response.MINIMUM_PT
    tracks = np.isin(np.abs(found.pid), (11, 13, 211))
    assert np.abs(found.eta[tracks]).max() < cms_response.TRACKER_ETA
    assert np.abs(found.eta).max() < cms_response.FORWARD_ETA + 0.1
    truth = pt[(np.abs(pid) == 13) & (np.abs(eta) < 2.4) & (pt > 1)]
    assert np.sum(found.pid == -13) == pytest.approx(0.98 * len(truth), rel=0.03)
    assert found.pt[found.pid == -13].mean() == pytest.approx(truth.mean(), rel=0.03)


def test_tasks_of_a_sample_share_its_events() -> None:
    plans = tasks(13_000)
    of_one = [task for task in plans if task.sample == "SIM300"]
    assert [task.events for task in of_one] == [6500, 6500]
    assert sum(task.share for task in of_one) == pytest.approx(1.0)
    assert len({task.key for task in plans}) == len({task.spawn_key for task in plans}) == len(plans)
    assert [task.key for task in tasks(13_000)] == [task.key for task in plans]
    assert {task.key for task in tasks(13_000, minimum_jet_pt=380)}.isdisjoint(task.key for task in plans)
    # A larger sample is another one: its weights are others.
    assert len(tasks(13_000, scale=2.0)) > len(plans)


def test_a_sample_that_is_not_simulated_is_named() -> None:
    with pytest.raises(UserError, match="no simulation of the sample 'CMS' is known"):
        plan(Settings(), ("CMS",), {}, luminosity=None, seed=1)


def test_a_file_without_jets_can_be_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "SIM300_0.h5"
    jets = {name: np.empty(0) for name in (*mod_file.JET_INTEGERS, *mod_file.JET_FLOATS)}
    particles = {name: np.empty(0) for name in mod_file.PARTICLES}
    mod_file.write(path, jets, particles, np.zeros(1, np.int64), ("300", pythia.generator_version()), {"entries": 0})
    assert reader_of("mod_hdf5").facts(str(path), "", ["jet_pt", "pfcs.pt"]).entries == 0
