"""`hepbatch plan` against what then happens."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.command import hepbatch, make_source
from support.http_files import serving
from support.public_files import small_analyses

pytestmark = pytest.mark.slow

SAMPLES = ("DataMuons", "ZZ")
EVENTS, CHUNK = 6000, 1000
OPTIONS = ("--workers", "2", "--set", f"chunk_size={CHUNK}")


def content(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.parametrize("door", ["directory", "http"])
def test_items_entries_bytes_and_memory_are_as_they_then_are(tmp_path: Path, door: str) -> None:
    source = make_source(tmp_path / "source", SAMPLES, EVENTS)
    with serving(source) as served:
        where = source
        if door == "http":
            where = tmp_path / "source.yaml"
            files = {"DataMuons": "Data/skim.DataMuons.root", "ZZ": "MC/skim.mc_105986.ZZ.root"}
            lines = [f"  {name}: {{files: ['{served.address}/{path}']}}" for name, path in files.items()]
            where.write_text("\n".join(["samples:", *lines, ""]))
        only = () if door == "directory" else ("--skim-only",)
        done = hepbatch("plan", "higgs4l", "--source", where, *OPTIONS, *only, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        told = done.stderr
        planned = content(tmp_path / "results" / "plan" / "higgs4l" / "plan.json")
        done = hepbatch("skim", "higgs4l", "--source", where, "--output", "out", *OPTIONS, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    manifest = content(tmp_path / "out" / "manifest.json")
    skim = manifest["stages"]["skim"]
    assert (planned["items"], planned["entries"]) == (skim["items"], skim["entries"]) == (12, 2 * EVENTS)
    assert planned["bytes_read"] == pytest.approx(skim["bytes_read"], rel=0.3)
    assert planned["memory_bytes"] == pytest.approx(
        max(worker["peak_memory_bytes"] for worker in manifest["workers"]), rel=0.3
    )
    assert planned["seconds"] > planned["skim_seconds"] > 0
    assert planned["proposed"]["chunk_size"] > 0
    assert planned["device_hours"] is None
    if door == "directory":
        assert planned["trainings"] == 10
        assert planned["total_seconds"] is None
        assert "the trainings cannot be predicted from the work items that were tried: network_full: ValueError" in told
    # Nothing of the items that were tried is left.
    assert not (tmp_path / "results" / "plan" / "higgs4l" / "skim").exists()


def test_the_trainings_are_predicted_from_shortened_ones(tmp_path: Path) -> None:
    """Of a network and of trees, on a part of the events that were tried and on all of them."""
    source = make_source(tmp_path / "source", ("ZZ", "ggH125_ZZ4lep"), 6000)
    models = "{trees: {kind: boosted_trees}, network: {kind: network, parameters: {epochs: 10, patience: 10}}}"
    options = (
        "--workers", "2", "--set", f"training.models={models}", "--set", "training.folds=3", "--set",
        "chunk_size=2000", "--set", "training.importance_events=100",
    )  # fmt: skip
    done = hepbatch("plan", "higgs4l", "--source", source, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    planned = content(tmp_path / "results" / "plan" / "higgs4l" / "plan.json")
    assert planned["trainings"] == 4
    assert planned["train_workers"] == 1
    assert set(planned["training_trials"]) == {"network_full", "trees_full", "notebook", "baselines"}
    assert planned["device_hours"] * 3600 == pytest.approx(planned["train_seconds"], rel=0.01)
    assert set(planned["proposed"]["gpu_workers"]) == set(planned["proposed"]["workers"])
    assert all(1 <= number <= 4 for number in planned["proposed"]["gpu_workers"].values())
    assert "gpu workers: " in done.stderr
    assert planned["total_seconds"] == pytest.approx(planned["seconds"] + planned["train_seconds"])
    for verb in (("skim", "--source", source), ("train",)):
        done = hepbatch(verb[0], "higgs4l", *verb[1:], "--output", "out", *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    busy = sum(
        one["busy_seconds"] for one in content(tmp_path / "out" / "manifest.json")["workers"] if one["pool"] == "gpu"
    )
    # How well it predicts is measured by benchmarks.plan_accuracy, on a machine that does nothing else.
    assert planned["device_hours"] > 0
    done = hepbatch("plan", "higgs4l", "--source", source, *options, "--like", "out", "--output", "like", cwd=tmp_path)
    assert content(tmp_path / "like" / "plan.json")["device_hours"] * 3600 == pytest.approx(busy, rel=0.1)
    assert "as in out" in done.stderr
    done = hepbatch("plan", "higgs4l", "--source", source, *options, "--skim-only", "--output", "skim", cwd=tmp_path)
    planned = content(tmp_path / "skim" / "plan.json")
    assert (planned["trainings"], planned["device_hours"]) == (None, None)
    assert planned["total_seconds"] == planned["seconds"]


def test_simulated_samples_beside_public_ones_are_planned_once_they_are_there(tmp_path: Path) -> None:
    """As docs/full-dataset.md says: without them nothing is known of the trainings, which learn from them."""
    (tmp_path / "public").mkdir()
    with serving(tmp_path / "public") as served:
        ((name, events),) = small_analyses(tmp_path, tmp_path / "public", served.address, ("ditau_mass_cms",)).items()
        options = (
            f"{name}.yaml", "--workers", "2", "--set", "opendata.read=in_place", "--set", "simulation.events=1500",
        )  # fmt: skip
        without = hepbatch("plan", *options, "--source", "opendata", "--output", "without", cwd=tmp_path)
        made = hepbatch("datasets", "simulate", *options, "--output", "events", cwd=tmp_path)
        done = hepbatch(
            "plan", *options, "--source", "opendata", "--complete", "events", "--output", "with", cwd=tmp_path
        )
    assert without.returncode == 0, without.stderr
    assert f"'hepbatch plan {name} --complete DIR' looks at them" in without.stderr
    assert made.returncode == 0, made.stderr
    assert done.returncode == 0, done.stderr
    plans = {which: content(tmp_path / which / "plan.json") for which in ("without", "with")}
    assert plans["without"]["device_hours"] is None
    assert set(plans["with"]["samples"]) == {*events, "HTT"}
    assert plans["with"]["absent"] == []
    assert plans["with"]["device_hours"] > 0


def test_what_cannot_be_planned_is_one_sentence(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", ("ZZ",), 10)
    (tmp_path / "a-run").mkdir()
    (tmp_path / "a-run" / "manifest.json").write_text("{}")
    for words, expected in (
        ((), "the simulated source has no files before the run makes them: 'hepbatch datasets simulate higgs4l"),
        (("--source", source, "--output", "a-run"), "--output a-run is the directory of a run"),
        (("--source", source, "--like", "nowhere"), "--like nowhere: there is no run with finished trainings"),
    ):
        done = hepbatch("plan", "higgs4l", *words, cwd=tmp_path)
        assert done.returncode == 2
        assert expected in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "a-run" / "manifest.json").read_text() == "{}"
