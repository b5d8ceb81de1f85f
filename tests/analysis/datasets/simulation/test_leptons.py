"""Simulated ttbar leptons: which are kept, the format of both files, and that a task always makes the same events."""

from pathlib import Path

import numpy as np
import pytest
import uproot

from analysis.datasets.simulation import leptons, pythia
from analysis.datasets.simulation.leptons import Settings, from_w, generate, plan, select
from analysis.errors import UserError

SAMPLES = ("ttbar_leptons", "double_ttbar_leptons")
ELECTRON, MUON = 0.00051099895, 0.1056583755


def record(particles: list[tuple[int, int, int, float, float, float]]) -> pythia.Record:
    """Particles (id, status, mother, px, py, pz)."""
    out = np.zeros(len(particles), pythia.PARTICLE)
    for row, (kind, status, mother, px, py, pz) in enumerate(particles):
        out[row]["id"], out[row]["status"], out[row]["mother1"] = kind, status, mother
        out[row]["px"], out[row]["py"], out[row]["pz"] = px, py, pz
    return out


def test_only_leptons_of_w_bosons_are_kept_after_radiation() -> None:
    event = record(
        [
            (90, -11, 0, 0, 0, 0),
            (24, -22, 0, 0, 0, 0),
            (-13, -23, 1, 40, 0, 0),  # radiates:
            (-13, 51, 2, 30, 0, 40),
            (22, 51, 2, 10, 0, 0),
            (15, -23, 1, 0, 0, 0),
            (11, 91, 5, 50, 0, 0),  # of a tau
            (-24, -22, 0, 0, 0, 0),
            (11, 23, 7, 0, 20, 0),
        ]
    )
    kept = from_w(event)
    assert kept["id"].tolist() == [-13, 11]
    chosen = select([event[:0], kept], Settings(lepton_pt=25.0))
    assert chosen.counts.tolist() == [1]
    assert chosen.values["isMuon"].tolist() == [1]
    assert chosen.values["pt"] == pytest.approx([30.0])
    assert chosen.values["e"][0] == pytest.approx(np.sqrt(2500 + MUON**2), rel=1e-15)
    both = select([kept], Settings())
    assert both.values["pt"].tolist() == [30.0, 20.0]  # falling
    assert both.values["e"][1] == pytest.approx(np.sqrt(400 + ELECTRON**2), rel=1e-15)


def test_the_plan_does_not_depend_on_workers_and_names_what_it_does_not_know() -> None:
    tasks = plan(Settings(events=20_000), SAMPLES, {}, luminosity=None, seed=3)
    assert sum(task.events for task in tasks) == 20_000
    assert len({task.key for task in tasks}) == len(tasks) == 2
    assert [sample for sample, _ in tasks[0].outputs] == list(SAMPLES)
    assert plan(Settings(events=20_000, lepton_pt=20), SAMPLES, {}, luminosity=None, seed=3)[0].key != tasks[0].key
    with pytest.raises(UserError, match="no simulation of the sample 'ZZ'"):
        plan(Settings(), ("ZZ",), {}, luminosity=None, seed=3)


def test_both_files_hold_the_same_leptons_in_their_precision(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc", reason="the extra `simulation` is not installed")
    (task,) = plan(Settings(events=300), SAMPLES, {}, luminosity=None, seed=3)
    for directory in ("a", "b"):
        notes = generate(task, str(tmp_path / directory))
        assert [note["task"] for note in notes] == [task.key] * 2
    arrays = {}
    for sample, relative in task.outputs:
        with uproot.open(tmp_path / "a" / relative) as file, uproot.open(tmp_path / "b" / relative) as again:
            tree = file[leptons.TREE]
            arrays[sample] = tree.arrays(library="ak")
            assert arrays[sample].to_list() == again[leptons.TREE].arrays(library="ak").to_list()
            kind = {"ttbar_leptons": "float[]", "double_ttbar_leptons": "double[]"}[sample]
            assert tree.typenames()["eve.lepton_e_"] == kind
            assert tree.num_entries == notes[0]["entries"] > 60
    import awkward as ak

    single, double = (
        {name: ak.to_numpy(ak.flatten(arrays[sample][f"eve.lepton_{name}_"])) for name in ("pt", "eta", "phi", "e")}
        for sample in SAMPLES
    )
    for name, values in single.items():
        assert np.array_equal(values, double[name].astype(np.float32))
    assert double["pt"].min() > 15
    assert np.abs(double["eta"]).max() < 2.5
    muon = ak.to_numpy(ak.flatten(arrays["ttbar_leptons"]["eve.lepton_isMuon_"])) == 1
    mass2 = double["e"] ** 2 - (double["pt"] * np.cosh(double["eta"])) ** 2
    assert np.allclose(mass2, np.where(muon, MUON, ELECTRON) ** 2, atol=1e-8)
    assert 0.3 < muon.mean() < 0.7
