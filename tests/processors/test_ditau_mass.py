"""The ditau skim equals a plain loop over events, for files of several versions, in pieces and under coffea."""

import itertools
import math
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from coffea import processor
from coffea.nanoevents import NanoAODSchema
from coffea.processor import accumulate
from support.ditau_truth import invented_truth, responses
from support.independent_ditau import FLAGS, read_events, select
from support.nano_files import write_nano

from processors.ditau_inputs import transverse_mass
from processors.ditau_mass import CHANNELS, CONVENTIONAL, CUTS, INPUTS, NEUTRINOS, RESPONSES, Settings, branches, build
from processors.ditau_pairs import LEGS
from processors.errors import MissingBranch, ReadError
from processors.formats import reader_of

READER = reader_of("nanoaod")
PHI = [name for name in INPUTS if "phi" in name]
JETS = [name for name in INPUTS if "jet" in name]


def process(path: Path, skim: Path, *, pieces: int = 1, role: str = "signal", **settings: Any) -> tuple[Any, Any]:
    """The accumulator and the rows, in the order of the entries."""
    ours = build(Settings(**settings), luminosity=None, skim_directory=str(skim))
    entries = READER.facts(str(path), "Events", ()).entries
    bounds = np.linspace(0, entries, pieces + 1).astype(int).tolist()
    results = []
    for start, stop in itertools.pairwise(bounds):
        chunk = READER.read(str(path), "Events", branches(role), start, stop, {"dataset": "HTT", "role": role})
        results.append(ours.process(chunk.events))
    total = accumulate(results)["HTT"]
    return total, rows_of(skim, total)


def rows_of(skim: Path, total: Any) -> Any:
    tables = [pq.read_table(skim / record["file"]) for record in total["skims"]]
    return pa.concat_tables(tables).sort_by("entry").to_pandas() if tables else None


def compare(total: Any, rows: Any, path: Path) -> None:
    counts, expected = select(path)
    assert {cut: total["cutflow"][cut]["events"] for cut in CUTS} == counts
    assert rows["entry"].tolist() == [row["entry"] for row in expected]
    assert rows["event"].tolist() == [row["event"] for row in expected]
    assert [CHANNELS[number] for number in rows["channel"]] == [row["channel"] for row in expected]
    wanted = np.array([row["inputs"] for row in expected])
    # A transverse mass is a small difference where two objects are parallel.
    np.testing.assert_allclose(rows[list(INPUTS)].to_numpy(), wanted, rtol=3e-5, atol=2e-5)
    np.testing.assert_allclose(rows["gen_mass"], [row["gen_mass"] for row in expected], rtol=1e-6)
    old = np.array([row["published_jets"] for row in expected])
    for number, name in enumerate(JETS):
        values = np.arcsin(np.sin(old[:, number])) if "phi" in name else old[:, number]
        np.testing.assert_allclose(rows[f"published_{name}"], values, rtol=3e-5, atol=5e-4)
    for name in PHI:
        assert rows[name].between(-math.pi, math.pi, inclusive="right").all()
        if name not in JETS:
            np.testing.assert_allclose(
                np.sin(rows[f"published_{name}"]), np.sin(rows[name].astype(float)), rtol=1e-4, atol=1e-6
            )
        assert (np.abs(rows[f"published_{name}"]) <= math.pi / 2 + 1e-6).all()


@pytest.mark.parametrize("version", ["v9", "v12", "v15"])
def test_the_skim_equals_a_plain_loop(tmp_path: Path, version: str) -> None:
    path = write_nano(tmp_path / "nano.root", 5, 1500, version=version)
    total, rows = process(path, tmp_path / "skim")
    compare(total, rows, path)
    assert set(rows["channel"]) == set(range(len(CHANNELS))), "every channel occurs"
    counts = [total["cutflow"][cut]["events"] for cut in CUTS]
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts[:-1])) == len(counts) - 1, "every cut but the rare dilepton veto drops an event"
    assert np.isfinite(rows["gen_mass"]).any()
    assert np.isnan(rows["gen_mass"]).any()
    assert (rows["remaining_jets_N_reco"] > 1).any()


def test_the_dilepton_veto(tmp_path: Path) -> None:
    """One muon and one tau each, and two more muons that fail the identification of the third-lepton veto."""
    charge = [[1, 1, -1], [1, 1, 1], [1, 1, -1], [1, 1, -1], [1, -1, -1], [1, -1]]
    phi = [[0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [0.0, 1.0, 1.1], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [0.0, 1.0]]
    isolation = [[0.0] * 3, [0.0] * 3, [0.0] * 3, [0.0, 0.0, 0.4], [0.0] * 3, [0.0] * 2]
    kinds = {"charge": np.int32, "phi": np.float32, "pfRelIso04_all": np.float32}
    given = {"charge": charge, "phi": phi, "pfRelIso04_all": isolation}
    muon = {name: ak.values_astype(ak.Array(values), kinds[name]) for name, values in given.items()}
    zero = ak.zeros_like(muon["phi"])
    muon |= {"pt": zero + np.float32(30), "eta": zero, "mass": zero, "dxy": zero, "dz": zero}
    muon |= {"looseId": zero == 0, "mediumId": ak.local_index(zero) == 0}
    one = ak.unflatten(np.ones(6, np.float32), np.ones(6, np.int64))
    numbers = {"charge": -1, "decayMode": 0, "jetIdx": -1}
    tau = {name: ak.values_astype(one * value, np.int32) for name, value in numbers.items()}
    tau |= {"pt": one * 50, "eta": one * 0, "phi": one * -2, "mass": one, "dz": one * 0, "idDecayModeNewDMs": one > 0}
    tau |= {f"idDeepTau2017v2p1VS{name}": ak.values_astype(one * 15 + 16 * one, np.uint8) for name in ("e", "jet")}
    tau["idDeepTau2017v2p1VSmu"] = ak.values_astype(one * 15, np.uint8)
    none = ak.unflatten(np.zeros(0, np.float32), np.zeros(6, np.int64))
    electron = dict.fromkeys(("pt", "eta", "phi", "mass", "dxy", "dz", "pfRelIso03_all"), none)
    electron |= dict.fromkeys(("convVeto", "mvaFall17V2noIso_WP90"), none > 0)
    electron |= {"charge": ak.values_astype(none, np.int32), "lostHits": ak.values_astype(none, np.uint8)}
    flags = {f"Flag_{name}": np.ones(6, bool) for name in FLAGS}
    replaced = {"Muon": muon, "Tau": tau, "Electron": electron, **flags}
    path = write_nano(tmp_path / "nano.root", 1, 6, replace=replaced)
    total, rows = process(path, tmp_path / "skim")
    compare(total, rows, path)
    # Dropped: only the first. Same charge, too near, not isolated, and pairs with the selected muon stay.
    assert rows["entry"].tolist() == [1, 2, 3, 4, 5]
    _, rows = process(path, tmp_path / "with", dilepton_with_selected=True)
    assert rows["entry"].tolist() == [1, 3]


def test_the_published_convention_gives_its_inputs(tmp_path: Path) -> None:
    path = write_nano(tmp_path / "nano.root", 13, 300)
    _, usual = process(path, tmp_path / "usual")
    _, rows = process(path, tmp_path / "published", convention="published", published_inputs=False)
    assert not [name for name in rows if name.startswith("published_")]
    for name in INPUTS:
        other = f"published_{name}" if name in CONVENTIONAL else name
        np.testing.assert_array_equal(rows[name], usual[other])
        if name in CONVENTIONAL:
            np.testing.assert_array_equal(rows[f"corrected_{name}"], usual[name])
    assert not [name for name in usual if name.startswith("corrected_")]
    assert any((rows[name] != usual[name]).any() for name in JETS)


def test_any_number_of_pieces_gives_the_same(tmp_path: Path) -> None:
    path = write_nano(tmp_path / "nano.root", 6, 300)
    whole, rows = process(path, tmp_path / "one")
    pieces, same = process(path, tmp_path / "many", pieces=7)
    assert same.equals(rows)
    assert pieces["notes"] == whole["notes"]
    for cut in CUTS:
        assert pieces["cutflow"][cut]["events"] == whole["cutflow"][cut]["events"]
        assert pieces["cutflow"][cut]["weighted"] == pytest.approx(whole["cutflow"][cut]["weighted"], rel=1e-12)
    for name, histogram in whole["histograms"].items():
        np.testing.assert_allclose(pieces["histograms"][name].values(), histogram.values(), rtol=1e-12)


@pytest.mark.filterwarnings("ignore:Missing cross-reference:RuntimeWarning")
def test_under_coffeas_own_runner(tmp_path: Path) -> None:
    path = write_nano(tmp_path / "nano.root", 7, 400)
    own, rows = process(path, tmp_path / "own")
    runner = processor.Runner(executor=processor.IterativeExecutor(status=False), schema=NanoAODSchema, chunksize=150)
    ours = build(Settings(), luminosity=None, skim_directory=str(tmp_path / "coffea"))
    files = {"HTT": {"files": {str(path): "Events"}, "metadata": {"role": "signal"}}}
    found = runner(files, processor_instance=ours)["HTT"]
    assert rows_of(tmp_path / "coffea", found).equals(rows)
    assert {cut: found["cutflow"][cut]["events"] for cut in CUTS} == {
        cut: own["cutflow"][cut]["events"] for cut in CUTS
    }
    assert found["notes"] == own["notes"]


@pytest.mark.parametrize("name", ["HTT_m125", "HTT_m500"])
def test_simulated_files(test_data: Path, tmp_path: Path, name: str) -> None:
    path = test_data / "simulated" / f"{name}.root"
    total, rows = process(path, tmp_path)
    compare(total, rows, path)
    assert rows["gen_mass"].median() == pytest.approx(float(name.removeprefix("HTT_m")), rel=0.01)


@pytest.mark.parametrize(("name", "role"), [("nano_dimuon", "data"), ("nano_dy", "signal"), ("nano_tt_v15", "signal")])
def test_real_files_of_several_versions(test_data: Path, tmp_path: Path, name: str, role: str) -> None:
    path = test_data / "cms-nanoaod" / f"{name}.root"
    total, rows = process(path, tmp_path, role=role)
    counts, expected = select(path)
    assert {cut: total["cutflow"][cut]["events"] for cut in CUTS} == counts
    assert len(total["skims"]) == bool(expected)
    if expected:
        compare(total, rows, path)
    assert ("DeepTau 2018v2p5 in place of 2017v2p1" in total["notes"]) == (name == "nano_tt_v15")


def test_reconstructed_over_generated_equals_a_plain_loop(tmp_path: Path) -> None:
    bare = write_nano(tmp_path / "bare.root", 12, 1500)
    generated = invented_truth(read_events(bare), np.random.default_rng(3))
    path = write_nano(tmp_path / "nano.root", 12, 1500, replace=generated)
    total, _ = process(path, tmp_path / "skim")
    expected = responses(path)
    for name in RESPONSES:
        ratios = np.array(expected[name])
        found = total["histograms"][f"response_{name}"]
        counts, _ = np.histogram(ratios[:, 0], found.axes[0].edges, weights=ratios[:, 1])
        np.testing.assert_allclose(found.values(), counts, atol=1e-9)
        assert found.sum(flow=True).value == pytest.approx(ratios[:, 1].sum())
        assert len(ratios) > 5, f"{name} has generated counterparts"
    without, _ = process(bare, tmp_path / "bare")
    assert all(without["histograms"][f"response_{name}"].sum(flow=True).value == 0 for name in RESPONSES)
    recorded, _ = process(path, tmp_path / "data", role="data")
    assert all(recorded["histograms"][f"response_{name}"].sum(flow=True).value == 0 for name in RESPONSES)


def test_only_the_needed_branches_are_read(test_data: Path) -> None:
    path = test_data / "cms-nanoaod" / "nano_dy.root"
    chunk = READER.read(str(path), "Events", branches("data"), 0, 40, {"dataset": "x", "role": "data"})
    assert 0 < chunk.bytes_read < 0.5 * path.stat().st_size
    assert not any(name.startswith("GenPart") for name in chunk.arrays)


def test_a_file_without_deep_tau_says_so(test_data: Path) -> None:
    path = test_data / "cms-nanoaod" / "nano_tree.root"
    with pytest.raises(MissingBranch, match=r"nano_tree\.root: .*no branch 'Tau_idDeepTau2017v2p1VSjet'.*2018v2p5"):
        READER.read(str(path), "Events", branches("signal"), 0, 10, {"dataset": "x", "role": "signal"})


@pytest.mark.parametrize("missing", ["PuppiMET_phi", "Tau_jetIdx", "MET_covXY", "Electron_mvaFall17V2noIso_WP90"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore:Missing cross-reference:RuntimeWarning")
def test_a_missing_branch_is_named_by_the_reader_and_under_coffea(tmp_path: Path, missing: str) -> None:
    path = write_nano(tmp_path / "nano.root", 8, 50, without=(missing,))
    with pytest.raises(MissingBranch, match=rf"nano\.root: .*no branch '{missing}'"):
        READER.read(str(path), "Events", branches("signal"), 0, 50, {"dataset": "x", "role": "signal"})
    if missing == "PuppiMET_phi":  # coffea's own schema fails first
        return
    runner = processor.Runner(executor=processor.IterativeExecutor(status=False, retries=0), schema=NanoAODSchema)
    ours = build(Settings(), luminosity=None, skim_directory=None)
    with pytest.raises(Exception, match=rf"no branch '{missing}'"):  # coffea makes its own of it
        runner({"x": {"files": {str(path): "Events"}, "metadata": {"role": "signal"}}}, processor_instance=ours)


def test_what_older_files_lack_is_no_cut_but_a_note(tmp_path: Path) -> None:
    lacking = ("Flag_ecalBadCalibFilter", "Tau_idDecayModeNewDMs", "Muon_looseId", "Jet_jetId")
    path = write_nano(tmp_path / "nano.root", 9, 200, without=lacking)
    total, _ = process(path, tmp_path / "skim")
    assert total["notes"] == {
        "jets without identification: the file has no Jet_jetId": 200,
        "no Flag_ecalBadCalibFilter": 200,
    }


def test_working_points_of_the_wrong_kind_are_an_error(tmp_path: Path) -> None:
    bits = write_nano(tmp_path / "bits.root", 10, 200)
    with pytest.raises(ReadError, match="working_points=bitmask may be right"):
        process(bits, tmp_path, working_points="ordinal")
    ordinals = write_nano(tmp_path / "ordinals.root", 10, 200, version="v12")
    with pytest.raises(ReadError, match="working_points=ordinal may be right"):
        process(ordinals, tmp_path, working_points="bitmask")


def test_an_empty_range_and_a_range_without_objects(tmp_path: Path) -> None:
    path = write_nano(tmp_path / "nano.root", 11, 20)
    ours = build(Settings(), luminosity=None, skim_directory=str(tmp_path))
    chunk = READER.read(str(path), "Events", branches("signal"), 7, 7, {"dataset": "x", "role": "signal"})
    assert ours.process(chunk.events)["x"]["cutflow"]["all"] == {"events": 0, "weighted": 0.0}


def test_transverse_mass() -> None:
    one = transverse_mass(np.array([40.0, 50.0, 30.0]), np.array([0.0, 1.0, 3.0]), np.array([10.0, 20.0, 30.0]),
                          np.array([math.pi, 1.0, -3.0]))  # fmt: skip
    # Back to back 2 sqrt(pT pT'); parallel 0; 2 * 30 * sin(half of 2 pi - 6).
    assert one == pytest.approx([40.0, 0.0, 60.0 * math.sin(math.pi - 3.0)])


def test_names() -> None:
    assert len(INPUTS) == 27
    assert set(CONVENTIONAL) == set(PHI) | set(JETS)
    for channel, legs in LEGS.items():
        assert NEUTRINOS[channel] == sum(1 if leg == "tau" else 2 for leg in legs)
