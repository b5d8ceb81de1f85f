"""`hepbatch run ditau_mass` from the simulation to the report, small; and the model of it applied to its own files."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.command import hepbatch

pytestmark = pytest.mark.slow

#: A run of the shipped configuration takes minutes, on a busy machine several times as many.
LONG = 1700

NETWORK = "{neurons: 16, layers: 2, standardise: true, batch_size: 64, epochs: 6, learning_rate: 0.005}"


def test_a_whole_run_and_its_model(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc")
    out = tmp_path / "out"
    arguments = (
        "run", "ditau_mass", "--output", out, "--workers", "2", "--set", "simulation.events=1500",
        "--set", "simulation.mass_step=95", "--set", f"training.models={{small: {NETWORK}}}",
        "--set", "training.trees={boosted: {n_estimators: 20, max_depth: 3}}", "--set", "results.bootstrap=20",
        "--set", "results.formats=[png]", "--set", "training.importance_repeats=1",
    )  # fmt: skip
    done = hepbatch(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["stages"]["train"]["done_now"] == 2
    results = json.loads((out / "results.json").read_text())
    selected = sum(pq.read_metadata(path).num_rows for path in (out / "skim" / "HTT").glob("*.parquet"))
    assert results["efficiency.all"]["value"] == pytest.approx(selected / 1500)
    parts = ("train", "validation", "test")
    assert sum(results[f"training.small_inclusive.{part}_events"]["value"] for part in parts) == selected
    # The published convention has other azimuths for half of the events.
    assert results["training.small_inclusive.published_spread"]["value"] > 0
    again = hepbatch(*arguments, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert json.loads((out / "manifest.json").read_text())["stages"]["train"]["done_now"] == 0

    model, files = out / "models" / "small_inclusive", sorted((out / "simulated").rglob("*.root"))
    options = ("--model", model, "--output", tmp_path / "mass", "--format", "parquet", "--workers", "1")
    applied = hepbatch("predict", "ditau_mass", *options, *files, cwd=tmp_path)
    assert applied.returncode == 0, applied.stderr
    test = pq.read_table(model / "predictions.parquet").to_pydict()
    rows = [pq.read_table(path).to_pydict() for path in (tmp_path / "mass").glob("*.parquet")]
    mass = {event: value for one in rows for event, value in zip(one["event"], one["ml_mass"], strict=True)}
    assert len(mass) == selected
    np.testing.assert_allclose([mass[event] for event in test["event"]], test["ml_mass"], rtol=1e-5)
    inside = {event: value for one in rows for event, value in zip(one["event"], one["extrapolated"], strict=True)}
    assert set(inside.values()) - {0}, "events that were not trained on reach beyond those that were"

    exported = hepbatch("export", "ditau_mass", "--model", model, "--output", tmp_path / "mass.onnx", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "mass.onnx").is_file()


@pytest.mark.timeout(LONG + 60)
def test_the_network_beats_every_simple_estimator(tmp_path: Path, full_size: bool) -> None:
    pytest.importorskip("pythia8mc")
    if not full_size:
        pytest.skip("the shipped configuration as it is (HEPBATCH_TEST_SIZE=full)")
    done = hepbatch("run", "ditau_mass", "--output", tmp_path / "out", cwd=tmp_path, seconds=LONG)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    # 50 GeV each from 90 to 800; the last is shorter.
    assert found["comparison.bins"]["value"] == found["comparison.bins_won"]["value"] == 15
    assert 0.5 < found["resolution.540_590.collinear_valid"]["value"] < 1
