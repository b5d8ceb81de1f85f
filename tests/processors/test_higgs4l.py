"""The whole selection against an independent program, on real, simulated and random events."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from coffea.processor import accumulate
from pydantic import ValidationError
from support.higgs4l_samples import LUMINOSITY, NOTEBOOK, REAL, SIMULATED, metadata, normalisation, sample
from support.independent_higgs4l import cutflow as independent_cutflow
from support.mini_files import Event, EventMaker, Lepton, write_mini

from processors.higgs4l import BRANCHES, CUTS, TREE, Settings, branches, build
from processors.readers import read_root, root_file_facts

NUMBERS = (2.5, 3.0e4, 0.4)


def process(path: str, meta: dict[str, Any], skim: Path | None = None, chunk: int = 10**9, **settings: Any) -> Any:
    """The accumulator of one file, processed in chunks."""
    processor = build(Settings(**settings), luminosity=LUMINOSITY, skim_directory=None if skim is None else str(skim))
    names = branches(meta["role"])
    entries = root_file_facts(path, TREE, names).entries
    parts = [
        processor.process(read_root(path, TREE, names, start, min(start + chunk, entries), meta))
        for start in range(0, max(entries, 1), chunk)
    ]
    return accumulate(parts)[meta["dataset"]]


def read_skim(folder: Path, result: dict[str, Any]) -> Any:
    tables = [pq.read_table(folder / record["file"]) for record in result["skims"]]
    assert [table.num_rows for table in tables] == [record["rows"] for record in result["skims"]]
    import pyarrow as pa

    return pa.concat_tables(tables).to_pandas().sort_values("entry", ignore_index=True)


def assert_agrees(path: str, meta: dict[str, Any], skim: Path, mode: str = "exactly_4", chunk: int = 10**9) -> Any:
    """Every count and weighted sum, and the counts of each cut alone, equal those of the independent program."""
    result = process(path, meta, skim, chunk, leptons=mode)
    expected = independent_cutflow(path, normalisation(meta), mode == "at_least_4")
    assert list(result["cutflow"]) == list(CUTS)
    for cut in CUTS:
        assert result["cutflow"][cut]["events"] == expected["cutflow"][cut]["events"], cut
        difference = result["cutflow"][cut]["weighted"] - expected["cutflow"][cut]["weighted"]
        assert abs(difference) <= 1e-12 * expected["absolute"], cut
    assert result["sum_mc_weight"] == pytest.approx(expected["sum_mc_weight"], rel=1e-12)
    assert result["entries"] == expected["cutflow"]["all"]["events"]
    if result["skims"]:
        frame = read_skim(skim, result)
        for cut in CUTS[2:]:
            assert frame[f"pass_{cut}"].sum() == expected["alone"][cut], cut
        assert frame["pass_four_leptons"].all()
    return result


@pytest.mark.parametrize("mode", ["exactly_4", "at_least_4"])
@pytest.mark.parametrize("name", [*REAL, *SIMULATED])
def test_real_and_simulated_files(test_data: Path, tmp_path: Path, name: str, mode: str) -> None:
    path, meta = sample(test_data, name)
    result = assert_agrees(path, meta, tmp_path, mode)
    if name in NOTEBOOK and mode == "exactly_4":
        assert (result["cutflow"]["all"]["events"], result["cutflow"]["four_leptons"]["events"]) == NOTEBOOK[name]


def test_published_numbers(test_data: Path) -> None:
    final = {}
    for name in REAL:
        cutflow = process(*sample(test_data, name))["cutflow"]
        final[name] = (cutflow["m_z2"]["events"], cutflow["mass_window"]["events"])
    assert final["DataEgamma"][0] == 4
    assert final["DataMuons"][0] == 6
    assert sum(window for name, (_, window) in final.items() if not name.startswith("Data")) == 11


@pytest.mark.parametrize("mode", ["exactly_4", "at_least_4"])
@pytest.mark.parametrize("seed", [1, 2])
def test_random_events(tmp_path: Path, seed: int, mode: str, full_size: bool) -> None:
    events = EventMaker(seed).events(30000 if full_size else 4000)
    path = str(write_mini(tmp_path / "random.root", events, basket=700))
    result = assert_agrees(path, metadata("random", NUMBERS), tmp_path, mode, chunk=1500)
    # The sample reaches every cut but the last few with a margin, or the comparison would say little.
    assert result["cutflow"]["sfos_mass"]["events"] > 20


def pair(kind: int, pt: float, eta: float, phi: float, **values: float) -> list[Lepton]:
    """Two opposite charges back to back."""
    return [
        Lepton(pt, eta, phi, -1, kind, **values),
        Lepton(pt, -eta, phi - math.pi if phi > 0 else phi + math.pi, 1, kind, **values),
    ]


def higgs_like(**values: float) -> list[Lepton]:
    """An event near m4l = 125 GeV that passes every cut: m_z1 = 90 GeV, m_z2 = 31 GeV."""
    return [*pair(13, 45000.0, 0.0, 0.3, **values), *pair(11, 15500.0, 0.1, 1.7, **values)]


def changed(leptons: list[Lepton], index: int, **values: Any) -> list[Lepton]:
    from dataclasses import replace

    return [replace(lepton, **values) if i == index else lepton for i, lepton in enumerate(leptons)]


EDGES: dict[str, tuple[list[Lepton], str]] = {
    "muon pT at the threshold": (changed(higgs_like(), 0, pt=6000.0), "lepton_pt"),
    "electron pT at the threshold": (changed(higgs_like(), 2, pt=7000.0), "lepton_pt"),
    "second pT at the threshold": (
        [*pair(13, 45000.0, 0, 0.3)[:1], *(Lepton(15000.0, 0.4 * i, i, (-1) ** i, 11) for i in range(3))],
        "leading_pt",
    ),
    "muon isolation at the threshold": (changed(higgs_like(), 0, etcone20=13500.0, pt=45000.0), "isolation"),
    "electron isolation at the threshold": (changed(higgs_like(), 2, etcone20=3200.0, pt=16000.0), "isolation"),
    "muon impact at the threshold": (changed(higgs_like(), 1, d0=-1.75, d0_error=0.5), "impact_parameter"),
    "electron impact at the threshold": (changed(higgs_like(), 3, d0=3.25, d0_error=0.5), "impact_parameter"),
    "no impact-parameter error": (changed(higgs_like(), 0, d0=0.0, d0_error=0.0), "impact_parameter"),
    "infinite significance": (changed(higgs_like(), 0, d0=1.0, d0_error=0.0), "impact_parameter"),
    "close across the seam": (
        [Lepton(45000.0, 0.5, 3.14, -1, 13), Lepton(44000.0, 0.5, -3.12, 1, 13), *pair(11, 15500.0, 0.1, 1.7)],
        "delta_r",
    ),
    "close with different flavours": (changed(higgs_like(), 2, eta=0.15, phi=0.3), "delta_r"),
    "light pair that is not Z1 or Z2": (
        [
            Lepton(40000.0, 0.0, 0.0, -1, 13),
            Lepton(5000.0 * 1.3, 0.0, 0.12, 1, 13),
            Lepton(40000.0, 0.0, 3.1, 1, 13),
            Lepton(30000.0, 0.5, -2.5, -1, 13),
        ],
        "sfos_mass",
    ),
    "three charges of one sign": (changed(higgs_like(), 0, charge=1), "charge"),
    "three electrons and a muon": (changed(higgs_like(), 0, type=11), "flavour"),
    "like-sign pairs": (changed(changed(higgs_like(), 0, charge=1), 2, charge=1), "sfos_mass"),
}


@pytest.mark.parametrize("name", EDGES)
def test_edges(tmp_path: Path, name: str) -> None:
    leptons, cut = EDGES[name]
    path = str(write_mini(tmp_path / "edge.root", [Event(higgs_like()), Event(leptons)]))
    result = assert_agrees(path, metadata("edge", NUMBERS), tmp_path)
    frame = read_skim(tmp_path, result)
    assert frame[[f"pass_{other}" for other in CUTS[1:]]].iloc[0].all(), "the unchanged event passes everything"
    assert not frame[f"pass_{cut}"].iloc[1]


def test_just_beyond_the_thresholds(tmp_path: Path) -> None:
    """The next representable value passes where the threshold itself fails."""
    above = float(np.nextafter(np.float32(6000.0), np.float32(1e9)))
    event = Event(changed(higgs_like(), 0, pt=above))
    path = str(write_mini(tmp_path / "above.root", [event]))
    frame = read_skim(tmp_path, process(path, metadata("above", NUMBERS), tmp_path))
    assert frame["pass_lepton_pt"].all()


def test_five_leptons_and_unsorted_leptons(tmp_path: Path) -> None:
    soft = Lepton(5500.0, 1.0, 2.0, 1, 13)
    events = [Event([*higgs_like(), soft]), Event(higgs_like()[::-1]), Event(higgs_like()[:3]), Event([])]
    path, meta = str(write_mini(tmp_path / "five.root", events)), metadata("five", NUMBERS)
    exactly = assert_agrees(path, meta, tmp_path / "exactly")
    at_least = assert_agrees(path, meta, tmp_path / "at_least", "at_least_4")
    assert exactly["cutflow"]["four_leptons"]["events"] == 1
    assert at_least["cutflow"]["mass_window"]["events"] == 2
    frame = read_skim(tmp_path / "exactly", exactly)
    assert list(frame["entry"]) == [1]
    assert frame["lep1_pt"].iloc[0] == pytest.approx(45.0)
    frame = read_skim(tmp_path / "at_least", at_least)
    assert list(frame["lep_n"]) == [4, 4]
    assert (frame["lep5_pt"] == 0).all()
    assert (frame["lep6_type"] == 0).all()


def test_at_least_four_removes_leptons(tmp_path: Path) -> None:
    extra = Lepton(9000.0, 1.0, 2.5, 1, 13)
    overlapping = Lepton(44000.0, 0.05, 0.3, 1, 13)
    far = Lepton(8000.0, -1.5, -2.0, -1, 11)
    events = [
        Event([*higgs_like(), extra, far]),
        Event([*higgs_like(), overlapping]),
        Event([*higgs_like(), *(Lepton(9000.0 + i, 2.0 - 0.5 * i, -1.0 - 0.4 * i, 1, 13) for i in range(4))]),
        # The softer of an overlapping pair goes, and only three are left.
        Event([*higgs_like()[:2], overlapping, extra]),
    ]
    path, meta = str(write_mini(tmp_path / "removed.root", events)), metadata("removed", NUMBERS)
    result = assert_agrees(path, meta, tmp_path, "at_least_4")
    frame = read_skim(tmp_path, result)
    assert list(frame["entry"]) == [0, 1, 2]
    assert list(frame["lep_n"]) == [6, 4, 8]
    assert frame["lep5_pt"].tolist() == pytest.approx([9.0, 0.0, 9.003])
    assert frame["lep6_pt"].tolist() == pytest.approx([8.0, 0.0, 9.002])
    for cut in ("lepton_pt", "isolation", "impact_parameter", "delta_r"):
        assert frame[f"pass_{cut}"].all()


def test_no_entries(tmp_path: Path) -> None:
    path, meta = str(write_mini(tmp_path / "empty.root", [])), metadata("empty", NUMBERS)
    for mode in ("exactly_4", "at_least_4"):
        result = process(path, meta, tmp_path / mode, leptons=mode)
        assert result["entries"] == 0
        assert result["sum_mc_weight"] == 0.0
        assert result["skims"] == []
        assert all(entry == {"events": 0, "weighted": 0.0} for entry in result["cutflow"].values())
        assert not (tmp_path / mode).exists()


def test_columns_of_the_skim(tmp_path: Path) -> None:
    path = str(write_mini(tmp_path / "one.root", [Event(higgs_like()[:3]), Event(higgs_like(), 7, 11, -2.0, 1.5)]))
    result = process(path, metadata("one", NUMBERS), tmp_path)
    table = pq.read_table(tmp_path / result["skims"][0]["file"])
    types = {field.name: str(field.type) for field in table.schema}
    lepton = {"pt": "float", "eta": "float", "phi": "float", "etcone20": "float", "d0_significance": "float"}
    lepton |= {"charge": "int8", "type": "int8"}
    expected = {"run": "int32", "event": "int64", "entry": "int64", "lep_n": "int32"}
    expected |= {f"lep{i}_{name}": kind for i in range(1, 5) for name, kind in lepton.items()}
    expected |= dict.fromkeys(["m4l", "pt4l", "y4l", "m_z1", "m_z2"], "double")
    expected |= dict.fromkeys(["cos_theta_star", "cos_theta1", "cos_theta2", "phi", "phi1"], "float")
    expected |= dict.fromkeys(["weight", "mc_weight"], "double")
    expected |= {f"pass_{cut}": "bool" for cut in CUTS[1:]}
    assert types == expected
    row = table.to_pylist()[0]
    assert (row["run"], row["event"], row["entry"], row["lep_n"]) == (7, 11, 1, 4)
    assert row["lep1_charge"] == -1
    assert row["lep3_type"] == 11
    assert row["m_z1"] == pytest.approx(90.0, rel=1e-3)
    assert row["mc_weight"] == -2.0
    assert row["weight"] == pytest.approx(-3.0 * LUMINOSITY * 2.5 / (3.0e4 * 0.4))


def test_undefined_pairs_are_nan(tmp_path: Path) -> None:
    path = str(write_mini(tmp_path / "nan.root", [Event(changed(higgs_like(), 0, charge=1)), Event(higgs_like())]))
    frame = read_skim(tmp_path, process(path, metadata("nan", NUMBERS), tmp_path))
    pair_columns = ["m_z1", "m_z2", "cos_theta_star", "cos_theta1", "cos_theta2", "phi", "phi1"]
    assert frame[pair_columns].iloc[0].isna().all()
    assert frame[pair_columns].iloc[1].notna().all()
    assert frame[["m4l", "pt4l", "y4l"]].notna().all(axis=None)


def test_histogram_holds_the_events_before_the_window(test_data: Path) -> None:
    result = process(*sample(test_data, "ZZ"))
    histogram = result["histograms"]["m4l"]
    entry = result["cutflow"]["m_z2"]
    assert histogram.sum(flow=True).value == pytest.approx(entry["weighted"], rel=1e-12)
    assert histogram.axes[0].size == 34
    assert (histogram.axes[0].edges[0], histogram.axes[0].edges[-1]) == (80.0, 250.0)


@pytest.mark.parametrize("chunk", [100, 777, 100000])
def test_chunks_do_not_matter(test_data: Path, tmp_path: Path, chunk: int) -> None:
    path, meta = sample(test_data, "ZZ")
    whole, parts = process(path, meta, tmp_path / "whole"), process(path, meta, tmp_path / "parts", chunk)
    for cut in CUTS:
        assert parts["cutflow"][cut]["events"] == whole["cutflow"][cut]["events"]
        assert parts["cutflow"][cut]["weighted"] == pytest.approx(whole["cutflow"][cut]["weighted"], rel=1e-12)
    expected, found = read_skim(tmp_path / "whole", whole), read_skim(tmp_path / "parts", parts)
    assert found.equals(expected)
    assert not list(tmp_path.rglob(".*"))


def test_settings_reach_the_selection(test_data: Path) -> None:
    path, meta = sample(test_data, "ZZ")
    default = process(path, meta)["cutflow"]
    for key, value, cut in [
        ("electron_pt", 12.0, "lepton_pt"),
        ("muon_pt", 12.0, "lepton_pt"),
        ("second_pt", 40.0, "leading_pt"),
        ("third_pt", 25.0, "leading_pt"),
        ("electron_isolation", 0.05, "isolation"),
        ("muon_isolation", 0.05, "isolation"),
        ("electron_d0_significance", 1.0, "impact_parameter"),
        ("muon_d0_significance", 1.0, "impact_parameter"),
        ("same_flavour_delta_r", 1.0, "delta_r"),
        ("different_flavour_delta_r", 1.0, "delta_r"),
        ("sfos_mass", 40.0, "sfos_mass"),
        ("z1_mass", (80.0, 100.0), "m_z1"),
        ("z2_min_mass", (40.0, 80.0), "m_z2"),
        ("z2_min_mass_m4l", (100.0, 140.0), "m_z2"),
        ("z2_max_mass", 90.0, "m_z2"),
        ("mass_window", (122.0, 126.0), "mass_window"),
        ("z_mass", 60.0, "m_z1"),
    ]:
        other = process(path, meta, **{key: value})["cutflow"]
        before = CUTS[CUTS.index(cut) - 1]
        assert other[before] == default[before], key
        assert other[cut]["events"] < default[cut]["events"], key


def test_settings_are_checked() -> None:
    with pytest.raises(ValidationError, match="leading_ptt"):
        Settings(leading_ptt=3)
    with pytest.raises(ValidationError, match=r"mass_window: the first value must be below the second"):
        Settings(mass_window=(130.0, 120.0))


@pytest.mark.parametrize("key", ["xsec", "sumw", "reduction_efficiency"])
@pytest.mark.parametrize("value", [None, 0.0, math.nan])
def test_a_simulated_set_needs_its_normalisation(tmp_path: Path, key: str, value: float | None) -> None:
    path = str(write_mini(tmp_path / "one.root", [Event(higgs_like())]))
    meta = {**metadata("one", NUMBERS), key: value}
    with pytest.raises(ValueError, match=f"data set one needs a number for {key}"):
        process(path, meta)


def test_data_need_no_weights(tmp_path: Path) -> None:
    weights = [name for name in BRANCHES if name not in branches("data")]
    path = str(write_mini(tmp_path / "data.root", [Event(higgs_like())] * 3, without=weights))
    result = process(path, metadata("DataMuons", None), tmp_path)
    assert result["sum_mc_weight"] == 3.0
    assert result["cutflow"]["mass_window"] == {"events": 3, "weighted": 3.0}
    assert read_skim(tmp_path, result)[["weight", "mc_weight"]].eq(1.0).all(axis=None)
