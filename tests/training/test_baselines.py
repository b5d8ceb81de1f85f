from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.skims import make_columns, make_skims, write_sample

from training.baselines import evaluate, evaluate_baselines
from training.higgs4l import Baselines
from training.samples import Events, read_events
from training.significance import asimov

CUTS = Baselines().cuts


def read(tmp_path: Path, seed: int = 1, events: int = 800) -> tuple[Events, dict[str, dict[str, np.ndarray]]]:
    samples = make_skims(tmp_path, np.random.default_rng(seed), events)
    raw = {}
    for sample in samples:
        tables = [pq.read_table(file) for file in sample.files]
        raw[sample.name] = {
            name: np.concatenate([table[name].to_numpy() for table in tables]) for name in tables[0].column_names
        }
    return read_events(samples, ("m4l",), CUTS["cut_based"]), raw


def test_yields_are_sums_over_the_files(tmp_path: Path) -> None:
    events, raw = read(tmp_path)
    evaluation = evaluate_baselines(events, CUTS, replicas=20, seed=1)
    for name, cuts in CUTS.items():
        passed = {s: np.all([its[f"pass_{cut}"] for cut in cuts], axis=0) for s, its in raw.items()}
        weights = {s: its["weight"][passed[s]] for s, its in raw.items()}
        background = np.concatenate([weights["ZZ"], weights["Zmumu"]])
        signal = np.concatenate([weights["ggH125_ZZ4lep"], weights["VBFH125_ZZ4lep"]])
        found = evaluation.yields[name]
        assert found["background"]["value"] == pytest.approx(background.sum())
        assert found["background"]["uncertainty"] == pytest.approx(np.sqrt(np.sum(background**2)))
        assert found["background"]["events"] == len(background)
        assert found["background"]["effective"] == pytest.approx(background.sum() ** 2 / np.sum(background**2))
        assert found["samples"]["ZZ"]["value"] == pytest.approx(weights["ZZ"].sum())
        assert found["asimov"]["value"] == pytest.approx(float(asimov(signal.sum(), background.sum())))
        assert found["data"] == passed["DataEgamma"].sum() + passed["DataMuons"].sum()


def test_bootstrap_agrees_with_error_propagation(tmp_path: Path) -> None:
    events, _ = read(tmp_path, events=6000)
    found = evaluate_baselines(events, CUTS, replicas=500, seed=2).yields["no_cuts"]
    assert found["asimov"]["uncertainty"] == pytest.approx(found["asimov_analytic_uncertainty"], rel=0.15)


def test_paired_ratio_is_sharper_than_independent_ones(tmp_path: Path) -> None:
    events, _ = read(tmp_path, events=3000)
    base = events.passed(CUTS["cut_based"])
    nearly = base & (np.random.default_rng(1).random(len(events)) < 0.95)
    evaluation = evaluate(events, {"a": nearly, "b": base}, replicas=300, seed=3)
    ratio = evaluation.ratio("a", "b")
    relative = evaluation.yields["a"]["asimov"]["uncertainty"] / evaluation.yields["a"]["asimov"]["value"]
    assert ratio["value"] == pytest.approx(
        evaluation.yields["a"]["asimov"]["value"] / evaluation.yields["b"]["asimov"]["value"]
    )
    assert ratio["uncertainty"] < 0.5 * relative
    assert evaluation.ratio("a", "a")["uncertainty"] == pytest.approx(0.0, abs=1e-12)


def test_few_effective_events_are_flagged_and_none_is_undefined(tmp_path: Path) -> None:
    events, _ = read(tmp_path, events=60)
    few = evaluate_baselines(events, CUTS, replicas=20, seed=1).yields["cut_based"]
    assert few["background"]["effective"] < 25
    assert "fewer than 25" in few["flags"][0]
    nothing = evaluate(events, {"none": np.zeros(len(events), bool)}, replicas=20, seed=1).yields["none"]
    assert nothing["asimov"] == {"value": None, "uncertainty": None, "interval": None}
    assert nothing["background"]["value"] == 0.0


def test_data_events_in_two_streams_count_once(tmp_path: Path) -> None:
    columns = make_columns("DataMuons", np.random.default_rng(4), 30)
    samples = [write_sample(tmp_path, name, columns) for name in ("DataMuons", "DataEgamma")]
    samples.append(write_sample(tmp_path, "ZZ", make_columns("ZZ", np.random.default_rng(5), 100)))
    events = read_events(samples, ("m4l",), ("four_leptons",))
    found = evaluate(events, {"all": np.ones(len(events), bool)}, replicas=5, seed=1).yields["all"]
    assert found["data"] == 30
    without = events.select(events.label == 0)
    assert evaluate(without, {"all": np.ones(len(without), bool)}, replicas=5, seed=1).yields["all"]["data"] == 0
