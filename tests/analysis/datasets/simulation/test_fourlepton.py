"""Whole tasks: files, side-cars, weights, determinism, pseudo-data (small numbers of events)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from analysis.datasets.simulation import pythia
from analysis.datasets.simulation.fourlepton import Settings, generate, plan

Produced = tuple[Path, list[list[dict[str, Any]]]]


def arrays(path: Path) -> dict[str, Any]:
    with uproot.open(path) as file:
        columns: dict[str, Any] = file["mini"].arrays(library="np")
    return columns


def flat(column: Any) -> Any:
    return np.concatenate(column) if column.dtype == object and len(column) else column


def test_side_cars_describe_the_files(small: Any, produced: Produced) -> None:
    directory, notes = produced
    for task, cars in zip(small[1], notes, strict=True):
        assert len(cars) == len(task.outputs)
        for (sample, relative), car in zip(task.outputs, cars, strict=True):
            assert json.loads((directory / f"{relative}.json").read_text()) == car
            columns = arrays(directory / relative)
            assert car["sample"] == sample
            assert car["task"] == task.key
            assert car["entries"] == len(columns["lep_n"])
            assert car["generator"] == pythia.generator_version() == "Pythia 8.317"
            if sample in ("DataEgamma", "DataMuons"):
                assert "sumw" not in car
            else:
                assert car["sum_mcweight"] == pytest.approx(columns["mcWeight"].sum(dtype=float))
                assert car["red_eff"] == 1.0
    assert not list(directory.rglob("*.part"))


def test_samples_have_one_cross_section_and_the_sum_of_weights(small: Any, produced: Produced) -> None:
    cars = [car for notes in produced[1] for car in notes if "sumw" in car]
    for name in {car["sample"] for car in cars}:
        mine = [car for car in cars if car["sample"] == name]
        assert len({(car["xsec_pb"], car["red_eff"]) for car in mine}) == 1
        assert sum(car["sumw"] for car in mine) == pytest.approx(sum(car["generated"] for car in mine))
        assert sum(car["sum_mcweight"] for car in mine) < sum(car["sumw"] for car in mine)


def test_events_have_four_leptons_and_a_trigger(small: Any, produced: Produced) -> None:
    directory, _ = produced
    total = 0
    for task in small[1]:
        for _, relative in task.outputs:
            columns = arrays(directory / relative)
            total += len(columns["lep_n"])
            assert (columns["lep_n"] >= 4).all()
            assert (columns["trigE"] | columns["trigM"]).all()
            pt, eta = flat(columns["lep_pt"]), flat(columns["lep_eta"])
            if not len(pt):
                continue
            assert pt.min() > 5000.0
            assert np.abs(eta).max() < 2.51
            assert set(flat(columns["lep_type"]).tolist()) <= {11, 13}
            assert set(flat(columns["lep_charge"]).tolist()) <= {-1.0, 1.0}
            assert all((np.diff(event) <= 0).all() for event in columns["lep_pt"])
            for name in ("lep_etcone20", "lep_trackd0pvunbiased", "lep_tracksigd0pvunbiased", "met_et", "mcWeight"):
                assert np.isfinite(flat(columns[name])).all()
    assert total > 50


def test_event_numbers(small: Any, produced: Produced) -> None:
    """Unique in data and in samples generated as a whole; hadronisations of one event share theirs, within one file."""
    directory, _ = produced
    numbers: dict[str, list[list[int]]] = {}
    for task in small[1]:
        for sample, relative in task.outputs:
            numbers.setdefault(sample, []).append(arrays(directory / relative)["eventNumber"].tolist())
    numbers["data"] = numbers.pop("DataEgamma") + numbers.pop("DataMuons")
    for sample, files in numbers.items():
        if sample not in ("Zee", "Zmumu", "ttbar_lep"):
            values = [value for file in files for value in file]
            assert len(set(values)) == len(values), sample
        distinct = [set(values) for values in files]
        assert len(set().union(*distinct)) == sum(map(len, distinct)), sample


def test_higgs_mass_peaks_at_125_gev(small: Any, produced: Produced) -> None:
    directory, _ = produced
    (relative,) = [path for task in small[1] for sample, path in task.outputs if sample == "ggH125_ZZ4lep"]
    columns = arrays(directory / relative)
    four = columns["lep_n"] == 4
    pt, eta, phi = (np.stack(columns[f"lep_{k}"][four]).astype(float) for k in ("pt", "eta", "phi"))
    vector = [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)]
    px, py, pz, e = (component.sum(axis=1) / 1e3 for component in vector)
    assert np.median(np.sqrt(e**2 - px**2 - py**2 - pz**2)) == pytest.approx(124.0, abs=1.5)


def test_same_task_same_arrays(small: Any, produced: Produced, tmp_path: Path) -> None:
    directory, _ = produced
    for prefix in ("Data-0003", "ZZ-0001", "Zee-0000", "ttbar_lep-0000"):
        (task,) = [t for t in small[1] if t.name == prefix]
        generate(task, str(tmp_path))
        for _, relative in task.outputs:
            first, second = arrays(directory / relative), arrays(tmp_path / relative)
            assert list(first) == list(second)
            for name, column in first.items():
                np.testing.assert_array_equal(flat(column), flat(second[name]), err_msg=f"{relative} {name}")


def test_other_seed_other_events(small: Any, produced: Produced, catalogue: dict[str, Any], tmp_path: Path) -> None:
    directory, _ = produced
    (task,) = plan(small[0], ["ggH125_ZZ4lep"], catalogue, luminosity=1.0, seed=4)
    generate(task, str(tmp_path))
    relative = task.outputs[0][1]
    first, second = (flat(arrays(folder / relative)["lep_pt"]) for folder in (directory, tmp_path))
    assert not set(first.tolist()) & set(second.tolist())


def test_pseudo_data_look_recorded_and_are_independent(catalogue: dict[str, Any], tmp_path: Path) -> None:
    """The numbers of ZZ and Higgs events at 2/fb are what is expected, in events that look like recorded ones."""
    pytest.importorskip("pythia8mc", reason="the extra `simulation` is not installed")
    settings = Settings.model_validate({"pseudo_data_pool": 0.1})
    tasks = plan(settings, ["DataEgamma", "DataMuons"], catalogue, luminosity=2000.0, seed=8)
    task = next(t for t in tasks if t.parts[0].process == "ZZ")
    cars = generate(task, str(tmp_path))
    expected = cars[0]["expected_events"]
    assert expected == cars[1]["expected_events"]
    assert expected > 5
    found = {car["sample"]: arrays(tmp_path / relative) for (_, relative), car in zip(task.outputs, cars, strict=True)}
    number = sum(len(columns["lep_n"]) for columns in found.values())
    assert abs(number - expected) < 5 * np.sqrt(expected)
    for sample, columns in found.items():
        assert not columns["mcWeight"].any()
        assert not columns["scaleFactor_ELE"].any()
        assert not flat(columns["lep_truthMatched"]).any()
        assert (columns["runNumber"] > 200_000).all()
        assert (columns["trigE"] if sample == "DataEgamma" else columns["trigM"] & ~columns["trigE"]).all()
    part = task.parts[0]
    others = plan(settings, [part.process], catalogue, luminosity=2000.0, seed=8)
    assert task.spawn_key not in {t.spawn_key for t in others}


def test_enhancement_keeps_the_yield(catalogue: dict[str, Any], tmp_path: Path) -> None:
    """Weights make up for the enrichment: the sums with and without agree within their statistical errors."""
    pytest.importorskip("pythia8mc", reason="the extra `simulation` is not installed")
    sums = []
    for enhancement in (1.0, 8.0):
        settings = Settings.model_validate(
            {"events": {"ttbar_lep": 400}, "enhancement": enhancement, "top_repetitions": 3}
        )
        (task, *_) = plan(settings, ["ttbar_lep"], catalogue, luminosity=1.0, seed=5)
        generate(task, str(tmp_path))
        weight = arrays(tmp_path / task.outputs[0][1])["mcWeight"].astype(float)
        sums.append((weight.sum(), (weight**2).sum()))
    (first, error1), (second, error2) = sums
    assert first > 0
    assert abs(first - second) < 4 * np.sqrt(error1 + error2)
