"""Simulated H -> tau tau: an even spectrum of masses, files that NanoAODSchema reads, truth that hangs together."""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory
from pydantic import ValidationError
from support.independent_ditau import select

from analysis.datasets.simulation import ditau
from analysis.datasets.simulation.cms_jets import Momenta
from analysis.datasets.simulation.ditau_plan import DitauTask, Settings, plan
from analysis.datasets.simulation.ditau_response import _cone_sum
from analysis.errors import UserError


def tasks(**settings: Any) -> list[DitauTask]:
    return plan(Settings.model_validate(settings), ("HTT",), {}, luminosity=None, seed=5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    pytest.importorskip("pythia8mc", reason="the extra `simulation` is not installed")
    directory = tmp_path_factory.mktemp("ditau")
    (task,) = tasks(events=700, mass_step=237.5)
    (note,) = ditau.generate(task, str(directory))
    return directory / task.outputs[0][1], note


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Missing cross-reference:RuntimeWarning")
def test_coffea_reads_events_whose_truth_hangs_together(made: tuple[Path, dict[str, Any]]) -> None:
    path, note = made
    assert json.loads(path.with_name(path.name + ".json").read_text()) == note
    events = NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=NanoAODSchema, mode="eager").events()
    assert len(events) == note["entries"] == note["sum_mcweight"] == 700
    assert len(np.unique(events.event)) == 700
    particles = events.GenPart
    boson = ak.firsts(particles[particles.pdgId == 25])
    low, high, count = zip(*note["masses_gev"], strict=True)
    for edges in zip(low, high, count, strict=True):
        assert ak.sum((boson.mass >= edges[0]) & (boson.mass < edges[1])) == pytest.approx(edges[2], abs=1)
    assert len(np.unique(boson.mass.to_numpy())) > 690, "the spectrum is continuous"
    taus = particles[abs(particles.pdgId) == 15]
    assert ak.all(ak.num(taus) == 2)
    assert ak.all(ak.sum(taus.pdgId, axis=1) == 0)
    assert ak.all(taus.genPartIdxMother == 0)
    pair = taus[:, 0] + taus[:, 1]
    # The boson may shed a photon; its mass is that of the taus in nearly all events.
    assert np.median(abs(pair.mass / boson.mass - 1)) < 1e-3
    # Products add up to their tau.
    number = ak.num(particles)
    index = ak.local_index(particles.pt)
    for tau in (0, 1):
        place = ak.firsts(index[abs(particles.pdgId) == 15][:, tau:])
        products = particles[(particles.genPartIdxMother == place) & (index > 0)]
        total = ak.sum(products.pt * np.cos(products.phi), axis=1)
        assert np.allclose(total, taus[:, tau].pt * np.cos(taus[:, tau].phi), atol=2e-2 * taus[:, tau].pt)
    assert ak.all(ak.max(particles.genPartIdxMother, axis=1) < number)
    hadronic = 2 - ak.sum((abs(particles.pdgId) == 11) | (abs(particles.pdgId) == 13), axis=1)
    assert ak.mean(ak.num(events.GenVisTau)) == pytest.approx(2 * 0.648, abs=0.1)
    assert ak.mean(hadronic) == pytest.approx(2 * 0.648, abs=0.1)


@pytest.mark.slow
def test_masses_are_nearly_even_within_a_step(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc", reason="the extra `simulation` is not installed")
    (task,) = tasks(events=800, mass_range=(120.0, 130.0))
    ditau.generate(task, str(tmp_path))
    particles = uproot.open(tmp_path / task.outputs[0][1])["Events"].arrays(["GenPart_pdgId", "GenPart_mass"])
    mass = ak.to_numpy(ak.firsts(particles.GenPart_mass[particles.GenPart_pdgId == 25]))
    # A width of one step would have 59% of them here, an even spectrum 50% +- 1.8%.
    assert np.mean(np.abs(mass - 125) < 2.5) == pytest.approx(0.5, abs=0.045)


@pytest.mark.slow
def test_the_response_is_as_it_is_meant(made: tuple[Path, dict[str, Any]]) -> None:
    branches = uproot.open(made[0])["Events"].arrays()
    pull = [
        (branches["MET_pt"] * f(branches["MET_phi"]) - branches["GenMET_pt"] * f(branches["GenMET_phi"]))
        / np.sqrt(branches[f"MET_cov{part}"])
        for f, part in ((np.cos, "XX"), (np.sin, "YY"))
    ]
    for one in pull:
        assert np.mean(one) == pytest.approx(0, abs=0.15)
        assert np.std(one) == pytest.approx(1, abs=0.12)
    for name in ("Tau", "Muon", "Electron", "Jet"):
        assert ak.all(branches[f"{name}_pt"][:, :-1] >= branches[f"{name}_pt"][:, 1:]), "by falling pT"
        assert ak.all(abs(branches[f"{name}_phi"]) <= math.pi + 1e-6)
    prompt = branches["Muon_genPartFlav"] == 15
    # A track leads to where the tau decayed, centimetres away, but passes near the vertex.
    assert ak.mean(abs(branches["Muon_dz"][prompt]) < 0.2) > 0.97
    assert ak.mean(abs(branches["Muon_dxy"][prompt]) < 0.045) > 0.9
    near = branches["Tau_jetIdx"]
    assert ak.mean(near >= 0) > 0.9
    # Hard jets have a generated one at their place, of nearly their momentum.
    hard = branches["Jet_pt"] > 40
    apart = branches["Jet_eta"][hard][:, :, None] - branches["GenJet_eta"][:, None, :]
    turn = branches["Jet_phi"][hard][:, :, None] - branches["GenJet_phi"][:, None, :]
    distance = np.hypot(apart, np.arctan2(np.sin(turn), np.cos(turn)))
    nearest = ak.argmin(distance, axis=2)
    ratio = branches["Jet_pt"][hard] / branches["GenJet_pt"][nearest]
    matched = ak.min(distance, axis=2) < 0.2
    assert ak.mean(matched) > 0.95
    assert np.median(ak.to_numpy(ak.drop_none(ak.flatten(ratio[matched])))) == pytest.approx(1, abs=0.12)
    jet_eta = branches["Jet_eta"][near[near >= 0]]
    assert ak.max(abs(jet_eta - branches["Tau_eta"][near >= 0])) < 0.45


@pytest.mark.slow
def test_every_channel_is_found_and_efficiency_rises_with_mass(made: tuple[Path, dict[str, Any]]) -> None:
    counts, rows = select(made[0])
    assert counts["filters"] == 700
    assert {row["channel"] for row in rows} >= {"tt", "mt", "et", "em"}
    low, high = (sum(a <= row["gen_mass"] < b for row in rows) for a, b in ((50, 287.5), (287.5, 1000)))
    assert low / 175 < high / 525


@pytest.mark.slow
def test_equal_tasks_give_equal_events(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    (task,) = tasks(events=40, mass_step=475)
    contents = []
    for one in (task, task, replace(task, seed=6)):
        ditau.generate(one, str(tmp_path))
        contents.append(uproot.open(tmp_path / task.outputs[0][1])["Events"].arrays())
    assert ak.array_equal(contents[0], contents[1])
    assert not ak.array_equal(contents[0]["GenMET_pt"], contents[2]["GenMET_pt"])


def test_the_plan_covers_the_range_once() -> None:
    several = tasks(events=25_000)
    assert len(several) == 2 or len(several) == 3
    windows = sorted(window for task in several for window in task.windows)
    assert len(windows) == 95
    assert windows[0][0] == 50
    assert windows[-1][1] == pytest.approx(1000)
    assert [window[0] for window in windows[1:]] == pytest.approx([window[1] for window in windows[:-1]])
    assert sum(window[2] for window in windows) == 25_000
    assert max(window[2] for window in windows) - min(window[2] for window in windows) <= 1
    ends = [(task.first_event, task.first_event + sum(w[2] for w in task.windows)) for task in several]
    assert all(first[1] == second[0] for first, second in itertools.pairwise(ends))
    for task in several:
        assert task.windows[0][0] < 90
        assert task.windows[-1][1] > 960


def test_keys_change_with_what_matters() -> None:
    keys = [
        tasks(**settings)[0].key
        for settings in ({}, {"events": 39_000}, {"mass_step": 20}, {"multiparton_interactions": True})
    ]
    assert len(set(keys)) == 4
    assert tasks(events=20_000)[0].key == tasks(events=40_000, scale=0.5)[0].key
    assert len({task.key for task in tasks()}) == len(tasks())


def test_what_is_not_known_is_an_error() -> None:
    with pytest.raises(UserError, match=r"'DY'.*known: HTT"):
        plan(Settings(), ("DY",), {}, luminosity=None, seed=1)
    with pytest.raises(ValidationError, match="mass_range"):
        Settings(mass_range=(100, 50))


def test_the_cone_sum_equals_a_loop() -> None:
    rng = np.random.default_rng(1)
    event = np.sort(rng.integers(0, 4, 60))
    around = Momenta(event, rng.exponential(3, 60), rng.uniform(-1, 1, 60), rng.uniform(-3.14, 3.14, 60), np.zeros(60))
    seen, rows = np.flatnonzero(rng.random(60) < 0.8), np.arange(0, 60, 7)
    found = _cone_sum(around, seen, rows, 0.7)
    for row, value in zip(rows, found, strict=True):
        expected = 0.0
        for i in seen:
            turn = math.remainder(around.phi[i] - around.phi[row], 2 * math.pi)
            if i != row and event[i] == event[row] and math.hypot(around.eta[i] - around.eta[row], turn) < 0.7:
                expected += around.pt[i]
        assert value == pytest.approx(expected)
