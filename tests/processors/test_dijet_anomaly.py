"""The dijet skim equals a plain loop over jets and events, on made and on simulated files, in one piece or in many."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from coffea.processor import accumulate
from pydantic import ValidationError
from support.independent_dijets import Expected, mass_of, select
from support.mod_files import jet_tables, write_jets

from processors.dijet_anomaly import CUTS, EVENT, Settings, branches, build
from processors.event_ranges import event_range, events_adjoin
from processors.formats import reader_of
from processors.jets import four_momenta, group, invariant_mass

READER = reader_of("mod_hdf5")


def process(
    path: Path,
    directory: Path,
    settings: Settings,
    *,
    pieces: int = 1,
    role: str = "background",
    luminosity: Any = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The accumulator and the rows of a file that is processed in so many pieces."""
    processor = build(settings, luminosity=luminosity, skim_directory=str(directory))
    entries = READER.facts(str(path), "", EVENT).entries
    results, rows = [], []
    for piece in range(pieces):
        ends = piece * entries // pieces, (piece + 1) * entries // pieces
        start, stop = event_range(READER, str(path), "", EVENT, *ends, entries)
        chunk = READER.read(str(path), "", processor.branches(role), start, stop, {"dataset": "jets", "role": role})
        results.append(processor.process(chunk))
        for record in results[-1]["jets"].pop("skims"):
            rows += pq.read_table(directory / record["file"]).to_pylist()
    return accumulate(results)["jets"], rows


def compare(result: dict[str, Any], rows: Sequence[dict[str, Any]], expected: Expected, factor: float = 1.0) -> None:
    for cut in CUTS:
        assert result["cutflow"][cut]["events"] == expected.counts[cut], cut
        assert result["cutflow"][cut]["weighted"] == pytest.approx(expected.weights[cut] * factor, rel=1e-12)
    assert result["entries"] == expected.counts["jets"]
    assert result["sum_mc_weight"] == pytest.approx(expected.weights["jets"], rel=1e-12)
    assert len(rows) == len(expected.rows) > 0
    for row, wanted in zip(rows, expected.rows, strict=True):
        jets = wanted["jets"]
        assert (row["file"], row["run"], row["lumi"], row["event"]) == wanted["identity"]
        # The mass of one light jet is a small difference of large numbers.
        assert row["mjj"] == pytest.approx(wanted["mjj"], rel=1e-12 if len(jets) > 1 else 1e-8)
        assert row["weight"] == pytest.approx(jets[0]["weight"] * factor, rel=1e-12)
        for name in ("jet_pt", "jet_y", "jet_phi", "jet_m", "jet_eta"):
            assert row[name] == [jet[name] for jet in jets]
        assert row["jet_jec"] == [jet["jec"] for jet in jets]
        assert row["jet_parton_id"] == [jet.get("hard_pid", 0) for jet in jets]
        for name in ("pt", "y", "phi", "pid"):
            stored = [[float(np.float32(one[name])) for one in jet["particles"]] for jet in jets]
            assert row[f"particle_{name}"] == stored


@pytest.mark.parametrize("pieces", [1, 2, 13])
def test_the_skim_equals_a_plain_loop_in_any_number_of_pieces(tmp_path: Path, pieces: int) -> None:
    path = write_jets(tmp_path / "sim.h5", jet_tables(1, 400))
    result, rows = process(path, tmp_path, Settings(), pieces=pieces)
    compare(result, rows, select(path))
    assert all(result["cutflow"][cut]["events"] > 0 for cut in CUTS)
    mjj, expected = result["histograms"]["mjj"], select(path, window=(0.0, math.inf))
    counts = np.histogram([row["mjj"] for row in expected.rows], mjj.axes[0].edges)[0]
    heaviest = max(row["jets"][0]["weight"] for row in expected.rows)
    assert np.all((mjj.values() > 0) == (counts > 0))
    assert np.all(mjj.values() <= counts * heaviest * (1 + 1e-12))
    assert result["histograms"]["jets_per_event"].sum().value == pytest.approx(expected.weights["events_with_jets"])


@pytest.mark.parametrize("n_jets", [1, 3, 4])
def test_events_with_another_number_of_jets(tmp_path: Path, n_jets: int) -> None:
    path = write_jets(tmp_path / "sim.h5", jet_tables(2, 400))
    window = (0.0, 5000.0)
    result, rows = process(path, tmp_path, Settings(n_jets=n_jets, mass_range=window), pieces=3)
    compare(result, rows, select(path, n_jets=n_jets, window=window))


def test_the_corrected_mass_has_bins_of_its_own(tmp_path: Path) -> None:
    path = write_jets(tmp_path / "sim.h5", jet_tables(3, 400))
    result, rows = process(path, tmp_path, Settings(event_mass="corrected"))
    compare(result, rows, select(path, window=(760.0, 1160.0), corrected=True))


def test_events_whose_jets_lie_apart_are_found(tmp_path: Path) -> None:
    tables = jet_tables(4, 300)
    order = np.random.default_rng(4).permutation(len(tables["jet_pt"]))
    path = write_jets(tmp_path / "sim.h5", {name: column[order] for name, column in tables.items()})
    assert not events_adjoin(READER, str(path), "", EVENT, len(order))
    result, rows = process(path, tmp_path, Settings())
    compare(result, rows, select(path))


def test_recorded_jets_have_no_partons_and_weights_become_events(tmp_path: Path) -> None:
    path = write_jets(tmp_path / "cms.h5", jet_tables(5, 200), without=("hard_pid",))
    result, rows = process(path, tmp_path, Settings(), role="data", luminosity=2.5)
    compare(result, rows, select(path), factor=2500.0)


def test_a_selection_of_the_users_is_one_more_cut(tmp_path: Path) -> None:
    path = write_jets(tmp_path / "sim.h5", jet_tables(6, 300))
    settings = Settings(selection=("jet_ms > 20 & jet_area < 0.9", "10 <= npvs"))
    result, _ = process(path, tmp_path, settings, pieces=4)
    tables = jet_tables(6, 300)
    passed = (tables["jet_m"] > 20) & (tables["jet_area"] < 0.9) & (tables["npv"] >= 10)
    before = (np.abs(tables["jet_pt"] * tables["jec"] - 400) <= 50) & (np.abs(tables["jet_eta"]) < 1.9)
    assert result["cutflow"]["jets_selection"]["events"] == (passed & before & (tables["quality"] >= 2)).sum() > 0
    assert {"jet_area", "npv"} <= set(branches("background", settings)) - set(branches("background"))


def test_columns_of_other_things_are_not_read() -> None:
    assert not any(name.startswith("gen") for name in branches("background"))
    assert "hard_pid" not in branches("data")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"jet_pt": (450, 350)}, "jet_pt: the low end 450 must be below"),
        ({"n_jets": 5}, "less than or equal to 4"),
        ({"selection": ("jet_mass > 20",)}, "names 'jet_mass', which is no column of the jets; did you mean 'jet_m"),
        ({"selection": ("jet_m 20",)}, "is not understood"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate(changes)


def test_particles_that_have_no_number_are_an_error(tmp_path: Path) -> None:
    import h5py

    path = write_jets(tmp_path / "sim.h5", jet_tables(7, 100))
    with h5py.File(path, "r+") as file:
        file["pfcs"][:, 4] = 0.5
    with pytest.raises(ValueError, match=r"pfcs\.pid has values that are no particle numbers"):
        process(path, tmp_path, Settings())


def test_an_empty_file_gives_an_empty_sum(tmp_path: Path) -> None:
    path = write_jets(tmp_path / "sim.h5", {name: column[:0] for name, column in jet_tables(8, 5).items()})
    assert events_adjoin(READER, str(path), "", EVENT, 0)
    result, rows = process(path, tmp_path, Settings())
    assert not rows
    assert result["cutflow"]["jets"] == {"events": 0, "weighted": 0.0}


def test_masses_of_jets_use_the_rapidity() -> None:
    jets = [
        {"jet_pt": 400.0, "jet_y": 1.5, "jet_phi": 0.1, "jet_m": 50.0, "jec": 1.0},
        {"jet_pt": 380.0, "jet_y": -0.4, "jet_phi": 3.0, "jet_m": 35.0, "jec": 1.0},
    ]
    columns = [np.array([[jet[name] for jet in jets]]) for name in ("jet_pt", "jet_y", "jet_phi", "jet_m")]
    assert invariant_mass(four_momenta(*columns)) == pytest.approx(mass_of(jets), rel=1e-13)
    one = invariant_mass(four_momenta(*(column[:, :1] for column in columns)))
    assert one == pytest.approx(50.0, rel=1e-9)


def test_groups_keep_the_order_of_the_file() -> None:
    run, event = np.array([2, 1, 2, 1, 1]), np.array([7, 7, 7, 5, 7])
    groups = group([run, event])
    assert groups.order.tolist() == [0, 2, 1, 4, 3]
    assert (groups.first.tolist(), groups.count.tolist()) == ([0, 2, 4], [2, 2, 1])
    assert groups.of(2).tolist() == [[0, 2], [1, 4]]
    assert group([np.empty(0), np.empty(0)]).of(2).shape == (0, 2)


def test_simulated_files_against_a_plain_loop(test_data: Path, tmp_path: Path) -> None:
    path = test_data / "mod" / "SIM300_like_0.h5"
    result, rows = process(path, tmp_path, Settings(), pieces=7)
    compare(result, rows, select(path))
